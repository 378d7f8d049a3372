"""Webhooks and their held deliveries, in MySQL.

What the worker that serves a webhook writes holds only as long as nobody else has taken it over: each take-over makes
the token grow.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from customerflow_shared import database
from customerflow_shared.database import Session
from customerflow_shared.views import timestamp
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_partners.webhooks.sending import Failed

LEASE_SECONDS = 30


class State(StrEnum):
    """CREATING and DELETING: its queue is not, or not yet gone, for certain."""

    CREATING = "creating"
    ACTIVE = "active"
    DISABLED = "disabled"
    DELETING = "deleting"


class Reason(StrEnum):
    """Why it is disabled: an operator has asked for it, the receiver has answered 410, it has failed for too long."""

    ASKED = "asked"
    GONE = "gone"
    FAILING = "failing"


class NoWebhook(Exception):
    """There is no webhook of this id."""


class LeaseLost(Exception):
    """Another worker may serve the webhook by now."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A row. `revision` grows with whatever a worker must begin anew for."""

    id: UUID
    url: str
    routing_keys: tuple[str, ...]
    stale_keys: tuple[str, ...] = ()
    description: str = ""
    state: State
    revision: int = 1
    secret_number: int = 1
    old_secret_until: datetime | None = None
    key_check: bytes
    created_at: datetime
    disabled_reason: Reason | None = None
    disabled_at: datetime | None = None
    failing_since: datetime | None = None
    failures: int = 0
    paused_until: datetime | None = None
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None

    def secret_numbers(self, now: datetime) -> Sequence[int]:
        """Of the secrets that sign: the newest, and the one before as long as it is still in use."""
        if self.old_secret_until is not None and now < self.old_secret_until:
            return [self.secret_number, self.secret_number - 1]
        return [self.secret_number]


class Event(NamedTuple):
    """What is delivered, and of whom."""

    id: UUID
    customer: UUID
    type: str
    body: bytes


