"""A page of a list: from the cheapest source of candidates in the order that is wanted, those that satisfy the rest.

What a page costs has a bound, however many customers there are: it looks at no more than `LOOKED_AT` candidates, looks
them up in indexes about `ASKED` times, and puts no more than `GATHERED` in order itself. If that is used up the page is
short, and `next` goes on where it ended.

Redis finds a page by itself (`script`), and is then asked for its documents: two round trips. More are needed where
little of much passes, for a total that is counted one by one, and if too many of those found turn out to have a consent
that has expired.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec
from customerflow_shared import indexing
from customerflow_shared.problems import Problem
from customerflow_shared.values import ConsentState
from customerflow_shared.views import Stored, timestamp

from customerflow_query.listing.asking import Question
from customerflow_query.listing.conditions import Conditions
from customerflow_query.listing.cursors import Cursors
from customerflow_query.listing.sources import Place
from customerflow_query.listing.walking import EVERYBODY, Walk
from customerflow_query.read_model import Found, Reading, ReadModel, Vanished

LOOKED_AT = 10_000
ASKED = 10_000
GATHERED = 2_000
COUNTED = 100_000  # candidates for a total, and about so many times they are looked up
SERVED = 4_000  # candidates or look-ups before Redis serves others: some 4 ms
COUNTS = 2  # totals that are counted one by one at a time
COUNT_WAIT = 1.0  # seconds for one to begin
DOCUMENT = 5  # look-ups that take as long as to read one document
AT_ONCE = 256  # documents


class Total(NamedTuple):
    """`gte`: there are at least as many, and counting them all would cost too much."""

    value: int
    relation: Literal["eq", "gte"]


class Page(NamedTuple):
    documents: Sequence[Stored]
    next: str | None
    total: Total | None


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
        self,
        model: ReadModel,
        cursors: Cursors[Place],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        counts: Callable[[], bool] = lambda: True,
    ) -> None:
        self._model = model
        self._cursors = cursors
        self._now = now
        self._are_counted = counts
        self._counts = asyncio.Semaphore(COUNTS)

    def start(self, question: Question) -> Place | None:
        """After which the page begins. Raises Problem `cursor-invalid` or `cursor-mismatch`."""
        return None if question.cursor is None else self._cursors.read(question.cursor, question.digest())

    async def read(
        self, question: Question, start: Place | None, *, position: int = 0, wait: float = 1.0
    ) -> Found[Page]:
        """Raises as `ReadModel.attempt` does, and Problem `busy` or `switched-off`."""
        if question.count and not self._are_counted():
            raise Problem(
                "switched-off",
                "Totals are not counted now; ask again without count=exact, or later.",
                headers={"Retry-After": "30"},
            )
        return await self._model.attempt(
            lambda reading: self._page(reading, question, start), position=position, wait=wait
        )

    async def _page(self, reading: Reading, question: Question, start: Place | None) -> Page:
        conditions, limit = Conditions(question.filters), question.limit
        walk = self._walk(reading, conditions, question, start, LOOKED_AT, ASKED)
        walk.in_order(question, GATHERED)
        consents = bool(question.filters.consents)
        found, documents, end = list[Place](), list[Stored](), start
        while len(found) <= limit and not walk.is_spent:
            missing = limit + 1 - len(found)
            # consents of half of them may have expired
            batch = await walk.more(min(AT_ONCE, 2 * missing) if consents else missing, SERVED)
            places = batch.places
            if consents:
                consenting = await self._consenting(reading, question, places, missing)
                places = [one for one, _ in consenting]
                documents += [stored for _, stored in consenting]
            found += places
            end = None if batch.ended else batch.last
            if batch.ended:
                break
        if len(found) > limit:
            end = found[limit - 1]
        if not consents:
            documents = await self._documents(reading, question, found[:limit])
        total = await self._total(reading, conditions, question, walk.sizes) if question.count else None
        cursor = None if end is None else self._cursors.made(question.digest(), end)
        return Page(documents[:limit], cursor, total)

    def _walk(
        self,
        reading: Reading,
        conditions: Conditions,
        question: Question,
        start: Place | None,
        look_at: int,
        ask: int,
    ) -> Walk:
        extra = DOCUMENT if question.filters.consents else 0
        return Walk(self._model.redis, reading, conditions, question, start, look_at=look_at, ask=ask, extra=extra)

    async def _consenting(
        self, reading: Reading, question: Question, places: Sequence[Place], enough: int
    ) -> list[tuple[Place, Stored]]:
        """Those whose consent has not expired, with their documents, which tell it."""
        found: list[tuple[Place, Stored]] = []
        now, wanted = timestamp(self._now()), frozenset(question.filters.consents)
        for first in range(0, len(places), AT_ONCE):
            batch = places[first : first + AT_ONCE]
            documents = await self._documents(reading, question, batch)
            pairs = zip(batch, documents, strict=True)
            found += [(one, stored) for one, stored in pairs if _consents_to(stored, wanted, now)]
            if len(found) >= enough:
                break
        return found

    async def _documents(self, reading: Reading, question: Question, places: Sequence[Place]) -> list[Stored]:
        documents = await reading.documents([UUID(bytes=one.customer) for one in places])
        if not question.filters.erased and any(stored.erased for stored in documents):
            raise Vanished("erased since it was found")
        return documents

    async def _total(self, reading: Reading, conditions: Conditions, question: Question, sizes: Sequence[int]) -> Total:
        filters = question.filters
        smallest = min(conditions.counted, key=lambda number: sizes[number - 1])
        source, size = conditions.sources[smallest - 1], sizes[smallest - 1]
        alone = len(conditions.counted) == 1 and not filters.without and not filters.consents
        if not size or (alone and source.disjoint):
            return Total(size, "eq")
        walk = self._walk(reading, conditions, question, None, COUNTED, COUNTED)
        walk.counting(smallest, sizes, only=not filters.consents)
        async with self._counting():
            value = 0
            while not walk.is_spent:
                batch = await walk.more(AT_ONCE if filters.consents else EVERYBODY, SERVED)
                if filters.consents:
                    value += len(await self._consenting(reading, question, batch.places, AT_ONCE))
                else:
                    value += batch.number
                if batch.ended:
                    return Total(value, "eq")
        return Total(value, "gte")

    @asynccontextmanager
    async def _counting(self) -> AsyncIterator[None]:
        """Who counts one by one keeps Redis from others: few do at a time. Raises Problem `busy`."""
        try:
            async with asyncio.timeout(COUNT_WAIT):
                await self._counts.acquire()
        except TimeoutError:
            raise Problem(
                "busy",
                "Too many totals are being counted; ask again shortly, or without count=exact.",
                headers={"Retry-After": "1"},
            ) from None
        try:
            yield
        finally:
            self._counts.release()


def _consents_to(stored: Stored, wanted: frozenset[str], now: str) -> bool:
    return any(
        one.state == "granted"
        and indexing.consent_facet(one.purpose, one.channel) in wanted
        and (one.expires_at is None or one.expires_at > now)
        for one in _consents.decode(stored.document).consents
    )
