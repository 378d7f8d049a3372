"""Replays as they are kept: what was asked for, how far each is, and by whom it is run.

Whoever takes a replay holds it by the database's clock, with a token that grows with each holder: what a former holder
writes has no effect. At most one of a subscription is unfinished, so that no two of them mix the order of a customer.
"""

import enum
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from customerflow_shared import database
from customerflow_shared.database import DUPLICATE_ENTRY, error_number, utc_now
from customerflow_shared.ids import uuid7
from customerflow_shared.views import timestamp, unless_none
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncEngine

LEASE_SECONDS = 6.0
MARGIN = 1.0  # a holder considers its replay lost this much earlier than the database does
KEPT_DAYS = 90

MAX_RATE = 10_000
DEFAULT_RATE = 200
LONGEST_TEXT = 255


class State(enum.StrEnum):
    RUNNING = enum.auto()
    PAUSED = enum.auto()
    COMPLETED = enum.auto()
    FAILED = enum.auto()
    CANCELLED = enum.auto()


class NoReplay(Exception):
    """The subscription has no such replay."""


class Unfinished(Exception):
    """Another replay of the subscription has not come to its end."""

    def __init__(self, replay: UUID | None) -> None:
        super().__init__(f"The replay {replay} has not come to its end")
        self.replay = replay


class Over(Exception):
    """The replay has come to its end."""

    def __init__(self, state: State) -> None:
        super().__init__(f"The replay is {state}")
        self.state = state


class Lost(Exception):
    """Somebody else may run the replay by now."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which events are wanted: after one position and up to another, recorded since a time and before another, of these
    routing keys, of this customer; and how many a second at most.
    """

    after: int | UnsetType = UNSET
    until: int | UnsetType = UNSET
    since: str | UnsetType = UNSET
    before: str | UnsetType = UNSET
    types: tuple[str, ...] | UnsetType = UNSET
    customer: UUID | UnsetType = UNSET
    rate: int = DEFAULT_RATE


