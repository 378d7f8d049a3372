"""The one error of the local stack: its text is what the user reads, so it says what to do next."""


class LocalStackError(Exception):
    """The local stack cannot do what was asked of it."""
