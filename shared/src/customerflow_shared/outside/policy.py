"""How one service is called: all of it, in one place."""

from msgspec import Struct


class Policy(Struct, frozen=True, kw_only=True):
    """Times are in seconds.

    `deadline` bounds a whole call: waiting for a place, tries, and pauses between them. A try takes `per_try` at most;
    a pause is begun only if it ends before the deadline. Only calls that may be repeated are: those with a safe or
    idempotent method, and those with an idempotency key. A pause is drawn from the upper half of a span that doubles
    from `first_pause` to `longest_pause`; a `Retry-After` that is longer counts instead.

    Each call adds `retries_per_call` to a budget that holds at most `retry_burst` retries, so that a service that fails
    altogether is not asked several times as often as before.

    `concurrent` calls are under way and `queued` ones wait, at most; more are refused at once.

    The circuit opens when `failures` of the last `window` tries have failed, none of them more than `memory` ago. It
    stays open for `open_for`, then lets one try through; if that fails, for twice as long, up to `open_at_most`.
    """

    deadline: float
    per_try: float
    tries: int = 1
    first_pause: float = 0.05
    longest_pause: float = 1.0
    retries_per_call: float = 0.1
    retry_burst: float = 5.0
    concurrent: int = 8
    queued: int = 8
    failures: int = 5
    window: int = 10
    memory: float = 60.0
    open_for: float = 5.0
    open_at_most: float = 60.0
    largest_body: int = 64 * 1024

    def __post_init__(self) -> None:
        sound = (
            0 < self.per_try <= self.deadline
            and self.tries >= 1
            and 0 < self.first_pause <= self.longest_pause
            and 0 <= self.retries_per_call <= 1 <= self.retry_burst
            and self.concurrent >= 1
            and self.queued >= 0
            and 1 <= self.failures <= self.window
            and self.memory > 0
            and 0 < self.open_for <= self.open_at_most
            and self.largest_body > 0
        )
        if not sound:
            raise ValueError("a policy whose numbers contradict one another")
