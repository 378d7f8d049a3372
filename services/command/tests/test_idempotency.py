"""A command that is sent again with its key has no second effect, and gets the first answer again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from customerflow_command.customer.commands import (
    AddTaxId,
    ChangeCustomer,
    RegisterCustomer,
    TagCustomer,
    UntagCustomer,
)
from customerflow_command.idempotency import KeyInFlight, KeyReused, purge
from customerflow_command.mediator import Outcome
from customerflow_command.unit_of_work import ValueTaken
from customerflow_shared import database
from customerflow_shared.events import CustomerRegistered
from customerflow_shared.ids import uuid7
from customerflow_shared.values import PersonalProfile, TaxId

if TYPE_CHECKING:
    from customerflow_local.testing import Database

    from services.command.tests.conftest import Start, WriteSide


def renaming_to(name: str) -> ChangeCustomer:
    return ChangeCustomer(personal=PersonalProfile(name=name))


def a_registration(email: str) -> RegisterCustomer:
    return RegisterCustomer(customer_type="person", name="Ana", email=email)


async def test_the_second_time_the_first_answer_is_given_again(write_side: WriteSide) -> None:
    command = a_registration("again@example.com")
    first = await write_side.do(uuid7(), command, key="again")
    before = await write_side.store.head()
    second = await write_side.do(uuid7(), command, key="again")
    assert (second.id, second.version, second.created, second.replayed) == (first.id, 1, True, True)
    assert not first.replayed
    assert await write_side.store.head() == before


async def test_the_answer_is_that_of_the_first_time_whatever_has_happened_since(write_side: WriteSide) -> None:
    customer = await write_side.register()
    command = AddTaxId(tax_id=TaxId(id=uuid7(), type="other", value="42"))
    first = await write_side.do(customer, command, key="tax id")
    assert await write_side.rename(customer, "Bia", expected=2) == 3
    second = await write_side.do(customer, command, expected=1, key="tax id")
    assert (second.version, second.resource) == (2, command.tax_id.id) == (first.version, first.resource)


async def test_a_command_that_changed_nothing_is_not_carried_out_later(write_side: WriteSide) -> None:
    customer = await write_side.register()
    await write_side.do(customer, TagCustomer(tag="vip"))
    assert (await write_side.do(customer, TagCustomer(tag="vip"), key="vip")).version == 2
    await write_side.do(customer, UntagCustomer(tag="vip"))
    assert (await write_side.do(customer, TagCustomer(tag="vip"), key="vip")).version == 2
    assert len(await write_side.history(customer)) == 3


async def test_a_key_is_for_one_command_only(write_side: WriteSide) -> None:
    customer = await write_side.register()
    await write_side.do(customer, TagCustomer(tag="vip"), key="mine")
    with pytest.raises(KeyReused):
        await write_side.do(customer, TagCustomer(tag="new"), key="mine")
    assert len(await write_side.history(customer)) == 2


async def test_a_refusal_is_not_kept(write_side: WriteSide) -> None:
    holder = await write_side.register("Ana", "wanted@example.com")
    command = a_registration("wanted@example.com")
    keys = await write_side.count("cf_idempotency")
    with pytest.raises(ValueTaken):
        await write_side.do(uuid7(), command, key="later")
    assert await write_side.count("cf_idempotency") == keys
    await write_side.do(holder, ChangeCustomer(email=None))
    assert not (await write_side.do(uuid7(), command, key="later")).replayed


@pytest.mark.group_sizes
async def test_while_a_command_is_carried_out_its_key_is_in_flight(write_side: WriteSide) -> None:
    customer = await write_side.register()
    results: list[Outcome | BaseException] = await asyncio.gather(
        *(write_side.do(customer, TagCustomer(tag="vip"), key="at once") for _ in range(5)),
        write_side.do(customer, TagCustomer(tag="new"), key="at once"),
        return_exceptions=True,
    )
    assert isinstance(results[0], Outcome)
    assert [type(result) for result in results[1:]] == [KeyInFlight] * 4 + [KeyReused]


@pytest.mark.group_sizes
async def test_copies_at_several_processes_have_one_effect_and_one_answer(start: Start) -> None:
    """Whatever the others would run into (a taken address, a newer version), they get the answer of the first."""
    async with start() as one, start() as other:
        changed = await one.register()
        for number in range(30):
            registration = a_registration(f"copy{number}@example.com")
            registered = await asyncio.gather(
                *(side.do(uuid7(), registration, key=f"register {number}") for side in (one, other))
            )
            renaming = await asyncio.gather(
                *(
                    side.do(changed, renaming_to(f"name {number}"), expected=number + 1, key=f"rename {number}")
                    for side in (one, other)
                )
            )
            for answers in (registered, renaming):
                assert answers[0].id == answers[1].id
                assert answers[0].version == answers[1].version
                assert sorted(answer.replayed for answer in answers) == [False, True]
        assert (await one.store.load(changed, fresh=True)).version == 31


@pytest.mark.group_sizes
async def test_a_crash_between_commit_and_answer_is_settled_by_the_next_try(write_side: WriteSide) -> None:
    for number in range(20):
        command = a_registration(f"crash{number}@example.com")
        first = asyncio.create_task(write_side.do(uuid7(), command, key=f"crash {number}"))
        while not write_side.commit._waiting:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # its transaction has begun
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        answer = await write_side.do(uuid7(), command, key=f"crash {number}")
        assert len(await write_side.history(answer.id)) == 1
    emails = [one.event.email for one in await write_side.feed() if isinstance(one.event, CustomerRegistered)]
    assert len([email for email in emails if email and email.startswith("crash")]) == 20


async def test_keys_are_forgotten_after_their_time(write_side: WriteSide, migrated: Database) -> None:
    await write_side.do(uuid7(), a_registration("old@example.com"), key="old")
    await write_side.do(uuid7(), a_registration("young@example.com"), key="young")
    owner = database.open_engine(migrated.owner_url)
    async with database.session(owner) as session:
        await session.run("UPDATE cf_idempotency SET created_at = created_at - INTERVAL 6 DAY")
        await session.commit()
        assert await purge(write_side.engine) == 0
        kept = await write_side.count("cf_idempotency")
        await session.run("UPDATE cf_idempotency SET created_at = created_at - INTERVAL 1 DAY LIMIT 1")
        await session.commit()
    await owner.dispose()
    assert await purge(write_side.engine) == 1
    assert await write_side.count("cf_idempotency") == kept - 1


async def test_what_is_kept_names_nobody(write_side: WriteSide) -> None:
    await write_side.do(uuid7(), a_registration("nobody@example.com"), key="nobody@example.com")
    async with database.session(write_side.engine) as session:
        rows = await session.rows("SELECT * FROM cf_idempotency")
    assert b"nobody" not in repr(rows).encode()
