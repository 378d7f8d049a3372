"""One relay acts at a time; a pointer goes only when the relay that sent its event still holds the lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from customerflow_command import outbox
from customerflow_command.outbox import Lease, LeaseLost, Outbox
from customerflow_shared import database

if TYPE_CHECKING:
    from services.command.tests.conftest import WriteSide


@asynccontextmanager
async def keeping(lease: Lease) -> AsyncIterator[Lease]:
    async with lease.sought():
        yield lease


async def until_held(lease: Lease, seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not lease.held:
            await lease.wait(0.05)


async def test_one_holds_the_lease_and_a_standby_takes_it_when_given_back(
    write_side: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RENEW_EVERY", 0.05)
    first, second = Lease(write_side.engine, "first"), Lease(write_side.engine, "second")
    async with keeping(first):
        await until_held(first)
        async with keeping(second):
            await asyncio.sleep(0.3)
            assert first.held
            assert not second.held
    async with keeping(second):
        await until_held(second, seconds=1)
    assert second.token == first.token + 1


async def test_a_holder_that_stops_renewing_loses_the_lease(
    write_side: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RENEW_EVERY", 0.05)
    monkeypatch.setattr(outbox, "LEASE_SECONDS", 1.2)
    paused = Lease(write_side.engine, "paused")
    await paused._take_or_renew()
    assert paused.held
    async with keeping(Lease(write_side.engine, "next")) as standby:
        await until_held(standby)
        assert not paused.held
        assert standby.token == paused.token + 1
        # what the paused one does when it wakes changes nothing
        await paused._take_or_renew()
        assert not paused.held


@pytest.fixture
async def box(write_side: WriteSide) -> AsyncIterator[Outbox]:
    async with Outbox(write_side.engine) as box:
        yield box


async def test_only_the_holder_settles(write_side: WriteSide, box: Outbox) -> None:
    lease = Lease(write_side.engine, "holder")
    await lease._take_or_renew()
    await write_side.register("Ana")
    positions = [row.position for row in await box.first()]
    with pytest.raises(LeaseLost):
        await box.settle(positions, lease.token - 1)
    assert [row.position for row in await box.first()] == positions
    await box.settle(positions, lease.token)
    assert await box.first() == []
    await lease._give_back()


async def test_pointers_come_in_the_order_of_positions(write_side: WriteSide, box: Outbox) -> None:
    await asyncio.gather(*(write_side.register(f"Ana {number}") for number in range(20)))
    positions = [row.position for row in await box.first()]
    assert len(positions) >= 20
    assert positions == sorted(positions)


async def test_a_parked_customers_pointers_wait(write_side: WriteSide, box: Outbox) -> None:
    parked, other = await write_side.register("Ana"), await write_side.register("Bia")
    await box.park(parked, 1, "for a test " * 100)
    await box.park(parked, 1, "twice")
    assert [(customer, position) for customer, position, _ in await box.parked()] == [(parked, 1)]
    waiting = {row.customer for row in await box.first()}
    assert other in waiting
    assert parked not in waiting
    assert await box.release(parked)
    assert not await box.release(parked)
    assert parked in {row.customer for row in await box.first()}


async def test_every_event_has_its_pointer_until_it_is_settled(write_side: WriteSide) -> None:
    await asyncio.gather(*(write_side.register(f"Ana {number}") for number in range(10)))
    async with database.session(write_side.engine) as session:
        last = "ORDER BY position DESC LIMIT 10"
        events = await session.rows(f"SELECT position FROM cf_events {last}")
        pointers = await session.rows(f"SELECT position FROM cf_outbox {last}")
    assert events == pointers
