"""What other systems were told, told again: integration events, made anew of recorded events by the relay's mapping, so
that ids, sequence and content are those of the first time.

A command belongs to the position of its last event, and is told whole or not at all.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from uuid import UUID

import msgspec
from customerflow_contract.cloud_event import CloudEvent
from customerflow_contract.events import ROUTING_KEYS
from customerflow_shared import database
from customerflow_shared.events import Metadata, Place, Recorded
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command.publishing import cloud_events, command_of
from customerflow_command.store import FEED_SLICE, Store

# Events stand in the order of their commits, not of their times: commands wait for others, and clocks differ. Two whose
# times are further apart than this are taken to stand in the order of their times.
DISORDER = timedelta(minutes=10)
LATEST = datetime.max.replace(tzinfo=UTC) - DISORDER

_metadata = msgspec.json.Decoder(Metadata)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which integration events: after one position and not after another, recorded since a time and before another, of
    these routing keys (none: of all), of this customer.
    """

    after: int = 0
    until: int | None = None
    since: datetime | None = None
    before: datetime | None = None
    types: frozenset[str] = frozenset()
    customer: UUID | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """All that is wanted up to `position` has been told, with this line. `events` are those of the command that ends
    there; `unreadable` is there in their place if what is recorded there cannot be read.
    """

    position: int
    events: list[CloudEvent] = []
    unreadable: Place | UnsetType = UNSET


class Past:
    def __init__(self, engine: AsyncEngine, store: Store, contract_url: str | None) -> None:
        self._engine = engine
        self._store = store
        self._tell = partial(cloud_events, contract_url=contract_url)

    async def told(self, wanted: Wanted) -> tuple[int, AsyncIterator[list[Line]]]:
        """Up to which position, which is that of the head or an earlier one; and pages of lines, in order.

        The first line says where it begins; each page ends with a line that says how far it is, be it without events;
        the last one is at the end.
        """
        end = head = await self._store.head()
        start = wanted.after
        if wanted.until is not None:
            end = min(end, wanted.until)
        if wanted.before is not None:
            end = min(end, await self._recorded_before(min(wanted.before, LATEST) + DISORDER, head))
        if wanted.since is not None:
            start = max(start, await self._recorded_before(wanted.since - DISORDER, head))
        return end, self._pages(wanted, start, end, head)

    async def of(self, customer_id: UUID, version: int) -> Line | None:
        """The command that the version is of, if the customer has it."""
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT position FROM cf_events WHERE customer_id = %s AND version = %s", (customer_id.bytes, version)
            )
        if not rows:
            return None
        position = int(rows[0][0])
        pages = self._store.feed(await self._before_command_at(position), await self._store.head(), page=FEED_SLICE)
        async for page in _whole(pages):
            for command in page:
                if command[-1].position >= position:
                    return self._line(command)
        return None

    async def _pages(self, wanted: Wanted, start: int, end: int, head: int) -> AsyncIterator[list[Line]]:
        yield [Line(position=start)]
        if start >= end:
            return
        begin = await self._before_command_at(start + 1)
        if wanted.customer is None:
            pages = self._store.feed(begin, head)
        else:
            pages = self._store.stream(wanted.customer, await self._version_at(wanted.customer, begin))
        async for page in _whole(pages):
            lines = [self._line(command) for command in page if start < command[-1].position <= end]
            lines = [fitting for line in lines if (fitting := _fitting(line, wanted))]
            reached = page[-1][-1].position if page else start
            if reached >= end:  # of what follows, the page's last command may be a part
                yield lines
                break
            if page and (not lines or lines[-1].position < reached):
                lines.append(Line(position=reached))
            yield lines
        yield [Line(position=end)]

    def _line(self, command: Sequence[Recorded | Place]) -> Line:
        *_, last = command
        if isinstance(last, Place):
            return Line(position=last.position, unreadable=last)
        return Line(position=last.position, events=self._tell([one for one in command if isinstance(one, Recorded)]))

    async def _before_command_at(self, position: int) -> int:
        """The position before the first event of the command that has an event at the position."""
        of: tuple[bytes, UUID] | None = None
        before = position
        while True:
            async with database.session(self._engine) as session:
                rows = await session.rows(
                    "SELECT customer_id, metadata FROM cf_events WHERE position <= %s ORDER BY position DESC LIMIT %s",
                    (before, FEED_SLICE),
                )
            for customer_id, metadata in rows:
                key = _command(customer_id, metadata)
                of = of or key
                if key is None or key != of:
                    # what cannot be read stands alone
                    return min(before, position - 1)
                before -= 1
            if len(rows) < FEED_SLICE:
                return before

    async def _version_at(self, customer_id: UUID, position: int) -> int:
        """The version that the customer had at the position; 0 before its registration."""
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT version FROM cf_events WHERE customer_id = %s AND position <= %s ORDER BY version DESC LIMIT 1",
                (customer_id.bytes, position),
            )
        return int(rows[0][0]) if rows else 0

    async def _recorded_before(self, moment: datetime, head: int) -> int:
        """A position whose event was recorded before the moment, while the next one's was not; 0 or the head if there
        is none.
        """
        low, high = 0, head + 1
        async with database.session(self._engine) as session:
            while high - low > 1:
                middle = (low + high) // 2
                rows = await session.rows("SELECT recorded_at FROM cf_events WHERE position = %s", (middle,))
                if rows and rows[0][0] < moment.replace(tzinfo=None):
                    low = middle
                else:
                    high = middle
        return low


async def _whole(
    pages: AsyncIterator[list[Recorded | Place]],
) -> AsyncIterator[list[list[Recorded | Place]]]:
    """The commands of each page; the last one, which the page may have cut, comes with the next. What cannot be read
    is a command of its own.
    """
    held: list[Recorded | Place] = []
    async for page in pages:
        *ready, held = [list(group) for _, group in groupby([*held, *page], _command_of)]
        yield ready
    if held:
        yield [held]


def _command_of(one: Recorded | Place) -> tuple[UUID, UUID] | int:
    return command_of(one) if isinstance(one, Recorded) else one.position


def _command(customer_id: bytes, metadata: str) -> tuple[bytes, UUID] | None:
    """None if it cannot be told."""
    try:
        return customer_id, _metadata.decode(metadata).causation_id
    except msgspec.MsgspecError:
        return None


def _fitting(line: Line, wanted: Wanted) -> Line | None:
    if line.unreadable is not UNSET:
        return line
    events = [event for event in line.events if _fits(event, wanted)]
    return Line(position=line.position, events=events) if events else None


def _fits(event: CloudEvent, wanted: Wanted) -> bool:
    recorded_at = datetime.fromisoformat(event.time)
    return (
        (not wanted.types or ROUTING_KEYS[type(event.data)] in wanted.types)
        and (wanted.since is None or recorded_at >= wanted.since)
        and (wanted.before is None or recorded_at < wanted.before)
    )
