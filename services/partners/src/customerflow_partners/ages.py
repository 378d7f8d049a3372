"""How long the oldest message of a queue has been in it, told from what came in and what is left.

RabbitMQ does not say it of a quorum queue, and lets nobody look into one with a single active consumer. But a queue is
first in, first out: if N messages are in it, the oldest is the N-th last that came in, and the broker remembers for an
hour how many had come in by when. It counts every five seconds, each number on its own, and says 0 for the time before
it was started.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

LATE = 10.0  # seconds, by which a length may be what it was before


class Sample(NamedTuple):
    """A number at a time in seconds since 1970."""

    at: float
    number: int


class Age(NamedTuple):
    """Seconds, at least and at most; None: it may be any."""

    at_least: float
    at_most: float | None


def of_oldest(came_in: Sequence[Sample], lengths: Sequence[Sample], backlog: int, now: float) -> Age | None:
    """The age of the oldest of `backlog` messages, to the distance between two samples, which may come in any order:
    how many messages had come in, ever, and how many were there. None: there is no message, or nothing that tells.

    What was dropped, dead-lettered or acknowledged out of turn does no harm while the newest are those that are left.
    """
    ordered = sorted(came_in)
    if backlog <= 0 or not ordered:
        return None
    before = ordered[-1].number - backlog  # as many had come in when the oldest came
    if before < 0:  # some came before the broker was started, or have not been counted yet
        counted = [one.at for one in ordered if one.number]
        return Age(max(0.0, now - counted[0]) if counted else 0.0, None)
    came_by = next(one.at for one in ordered if one.number > before)
    came_after = [one.at for one in ordered if one.number <= before]
    # it came after the queue was empty; if by the counts it did not, what came last is not counted yet
    since = min((one.at for one in ordered if one.number), default=now)
    empty = max((one.at for one in lengths if not one.number and since <= one.at <= now), default=-math.inf)
    at_least = max(0.0, now - came_by) if came_by >= empty else 0.0
    earliest = max([*came_after, empty - LATE])
    return Age(at_least, max(0.0, now - earliest) if math.isfinite(earliest) else None)