class Held(NamedTuple):
    """The first that waits of a customer. `due` is None if it has not been tried since it came first."""

    id: int
    event: Event
    attempts: int
    due: datetime | None


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One that has failed, or waits behind one of the same customer that has; without its content."""

    id: int
    state: str
    event_id: UUID
    customer_id: UUID
    type: str
    attempts: int
    held_at: str
    next_attempt_at: str | None = None
    last_attempt_at: str | None = None
    last_status: int | None = None
    last_error: str | None = None


class Counts(NamedTuple):
    customers: int = 0
    held: int = 0
    dead: int = 0


_COLUMNS = Webhook.__struct_fields__
_DELIVERY = Delivery.__struct_fields__
_HELD, _DEAD = "held", "dead"


class Store:
    """All may raise DatabaseUnavailable."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    # what an operator does

    async def add(self, one: Webhook) -> None:
        values = (*map(_literal, msgspec.structs.astuple(one)), "", 0)
        async with database.session(self._engine) as session:
            await session.run(
                f"INSERT INTO cf_webhooks ({', '.join(_COLUMNS)}, holder, token, lease_until) "
                f"VALUES ({', '.join(['%s'] * len(values))}, '2000-01-01')",
                values,
            )
            await session.commit()

    async def find(self, webhook: UUID) -> Webhook:
        """Raises NoWebhook."""
        found = await self._found("WHERE id = %s", webhook.bytes)
        if not found:
            raise NoWebhook
        return found[0]

    async def all(self) -> list[Webhook]:
        """By age."""
        return await self._found("ORDER BY id")

    @database.again_after_deadlock
    async def change(self, webhook: UUID, values: Mapping[str, Any], expected: int | None = None) -> bool:
        """Columns of the row, and its revision; False if it is not of the expected one. Raises NoWebhook if it is gone,
        or going.
        """
        columns = "".join(f"{name} = %s, " for name in values)
        async with database.session(self._engine) as session:
            changed = await session.run(
                f"UPDATE cf_webhooks SET {columns}revision = revision + 1 WHERE id = %s AND state <> 'deleting' "
                "AND revision = COALESCE(%s, revision)",
                (*map(_literal, values.values()), webhook.bytes, expected),
            )
            await session.commit()
        if not changed and (expected is None or (await self.find(webhook)).state is State.DELETING):
            raise NoWebhook
        return changed > 0

    @database.again_after_deadlock
    async def unbound(self, one: Webhook) -> None:
        """None of its stale keys is bound any more."""
        async with database.session(self._engine) as session:
            await session.run(
                "UPDATE cf_webhooks SET stale_keys = '' WHERE id = %s AND revision = %s", (one.id.bytes, one.revision)
            )
            await session.commit()

    @database.again_after_deadlock
    async def enable(self, webhook: UUID, now: datetime) -> None:
        """What is held is tried at once. Raises NoWebhook."""
        async with database.session(self._engine) as session:
            changed = await session.run(
                "UPDATE cf_webhooks SET state = 'active', disabled_reason = NULL, disabled_at = NULL, "
                "failing_since = NULL, failures = 0, paused_until = NULL, revision = revision + 1 "
                "WHERE id = %s AND state = 'disabled'",
                (webhook.bytes,),
            )
            if changed:
                await _all_due(session, webhook, now)
            await session.commit()
        if not changed and (await self.find(webhook)).state is not State.ACTIVE:
            raise NoWebhook

    @database.again_after_deadlock
    async def delete(self, webhook: UUID) -> None:
        """The row and its deliveries; of many deliveries some at a time."""
        async with database.session(self._engine) as session:
            while await session.run(
                "DELETE FROM cf_webhook_deliveries WHERE webhook_id = %s LIMIT 1000", (webhook.bytes,)
            ):
                await session.commit()
            await session.run("DELETE FROM cf_webhooks WHERE id = %s", (webhook.bytes,))
            await session.commit()

    async def counts(self, webhook: UUID | None = None) -> Mapping[UUID, Counts]:
        """Of one webhook, or of all; those that have no deliveries are missing."""
        which, values = ("WHERE webhook_id = %s ", (webhook.bytes,)) if webhook else ("", ())
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT webhook_id, COUNT(DISTINCT IF(state = 'held', customer_id, NULL)), SUM(state = 'held'), "
                f"SUM(state = 'dead') FROM cf_webhook_deliveries {which}GROUP BY webhook_id",
                values,
            )
        return {UUID(bytes=row[0]): Counts(*map(int, row[1:])) for row in rows}

    async def deliveries(self, webhook: UUID, state: str, after: int, limit: int) -> list[Delivery]:
        async with database.session(self._engine) as session:
            rows = await session.rows(
                f"SELECT {', '.join(_DELIVERY)} FROM cf_webhook_deliveries "
                "WHERE webhook_id = %s AND state = %s AND id > %s ORDER BY id LIMIT %s",
                (webhook.bytes, state, after, limit),
            )
        return [_delivery(row) for row in rows]

    @database.again_after_deadlock
    async def retry(self, webhook: UUID, delivery: int, now: datetime) -> bool:
        """At once, if it is its customer's first; of a dead one all attempts are made again."""
        async with database.session(self._engine) as session:
            found = await session.run(
                "UPDATE cf_webhook_deliveries SET next_attempt_at = %s, "
                "attempts = IF(state = 'dead', 0, attempts), state = 'held' WHERE webhook_id = %s AND id = %s",
                (_literal(now), webhook.bytes, delivery),
            )
            if found:
                await _unpause(session, webhook)
            await session.commit()
        return found > 0

    @database.again_after_deadlock
    async def retry_all(self, webhook: UUID, now: datetime) -> int:
        """How many."""
        async with database.session(self._engine) as session:
            await _unpause(session, webhook)  # first, as whoever serves it begins there
            revived = await session.run(
                "UPDATE cf_webhook_deliveries SET state = 'held', attempts = 0 "
                "WHERE webhook_id = %s AND state = 'dead'",
                (webhook.bytes,),
            )
            held = await _all_due(session, webhook, now)
            await session.commit()
        return max(revived, held)

    @database.again_after_deadlock
    async def discard(self, webhook: UUID, delivery: int) -> Delivery | None:
        """What it was."""
        async with database.session(self._engine) as session:
            rows = await session.rows(
                f"SELECT {', '.join(_DELIVERY)} FROM cf_webhook_deliveries "
                "WHERE webhook_id = %s AND id = %s FOR UPDATE",
                (webhook.bytes, delivery),
            )
            await session.run("DELETE FROM cf_webhook_deliveries WHERE id = %s", (delivery,))
            await session.commit()
        return _delivery(rows[0]) if rows else None

    # whose turn it is

    @database.again_after_deadlock
    async def renew(self, holder: str) -> Mapping[UUID, int]:
        """The tokens of all that it holds, for `LEASE_SECONDS` from when this was asked."""
        async with database.session(self._engine) as session:
            await session.run(
                "UPDATE cf_webhooks SET lease_until = UTC_TIMESTAMP(6) + INTERVAL %s SECOND WHERE holder = %s",
                (LEASE_SECONDS, holder),
            )
            await session.commit()
        return await self.tokens(holder)

    async def tokens(self, holder: str) -> Mapping[UUID, int]:
        """Of all that it holds."""
        async with database.session(self._engine) as session:
            rows = await session.rows("SELECT id, token FROM cf_webhooks WHERE holder = %s", (holder,))
        return {UUID(bytes=webhook): int(token) for webhook, token in rows}

    @database.again_after_deadlock
    async def take(self, webhook: UUID, holder: str) -> bool:
        """Whether it was free."""
        async with database.session(self._engine) as session:
            taken = await session.run(
                "UPDATE cf_webhooks SET holder = %s, token = token + 1, "
                "lease_until = UTC_TIMESTAMP(6) + INTERVAL %s SECOND "
                "WHERE id = %s AND state <> 'creating' AND lease_until < UTC_TIMESTAMP(6)",
                (holder, LEASE_SECONDS, webhook.bytes),
            )
            await session.commit()
        return taken > 0

    @database.again_after_deadlock
    async def give_back(self, webhook: UUID, token: int) -> None:
        async with database.session(self._engine) as session:
            await session.run(
                "UPDATE cf_webhooks SET holder = '', lease_until = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND "
                "WHERE id = %s AND token = %s",
                (webhook.bytes, token),
            )
            await session.commit()

    async def _found(self, which: str, *arguments: Any) -> list[Webhook]:
        async with database.session(self._engine) as session:
            rows = await session.rows(f"SELECT {', '.join(_COLUMNS)} FROM cf_webhooks {which}", arguments)
        return [_webhook(row) for row in rows]


