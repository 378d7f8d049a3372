"""What customers of a list must satisfy: how many satisfy each part, who does, and whether one of an order does.

No command touches more than the customers of one chunk, except those that count, which take a time that grows with the
logarithm of what is counted.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import compress
from typing import Any, NamedTuple, TypeAlias, cast

from customerflow_shared import indexing, views
from redis.asyncio import Redis

from customerflow_query.listing.asking import Filters, Range
from customerflow_query.listing.sources import Place, beginning

CREATED, UPDATED, NAME = "order:created", "order:updated", "order:name"
DOCUMENT = 5  # look-ups that take as long as to read one document


Check: TypeAlias = Callable[[Sequence[bytes], Sequence[Place]], Awaitable[list[bool]]]


class Part(NamedTuple):
    """One of the conditions: facets of which one is there, a word, or a range of one of the orders by time."""

    size: int
    facets: tuple[str, ...] = ()
    word: int | None = None
    order: str | None = None


def size(part: Part) -> int:
    return part.size


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
        words = [("ZLEXCOUNT", self.key("words"), *beginning(word.encode())) for word in filters.words]
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
                ("ZRANGE", self.key("words"), *beginning(filters.words[part.word].encode()), "BYLEX")
            ]
        else:
            names = [part.order] if part.order else [f"facet:{facet}" for facet in part.facets]
            commands = [("ZRANGE", self.key(name), *within, "BYSCORE") for name in names]
        return [member[-indexing.ID :] for found in await self.pipelined(commands) for member in found]


class Test:
    """Whether customers satisfy all conditions but those that their source satisfies by itself.

    The smallest part comes first, for each is asked of those only that satisfy the ones before. `asked` is how often a
    customer was looked up in an index, by which the cost of a page is bounded; `each` how often one is at most.
    """

    def __init__(
        self, index: Index, filters: Filters, parts: Sequence[Part], *, source: Part, relevance: bool = False
    ) -> None:
        """By `relevance` they come once for each word by which they are found."""
        self._index = index
        self._filters = filters
        self._relevance = relevance
        self.asked = 0
        others = sorted((part for part in parts if part != source), key=size)
        checks: list[Check] = []
        for part in others:
            if part.facets:
                checks.append(partial(self._with, part.facets))
            elif part.word is not None and self._named not in checks:
                checks.append(self._named)
        if filters.words and self._named not in checks:
            checks.append(self._named)
        if filters.without:
            checks.append(partial(self._without, filters.without))
        if filters.created != Range() and not source.facets and source.order != CREATED:
            checks.append(partial(self._within, CREATED, filters.created))
        if filters.updated != Range() and source.order != UPDATED:
            checks.append(partial(self._within, UPDATED, filters.updated))
        self._checks = checks
        self.each = sum(len(part.facets) or 1 for part in others) + len(checks)
        if filters.consents:
            self.each += DOCUMENT  # it tells whether one has expired

    @property
    def is_needed(self) -> bool:
        return bool(self._checks)

    async def passed(self, places: Sequence[Place]) -> list[Place]:
        """Those that satisfy all, in the same order."""
        for check in self._checks:
            if places:
                places = [*compress(places, await check([one.customer for one in places], places))]
        return [*places]

    async def _with(self, facets: Sequence[str], customers: Sequence[bytes], _: Sequence[Place]) -> list[bool]:
        self.asked += len(customers) * len(facets)
        keys = [self._index.key(f"facet:{facet}") for facet in facets]
        answers = await self._index.pipelined([("ZMSCORE", key, *customers) for key in keys])
        return [any(score is not None for score in scores) for scores in zip(*answers, strict=True)]

    async def _without(self, facets: Sequence[str], customers: Sequence[bytes], places: Sequence[Place]) -> list[bool]:
        return [not has for has in await self._with(facets, customers, places)]

    async def _within(self, name: str, within: Range, customers: Sequence[bytes], _: Sequence[Place]) -> list[bool]:
        self.asked += len(customers)
        scores = await self._index.scores(name, customers)
        return [score is not None and within.holds(score) for score in scores]

    async def _named(self, customers: Sequence[bytes], places: Sequence[Place]) -> list[bool]:
        self.asked += 2 * len(customers)  # a text is about twice as dear as a number
        names = await self._index.names(customers)
        return [self._is_found(one, found) for one, found in zip(places, names, strict=True)]

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