class Progress(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All up to `position` has been published, of what begins after `from` and ends at `of`; unknown before the first
    look at the event store. `unreadable` counts commands whose events cannot be read.
    """

    begin: int | UnsetType = msgspec.field(default=UNSET, name="from")
    position: int | UnsetType = UNSET
    of: int | UnsetType = UNSET
    published: int = 0
    unreadable: int = 0
    per_second: float = 0.0


class Replay(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`reason` says why it has failed, `waiting` for what it waits at the moment."""

    id: UUID
    subscription: str
    queue: str
    state: State
    reason: str | UnsetType = UNSET
    waiting: str | UnsetType = UNSET
    asked: Asked
    progress: Progress
    created_at: str
    updated_at: str
    finished_at: str | UnsetType = UNSET


@dataclass
class Standing:
    """How far a running replay is, as its holder knows it."""

    begin: int | None
    position: int | None
    end: int | None
    published: int
    unreadable: int
    waiting: str | None = None


@dataclass
class Held:
    """A replay that is run here; see `require`."""

    id: UUID
    queue: str
    subscription: str
    asked: Asked
    standing: Standing
    token: int
    until: float
    noted: tuple[float, int]
    per_second: float = 0.0

    def require(self) -> None:
        """Raises Lost unless nobody else can run it now."""
        if time.monotonic() >= self.until:
            raise Lost

    def pace(self, now: float) -> float:
        """Published per second, over the last seconds."""
        at, published = self.noted
        if now - at >= 1:
            self.noted = now, self.standing.published
            latest = (self.standing.published - published) / (now - at)
            self.per_second = latest if not self.per_second else (self.per_second + latest) / 2
        return round(self.per_second, 1)


_COLUMNS = (
    "id, subscription, queue, asked, state, reason, waiting, begin_position, position, end_position, published, "
    "unreadable, per_second, created_at, updated_at, finished_at"
)


class _Row(NamedTuple):
    id: bytes
    subscription: str
    queue: str
    asked: str
    state: str
    reason: str | None
    waiting: str | None
    begin: int | None
    position: int | None
    end: int | None
    published: int
    unreadable: int
    per_second: float
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class Replays:
    """All may raise DatabaseUnavailable."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(self, subscription: str, queue: str, asked: Asked) -> Replay:
        """Raises Unfinished."""
        replay_id, now = uuid7(), _now()
        try:
            async with database.session(self._engine) as session:
                await session.run(
                    "DELETE FROM cf_replays WHERE unfinished IS NULL AND finished_at < %s - INTERVAL %s DAY",
                    (now, KEPT_DAYS),
                )
                await session.run(
                    "INSERT INTO cf_replays (id, subscription, queue, asked, unfinished, state, published, unreadable, "
                    "per_second, created_at, updated_at, holder, token, expires_at) "
                    "VALUES (%s, %s, %s, %s, %s, 'running', 0, 0, 0, %s, %s, '', 0, '2000-01-01')",
                    (replay_id.bytes, subscription, queue, msgspec.json.encode(asked).decode(), subscription, now, now),
                )
                await session.commit()
        except Exception as error:
            raise await self._unless_unfinished(error, subscription) from None
        return await self.one(subscription, replay_id)

    async def one(self, subscription: str, replay_id: UUID) -> Replay:
        """Raises NoReplay."""
        rows = await self._rows("WHERE id = %s AND subscription = %s", replay_id.bytes, subscription)
        if not rows:
            raise NoReplay
        return rows[0]

    async def unfinished(self, subscription: str) -> Replay | None:
        rows = await self._rows("WHERE unfinished = %s", subscription)
        return rows[0] if rows else None

    async def listed(self, subscription: str, limit: int) -> list[Replay]:
        """The newest first."""
        return await self._rows("WHERE subscription = %s ORDER BY id DESC LIMIT %s", subscription, limit)

    async def pause(self, subscription: str, replay_id: UUID) -> Replay:
        """What is under way is still published. Raises NoReplay, Over."""
        return await self._turn(subscription, replay_id, State.PAUSED, [State.RUNNING], unfinished=True)

    async def resume(self, subscription: str, replay_id: UUID) -> Replay:
        """One that has failed, too. Raises NoReplay, Over, Unfinished."""
        return await self._turn(subscription, replay_id, State.RUNNING, [State.PAUSED, State.FAILED], unfinished=True)

    async def cancel(self, subscription: str, replay_id: UUID) -> Replay:
        """Raises NoReplay, Over."""
        ends = [State.RUNNING, State.PAUSED, State.FAILED]
        return await self._turn(subscription, replay_id, State.CANCELLED, ends, unfinished=False)

    # what is run

    async def without_holder(self) -> list[UUID]:
        """Oldest first."""
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT id FROM cf_replays WHERE state = 'running' AND expires_at < UTC_TIMESTAMP(6) ORDER BY id"
            )
        return [UUID(bytes=row[0]) for row in rows]

    @database.again_after_deadlock
    async def take(self, replay_id: UUID, holder: str) -> Held | None:
        """None: somebody else has it, or it is not to run."""
        asked_at = time.monotonic()
        async with database.session(self._engine) as session:
            taken = await session.run(
                "UPDATE cf_replays SET token = token + 1, holder = %s, "
                "expires_at = UTC_TIMESTAMP(6) + INTERVAL %s SECOND "
                "WHERE id = %s AND state = 'running' AND expires_at < UTC_TIMESTAMP(6)",
                (holder[:128], LEASE_SECONDS, replay_id.bytes),
            )
            if not taken:
                return None
            found = await session.rows(f"SELECT token, {_COLUMNS} FROM cf_replays WHERE id = %s", (replay_id.bytes,))
            await session.commit()
        token, row = found[0][0], _Row(*found[0][1:])
        standing = Standing(row.begin, row.position, row.end, row.published, row.unreadable)
        return Held(
            id=replay_id,
            queue=row.queue,
            subscription=row.subscription,
            asked=_asked(row.asked),
            standing=standing,
            token=token,
            until=asked_at + LEASE_SECONDS - MARGIN,
            noted=(asked_at, row.published),
        )

    @database.again_after_deadlock
    async def note(self, held: Held) -> State:
        """How far it is; and go on holding it. Returns what it is to be. Raises Lost."""
        asked_at = time.monotonic()
        async with database.session(self._engine) as session:
            await self._write(session, held, "expires_at = UTC_TIMESTAMP(6) + INTERVAL %s SECOND", LEASE_SECONDS)
            rows = await session.rows("SELECT state FROM cf_replays WHERE id = %s", (held.id.bytes,))
            await session.commit()
        held.until = asked_at + LEASE_SECONDS - MARGIN
        return State(rows[0][0])

    @database.again_after_deadlock
    async def finish(self, held: Held, state: State, reason: str | None = None) -> None:
        """Unless it has been paused or cancelled meanwhile. Raises Lost."""
        async with database.session(self._engine) as session:
            await self._write(session, held, "reason = %s", reason and reason[:LONGEST_TEXT])
            await session.run(
                "UPDATE cf_replays SET state = %s, unfinished = NULL, waiting = NULL, finished_at = %s "
                "WHERE id = %s AND token = %s AND state = 'running'",
                (str(state), _now(), held.id.bytes, held.token),
            )
            await session.commit()

    @database.again_after_deadlock
    async def give_back(self, held: Held) -> None:
        """For somebody else to go on, at once. Raises Lost."""
        async with database.session(self._engine) as session:
            await self._write(session, held, "expires_at = UTC_TIMESTAMP(6) - INTERVAL %s SECOND", 1)
            await session.commit()

    async def _write(self, session: database.Session, held: Held, change: str, value: object) -> None:
        one = held.standing
        written = await session.run(
            "UPDATE cf_replays SET begin_position = %s, position = %s, end_position = %s, published = %s, "
            f"unreadable = %s, waiting = %s, per_second = %s, updated_at = %s, {change} WHERE id = %s AND token = %s",
            (
                *(one.begin, one.position, one.end, one.published, one.unreadable),
                *(one.waiting and one.waiting[:LONGEST_TEXT], held.pace(time.monotonic()), _now(), value),
                *(held.id.bytes, held.token),
            ),
        )
        if not written:
            raise Lost

    @database.again_after_deadlock
    async def _turn(
        self, subscription: str, replay_id: UUID, state: State, of: Sequence[State], *, unfinished: bool
    ) -> Replay:
        finished = "NULL" if unfinished else "UTC_TIMESTAMP(3)"
        states = ", ".join(f"'{one}'" for one in of)
        try:
            async with database.session(self._engine) as session:
                turned = await session.run(
                    "UPDATE cf_replays SET state = %s, unfinished = %s, reason = NULL, waiting = NULL, "
                    f"updated_at = UTC_TIMESTAMP(3), finished_at = {finished} "
                    f"WHERE id = %s AND subscription = %s AND state IN ({states})",
                    (str(state), subscription if unfinished else None, replay_id.bytes, subscription),
                )
                await session.commit()
        except Exception as error:
            raise await self._unless_unfinished(error, subscription) from None
        found = await self.one(subscription, replay_id)
        if not turned and found.state is not state:
            raise Over(found.state)
        return found

    async def _unless_unfinished(self, error: Exception, subscription: str) -> Exception:
        if error_number(error) != DUPLICATE_ENTRY:
            return error
        other = await self.unfinished(subscription)
        return Unfinished(other.id if other else None)

    async def _rows(self, condition: str, *arguments: object) -> list[Replay]:
        async with database.session(self._engine) as session:
            rows = await session.rows(f"SELECT {_COLUMNS} FROM cf_replays {condition}", arguments)
        return [_shown(_Row(*row)) for row in rows]


def _asked(text: str) -> Asked:
    return msgspec.json.decode(text, type=Asked)


def _shown(row: _Row) -> Replay:
    return Replay(
        id=UUID(bytes=row.id),
        subscription=row.subscription,
        queue=row.queue,
        state=State(row.state),
        reason=unless_none(row.reason),
        waiting=unless_none(row.waiting) if row.state == State.RUNNING else UNSET,
        asked=_asked(row.asked),
        progress=Progress(
            begin=unless_none(row.begin),
            position=unless_none(row.position),
            of=unless_none(row.end),
            published=row.published,
            unreadable=row.unreadable,
            per_second=row.per_second if row.state == State.RUNNING else 0.0,
        ),
        created_at=_told(row.created_at),
        updated_at=_told(row.updated_at),
        finished_at=_told(row.finished_at) if row.finished_at else UNSET,
    )


def _told(moment: datetime) -> str:
    return timestamp(moment.replace(tzinfo=UTC))


def _now() -> datetime:
    return utc_now().replace(tzinfo=None)