class Served:
    """A webhook as whoever serves it writes of it. All may raise LeaseLost, or tell of it by doing nothing."""

    def __init__(self, engine: AsyncEngine, webhook: UUID, token: int) -> None:
        self._engine = engine
        self._webhook = webhook.bytes
        self._token = token

    async def begin(self, revision: int) -> set[UUID]:
        """Customers of whom something is held. Raises LeaseLost if it is not active, or not of this revision."""
        async with database.session(self._engine) as session:
            if not await session.rows(
                "SELECT 1 FROM cf_webhooks WHERE id = %s AND token = %s AND revision = %s AND state = 'active'",
                (self._webhook, self._token, revision),
            ):
                raise LeaseLost
            rows = await session.rows(
                "SELECT DISTINCT customer_id FROM cf_webhook_deliveries WHERE webhook_id = %s AND state = 'held'",
                (self._webhook,),
            )
        return {UUID(bytes=customer) for (customer,) in rows}

    async def due(self, now: datetime, limit: int) -> tuple[list[UUID], int]:
        """Customers whose first delivery is to be tried, and how many deliveries are held in all."""
        async with database.session(self._engine) as session:
            counted = await session.rows(
                "SELECT COUNT(*) FROM cf_webhook_deliveries WHERE webhook_id = %s AND state = 'held'", (self._webhook,)
            )
            if not counted[0][0]:
                return [], 0
            rows = await session.rows(
                "SELECT d.customer_id FROM cf_webhook_deliveries d JOIN (SELECT MIN(id) AS id "
                "FROM cf_webhook_deliveries WHERE webhook_id = %s AND state = 'held' GROUP BY customer_id) first "
                "ON first.id = d.id WHERE d.next_attempt_at IS NULL OR d.next_attempt_at <= %s "
                "ORDER BY d.next_attempt_at, d.id LIMIT %s",
                (self._webhook, _literal(now), limit),
            )
        return [UUID(bytes=customer) for (customer,) in rows], int(counted[0][0])

    async def first(self, customer: UUID) -> Held | None:
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT id, event_id, type, body, attempts, next_attempt_at FROM cf_webhook_deliveries "
                "WHERE webhook_id = %s AND state = 'held' AND customer_id = %s ORDER BY id LIMIT 1",
                (self._webhook, customer.bytes),
            )
        for place, event, kind, body, attempts, due in rows:
            return Held(place, Event(UUID(bytes=event), customer, kind, bytes(body)), attempts, _moment(due))
        return None

    @database.again_after_deadlock
    async def hold(
        self, event: Event, now: datetime, failure: Failed | None = None, due: datetime | None = None
    ) -> None:
        """Behind what is held of its customer; with a failure it was tried once. What is held already stays as it is,
        what is dead is held again.
        """
        tried = (
            (1, _literal(due), _literal(now), failure.status, failure.error) if failure else (0, None, None, None, None)
        )
        changes = ("attempts", "next_attempt_at", "last_attempt_at", "last_status", "last_error")
        # of assignments the first come first: the state is changed when the others have been decided by it
        kept = ", ".join(f"{name} = IF(state = 'dead', %s, {name})" for name in changes)
        async with self._fenced() as session:
            await session.run(
                "INSERT INTO cf_webhook_deliveries "
                f"(webhook_id, customer_id, event_id, type, body, state, held_at, {', '.join(changes)}) "
                f"VALUES (%s, %s, %s, %s, %s, 'held', %s, %s, %s, %s, %s, %s) "
                f"ON DUPLICATE KEY UPDATE {kept}, state = 'held'",
                (
                    *(self._webhook, event.customer.bytes, event.id.bytes, event.type, event.body, _literal(now)),
                    *(*tried, *tried),
                ),
            )

    @database.again_after_deadlock
    async def forget(self, delivery: int) -> None:
        """It has been delivered."""
        async with self._fenced() as session:
            await session.run("DELETE FROM cf_webhook_deliveries WHERE id = %s", (delivery,))

    @database.again_after_deadlock
    async def postpone(self, held: Held, now: datetime, failure: Failed, due: datetime | None) -> None:
        """It has failed once more; without another time for it, it is dead."""
        async with self._fenced() as session:
            await session.run(
                "UPDATE cf_webhook_deliveries SET attempts = %s, state = %s, next_attempt_at = %s, "
                "last_attempt_at = %s, last_status = %s, last_error = %s WHERE id = %s",
                (
                    *(held.attempts + 1, _HELD if due else _DEAD, _literal(due)),
                    *(_literal(now), failure.status, failure.error, held.id),
                ),
            )

    @database.again_after_deadlock
    async def succeeded(self, now: datetime, status: int) -> None:
        await self._note(
            "failing_since = NULL, failures = 0, paused_until = NULL, last_success_at = %s, last_status = %s, "
            "last_error = NULL",
            now,
            status,
        )

    @database.again_after_deadlock
    async def failed(self, now: datetime, failure: Failed) -> datetime:
        """Since when there has been no success."""
        async with database.session(self._engine) as session:
            await self._write(
                session,
                "failing_since = COALESCE(failing_since, %s), last_failure_at = %s, last_status = %s, last_error = %s",
                *(now, now, failure.status, failure.error),
            )
            rows = await session.rows(
                "SELECT failing_since FROM cf_webhooks WHERE id = %s AND token = %s", (self._webhook, self._token)
            )
            await session.commit()
        if not rows:
            raise LeaseLost
        return _moment(rows[0][0]) or now

    @database.again_after_deadlock
    async def paused(self, failures: int, until: datetime) -> None:
        await self._note("failures = %s, paused_until = %s", failures, until)

    @database.again_after_deadlock
    async def disable(self, reason: Reason, now: datetime) -> None:
        await self._note(
            "state = 'disabled', disabled_reason = %s, disabled_at = %s, revision = revision + 1", str(reason), now
        )

    async def _note(self, changes: str, *values: Any) -> None:
        async with database.session(self._engine) as session:
            await self._write(session, changes, *values)
            await session.commit()

    async def _write(self, session: Session, changes: str, *values: Any) -> None:
        await session.run(
            f"UPDATE cf_webhooks SET {changes} WHERE id = %s AND token = %s AND state = 'active'",
            (*map(_literal, values), self._webhook, self._token),
        )

    @asynccontextmanager
    async def _fenced(self) -> AsyncIterator[Session]:
        """Whoever takes the webhook over waits for the end of this, or this raises LeaseLost."""
        async with database.session(self._engine) as session:
            if not await session.rows(
                "SELECT 1 FROM cf_webhooks WHERE id = %s AND token = %s LOCK IN SHARE MODE",
                (self._webhook, self._token),
            ):
                raise LeaseLost
            yield session
            await session.commit()


