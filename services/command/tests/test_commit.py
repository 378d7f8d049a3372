"""Groups of commands: who leaves hurts nobody, and who would wait too long is sent away."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from customerflow_command import commit
from customerflow_command.commit import GroupCommit, StoreBusy, open_commit_engine
from customerflow_command.customer.commands import RegisterCustomer
from customerflow_command.unit import HashedClaim, Unit
from customerflow_shared import database, service
from customerflow_shared.events import CustomerProfileChanged, CustomerRegistered
from customerflow_shared.ids import uuid7

from services.command.tests.conftest import renamed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from customerflow_command.mediator import Outcome
    from customerflow_shared.events import Recorded

    from services.command.tests.conftest import Start, WriteSide


class Slow(GroupCommit):
    """Takes some time for each group, and writes nothing."""

    def __init__(self, *, largest: int, patience: float) -> None:
        nowhere = open_commit_engine("mysql://nobody:nothing@127.0.0.1:1/nowhere")
        super().__init__(nowhere, on_commit=lambda: None, largest=largest, patience=patience)
        self.groups: list[list[Unit]] = []

    async def _transaction(self, group: Sequence[Unit]) -> None:
        self.groups.append([*group])
        await asyncio.sleep(0.02)
        for unit in group:
            unit.succeed(None)


def a_unit() -> Unit:
    return Unit(customer_id=uuid7(), events=[])


def refused(results: Sequence[int | BaseException | None]) -> int:
    assert all(result is None or isinstance(result, StoreBusy) for result in results)
    return sum(isinstance(result, StoreBusy) for result in results)


async def at_once(slow: Slow, units: int) -> int:
    """How many of them are refused."""
    return refused(await asyncio.gather(*(slow.write(a_unit()) for _ in range(units)), return_exceptions=True))


async def test_who_would_wait_too_long_is_refused_at_once() -> None:
    slow = Slow(largest=10, patience=0.05)
    async with service.background("group commit", slow.run):
        for _ in range(20):
            await slow.write(a_unit())
        # each group takes 20 ms or a little more: for two of them there is time, not for six
        assert 10 <= 60 - await at_once(slow, 60) <= 40
        assert await at_once(slow, 10) == 0


async def test_however_slow_it_was_the_next_group_is_tried() -> None:
    slow = Slow(largest=10, patience=0.001)
    async with service.background("group commit", slow.run):
        for _ in range(3):
            assert await at_once(slow, 10) == 0


async def test_no_more_wait_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "MAX_WAITING", 5)
    slow = Slow(largest=10, patience=60)
    async with service.background("group commit", slow.run):
        assert await at_once(slow, 8) == 3


async def test_who_has_left_is_not_written_and_takes_no_room() -> None:
    slow = Slow(largest=1, patience=60)
    units = [a_unit() for _ in range(50)]
    async with service.background("group commit", slow.run):
        tasks = [asyncio.create_task(slow.write(unit)) for unit in units]
        await asyncio.sleep(0.01)  # the first is being written
        for task in tasks[:40]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True] * 40 + [False] * 10
    assert slow.groups == [[units[0]], *([unit] for unit in units[40:])]


async def test_at_low_load_nobody_waits_for_others() -> None:
    slow = Slow(largest=500, patience=60)
    async with service.background("group commit", slow.run):
        for _ in range(5):
            await slow.write(a_unit())
    assert [len(group) for group in slow.groups] == [1] * 5


@pytest.mark.group_sizes
async def test_in_a_storm_of_cancellations_the_others_are_written_once(start: Start) -> None:
    """Of who is cancelled there is all or nothing."""
    tables = ("cf_events", "cf_outbox", "cf_claims", "cf_customer_keys", "cf_idempotency")
    async with start() as one, start() as other:
        customers = [await one.register("Ana") for _ in range(20)]
        before = {table: await one.count(table) for table in tables}
        head, run = await one.store.head(), uuid7().hex
        chance = random.Random(5)

        def registration(side: WriteSide, number: int) -> asyncio.Task[Outcome]:
            command = RegisterCustomer(customer_type="person", name=f"R {number}", email=f"{run}{number}@example.com")
            return asyncio.create_task(side.do(uuid7(), command, key=f"{run} {number}"))

        def change(side: WriteSide, number: int) -> asyncio.Task[Outcome]:
            return asyncio.create_task(side.do(chance.choice(customers), renamed(f"{run} {number}")))

        tasks = []
        for number in range(400):
            tasks.append((registration if number % 2 else change)(chance.choice([one, other]), number))
            if chance.random() < 0.1:
                await asyncio.sleep(chance.uniform(0, 0.02))
            if chance.random() < 0.6:
                chance.choice(tasks[-60:]).cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        # what was being written when the last were cancelled is written before this
        await asyncio.gather(one.register("After"), other.register("After"))

        feed = await one.feed()
        assert [event.position for event in feed] == list(range(1, len(feed) + 1))
        news = [event for event in feed if event.position > head][:]
        written = Counter(name for event in news if (name := told(event, run)))
        assert set(written.values()) == {1}
        places = {(event.customer_id, event.version): event.position for event in news}
        for number, result in enumerate(results):
            if isinstance(result, BaseException):
                continue
            assert written[f"{run} {number}"] == 1
            assert places[result.id, result.version] == result.position
        assert sum(isinstance(result, asyncio.CancelledError) for result in results) > 20
        assert sum(not isinstance(result, BaseException) for result in results) > 20

        registered = sum(isinstance(event.event, CustomerRegistered) for event in news)
        grown = {table: await one.count(table) - before[table] for table in tables}
        assert grown == {
            "cf_events": len(news),
            "cf_outbox": len(news),
            "cf_claims": registered - 2,
            "cf_customer_keys": registered,
            "cf_idempotency": registered - 2,
        }


def told(recorded: Recorded, run: str) -> str | None:
    """The command of the storm that has recorded it."""
    event = recorded.event
    if isinstance(event, CustomerRegistered) and event.email and event.email.startswith(run):
        return f"{run} {event.name.removeprefix('R ')}"
    if isinstance(event, CustomerProfileChanged) and event.personal and event.personal.name:
        return str(event.personal.name)
    return None


async def test_a_claim_that_was_left_over_is_taken_again(write_side: WriteSide) -> None:
    """As after a time in which addresses did not have to be unique."""
    customer = await write_side.register("Ana", "before@example.com")
    async with database.session(write_side.engine) as session:
        held = await session.rows("SELECT kind, key_hash FROM cf_claims WHERE customer_id = %s", (customer.bytes,))
        again = Unit(customer_id=customer, events=[], take=frozenset(HashedClaim(*row) for row in held))
    assert len(held) == 1
    assert await write_side.commit.write(again) is None
    assert await write_side.count("cf_claims") >= 1


async def test_without_its_counter_nothing_is_written(start: Start, migrated: object) -> None:
    """Whatever else is restored wrongly: no position is given twice."""
    async with start() as one:
        await one.register("Ana")
        async with start() as other, database.session(one.engine) as session:
            before = await one.count("cf_events")
            await session.run("UPDATE cf_position SET id = 2")
            await session.commit()
            try:
                for side in (one, other):
                    with pytest.raises((StoreBusy, database.DatabaseRefused)):
                        await side.register("Bia")
            finally:
                await session.run("UPDATE cf_position SET id = 1")
                await session.commit()
        assert await one.count("cf_events") == before
        await one.register("Caio")
