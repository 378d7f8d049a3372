"""What can become of a call, but for an answer:

* OutsideError
  * NotAsked: nothing was sent
    * BulkheadFull
    * CircuitOpen
  * Failed: it was asked, and that is held against it
    * TimedOut
    * Unreachable
    * Unwilling
    * BadAnswer

No text holds an address, nor anything that was sent or received: these errors are logged.
"""


class OutsideError(Exception):
    """`retry_after`: seconds before which it is of no use to ask again; None if nothing is known of that."""

    retry_after: float | None = None


class NotAsked(OutsideError):
    """Nothing was sent."""


class BulkheadFull(NotAsked):
    """As many calls as may be are under way, and as many as may be wait."""


class CircuitOpen(NotAsked):
    """The service has failed too often of late, and is left alone."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the circuit is open")
        self.retry_after = retry_after


class Failed(OutsideError):
    """The service was asked, and has given nothing that can be used."""


class TimedOut(Failed):
    """No complete answer came in time."""


class Unreachable(Failed):
    """The connection was refused, reset or broken off; nothing, or a part of the answer, has come."""


class Unwilling(Failed):
    """The service says that it cannot serve: 408, 425, 429 or any 5xx."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"it answers {status}")
        self.status = status
        self.retry_after = retry_after


class BadAnswer(Failed):
    """An answer that is too large, is not of the form agreed upon, or does not fit what was asked."""
