"""How long the oldest message of a queue has been in it, told from what came in and what is left.

RabbitMQ does not say it of a quorum queue, and lets nobody look into one with a single active consumer. But a queue is
first in, first out: if N messages are in it, the oldest is the N-th last that came in, and the broker remembers for an
hour how many had come in by when.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """How many messages had come into the queue, ever, at a time in seconds since 1970."""

    at: float
    came_in: int


class Age(NamedTuple):
    """Seconds, at least and at most; None: it may be any."""

    at_least: float
    at_most: float | None


def of_oldest(samples: Sequence[Sample], backlog: int, now: float) -> Age | None:
    """The age of the oldest of `backlog` messages, to the distance between two samples, which may come in any order.
    None: there is no message, or nothing that tells.

    What was dropped, dead-lettered or acknowledged out of turn does no harm while the newest are those that are left.
    """
    ordered = sorted(samples)
    if backlog <= 0 or not ordered:
        return None
    before = ordered[-1].came_in - backlog  # as many had come in when the oldest came
    came_after = [one.at for one in ordered if one.came_in <= before]
    came_by = [one.at for one in ordered if one.came_in > before]
    youngest = came_by[0] if came_by else ordered[-1].at
    return Age(max(0.0, now - youngest), max(0.0, now - came_after[-1]) if came_after else None)
