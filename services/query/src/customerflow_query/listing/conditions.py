"""What customers of a list must satisfy, as sources of candidates and as tests of them; in words of the script's."""

from typing import Literal

import msgspec
from customerflow_shared import indexing

from customerflow_query.listing.asking import Filters, Question, Range
from customerflow_query.listing.sources import EVERYBODY, NAMED, Place, Source, beginning, between
from customerflow_query.read_model import STATE_KEYS

CREATED, UPDATED, NAME = "order:created", "order:updated", "order:name"
NAMES, WORDS = "names", "words"

# facets of which a customer has one at most: their sets have nobody in common
_ALONE = tuple(
    facet("") for facet in (indexing.status_facet, indexing.type_facet, indexing.stage_facet, indexing.locale_facet)
)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A test, by keys of which any or none has the customer, by its score, or by its names.

    Those from sources in `spared_by` satisfy it anyway; `sized_by` tells by which sources how many satisfy it.
    """

    kind: Literal["any", "none", "within", "named"]
    keys: tuple[int, ...]
    spared_by: tuple[int, ...] = ()
    sized_by: tuple[int, ...] = ()
    low: float = float("-inf")
    high: float = float("inf")


class Conditions:
    """Of a list. Numbers of keys, sources and words begin at 1, as Lua counts."""

    def __init__(self, filters: Filters) -> None:
        self.filters = filters
        self.keys: dict[str, int] = {}
        self.sources: list[Source] = []
        self.checks: list[Check] = []
        self.facets: list[int] = []
        self.words: list[int] = []
        self._orders: dict[str, int] = {}
        for group in filters.groups:
            self.facets.append(self._facets(group))
        for word, text in enumerate(filters.words, 1):
            low, high = beginning(text)
            source = Source(keys=(self.key(WORDS),), low=low, high=high, by="BYLEX", word=word, disjoint=False)
            self.words.append(self._add(source))
        if filters.updated != Range():
            self._orders[UPDATED] = self._by_time(UPDATED)
        if not filters.groups and (filters.created != Range() or not self.sources):
            self._orders[CREATED] = self._by_time(CREATED)  # facets are counted within its range already
        self.counted = [*range(1, len(self.sources) + 1)]
        self._test()

    def key(self, name: str) -> int:
        return self.keys.setdefault(name, STATE_KEYS + len(self.keys) + 1)

    def order(self, name: str) -> int:
        """Of a whole order, within its range if there is one."""
        if name not in self._orders:
            if name == NAME:
                low, high = EVERYBODY if self.filters.erased else NAMED
                source = Source(keys=(self.key(NAME),), low=low, high=high, by="BYLEX", counted=False)
                self._orders[name] = self._add(source)
            else:
                self._orders[name] = self._by_time(name, counted=False)
        return self._orders[name]

    def ordered(self, question: Question, start: Place | None) -> list[int]:
        """The sources that are in the order that is wanted; of them the smallest is walked."""
        match question.sort.removeprefix("-"):
            case "relevance":
                return self.words if start is None else [self.words[start.word]]
            case "createdAt":
                return self.facets or [self.order(CREATED)]
            case "updatedAt":
                return [self.order(UPDATED)]
            case _:
                return [self.order(NAME)]

    def _facets(self, group: tuple[str, ...]) -> int:
        keys = tuple(self.key(f"facet:{facet}") for facet in group)
        low, high = between(self.filters.created)
        disjoint = len(group) == 1 or all(facet.startswith(_ALONE) for facet in group)
        number = self._add(Source(keys=keys, low=low, high=high, disjoint=disjoint))
        self.checks.append(Check(kind="any", keys=keys, spared_by=(number,), sized_by=(number,)))
        return number

    def _by_time(self, name: str, *, counted: bool = True) -> int:
        low, high = between(self.filters.updated if name == UPDATED else self.filters.created)
        return self._add(Source(keys=(self.key(name),), low=low, high=high, counted=counted))

    def _add(self, source: Source) -> int:
        self.sources.append(source)
        return len(self.sources)

    def _test(self) -> None:
        filters = self.filters
        if filters.words:
            self.checks.append(Check(kind="named", keys=(self.key(NAMES),), sized_by=tuple(self.words)))
        if filters.without:
            keys = tuple(self.key(f"facet:{facet}") for facet in filters.without)
            self.checks.append(Check(kind="none", keys=keys))
        if filters.created != Range():
            spared = (*self.facets, self.order(CREATED))
            self.checks.append(_within(self.key(CREATED), filters.created, spared))
        if filters.updated != Range():
            self.checks.append(_within(self.key(UPDATED), filters.updated, (self.order(UPDATED),)))


def _within(key: int, within: Range, spared_by: tuple[int, ...]) -> Check:
    return Check(
        kind="within",
        keys=(key,),
        spared_by=spared_by,
        low=float("-inf") if within.gte is None else within.gte,
        high=float("inf") if within.lt is None else within.lt,
    )
