"""supervisord with one of its faults mended (4.3).

When a process dies, the number of its output pipe may be given to the input pipe of the next one while supervisord
still polls it for output. That pipe's dispatcher then raises at every turn instead of being taken off the list, and
supervisord spins.
"""

from supervisor import dispatchers, supervisord


def _nothing_to_read(_: object) -> None:
    """supervisord takes a pipe off its list when there is nothing to be read from it."""


if __name__ == "__main__":
    dispatchers.PInputDispatcher.handle_read_event = _nothing_to_read
    supervisord.main()
