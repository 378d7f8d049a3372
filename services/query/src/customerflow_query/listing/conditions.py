"""What customers of a list must satisfy: how many satisfy each part, who does, and whether one of an order does.

No command touches more than the customers of one chunk, except those that count, which take a time that grows with the
logarithm of what is counted.
"""

from collections.abc import Sequence
from itertools import compress
from typing import Any, NamedTuple, cast

from customerflow_shared import indexing, views
from redis.asyncio import Redis

from customerflow_query.listing.asking import Filters, Range
from customerflow_query.listing.sources import Place, bounds

CREATED, UPDATED, NAME = "order:created", "order:updated", "order:name"


class Part(NamedTuple):
    """One of the conditions: facets of which one is there, a word, or a range of one of the orders by time."""

    size: int
    facets: tuple[str, ...] = ()
    word: int | None = None
    order: str | None = None


class Index:
    """The indexes of one generation."""

    def __init__(self, redis: Redis, generation: str) -> None:
        self.redis = redis
        self.generation = generation

    def key(self, name: str) -> str:
        return views.key(self.generation, name)

    async def pipelined(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers to the commands, in one round trip; others may come between them."""
        if not commands:
            return []
        async with self.redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return await pipeline.execute()

    async def scores(self, name: str, customers: Sequence[bytes]) -> list[float | None]:
        (found,) = await self.pipelined([("ZMSCORE", self.key(name), *customers)]) if customers else ([],)
        return cast(list[float | None], found)

    async def names(self, customers: Sequence[bytes]) -> list[str]:
        """As `indexing.names` gives them; empty for those that have none."""
        if not customers:
            return []
        (found,) = await self.pipelined([("HMGET", self.key("names"), *customers)])
        return [one.decode() if one else "" for one in found]

    async def parts(self, filters: Filters) -> list[Part]:
        """Each condition with the number of customers that satisfy it at most, by which the smallest is chosen."""
        created = _range(filters.created)
        facets = [("ZCOUNT", self.key(f"facet:{facet}"), *created) for group in filters.groups for facet in group]
        words = [("ZLEXCOUNT", self.key("words"), *bounds(word.encode())) for word in filters.words]
        orders = {UPDATED: filters.updated} if filters.updated != Range() else {}
        if not filters.groups and (filters.created != Range() or not (words or orders)):
            orders[CREATED] = filters.created  # facets are counted within its range already
        ranges = [("ZCOUNT", self.key(name), *_range(within)) for name, within in orders.items()]
        answers = iter(await self.pipelined([*facets, *words, *ranges]))
        parts = [Part(sum(next(answers) for _ in group), facets=group) for group in filters.groups]
        parts += [Part(next(answers), word=number) for number, _ in enumerate(words)]
        parts += [Part(next(answers), order=name) for name in orders]
        return parts

    async def members(self, part: Part, filters: Filters) -> list[bytes]:
        """All customers of a small part; some twice, if they have several of its facets or words."""
        within = _range(filters.updated if part.order == UPDATED else filters.created)
        if part.word is not None:
            commands: list[tuple[Any, ...]] = [
                ("ZRANGE", self.key("words"), *bounds(filters.words[part.word].encode()), "BYLEX")
            ]
        else:
            names = [part.order] if part.order else [f"facet:{facet}" for facet in part.facets]
            commands = [("ZRANGE", self.key(name), *within, "BYSCORE") for name in names]
        return [member[-indexing.ID :] for found in await self.pipelined(commands) for member in found]


class Test:
    """Whether customers satisfy all conditions but those that their source satisfies by itself."""

    def __init__(self, index: Index, filters: Filters, *, part: Part, relevance: bool = False) -> None:
        """They come from the part; by `relevance`, once for each word by which they are found."""
        self._index = index
        self._filters = filters
        self._groups = [group for group in filters.groups if group != part.facets]
        order = CREATED if part.facets else part.order
        self._ranges = [
            (name, within)
            for name, within in ((CREATED, filters.created), (UPDATED, filters.updated))
            if within != Range() and name != order
        ]
        self._relevance = relevance

    @property
    def is_needed(self) -> bool:
        return bool(self._groups or self._filters.without or self._ranges or self._filters.words)

    async def passed(self, places: Sequence[Place]) -> list[Place]:
        """Those that satisfy all, in the same order. Each condition is asked of those only that satisfy the ones
        before.
        """
        for group in self._groups:
            places = [*compress(places, await self._have(group, places))]
        if self._filters.without:
            having = await self._have(self._filters.without, places)
            places = [one for one, has in zip(places, having, strict=True) if not has]
        for name, within in self._ranges:
            scores = await self._index.scores(name, [one.customer for one in places])
            places = [
                one for one, score in zip(places, scores, strict=True) if score is not None and within.holds(score)
            ]
        if self._filters.words:
            names = await self._index.names([one.customer for one in places])
            places = [one for one, found in zip(places, names, strict=True) if self._is_found(one, found)]
        return [*places]

    async def _have(self, facets: Sequence[str], places: Sequence[Place]) -> list[bool]:
        customers = [one.customer for one in places]
        if not customers:
            return []
        keys = [self._index.key(f"facet:{facet}") for facet in facets]
        answers = await self._index.pipelined([("ZMSCORE", key, *customers) for key in keys])
        return [any(score is not None for score in scores) for scores in zip(*answers, strict=True)]

    def _is_found(self, one: Place, names: str) -> bool:
        words = indexing.words(names)
        if not all(any(word.startswith(asked) for word in words) for asked in self._filters.words):
            return False
        # of several words by which a customer is found only the first one counts
        return not self._relevance or one.member == first_member(one.customer, words, self._filters.words[one.word])


def first_member(customer: bytes, words: Sequence[str], asked: str) -> bytes | None:
    """By which a customer stands first in the order of a word that is asked for."""
    found = [word.encode() for word in words if word.startswith(asked)]
    return min(word + b"\0" + customer for word in found) if found else None


def _range(within: Range) -> tuple[int | str, str]:
    return (
        "-inf" if within.gte is None else within.gte,
        "+inf" if within.lt is None else f"({within.lt}",
    )
