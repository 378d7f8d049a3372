"""Every business rule of a customer, pure: what can be asked (`commands`), what is known (`state`), what follows
(`decide`), what must be unique (`claims`), and why not (`errors`).
"""
