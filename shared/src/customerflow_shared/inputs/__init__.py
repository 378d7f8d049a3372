"""What clients send, read strictly, and each value in its one spelling: what is written and what is asked for alike.

All of it but `body` is pure. A parser raises Unfit with a code and a detail, which never repeats the value; `fields`
gathers them, so that a caller hears of every fault at once.
"""
