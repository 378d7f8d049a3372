"""What a transaction asks and writes, in the order in which it does."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate, chain
from uuid import UUID

import msgspec
from customerflow_shared import database
from customerflow_shared.database import filled, literals, utc_now
from customerflow_shared.events import Recorded

from customerflow_command.personal import Sealed
from customerflow_command.unit import ClaimTaken, HashedClaim, KeyTaken, Unit, VersionTaken


async def commit(session: database.Session, units: Sequence[Unit]) -> dict[Unit, int]:
    """Write all of them and commit, in one round trip; the position of the last event of each that has events.

    Raises the driver's DUPLICATE_ENTRY if one of them has lost a race (see `losers`); then, as after any other refusal,
    nothing has been written.
    """
    events = [event for unit in units for event in unit.events]
    before = [*_receipts(units), *_claims(units), *chain.from_iterable(map(_own, units)), *_new_keys(units)]
    ids = await session.run_together([*before, *_recorded(events), "COMMIT"])
    if not events:
        return {}
    first = ids[len(before)] - len(events) + 1
    counts = accumulate(len(unit.events) for unit in units)
    return {unit: first + count - 1 for unit, count in zip(units, counts, strict=True) if unit.events}


def _receipts(units: Sequence[Unit]) -> list[str]:
    now = utc_now().replace(tzinfo=None)
    rows = [
        (unit.receipt.key_hash, unit.receipt.fingerprint, unit.customer_id.bytes, unit.outcome, now)
        for unit in units
        if unit.receipt
    ]
    if not rows:
        return []
    # in the same order everywhere, as the claims: so that two transactions cannot wait for one another
    return [
        "INSERT INTO cf_idempotency (key_hash, fingerprint, customer_id, outcome, created_at) "
        f"VALUES {literals(sorted(rows))}"
    ]


def _claims(units: Sequence[Unit]) -> list[str]:
    rows = [(claim.kind, claim.key_hash, unit.customer_id.bytes) for unit in units for claim in unit.take]
    if not rows:
        return []
    left_over = [released(unit.customer_id, claim) for unit in units for claim in sorted(unit.left_over)]
    return [*left_over, f"INSERT INTO cf_claims (kind, key_hash, customer_id) VALUES {literals(sorted(rows))}"]


def _own(unit: Unit) -> list[str]:
    """What concerns no customer but the unit's."""
    gone = _erased(unit) if unit.erase else [released(unit.customer_id, claim) for claim in sorted(unit.release)]
    return gone if unit.due_at is msgspec.UNSET else [*gone, due_set(unit.customer_id, unit.due_at)]


def released(customer_id: UUID, claim: HashedClaim) -> str:
    return filled(
        "DELETE FROM cf_claims WHERE kind = %s AND key_hash = %s AND customer_id = %s",
        (claim.kind, claim.key_hash, customer_id.bytes),
    )


def due_set(customer_id: UUID, due_at: datetime | None) -> str:
    if due_at is None:
        return filled("DELETE FROM cf_due WHERE customer_id = %s", (customer_id.bytes,))
    return filled(
        "REPLACE INTO cf_due (customer_id, due_at) VALUES (%s, %s)",
        (customer_id.bytes, due_at.astimezone(UTC).replace(tzinfo=None)),
    )


def _erased(unit: Unit) -> list[str]:
    """Destroy the customer's key, without which its history cannot be read, and what else leads to its data.

    The answer to the erasure's own key stays: it says that it was done.
    """
    customer_id = unit.customer_id.bytes
    return [
        filled("DELETE FROM cf_customer_keys WHERE customer_id = %s", (customer_id,)),
        filled("DELETE FROM cf_snapshots WHERE customer_id = %s", (customer_id,)),
        filled("DELETE FROM cf_claims WHERE customer_id = %s", (customer_id,)),
        filled(
            "DELETE FROM cf_idempotency WHERE customer_id = %s AND key_hash <> %s",
            (customer_id, unit.receipt.key_hash if unit.receipt else b""),
        ),
    ]


