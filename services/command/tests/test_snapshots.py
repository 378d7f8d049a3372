"""Snapshots: a short cut through a long history that leads to the same state, and is never needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from customerflow_command import snapshots, store
from customerflow_command.customer.commands import LinkExternalId, RequestErasure, TagCustomer
from customerflow_shared import database
from customerflow_shared.database import utc_now
from customerflow_shared.values import ExternalId

if TYPE_CHECKING:
    from uuid import UUID

    from customerflow_command.store import Known
    from customerflow_local.testing import Database

    from services.command.tests.conftest import WriteSide

EVENTS = 12


@pytest.fixture(autouse=True)
def _short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FOLDED_AT_ONCE", 5)
    monkeypatch.setattr(store, "LONG", 10)


async def a_long_history(write_side: WriteSide) -> UUID:
    customer = await write_side.register("Ana", None)
    for number in range(EVENTS - 2):
        await write_side.do(customer, TagCustomer(tag=f"t{number}"))
    await write_side.do(customer, LinkExternalId(external_id=ExternalId(source="crm", value=str(customer))))
    return customer


async def forgotten(write_side: WriteSide, customer: UUID) -> Known:
    """Read again, but for the time: a snapshot does not tell it."""
    write_side.store.cache.forget(customer)
    return msgspec.structs.replace(await write_side.store.load(customer), recorded_at=None)


async def held(write_side: WriteSide, customer: UUID) -> list[tuple[int, bytes]]:
    async with database.session(write_side.engine) as session:
        rows = await session.rows("SELECT version, sealed FROM cf_snapshots WHERE customer_id = %s", (customer.bytes,))
    return [(version, sealed) for version, sealed in rows]


async def with_snapshot(write_side: WriteSide) -> tuple[UUID, Known]:
    customer = await a_long_history(write_side)
    folded = await forgotten(write_side, customer)
    await write_side.store.take_snapshots()
    return customer, folded


async def test_a_history_has_a_snapshot_once_commands_have_made_it_long(write_side: WriteSide) -> None:
    customer = await a_long_history(write_side)
    known = msgspec.structs.replace(await write_side.store.load(customer), recorded_at=None)
    await write_side.store.take_snapshots()
    ((version, _),) = await held(write_side, customer)
    assert version == store.LONG
    assert await forgotten(write_side, customer) == known


async def test_a_snapshot_leads_to_the_same_state(write_side: WriteSide, monkeypatch: pytest.MonkeyPatch) -> None:
    customer, folded = await with_snapshot(write_side)
    ((version, sealed),) = await held(write_side, customer)
    assert version == folded.version == EVENTS
    assert b"Ana" not in sealed
    read: list[int] = []
    rows = write_side.store._rows

    async def counted(condition: str, *arguments: object) -> list[store.EventRow]:
        found = await rows(condition, *arguments)
        read.extend(row.version for row in found)
        return found

    monkeypatch.setattr(write_side.store, "_rows", counted)
    assert await forgotten(write_side, customer) == folded
    assert read == [1, 2, 3, 4, 5]
    await write_side.do(customer, TagCustomer(tag="later"))
    assert (await forgotten(write_side, customer)).version == EVENTS + 1


async def test_no_snapshot_is_taken_of_a_short_history(write_side: WriteSide) -> None:
    customer = await write_side.register()
    await forgotten(write_side, customer)
    await write_side.store.take_snapshots()
    assert await held(write_side, customer) == []


@pytest.mark.parametrize(
    "change",
    ["sealed = CONCAT(sealed, 'x')", "version = version - 1", "form = 'another'", "sealed = ''"],
)
async def test_a_snapshot_that_cannot_be_read_is_passed_over(
    write_side: WriteSide, migrated: Database, change: str
) -> None:
    customer, folded = await with_snapshot(write_side)
    owner = database.open_engine(migrated.owner_url)
    async with database.session(owner) as session:
        await session.run(f"UPDATE cf_snapshots SET {change}")
        await session.commit()
    await owner.dispose()
    assert await forgotten(write_side, customer) == folded


async def test_a_snapshot_of_another_form_is_replaced(write_side: WriteSide, monkeypatch: pytest.MonkeyPatch) -> None:
    customer, folded = await with_snapshot(write_side)
    monkeypatch.setattr(snapshots, "FORM", "0123456789abcdef")
    assert await forgotten(write_side, customer) == folded
    await write_side.store.take_snapshots()
    assert len(await held(write_side, customer)) == 1
    assert await forgotten(write_side, customer) == folded


async def test_an_erasure_takes_the_snapshot_with_it_for_good(write_side: WriteSide) -> None:
    customer, _ = await with_snapshot(write_side)
    await forgotten(write_side, customer)
    await write_side.do(customer, RequestErasure(due_at=utc_now()))
    assert await held(write_side, customer) == []
    await write_side.store.take_snapshots()  # one was still to be taken when the erasure came
    assert await held(write_side, customer) == []
    known = await forgotten(write_side, customer)
    assert known.state is not None
    assert known.state.status == "erased"
