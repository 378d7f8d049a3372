"""Every answer tells where in the feed its version stands, so that a query can be asked for no less."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from customerflow_command.customer.commands import ChangeCustomer, RegisterCustomer, RequestErasure, TagCustomer
from customerflow_shared.database import utc_now
from customerflow_shared.ids import uuid7
from customerflow_shared.values import PersonalProfile

if TYPE_CHECKING:
    from customerflow_command.mediator import Outcome

    from services.command.tests.conftest import Start, WriteSide


def a_registration(name: str) -> RegisterCustomer:
    return RegisterCustomer(customer_type="person", name=name)


async def test_a_command_tells_the_position_of_its_last_event(write_side: WriteSide) -> None:
    registered = await write_side.do(uuid7(), a_registration("Ana"))
    assert registered.position == await write_side.store.head()
    change = ChangeCustomer(personal=PersonalProfile(name="Bia"), email="position@example.com")
    changed = await write_side.do(registered.id, change)
    assert (changed.version, changed.position) == (3, registered.position + 2)


@pytest.mark.group_sizes
async def test_commands_that_are_written_together_are_told_each_its_own(start: Start) -> None:
    async with start() as one, start() as other:

        async def work(side: WriteSide, number: int) -> list[Outcome]:
            registered = await side.do(uuid7(), a_registration(f"Ana {number}"))
            change = ChangeCustomer(personal=PersonalProfile(name="Bia"), email=f"together{number}@example.com")
            return [
                registered,
                await side.do(registered.id, change, key=f"together {number}"),
                await side.do(registered.id, TagCustomer(tag="vip")),
                await side.do(registered.id, TagCustomer(tag="vip"), key=f"nothing {number}"),
            ]

        groups = await asyncio.gather(*(work((one, other)[number % 2], number) for number in range(60)))
        written = {(event.customer_id, event.version): event.position for event in await one.feed()}
        told = [outcome for group in groups for outcome in group]
        assert [one.position for one in told] == [written[one.id, one.version] for one in told]


async def test_who_changes_nothing_is_told_where_the_version_was_reached(write_side: WriteSide) -> None:
    customer = await write_side.register()
    tagged = await write_side.do(customer, TagCustomer(tag="vip"))
    await write_side.register("Beside")
    for key in (None, "nothing", "nothing"):
        again = await write_side.do(customer, TagCustomer(tag="vip"), key=key)
        assert (again.version, again.position) == (tagged.version, tagged.position)


async def test_a_replay_is_told_the_position_of_the_first_time(start: Start) -> None:
    command = ChangeCustomer(personal=PersonalProfile(name="Bia"))
    async with start() as one, start() as other:
        customer = await one.register()
        first = await one.do(customer, command, key="replay")
        await one.rename(customer, "Caio")
        replayed = await other.do(customer, command, key="replay")
    assert replayed.replayed
    assert (replayed.version, replayed.position) == (first.version, first.position)


async def test_an_erasure_and_its_replay_have_a_position(write_side: WriteSide) -> None:
    customer = await write_side.register()
    command = RequestErasure(due_at=utc_now())
    first = await write_side.do(customer, command, key="erase")
    assert first.position == await write_side.store.head()
    assert (await write_side.do(customer, command, key="erase")).position == first.position