def _new_keys(units: Sequence[Unit]) -> list[str]:
    rows = [
        (unit.customer_id.bytes, unit.new_key.master_key_id, unit.new_key.wrapped) for unit in units if unit.new_key
    ]
    if not rows:
        return []
    return [f"INSERT INTO cf_customer_keys (customer_id, master_key_id, wrapped) VALUES {literals(rows)}"]


def _recorded(events: Sequence[tuple[Recorded, Sealed]]) -> list[str]:
    """From the first of these to the commit everybody else waits."""
    if not events:
        return []
    # unsigned: should the counter's row be missing, there is nothing to subtract from, and the server refuses
    positions = [f"LAST_INSERT_ID() - {len(events)} + {number}" for number in range(1, len(events) + 1)]
    rows = [f"({position},{_fields(*event)})" for position, event in zip(positions, events, strict=True)]
    pointers = [
        f"({position},{database.literal(recorded.customer_id.bytes)})"
        for position, (recorded, _) in zip(positions, events, strict=True)
    ]
    return [
        filled("UPDATE cf_position SET head = LAST_INSERT_ID(head + %s) WHERE id = 1", (len(events),)),
        "INSERT INTO cf_events "
        "(position, customer_id, version, event_id, schema_version, recorded_at, metadata, type, data, pii) "
        f"VALUES {','.join(rows)}",
        f"INSERT INTO cf_outbox (position, customer_id) VALUES {','.join(pointers)}",
    ]


def _fields(recorded: Recorded, sealed: Sealed) -> str:
    fields = (
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
    return ",".join(map(database.literal, fields))


async def losers(session: database.Session, units: Sequence[Unit]) -> dict[Unit, Exception]:
    """The units that cannot be written, because somebody else has written first. Of the others it is noted which of
    their claims have been left over.
    """
    claims = await _lost_claims(session, units)
    keys = await _lost_keys(session, units)
    versions = await _lost_versions(session, units)
    return {**claims, **keys, **versions}


async def _lost_versions(session: database.Session, units: Sequence[Unit]) -> dict[Unit, Exception]:
    """The units whose customer has gone on without them."""
    recording = [unit for unit in units if unit.events]
    if not recording:
        return {}
    newest = dict(
        await session.rows(
            "SELECT customer_id, MAX(version) FROM cf_events "
            f"WHERE customer_id IN {database.placeholders(1, len(recording))} GROUP BY customer_id",
            [unit.customer_id.bytes for unit in recording],
        )
    )
    return {unit: VersionTaken() for unit in recording if newest.get(unit.customer_id.bytes, 0) >= unit.first_version}


async def _lost_keys(session: database.Session, units: Sequence[Unit]) -> dict[Unit, Exception]:
    """The units whose idempotency key has been answered by another process."""
    answering = {unit.receipt.key_hash: unit for unit in units if unit.receipt}
    if not answering:
        return {}
    held = await session.rows(
        f"SELECT key_hash FROM cf_idempotency WHERE key_hash IN {database.placeholders(1, len(answering))}",
        [*answering],
    )
    return {answering[key_hash]: KeyTaken() for (key_hash,) in held}


async def _lost_claims(session: database.Session, units: Sequence[Unit]) -> dict[Unit, Exception]:
    """The units of which another customer holds a claim."""
    wanted = {claim: unit for unit in units for claim in unit.take}
    if not wanted:
        return {}
    held = await session.rows(
        "SELECT kind, key_hash, customer_id FROM cf_claims "
        f"WHERE (kind, key_hash) IN ({database.placeholders(len(wanted), 2)})",
        [*chain.from_iterable((claim.kind, claim.key_hash) for claim in wanted)],
    )
    taken: dict[Unit, list[HashedClaim]] = {}
    for unit in wanted.values():
        unit.left_over = frozenset()
    for kind, key_hash, holder in held:
        claim = HashedClaim(kind, key_hash)
        unit = wanted[claim]
        if holder == unit.customer_id.bytes:
            unit.left_over |= {claim}
        else:
            taken.setdefault(unit, []).append(claim)
    return {unit: ClaimTaken(claims) for unit, claims in taken.items()}
