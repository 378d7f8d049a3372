"""A page of a list: from the cheapest source of candidates in the order that is wanted, those that satisfy the rest.

What a page costs has a bound, however many customers there are: it looks at no more than `LOOKED_AT` candidates, looks
them up in indexes about `ASKED` times, and puts no more than `GATHERED` in order itself. If that is used up the page is
short, and `next` goes on where it ended.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec
from customerflow_shared import indexing
from customerflow_shared.values import ConsentState
from customerflow_shared.views import Stored, timestamp

from customerflow_query.listing.asking import Filters, Question
from customerflow_query.listing.conditions import (
    CREATED,
    DOCUMENT,
    NAME,
    UPDATED,
    Index,
    Part,
    Test,
    first_member,
    size,
)
from customerflow_query.listing.cursors import Cursors
from customerflow_query.listing.sources import EVERYBODY, NAMED, ByBytes, ByTime, Gathered, Place, Source, beginning
from customerflow_query.read_model import ReadModel, Vanished

LOOKED_AT = 10_000
ASKED = 10_000
GATHERED = 2_000
CHUNK = 1_000
STEP = 100  # candidates at least, so that what is left of a budget is not spent in ever smaller chunks
COUNTED = 100_000  # candidates for a total, and about so many times they are looked up
AT_ONCE = 200  # documents

# facets of which a customer has one at most: their sets have nobody in common
_ALONE = tuple(
    facet("") for facet in (indexing.status_facet, indexing.type_facet, indexing.stage_facet, indexing.locale_facet)
)


class Total(NamedTuple):
    """`gte`: there are at least as many, and counting them all would cost too much."""

    value: int
    relation: Literal["eq", "gte"]


class Page(NamedTuple):
    documents: Sequence[Stored]
    next: str | None
    total: Total | None


class _Plan(NamedTuple):
    source: Source
    test: Test


class _Consent(msgspec.Struct, frozen=True, rename="camel"):
    purpose: str
    channel: str
    state: ConsentState
    expires_at: str | None = None


class _Consents(msgspec.Struct, frozen=True):
    consents: tuple[_Consent, ...] = ()


_consents = msgspec.json.Decoder(_Consents)


class Lists:
    def __init__(
        self, model: ReadModel, cursors: Cursors[Place], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._model = model
        self._cursors = cursors
        self._now = now

    def start(self, question: Question) -> Place | None:
        """After which the page begins. Raises Problem `cursor-invalid` or `cursor-mismatch`."""
        return None if question.cursor is None else self._cursors.read(question.cursor, question.digest())

    async def page(self, generation: str, question: Question, start: Place | None) -> Page:
        """Raises Vanished."""
        index, filters = Index(self._model.redis, generation), question.filters
        parts = await index.parts(filters)
        total = await self._total(index, filters, parts) if question.count else None
        plan = await _plan(index, question, parts, start)
        places, end = await self._walk(plan, index, question, start)
        documents = await self._documents(index, places, erased=filters.erased)
        cursor = None if end is None else self._cursors.made(question.digest(), end)
        return Page(documents, cursor, total)

    async def _walk(
        self, plan: _Plan, index: Index, question: Question, after: Place | None
    ) -> tuple[list[Place], Place | None]:
        """The customers of the page, and where the next one goes on; None if this is the last one."""
        limit, found, looked_at = question.limit, list[Place](), 0
        count = min(CHUNK, 4 * limit if plan.test.is_needed else limit + 1)
        while looked_at < LOOKED_AT and plan.test.asked < ASKED:
            affordable = (ASKED - plan.test.asked) // max(1, plan.test.each)
            places, ended = await plan.source.after(after, min(count, LOOKED_AT - looked_at, max(STEP, affordable)))
            found += await self._passed(plan.test, index, question.filters, places, enough=limit + 1 - len(found))
            if len(found) > limit:
                return found[:limit], found[limit - 1]
            if ended:
                return found, None
            after, looked_at, count = places[-1], looked_at + len(places), min(CHUNK, 2 * count)
        return found, after

    async def _passed(
        self, test: Test, index: Index, filters: Filters, places: Sequence[Place], *, enough: int
    ) -> list[Place]:
        passed = await test.passed(places)
        if not filters.consents:
            return passed
        found: list[Place] = []
        now, wanted = timestamp(self._now()), frozenset(filters.consents)
        for first in range(0, len(passed), AT_ONCE):
            batch = passed[first : first + AT_ONCE]
            test.asked += DOCUMENT * len(batch)
            documents = await self._documents(index, batch, erased=False)
            found += [one for one, stored in zip(batch, documents, strict=True) if _consents_to(stored, wanted, now)]
            if len(found) >= enough:
                break
        return found

    async def _documents(self, index: Index, places: Sequence[Place], *, erased: bool) -> list[Stored]:
        customers = [UUID(bytes=one.customer) for one in places]
        documents = await self._model.documents(index.generation, customers)
        if not erased and any(stored.erased for stored in documents):
            raise Vanished("erased since it was found")
        return documents

    async def _total(self, index: Index, filters: Filters, parts: Sequence[Part]) -> Total:
        smallest = _smallest(parts)
        alone = len(parts) == 1 and not filters.without and not filters.consents
        if not smallest.size or (alone and _is_disjoint(smallest)):
            return Total(smallest.size, "eq")
        source = _walked(index, filters, smallest)
        test = Test(index, filters, parts, source=smallest, relevance=smallest.word is not None)
        value = looked_at = 0
        after: Place | None = None
        while looked_at < COUNTED and test.asked < COUNTED:
            places, ended = await source.after(after, min(CHUNK, COUNTED - looked_at))
            value += len(await self._passed(test, index, filters, places, enough=CHUNK + 1))
            if ended:
                return Total(value, "eq")
            after, looked_at = places[-1], looked_at + len(places)
        return Total(value, "gte")


async def _plan(index: Index, question: Question, parts: Sequence[Part], start: Place | None) -> _Plan:
    """The smallest part is walked if it is in the order that is wanted, or gathered if it is small enough; else the
    order itself is walked, or a part that is in it.
    """
    filters, descending = question.filters, question.sort.startswith("-")
    smallest = _smallest(parts)
    order = question.sort.removeprefix("-")
    word = 0
    if order == "relevance":
        of_words = [part for part in parts if part.word is not None]
        walked = _smallest(of_words) if start is None else of_words[start.word]
        word = walked.word or 0
    elif order == "createdAt":
        walked = _smallest([part for part in parts if part.facets] or [_whole(parts, CREATED)])
    else:
        walked = _whole(parts, NAME if order == "name" else UPDATED)
    if smallest.size <= GATHERED and smallest != walked:
        customers = [*dict.fromkeys(await index.members(smallest, filters))]
        places = await _placed(index, filters, order, word, customers)
        return _Plan(Gathered(places, descending=descending), Test(index, filters, parts, source=smallest))
    source = _walked(index, filters, walked, descending=descending)
    return _Plan(source, Test(index, filters, parts, source=walked, relevance=order == "relevance"))


def _walked(index: Index, filters: Filters, part: Part, *, descending: bool = False) -> Source:
    if part.word is not None:
        words = beginning(filters.words[part.word].encode())
        return ByBytes(index.redis, index.key("words"), words, word=part.word, descending=descending)
    if part.order == NAME:
        return ByBytes(index.redis, index.key(NAME), EVERYBODY if filters.erased else NAMED, descending=descending)
    names = [part.order] if part.order else [f"facet:{facet}" for facet in part.facets]
    within = filters.updated if part.order == UPDATED else filters.created
    return ByTime(index.redis, [index.key(name) for name in names], within, descending=descending)


async def _placed(index: Index, filters: Filters, order: str, word: int, customers: Sequence[bytes]) -> list[Place]:
    """Where customers stand in an order; those that do not stand in it are left out."""
    if order in ("createdAt", "updatedAt"):
        scores = await index.scores(CREATED if order == "createdAt" else UPDATED, customers)
        return [Place(score, one) for one, score in zip(customers, scores, strict=True) if score is not None]
    names = await index.names(customers)
    if order == "name":
        return [
            Place(0, indexing.name_member(found, UUID(bytes=one))) for one, found in zip(customers, names, strict=True)
        ]
    members = (
        first_member(one, indexing.words(found), filters.words[word])
        for one, found in zip(customers, names, strict=True)
    )
    return [Place(0, member, word) for member in members if member]


def _whole(parts: Sequence[Part], order: str) -> Part:
    """An order, within its range if there is one."""
    return next((part for part in parts if part.order == order), Part(0, order=order))


def _smallest(parts: Sequence[Part]) -> Part:
    return min(parts, key=size)


def _is_disjoint(part: Part) -> bool:
    """Whether no customer is counted twice in its size."""
    return part.word is None and (len(part.facets) < 2 or all(one.startswith(_ALONE) for one in part.facets))


def _consents_to(stored: Stored, wanted: frozenset[str], now: str) -> bool:
    return any(
        one.state == "granted"
        and indexing.consent_facet(one.purpose, one.channel) in wanted
        and (one.expires_at is None or one.expires_at > now)
        for one in _consents.decode(stored.document).consents
    )