async def _unpause(session: Session, webhook: UUID) -> None:
    """Whoever has something tried again knows more than the pause."""
    await session.run(
        "UPDATE cf_webhooks SET paused_until = NULL, revision = revision + 1 "
        "WHERE id = %s AND paused_until IS NOT NULL",
        (webhook.bytes,),
    )


async def _all_due(session: Session, webhook: UUID, now: datetime) -> int:
    return await session.run(
        "UPDATE cf_webhook_deliveries SET next_attempt_at = %s WHERE webhook_id = %s AND state = 'held'",
        (_literal(now), webhook.bytes),
    )


def _literal(value: Any) -> Any:
    match value:
        case datetime():
            at = value.astimezone(UTC).replace(tzinfo=None)
            return at.replace(microsecond=at.microsecond // 1000 * 1000)
        case UUID():
            return value.bytes
        case tuple():
            return " ".join(value)
        case StrEnum():
            return str(value)
        case _:
            return value


def _moment(value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=UTC)


def _webhook(row: Sequence[Any]) -> Webhook:
    values = dict(zip(_COLUMNS, row, strict=True))
    for name, value in values.items():
        if isinstance(value, datetime):
            values[name] = _moment(value)
    return Webhook(
        **{
            **values,
            "id": UUID(bytes=values["id"]),
            "routing_keys": tuple(values["routing_keys"].split()),
            "stale_keys": tuple(values["stale_keys"].split()),
            "state": State(values["state"]),
            "disabled_reason": Reason(values["disabled_reason"]) if values["disabled_reason"] else None,
        }
    )


def _delivery(row: Sequence[Any]) -> Delivery:
    values = dict(zip(_DELIVERY, row, strict=True))
    for name, value in values.items():
        if isinstance(value, datetime):
            values[name] = timestamp(value.replace(tzinfo=UTC))
        elif isinstance(value, bytes):
            values[name] = UUID(bytes=value)
    return Delivery(**values)
