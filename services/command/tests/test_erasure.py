"""Erasure: the history stays, and nobody can read it any more."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from customerflow_command import upkeep
from customerflow_command.customer.commands import (
    CancelErasure,
    ChangeCustomer,
    LinkExternalId,
    ReactivateCustomer,
    RequestErasure,
    SuspendCustomer,
)
from customerflow_command.customer.errors import CustomerIsErased
from customerflow_command.erasures import erased_customers, reapplied_erasure
from customerflow_command.outbox import Outbox
from customerflow_command.personal import UnreadableEvent
from customerflow_command.store import EventReader
from customerflow_command.upkeep import Upkeep
from customerflow_shared import database, service
from customerflow_shared.database import utc_now
from customerflow_shared.events import CustomerErased, CustomerReactivated, CustomerRegistered, Recorded
from customerflow_shared.values import ExternalId, PersonalProfile

if TYPE_CHECKING:
    from uuid import UUID

    from customerflow_local.testing import Database

    from services.command.tests.conftest import Start, WriteSide

ERP = ExternalId(source="erp", value="10442")


def at_once() -> RequestErasure:
    return RequestErasure(due_at=utc_now(), request_ref="ticket-7", reason="asked by letter")


async def rows_of(write_side: WriteSide, table: str, customer: UUID) -> int:
    async with database.session(write_side.engine) as session:
        rows = await session.rows(f"SELECT COUNT(*) FROM {table} WHERE customer_id = %s", (customer.bytes,))
    return int(rows[0][0])


async def a_customer_with_everything(write_side: WriteSide, email: str) -> UUID:
    customer = await write_side.register("Ana", email)
    await write_side.do(
        customer, LinkExternalId(external_id=ExternalId(source="erp", value=email)), key=f"link {email}"
    )
    await write_side.do(customer, ChangeCustomer(personal=PersonalProfile(name="Bia")), key=f"rename {email}")
    return customer


@pytest.mark.group_sizes
async def test_an_erasure_destroys_key_claims_and_answers_in_one_transaction(write_side: WriteSide) -> None:
    customer = await a_customer_with_everything(write_side, "erase@example.com")
    for table, rows in {"cf_customer_keys": 1, "cf_claims": 2, "cf_idempotency": 2}.items():
        assert await rows_of(write_side, table, customer) == rows
    assert (await write_side.do(customer, at_once())).version == 5
    for table in ("cf_customer_keys", "cf_claims", "cf_idempotency", "cf_due"):
        assert await rows_of(write_side, table, customer) == 0
    assert await rows_of(write_side, "cf_events", customer) == 5
    await write_side.register("Caio", "erase@example.com")


async def test_the_history_of_an_erased_customer_is_redacted_and_never_an_error(write_side: WriteSide) -> None:
    customer = await a_customer_with_everything(write_side, "history@example.com")
    await write_side.do(customer, at_once())
    history = await write_side.history(customer)
    assert [one.version for one in history] == [1, 2, 3, 4, 5]
    assert all(one.redacted for one in history)
    assert history[0].event == CustomerRegistered(customer_type="person", name="")
    erased = history[-1].event
    assert isinstance(erased, CustomerErased)
    assert erased.external_ids == (ExternalId(source="erp", value="history@example.com"),)
    known = await write_side.store.load(customer, fresh=True)
    assert known.state is not None
    assert (known.state.name, known.state.status, known.key) == ("", "erased", None)
    assert "history@example.com" not in repr(known)


async def test_an_erased_customer_takes_no_command(start: Start) -> None:
    async with start() as one, start() as other:
        customer = await one.register("Ana", "gone@example.com")
        await other.store.load(customer)
        await one.do(customer, at_once())
        for side in (one, other):
            with pytest.raises(CustomerIsErased):
                await side.rename(customer, "Bia")
        assert len(await one.history(customer)) == 3


@pytest.mark.group_sizes
async def test_a_command_that_comes_at_the_same_time_is_before_the_erasure_or_refused(start: Start) -> None:
    async with start() as one, start() as other:
        for number in range(20):
            customer = await one.register("Ana", f"race{number}@example.com")
            await other.store.load(customer)
            await asyncio.gather(one.do(customer, at_once()), other.rename(customer, "Bia"), return_exceptions=True)
            history = await one.history(customer)
            assert isinstance(history[-1].event, CustomerErased)
            assert await rows_of(one, "cf_customer_keys", customer) == 0


async def test_the_answer_to_the_erasure_itself_is_given_again(write_side: WriteSide) -> None:
    customer = await write_side.register()
    first = await write_side.do(customer, command := at_once(), key="erase")
    second = await write_side.do(customer, command, key="erase")
    assert (second.version, second.replayed) == (first.version, True)


async def test_what_was_not_yet_sent_is_sent_redacted(write_side: WriteSide) -> None:
    customer = await a_customer_with_everything(write_side, "unsent@example.com")
    await write_side.do(customer, at_once())
    reader = EventReader(write_side.keys)
    waiting: list[Recorded] = []
    async with Outbox(write_side.engine) as outbox:
        for row in await outbox.first():
            if row.customer == customer:
                waiting.append(reader.read(row))
    assert [one.redacted for one in waiting] == [True] * 5


async def test_a_lost_key_is_no_erasure(write_side: WriteSide, migrated: Database) -> None:
    customer = await write_side.register("Ana", "lost@example.com")
    owner = database.open_engine(migrated.owner_url)
    async with database.session(owner) as session:
        await session.run("DELETE FROM cf_customer_keys WHERE customer_id = %s", (customer.bytes,))
        await session.commit()
    await owner.dispose()
    write_side.store.cache.forget(customer)
    with pytest.raises(UnreadableEvent):
        await write_side.store.load(customer)


async def test_what_is_due_happens_by_itself_and_only_then(start: Start) -> None:
    async with start() as one, start() as other:
        soon, later = utc_now() + timedelta(milliseconds=300), utc_now() + timedelta(days=30)
        erased, kept, cancelled, suspended = [await one.register() for _ in range(4)]
        await one.do(erased, RequestErasure(due_at=soon))
        await one.do(kept, RequestErasure(due_at=later))
        await one.do(cancelled, RequestErasure(due_at=soon))
        await one.do(cancelled, CancelErasure())
        await one.do(suspended, SuspendCustomer(reason="fraud?", until=soon))
        both = [Upkeep(side.engine, side.send, side.store, every=0.05) for side in (one, other)]
        async with (
            service.background("one", both[0].run),
            service.background("other", both[1].run),
            asyncio.timeout(10),
        ):
            while await rows_of(one, "cf_due", erased) or await rows_of(one, "cf_due", suspended):
                await asyncio.sleep(0.02)
        assert [type(one.event).__name__ for one in await one.history(erased)][-1] == "CustomerErased"
        assert await one.history(erased) == await other.history(erased)
        assert isinstance((await one.history(suspended))[-1].event, CustomerReactivated)
        assert (await one.history(suspended))[-1].metadata.actor.type == "system"
        assert [len(await one.history(customer)) for customer in (kept, cancelled)] == [2, 3]
        assert await rows_of(one, "cf_due", kept) == 1
        assert await rows_of(one, "cf_due", cancelled) == 0


async def test_whoever_is_erased_elsewhere_is_soon_forgotten_here(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as one, start() as other:
        customer = await one.register("Ana")
        await other.store.load(customer)
        await one.do(customer, at_once())
        assert "Ana" in repr(other.store.cache.get(customer))
        monkeypatch.setattr(upkeep, "REMEMBERED", 0.1)
        running = upkeep.Upkeep(other.engine, other.send, other.store, every=0.05)
        async with service.background("upkeep", running.run), asyncio.timeout(10):
            while other.store.cache.get(customer):
                await asyncio.sleep(0.02)


async def test_what_is_looked_at_again_and_again_is_forgotten_all_the_same(
    write_side: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = await write_side.register("Ana")
    monkeypatch.setattr(upkeep, "REMEMBERED", 0.2)
    running = upkeep.Upkeep(write_side.engine, write_side.send, write_side.store, every=0.02)
    async with service.background("upkeep", running.run), asyncio.timeout(10):
        while write_side.store.cache.get(customer):
            await write_side.store.load(customer, fresh=True)


async def test_one_customer_that_cannot_be_read_does_not_hold_up_what_is_due(
    write_side: WriteSide, migrated: Database
) -> None:
    broken, sound = await write_side.register(), await write_side.register()
    due_at = utc_now() + timedelta(milliseconds=100)
    await write_side.do(broken, SuspendCustomer(reason="x", until=due_at))
    await write_side.do(sound, SuspendCustomer(reason="x", until=due_at + timedelta(milliseconds=1)))
    owner = database.open_engine(migrated.owner_url)
    async with database.session(owner) as session:
        await session.run("DELETE FROM cf_customer_keys WHERE customer_id = %s", (broken.bytes,))
        await session.commit()
    await owner.dispose()
    write_side.store.cache.forget(broken)
    running = Upkeep(write_side.engine, write_side.send, write_side.store, every=0.05)
    async with service.background("upkeep", running.run), asyncio.timeout(10):
        while await rows_of(write_side, "cf_due", sound):
            await asyncio.sleep(0.02)
    assert await rows_of(write_side, "cf_due", broken) == 1


async def test_what_a_restored_backup_has_brought_back_is_erased_again(
    write_side: WriteSide, migrated: Database
) -> None:
    customer = await write_side.register("Ana", "restored@example.com")
    await write_side.do(customer, ReactivateCustomer())
    assert customer not in await erased_customers(write_side.engine)
    outcome = await write_side.send(reapplied_erasure(customer))
    assert outcome.version == 2
    assert customer in await erased_customers(write_side.engine)
    event = (await write_side.history(customer))[-1].event
    assert isinstance(event, CustomerErased)
    assert event.reason_code == "reapplied"
    with pytest.raises(CustomerIsErased):
        await write_side.send(reapplied_erasure(customer))
