"""Registering or changing whoever has an external id, by its external id."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from customerflow_command.customer.commands import ChangeCustomer, RequestErasure, UnlinkExternalId, UpsertCustomer
from customerflow_command.customer.errors import CustomerIsArchived, RegistrationIncomplete
from customerflow_command.unit_of_work import ValueTaken, VersionMismatch
from customerflow_shared.database import utc_now
from customerflow_shared.values import ExternalId, PersonalProfile, Profile
from msgspec import UNSET, UnsetType

if TYPE_CHECKING:
    from services.command.tests.conftest import Start, WriteSide


def upsert(value: str, name: str, email: str | UnsetType = UNSET) -> UpsertCustomer:
    change = ChangeCustomer(profile=Profile(type="person"), personal=PersonalProfile(name=name), email=email)
    return UpsertCustomer(external_id=ExternalId(source="erp", value=value), change=change)


async def test_the_first_time_registers_and_the_next_ones_change(write_side: WriteSide) -> None:
    command = upsert("1", "Ana")
    first = await write_side.do(command.external_id, command)
    assert (first.version, first.created) == (1, True)
    again = await write_side.do(command.external_id, command)
    assert (again.id, again.version, again.created) == (first.id, 1, False)
    changed = await write_side.do(command.external_id, upsert("1", "Bia"), expected=1)
    assert (changed.id, changed.version, changed.created) == (first.id, 2, False)


async def test_an_expected_version_is_minded(write_side: WriteSide) -> None:
    command = upsert("2", "Ana")
    with pytest.raises(VersionMismatch):
        await write_side.do(command.external_id, command, expected=1)
    await write_side.do(command.external_id, command)
    with pytest.raises(VersionMismatch):
        await write_side.do(command.external_id, upsert("2", "Bia"), expected=2)


async def test_to_register_type_and_name_are_needed(write_side: WriteSide) -> None:
    external_id = ExternalId(source="erp", value="3")
    with pytest.raises(RegistrationIncomplete) as caught:
        await write_side.do(external_id, UpsertCustomer(external_id=external_id, change=ChangeCustomer()))
    assert set(caught.value.missing) == {"type", "name"}


async def test_another_value_that_is_taken_is_told(write_side: WriteSide) -> None:
    await write_side.register("Ana", "taken@example.com")
    command = upsert("4", "Bia", email="taken@example.com")
    with pytest.raises(ValueTaken) as caught:
        await write_side.do(command.external_id, command)
    assert [claim.kind for claim in caught.value.claims] == ["email"]


async def test_an_archived_customer_is_found_and_refuses(write_side: WriteSide) -> None:
    command = upsert("5", "Ana")
    customer = (await write_side.do(command.external_id, command)).id
    await write_side.archive(customer)
    with pytest.raises(CustomerIsArchived):
        await write_side.do(command.external_id, upsert("5", "Bia"))


@pytest.mark.group_sizes
async def test_of_many_at_once_one_registers_and_the_others_follow(start: Start) -> None:
    async with start() as one, start() as other:
        for number in range(15):
            commands = [upsert(f"race {number}", f"name {copy}") for copy in range(6)]
            outcomes = await asyncio.gather(
                *(
                    side.do(command.external_id, command)
                    for side, command in zip([one, other] * 3, commands, strict=True)
                )
            )
            assert len({outcome.id for outcome in outcomes}) == 1
            assert sum(outcome.created for outcome in outcomes) == 1
            assert sorted(outcome.version for outcome in outcomes) == [1, 2, 3, 4, 5, 6]


async def test_an_external_id_that_was_unlinked_elsewhere_is_free_again(start: Start) -> None:
    async with start() as one, start() as other:
        command = upsert("free", "Ana")
        first = (await one.do(command.external_id, command)).id
        await other.store.load(first)
        await one.do(first, UnlinkExternalId(external_id=command.external_id))
        second = await other.do(command.external_id, command)
        assert (second.created, second.id != first) == (True, True)


async def test_a_sync_that_meets_an_erasure_registers_anew(start: Start) -> None:
    async with start() as one, start() as other:
        for number in range(20):
            command = upsert(f"erased {number}", "Ana")
            first = (await one.do(command.external_id, command)).id
            erasure = RequestErasure(due_at=utc_now())
            _, *outcomes = await asyncio.gather(
                one.do(first, erasure), *(side.do(command.external_id, command) for side in (one, other, one))
            )
            last = await other.do(command.external_id, command)
            assert {outcome.id for outcome in outcomes} <= {first, last.id}
            assert last.id != first
