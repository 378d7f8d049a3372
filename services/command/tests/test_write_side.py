"""Commands against a real database: what is acknowledged is there, once, in order, and unique."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from customerflow_command.commit import StoreBusy, open_commit_engine
from customerflow_command.customer.commands import ChangeCustomer, RestoreCustomer
from customerflow_command.customer.errors import CustomerIsArchived, CustomerNotFound
from customerflow_command.unit import VersionTaken
from customerflow_command.unit_of_work import ValueTaken, VersionMismatch
from customerflow_shared import database
from customerflow_shared.database import DatabaseUnavailable
from customerflow_shared.events import CustomerProfileChanged, CustomerRegistered
from customerflow_shared.ids import uuid7
from customerflow_shared.values import PersonalProfile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from customerflow_command.unit import Unit
    from customerflow_local.testing import Database

    from services.command.tests.conftest import Start, WriteSide


async def test_a_registered_customer_is_there(write_side: WriteSide) -> None:
    customer_id = await write_side.register("Ana", "here@example.com")
    known = await write_side.store.load(customer_id, fresh=True)
    assert known.state is not None
    assert (known.state.name, known.state.email, known.version) == ("Ana", "here@example.com", 1)


async def test_each_change_is_an_event_with_the_next_version(write_side: WriteSide) -> None:
    customer_id = await write_side.register("Ana")
    outcome = await write_side.do(
        customer_id, ChangeCustomer(personal=PersonalProfile(name="Bia"), email="bia1@example.com")
    )
    assert outcome.version == 3
    events = await write_side.history(customer_id)
    assert [event.version for event in events] == [1, 2, 3]
    assert [event.position for event in events][1:] == [events[1].position, events[1].position + 1]


async def test_a_command_that_changes_nothing_writes_nothing(write_side: WriteSide) -> None:
    customer_id = await write_side.register("Ana")
    before = await write_side.store.head()
    assert await write_side.rename(customer_id, "Ana") == 1
    assert (await write_side.do(customer_id, RestoreCustomer())).version == 1
    assert await write_side.store.head() == before


async def test_an_unknown_customer_is_not_found(write_side: WriteSide) -> None:
    with pytest.raises(CustomerNotFound):
        await write_side.rename(uuid7(), "Ana")


@pytest.mark.group_sizes
async def test_an_address_can_be_held_by_one_customer_only(write_side: WriteSide) -> None:
    first = await write_side.register("Ana", "one@example.com")
    with pytest.raises(ValueTaken):
        await write_side.register("Bia", "ONE@example.com")
    other = await write_side.register("Caio", "two@example.com")
    with pytest.raises(ValueTaken):
        await write_side.do(other, ChangeCustomer(email="one@example.com"))
    await write_side.do(first, ChangeCustomer(email="three@example.com"))
    await write_side.do(other, ChangeCustomer(email="one@example.com"))


@pytest.mark.group_sizes
async def test_a_loser_leaves_no_claim_behind(write_side: WriteSide) -> None:
    await write_side.register("Ana", "held@example.com")
    other = await write_side.register("Bia", "mine@example.com")
    claims = await write_side.count("cf_claims")
    keys = await write_side.count("cf_customer_keys")
    with pytest.raises(ValueTaken):
        await write_side.do(other, ChangeCustomer(email="held@example.com"))
    with pytest.raises(ValueTaken):
        await write_side.register("Caio", "held@example.com")
    assert await write_side.count("cf_claims") == claims
    assert await write_side.count("cf_customer_keys") == keys


async def test_an_archived_customer_keeps_its_address(write_side: WriteSide) -> None:
    customer_id = await write_side.register("Ana", "kept@example.com")
    await write_side.archive(customer_id)
    with pytest.raises(ValueTaken):
        await write_side.register("Bia", "kept@example.com")
    with pytest.raises(CustomerIsArchived):
        await write_side.rename(customer_id, "Bia")


@pytest.mark.group_sizes
async def test_of_many_at_once_one_gets_the_address(start: Start) -> None:
    async with start() as one, start() as other:
        for number in range(20):
            attempts = [side.register("Ana", f"race{number}@example.com") for side in [one, other] * 5]
            results = await asyncio.gather(*attempts, return_exceptions=True)
            assert sum(isinstance(result, UUID) for result in results) == 1
            assert sum(isinstance(result, ValueTaken) for result in results) == 9


@pytest.mark.group_sizes
async def test_swapping_addresses_at_once_never_deadlocks_for_good(start: Start) -> None:
    async with start() as one, start() as other:
        ids = [await one.register("Ana", f"swap{number}@example.com") for number in range(6)]

        async def change(number: int) -> None:
            side = random.choice([one, other])
            target = f"swap{random.randrange(6)}@example.com"
            with suppress(ValueTaken, VersionTaken):
                await side.do(random.choice(ids), ChangeCustomer(email=target))

        await asyncio.gather(*(change(number) for number in range(200)))
        states = [(await one.store.load(customer_id, fresh=True)).state for customer_id in ids]
        emails = [state.email for state in states if state]
        assert len(set(emails)) == 6
        assert await one.count("cf_claims") >= 6


async def test_a_command_sees_what_another_process_has_written(start: Start) -> None:
    """What is remembered in memory decides nothing but writes, and those are checked."""
    async with start() as one, start() as other:
        customer_id = await one.register("Ana")
        assert await other.rename(customer_id, "Bia", expected=1) == 2
        # one remembers version 1, where the name was Ana
        with pytest.raises(VersionMismatch) as caught:
            await one.rename(customer_id, "Ana", expected=1)
        assert caught.value.current == 2
        await other.archive(customer_id)
        with pytest.raises(CustomerIsArchived):
            await one.rename(customer_id, "Caio")
        await one.do(customer_id, RestoreCustomer())
        # other remembers it archived
        assert await other.rename(customer_id, "Caio") == 5


async def test_the_times_of_one_customer_never_run_back(start: Start) -> None:
    """Clocks differ, and whoever asks how a customer was at some time goes by them."""
    async with start() as one, start(late=timedelta(minutes=5)) as other:
        customer_id = await one.register("Ana")
        await other.rename(customer_id, "Bia")
        await other.rename(customer_id, "Caio")
        await one.rename(customer_id, "Davi")
        times = [event.recorded_at for event in await one.history(customer_id)]
        assert times[0] == times[1] == times[2] <= times[3]


@pytest.mark.group_sizes
async def test_a_lost_race_is_told_when_a_version_was_expected(start: Start) -> None:
    async with start() as one, start() as other:
        customer_id = await one.register("Ana")
        await other.store.load(customer_id)
        results: list[int | BaseException] = await asyncio.gather(
            *(side.rename(customer_id, f"name {number}", expected=1) for number, side in enumerate([one, other] * 4)),
            return_exceptions=True,
        )
        assert [result for result in results if not isinstance(result, Exception)] == [2]
        assert all(isinstance(result, int | VersionMismatch) for result in results)


@pytest.mark.group_sizes
async def test_without_an_expected_version_lost_races_are_run_again(start: Start) -> None:
    async with start() as one, start() as other:
        customer_id = await one.register("Ana")
        await asyncio.gather(
            *(side.rename(customer_id, f"name {number}") for number, side in enumerate([one, other])),
        )
        assert (await one.store.load(customer_id, fresh=True)).version == 3


@pytest.mark.group_sizes
async def test_positions_are_gapless_and_versions_contiguous_whoever_writes(start: Start) -> None:
    async with start() as one, start() as other:
        before = await one.store.head()

        async def work(side: WriteSide, number: int) -> None:
            customer_id = await side.register(f"Ana {number}", f"gap{number}@example.com")
            for change in range(4):
                await side.rename(customer_id, f"Ana {number} {change}")
            with suppress(ValueTaken):
                await side.register("Bia", f"gap{number}@example.com")

        await asyncio.gather(*(work(random.choice([one, other]), number) for number in range(60)))
        feed = await one.feed()
        assert [event.position for event in feed] == list(range(1, len(feed) + 1))
        news = [event for event in feed if event.position > before]
        assert len(news) == 300
        for _, events in groupby(sorted(news, key=lambda event: event.customer_id), lambda event: event.customer_id):
            assert [event.version for event in events] == [1, 2, 3, 4, 5]


@pytest.mark.group_sizes
async def test_a_reader_that_keeps_its_position_misses_nothing(start: Start) -> None:
    async with start() as one, start() as other:
        seen: list[int] = []
        position = await one.store.head()
        writing = True

        async def follow() -> None:
            nonlocal position
            while writing:
                async for page in one.store.feed(position, await one.store.head()):
                    seen.extend(event.position for event in page)
                    position = page[-1].position

        follower = asyncio.create_task(follow())
        start_position = position
        await asyncio.gather(*(random.choice([one, other]).register(f"R {number}") for number in range(400)))
        await asyncio.sleep(0.1)
        writing = False
        await follower
        assert seen == list(range(start_position + 1, start_position + 401))


@pytest.mark.usefixtures("natural_groups")
async def test_commands_that_arrive_together_are_written_together(write_side: WriteSide) -> None:
    sizes: list[int] = []
    write_group = write_side.commit._write_group

    async def counted(group: Sequence[Unit]) -> None:
        sizes.append(len(group))
        await write_group(group)

    write_side.commit._write_group = counted  # type: ignore[method-assign]  # only to look
    await asyncio.gather(*(write_side.register(f"G {number}") for number in range(100)))
    assert sum(sizes) == 100
    assert len(sizes) < 10


@pytest.mark.group_sizes
async def test_one_conflict_in_a_group_fails_alone(start: Start) -> None:
    async with start() as one, start() as other:
        customer_id = await one.register("Ana")
        await other.rename(customer_id, "Bia")  # one still remembers version 1
        results = await asyncio.gather(
            one.rename(customer_id, "Caio", expected=1),
            *(one.register(f"Beside {number}") for number in range(10)),
            return_exceptions=True,
        )
        assert isinstance(results[0], VersionMismatch)
        assert all(isinstance(result, UUID) for result in results[1:])


async def test_events_come_back_as_they_were_decided(write_side: WriteSide) -> None:
    customer_id = await write_side.register("Zoë 😀 \"quoted\" \\ 'x' %s", "zoe@example.com")
    await write_side.rename(customer_id, "名前")
    registered, renamed = await write_side.history(customer_id)
    assert registered.event == CustomerRegistered(
        customer_type="person", name="Zoë 😀 \"quoted\" \\ 'x' %s", email="zoe@example.com"
    )
    assert renamed.event == CustomerProfileChanged(
        changed=("name",),
        personal=PersonalProfile(name="名前"),
        previous_personal=PersonalProfile(name="Zoë 😀 \"quoted\" \\ 'x' %s"),
    )
    assert registered.recorded_at.microsecond % 1000 == 0
    assert [one.version async for page in write_side.store.stream(customer_id, 1) for one in page] == [2]


@pytest.mark.group_sizes
async def test_a_cancelled_command_leaves_all_or_nothing(write_side: WriteSide) -> None:
    async def impatient(number: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0, 0.01)):
                await write_side.register("Ana", f"cancel{number}@example.com")

    await asyncio.gather(*(impatient(number) for number in range(200)))
    await write_side.register("After")
    registered = [event for event in await write_side.feed() if isinstance(event.event, CustomerRegistered)]
    emails = {event.event.email for event in registered if isinstance(event.event, CustomerRegistered)}
    for number in range(200):
        email = f"cancel{number}@example.com"
        if email in emails:
            with pytest.raises(ValueTaken):
                await write_side.register("Bia", email)
        else:
            await write_side.register("Bia", email)


@pytest.mark.usefixtures("natural_groups")
async def test_rivals_for_one_customer_do_not_hold_up_the_others(start: Start) -> None:
    """Lost races are told apart at the beginning of a transaction: nobody is written one by one because of them."""
    async with start() as one, start() as other:
        hot = await one.register("Ana")
        transactions = 0
        transaction = one.commit._transaction

        async def counted(group: Sequence[Unit]) -> None:
            nonlocal transactions
            transactions += 1
            await transaction(group)

        one.commit._transaction = counted  # type: ignore[method-assign]  # only to count
        rivals = [side.rename(hot, f"name {number}") for number, side in enumerate([one, other] * 8)]
        results = await asyncio.gather(
            *rivals, *(one.register(f"Beside {number}") for number in range(200)), return_exceptions=True
        )
        assert sum(isinstance(result, UUID) for result in results) == 200
        assert all(isinstance(result, int | UUID | VersionTaken) for result in results)
        assert transactions < 60


async def test_what_waits_for_a_contended_value_does_not_hold_up_the_others(
    write_side: WriteSide, migrated: Database
) -> None:
    await write_side.register("Ana", "free@example.com")
    engine = database.open_engine(migrated.owner_url)
    async with database.session(engine) as rival:
        await rival.run("DELETE FROM cf_claims")  # and does not commit
        contended = asyncio.create_task(write_side.register("Bia", "free@example.com"))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(4):
            await write_side.register("Caio")
        with pytest.raises(StoreBusy):
            await contended
    await engine.dispose()


async def test_a_frozen_process_does_not_stop_the_others_for_long(start: Start, migrated: Database) -> None:
    """The server frees the counter when a session has been silent in the middle of its transaction."""
    engine = open_commit_engine(migrated.url)
    async with start() as alive:
        with pytest.raises(DatabaseUnavailable):
            async with database.session(engine) as frozen:
                await frozen.run("SET SESSION wait_timeout = 2")
                await frozen.run("UPDATE cf_position SET head = head + 1 WHERE id = 1")
                async with asyncio.timeout(8):
                    await alive.register("Ana")
                await frozen.commit()
        feed = await alive.feed()
        assert [event.position for event in feed] == list(range(1, len(feed) + 1))
    await engine.dispose()
