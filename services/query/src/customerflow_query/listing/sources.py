"""Customers in an order, from any place in it, a chunk at a time: sets by time, sets by bytes, and those gathered.

A chunk is what comes after a place, never what stands at a rank: so nothing is skipped or repeated when customers come
and go between two chunks.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import msgspec
from customerflow_shared import indexing
from redis.asyncio import Redis

from customerflow_query.listing.asking import Range

EVERYBODY = (b"-", b"+")
NAMED = (b"-", b"(" + indexing.BEHIND_NAMES)  # all but the erased, of whom there may be many
FEWEST = 16  # members that are read of one set of several

Scored: TypeAlias = tuple[bytes, float]


class Place(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Of a customer in an order: by its time and id, or by a member that ends with the id and has no time.

    `word` says of which word of a search the order is.
    """

    score: float
    member: bytes
    word: int = 0

    @property
    def customer(self) -> bytes:
        return self.member[-indexing.ID :]


class Chunk(NamedTuple):
    """`ended`: nothing comes after it."""

    places: Sequence[Place]
    ended: bool


class Source(Protocol):
    async def after(self, place: Place | None, count: int) -> Chunk:
        """At most `count` that come after the place, which need not be there; the first ones for None."""


class ByTime:
    """The customers of one or several sets, each once, by score and id."""

    def __init__(self, redis: Redis, keys: Sequence[str], within: Range, *, descending: bool) -> None:
        self._redis = redis
        self._keys = keys
        self._low: str | int = "-inf" if within.gte is None else within.gte
        self._high = "+inf" if within.lt is None else f"({within.lt}"
        self._descending = descending

    async def after(self, place: Place | None, count: int) -> Chunk:
        """What lies beyond the shortest end of a set that goes on is left for the next chunk."""
        each = count if len(self._keys) == 1 else min(count, max(FEWEST, count // len(self._keys)))
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key in self._keys:
                self._range(pipeline, key, place, each)
            read = cast(list[list[Scored]], await pipeline.execute())
        found, horizons = set[Place](), list[Place]()
        for key, answer in zip(self._keys, read, strict=True):
            places, more = _beyond(answer, place, descending=self._descending), len(answer) == each
            if more and not places:  # all of it is of the same time as the place, and stands before it
                places, more = await self._among_equals(key, cast(Place, place), each)
            found.update(places)
            if more and places:
                horizons.append(places[-1])
        ordered = sorted(found, reverse=self._descending)
        if not horizons:
            return Chunk(ordered[:count], len(ordered) <= count)
        horizon = max(horizons) if self._descending else min(horizons)
        reached = [one for one in ordered if (one >= horizon if self._descending else one <= horizon)]
        return Chunk(reached[:count], ended=False)

    def _range(self, pipeline: Any, key: str, place: Place | None, count: int) -> None:
        low, high = self._low, self._high
        if self._descending:
            start = high if place is None else place.score
            pipeline.zrange(key, start, low, byscore=True, desc=True, offset=0, num=count, withscores=True)
        else:
            start = low if place is None else place.score
            pipeline.zrange(key, start, high, byscore=True, offset=0, num=count, withscores=True)

    async def _among_equals(self, key: str, place: Place, count: int) -> tuple[list[Place], bool]:
        """Many customers of one time, as an import makes them: the rank after the place by bisection. Ranks move while
        this goes on, so the answer begins with one that does not come after the place; else it is sought again.
        """
        redis, descending = self._redis, self._descending
        while True:
            if descending:
                first = await redis.zcount(key, f"({place.score!r}", "+inf")
            else:
                first = await redis.zcount(key, "-inf", f"({place.score!r}")
            last = first + await redis.zcount(key, place.score, place.score)
            while first < last:
                middle = (first + last) // 2
                at = cast(list[bytes], await redis.zrange(key, middle, middle, desc=descending))
                if at and (at[0] >= place.member if descending else at[0] <= place.member):
                    first = middle + 1
                else:
                    last = middle
            start = max(first - 1, 0)
            answer = cast(
                list[Scored],
                await redis.zrange(key, start, start + count, desc=descending, withscores=True),
            )
            places = _beyond(answer, place, descending=descending)
            if start == 0 or not answer or len(places) < len(answer):
                more = len(answer) == count + 1
                within = [one for one in places if self._is_within(one)]
                return within, more and len(within) == len(places)

    def _is_within(self, place: Place) -> bool:
        low = float(self._low)
        high = float(self._high.removeprefix("("))
        return low <= place.score < high if self._high.startswith("(") else low <= place.score


class ByBytes:
    """A set that is ordered by bytes, or a range of it."""

    def __init__(
        self, redis: Redis, key: str, within: tuple[bytes, bytes], *, word: int = 0, descending: bool = False
    ) -> None:
        self._redis = redis
        self._key = key
        self._first, self._last = within
        self._word = word
        self._descending = descending

    async def after(self, place: Place | None, count: int) -> Chunk:
        first, last = self._first, self._last
        if place is not None:
            beyond = b"(" + place.member
            first, last = (first, beyond) if self._descending else (beyond, last)
        start, end = (last, first) if self._descending else (first, last)
        members = cast(
            list[bytes],
            await self._redis.zrange(
                self._key,
                start,
                end,
                bylex=True,
                desc=self._descending,
                offset=0,
                num=count,
            ),
        )
        return Chunk([Place(0, member, self._word) for member in members], len(members) < count)


class Gathered:
    """Few enough to be put in order here."""

    def __init__(self, places: Sequence[Place], *, descending: bool) -> None:
        self._places = sorted(places, reverse=descending)
        self._descending = descending

    async def after(self, place: Place | None, count: int) -> Chunk:
        rest = [one for one in self._places if _is_beyond(one, place, descending=self._descending)]
        return Chunk(rest[:count], len(rest) <= count)


def beginning(prefix: bytes) -> tuple[bytes, bytes]:
    """The range of the members that begin with it, by bytes; UTF-8 has no 0xff."""
    return b"[" + prefix, b"(" + prefix + b"\xff"


def _beyond(answer: Sequence[Scored], place: Place | None, *, descending: bool) -> list[Place]:
    places = (Place(score, member) for member, score in answer)
    return [one for one in places if _is_beyond(one, place, descending=descending)]


def _is_beyond(one: Place, place: Place | None, *, descending: bool) -> bool:
    return place is None or (one < place if descending else one > place)
