"""The statements by which units are written, in the order in which a transaction runs them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate, chain
from typing import Any
from uuid import UUID

import msgspec
from customerflow_shared.events import Recorded

from customerflow_command import database
from customerflow_command.database import utc_now
from customerflow_command.personal import Sealed
from customerflow_command.unit import ClaimTaken, HashedClaim, KeyTaken, Unit, VersionTaken


class Losers(Exception):
    """Some units of the group cannot be written; nothing has been."""

    def __init__(self, errors: Mapping[Unit, Exception]) -> None:
        self.errors = errors


async def lost_versions(session: database.Session, group: Sequence[Unit]) -> dict[Unit, Exception]:
    """The units whose customer has gone on without them."""
    changes = [unit for unit in group if unit.first_version > 1]
    if not changes:
        return {}
    newest = dict(
        await session.rows(
            "SELECT customer_id, MAX(version) FROM cf_events "
            f"WHERE customer_id IN {database.placeholders(1, len(changes))} GROUP BY customer_id",
            [unit.customer_id.bytes for unit in changes],
        )
    )
    return {unit: VersionTaken() for unit in changes if newest.get(unit.customer_id.bytes, 0) >= unit.first_version}


async def lost_keys(session: database.Session, group: Sequence[Unit]) -> dict[Unit, Exception]:
    """Write the answers to the idempotency keys; the units whose key has been answered by another process."""
    answering = {unit.receipt.key_hash: (unit, unit.receipt) for unit in group if unit.receipt}
    if not answering:
        return {}
    now = utc_now().replace(tzinfo=None)
    rows = [
        (key_hash, receipt.fingerprint, unit.customer_id.bytes, unit.outcome, now)
        for key_hash, (unit, receipt) in sorted(answering.items())
    ]
    inserted = await session.run(
        "INSERT IGNORE INTO cf_idempotency (key_hash, fingerprint, customer_id, outcome, created_at) "
        f"VALUES {database.placeholders(len(rows), 5)}",
        [*chain.from_iterable(rows)],
    )
    if inserted == len(rows):
        return {}
    # only without our own rows can those of others be told
    await session.rollback()
    held = await session.rows(
        f"SELECT key_hash FROM cf_idempotency WHERE key_hash IN {database.placeholders(1, len(rows))}",
        [*answering],
    )
    if not held:
        raise Losers({})
    return {answering[key_hash][0]: KeyTaken() for (key_hash,) in held}


async def lost_claims(session: database.Session, group: Sequence[Unit]) -> dict[Unit, Exception]:
    """Take all claims of the group at once; the units that found one of theirs taken."""
    wanted = sorted(((claim, unit) for unit in group for claim in unit.take), key=lambda pair: pair[0])
    if not wanted:
        return {}
    rows = [(claim.kind, claim.key_hash, unit.customer_id.bytes) for claim, unit in wanted]
    inserted = await session.run(
        f"INSERT IGNORE INTO cf_claims (kind, key_hash, customer_id) VALUES {database.placeholders(len(rows), 3)}",
        [*chain.from_iterable(rows)],
    )
    if inserted == len(rows):
        return {}
    holders = {
        HashedClaim(kind, key_hash): holder
        for kind, key_hash, holder in await session.rows(
            "SELECT kind, key_hash, customer_id FROM cf_claims "
            f"WHERE (kind, key_hash) IN ({database.placeholders(len(rows), 2)})",
            [*chain.from_iterable(row[:2] for row in rows)],
        )
    }
    taken: dict[Unit, list[HashedClaim]] = {}
    for claim, unit in wanted:
        if holders.get(claim) != unit.customer_id.bytes:
            taken.setdefault(unit, []).append(claim)
    return {unit: ClaimTaken(claims) for unit, claims in taken.items()}


async def release_claims(session: database.Session, customer_id: UUID, claims: Sequence[HashedClaim]) -> None:
    for claim in sorted(claims):
        await session.run(
            "DELETE FROM cf_claims WHERE kind = %s AND key_hash = %s AND customer_id = %s",
            (claim.kind, claim.key_hash, customer_id.bytes),
        )


async def _erase(session: database.Session, unit: Unit) -> None:
    """Destroy the customer's key, without which its history cannot be read, and what else leads to its data.

    The answer to the erasure's own key stays: it says that it was done.
    """
    customer_id = unit.customer_id.bytes
    await session.run("DELETE FROM cf_customer_keys WHERE customer_id = %s", (customer_id,))
    await session.run("DELETE FROM cf_snapshots WHERE customer_id = %s", (customer_id,))
    await session.run("DELETE FROM cf_claims WHERE customer_id = %s", (customer_id,))
    await session.run(
        "DELETE FROM cf_idempotency WHERE customer_id = %s AND key_hash <> %s",
        (customer_id, unit.receipt.key_hash if unit.receipt else b""),
    )


async def set_due(session: database.Session, customer_id: UUID, due_at: datetime | None) -> None:
    if due_at is None:
        await session.run("DELETE FROM cf_due WHERE customer_id = %s", (customer_id.bytes,))
    else:
        await session.run(
            "REPLACE INTO cf_due (customer_id, due_at) VALUES (%s, %s)",
            (customer_id.bytes, due_at.astimezone(UTC).replace(tzinfo=None)),
        )


async def write(session: database.Session, units: Sequence[Unit]) -> dict[Unit, int]:
    """Write all of them; the position of the last event of each that has events."""
    for unit in units:
        if unit.erase:
            await _erase(session, unit)
        else:
            await release_claims(session, unit.customer_id, [*unit.release])
        if unit.due_at is not msgspec.UNSET:
            await set_due(session, unit.customer_id, unit.due_at)
    keys = [
        (unit.customer_id.bytes, unit.new_key.master_key_id, unit.new_key.wrapped) for unit in units if unit.new_key
    ]
    if keys:
        await session.run(
            "INSERT INTO cf_customer_keys (customer_id, master_key_id, wrapped) "
            f"VALUES {database.placeholders(len(keys), 3)}",
            [*chain.from_iterable(keys)],
        )
    events = [event for unit in units for event in unit.events]
    if not events:
        return {}
    # from here to the commit everybody else waits
    head = await session.last_insert_id(
        "UPDATE cf_position SET head = LAST_INSERT_ID(head + %s) WHERE id = 1", (len(events),)
    )
    first = head - len(events) + 1
    if first < 1:
        raise database.DatabaseRefused(None)  # the counter's row is missing
    rows = [_row(position, recorded, sealed) for position, (recorded, sealed) in enumerate(events, start=first)]
    await session.run(
        "INSERT INTO cf_events "
        "(position, customer_id, version, event_id, schema_version, recorded_at, metadata, type, data, pii) "
        f"VALUES {database.placeholders(len(rows), 10)}",
        [*chain.from_iterable(rows)],
    )
    await session.run(
        f"INSERT INTO cf_outbox (position, customer_id) VALUES {database.placeholders(len(rows), 2)}",
        [*chain.from_iterable(row[:2] for row in rows)],
    )
    counts = accumulate(len(unit.events) for unit in units)
    return {unit: first + count - 1 for unit, count in zip(units, counts, strict=True) if unit.events}


def _row(position: int, recorded: Recorded, sealed: Sealed) -> tuple[Any, ...]:
    return (
        position,
        recorded.customer_id.bytes,
        recorded.version,
        recorded.event_id.bytes,
        recorded.schema_version,
        recorded.recorded_at.replace(tzinfo=None),
        msgspec.json.encode(recorded.metadata).decode(),
        sealed.name,
        sealed.data,
        sealed.pii,
    )
