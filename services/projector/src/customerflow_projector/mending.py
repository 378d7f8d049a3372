"""Customers whose events cannot be applied, as an operator sees and mends them: listed, retried, or discarded.

Who is discarded stays listed, and stays as it is: its document is that of the last event before the obstacle, later
events pass it over, `verify` goes on saying that it is behind. It is not retried by itself any more, only when somebody
asks for it; and an erasure overtakes it as it does everybody. All this is said of one generation: a rebuild tries every
customer anew.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

import msgspec
import structlog
from customerflow_shared import views
from customerflow_shared.inputs.clear import remark
from msgspec import UNSET, UnsetType

from customerflow_projector.apply import Applier
from customerflow_projector.feed import Feed, FeedUnavailable
from customerflow_projector.read_model import Parked, ReadModel, Standing

log = structlog.get_logger()

MAX_REASON = 500


class NotParked(Exception):
    """That customer is not parked."""


class OfAnotherRelease(Exception):
    """The read model is that of another release; only a projector of that release may write to it."""


class Superseded(Exception):
    """Another generation has become live meanwhile; it has tried every customer anew."""


class Discard(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """That a customer's events are given up: since when, by whom, and why."""

    reason: str
    at: str
    by: str


class Failure(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A parked customer: the event that is in the way, with its type if that is known, and why it cannot be applied.

    `passedOver` is the newest version that has come meanwhile; `discarded` is there if the events are given up. Nothing
    of any event's content.
    """

    customer_id: UUID
    position: int
    version: int
    type: str | UnsetType = UNSET
    error: str
    attempts: int
    since: str
    attempted_at: str
    passed_over: int | UnsetType = UNSET
    discarded: Discard | UnsetType = UNSET


class Mark(NamedTuple):
    """Where a customer stands in the list: oldest first."""

    since: datetime
    customer_id: UUID

    def __str__(self) -> str:
        return urlsafe_b64encode(f"{self.since.isoformat()} {self.customer_id}".encode()).decode().rstrip("=")

    @classmethod
    def read(cls, told: str) -> "Mark":
        """Raises ValueError for what no mark has told."""
        try:
            padded = told.encode("ascii") + b"=" * (-len(told) % 4)
            since, _, customer_id = urlsafe_b64decode(padded).decode("ascii").partition(" ")
            mark = cls(datetime.fromisoformat(since), UUID(customer_id))
        except (binascii.Error, UnicodeError, ValueError):
            raise ValueError("not a mark") from None
        if str(mark) != told or mark.since.tzinfo is None:
            raise ValueError("not a mark")
        return mark


class Listed(NamedTuple):
    """A page, where the next one begins (None: there is none), and how many there are in all."""

    page: list[Failure]
    after: Mark | None
    parked: int
    discarded: int


class Tally(NamedTuple):
    """How far a retry of all is. `left` have not been tried; it goes on after the `mark`."""

    applied: int
    still_parked: int
    left: int
    mark: Mark | None


class Mending:
    def __init__(self, model: ReadModel, feed: Feed, applier: Applier) -> None:
        self._model = model
        self._feed = feed
        self._applier = applier

    async def listed(self, *, limit: int | None = None, after: Mark | None = None) -> Listed:
        """Oldest first. Empty if no generation is live."""
        live = (await self._model.generations()).live
        standings = _ordered(await self._model.standings(live)) if live else []
        discarded = sum(1 for _, standing in standings if standing.discarded)
        rest = [one for one in standings if after is None or one[0] > after]
        page = rest[:limit]
        end = page[-1][0] if len(page) < len(rest) else None
        failures = [failure(mark.customer_id, standing) for mark, standing in page]
        return Listed(failures, end, len(standings) - discarded, discarded)

    async def one(self, customer_id: UUID) -> Failure:
        """Raises NotParked."""
        live = (await self._model.generations()).live
        standing = await self._model.standing(live, customer_id) if live else None
        if standing is None:
            raise NotParked
        return failure(customer_id, standing)

    async def retry(self, customer_id: UUID) -> Failure | None:
        """None: its events are applied. Raises NotParked, OfAnotherRelease, FeedUnavailable; then nothing is changed,
        unless the feed went away only now: it has been one more attempt.
        """
        live, parked = await self._found(customer_id)
        await self._feed.head()
        if await self._retried(live, customer_id, parked):
            return None
        try:
            return await self.one(customer_id)
        except NotParked:
            return None

    async def retry_all(self, after: Mark | None = None) -> AsyncGenerator[Tally, None]:
        """Those who are not discarded, oldest first, of all who are parked now; how far it is, at the beginning and
        after each. It may be left at any time.

        Raises OfAnotherRelease, Superseded, FeedUnavailable.
        """
        live = (await self._model.generations()).live
        standings = _ordered(await self._model.standings(live)) if live else []
        waiting = [mark for mark, standing in standings if not standing.discarded and (after is None or mark > after)]
        applied = still_parked = 0
        if live and waiting:
            await self._check_ours(live)
            await self._feed.head()
        yield Tally(applied, still_parked, len(waiting), after)
        for left, mark in zip(reversed(range(len(waiting))), waiting, strict=True):
            if (await self._model.generations()).live != live or live is None:
                raise Superseded
            standing = await self._model.standing(live, mark.customer_id)
            if standing is None or (not standing.discarded and await self._passed(live, mark, standing.parked)):
                applied += 1
            elif not standing.discarded:
                still_parked += 1
            yield Tally(applied, still_parked, left, mark)

    async def discard(self, customer_id: UUID, *, reason: str, by: str) -> Failure:
        """Give a parked customer's events up. Who is discarded already is so for this reason from now on.

        Raises NotParked, OfAnotherRelease.
        """
        live, _ = await self._found(customer_id)
        standing = await self._model.discard(live, customer_id, reason=reason, by=by)
        if standing is None:
            raise NotParked
        log.info("customer discarded", customer_id=str(customer_id), by=by)
        return failure(customer_id, standing)

    async def _found(self, customer_id: UUID) -> tuple[str, Parked]:
        live = (await self._model.generations()).live
        standing = await self._model.standing(live, customer_id) if live else None
        if live is None or standing is None:
            raise NotParked
        await self._check_ours(live)
        return live, standing.parked

    async def _check_ours(self, live: str) -> None:
        if not await self._model.is_ours(live):
            raise OfAnotherRelease

    async def _passed(self, live: str, mark: Mark, entry: Parked) -> bool:
        """Whether it is no longer parked. A feed that answers, but not for this customer, is no reason to stop."""
        try:
            return await self._retried(live, mark.customer_id, entry)
        except FeedUnavailable:
            await self._feed.head()
            return False

    async def _retried(self, live: str, customer_id: UUID, entry: Parked) -> bool:
        done = await self._applier.retry(live, customer_id, entry)
        if done:
            log.info("customer is no longer parked", customer_id=str(customer_id))
        return done


def failure(customer_id: UUID, standing: Standing) -> Failure:
    entry, said = standing
    return Failure(
        customer_id=customer_id,
        position=entry.position,
        version=entry.version,
        type=entry.type,
        error=entry.error,
        attempts=entry.attempts,
        since=views.timestamp(entry.since),
        attempted_at=views.timestamp(entry.attempted_at),
        passed_over=entry.passed_over or UNSET,
        discarded=Discard(reason=said.reason, at=views.timestamp(said.at), by=said.by) if said else UNSET,
    )


reason = remark(MAX_REASON)
"""Why something is discarded. It is kept in clear, and so must hold no personal data; what can be told as such is
refused. Raises Unfit.
"""


def _ordered(standings: Mapping[UUID, Standing]) -> list[tuple[Mark, Standing]]:
    marked = ((Mark(standing.parked.since, one), standing) for one, standing in standings.items())
    return sorted(marked, key=itemgetter(0))
