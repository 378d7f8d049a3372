"""What the write side has done is counted by what became of it, and what waits is told while it is known."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import DeliveryError, PublishError
from customerflow_command import commit, mediator, outbox, relay
from customerflow_command.confirms import Confirmation, Sent
from customerflow_command.customer.commands import ArchiveCustomer
from customerflow_command.customer.errors import CustomerNotFound
from customerflow_command.mediator import Handler, Outcome, Request, by_system, counted, retrying_lost_races
from customerflow_command.outbox import Lease, Outbox
from customerflow_command.unit import VersionTaken
from customerflow_command.unit_of_work import ValueTaken
from customerflow_shared import conventions, database, telemetry
from customerflow_shared.problems import Problem
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from sqlalchemy.ext.asyncio import AsyncEngine

if TYPE_CHECKING:
    from services.command.tests.conftest import Start, WriteSide

ANA = UUID(int=0xA)
REQUEST = by_system(ANA, ArchiveCustomer())


def answering(*answers: Outcome | BaseException) -> Handler:
    left = list(answers)

    async def handle(_: Request) -> Outcome:
        answer = left.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return handle


@pytest.mark.parametrize(
    ("answer", "became"),
    [
        (Outcome(id=ANA, version=1), "done"),
        (Outcome(id=ANA, version=1, replayed=True), "replayed"),
        (Outcome(id=ANA, version=1, refusal="wrong-code"), "refused"),
        (CustomerNotFound(), "CustomerNotFound"),
        (Problem("invalid-fields", "ana@example.com"), "invalid-fields"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
async def test_a_command_is_counted_once_by_what_became_of_it(answer: Outcome | BaseException, became: str) -> None:
    before = mediator._commands.value("ArchiveCustomer", became)
    handle = answering(answer)
    if isinstance(answer, BaseException):
        with pytest.raises(type(answer)):
            await counted(REQUEST, handle)
    else:
        assert await counted(REQUEST, handle) is answer
    assert mediator._commands.value("ArchiveCustomer", became) == before + 1


async def test_each_further_look_is_counted() -> None:
    before = mediator._retries.value()
    done = Outcome(id=ANA, version=1)
    assert await retrying_lost_races(3)(REQUEST, answering(VersionTaken(), VersionTaken(), done)) is done
    assert mediator._retries.value() == before + 2


async def test_what_is_taken_by_others_is_counted_as_a_conflict(start: Start) -> None:
    before = commit._conflicts.value("claim")
    async with start() as one, start() as other:
        for side in (one, other):  # each looks before it writes from now on
            await side.register(f"Ana {side.engine}")
        tries = [side.register("Ana", email="race@example.com") for side in (one, other) for _ in range(2)]
        results = await asyncio.gather(*tries, return_exceptions=True)
    taken = [one for one in results if isinstance(one, ValueTaken)]
    assert len(taken) == 3
    assert commit._conflicts.value("claim") - before == 3


async def test_groups_and_their_time_are_measured(write_side: WriteSide) -> None:
    groups, done = commit._group_sizes.count(), commit._group_seconds.count("done")
    await asyncio.gather(*(write_side.register(f"Ana {number}") for number in range(20)))
    grown = commit._group_sizes.count() - groups
    assert 1 <= grown <= 20
    assert commit._group_seconds.count("done") - done == grown


async def test_what_waits_in_the_outbox_is_told_with_its_age(write_side: WriteSide) -> None:
    box = Outbox(write_side.engine)
    await box._measure()
    before = outbox._backlog.value()
    assert before is not None
    await write_side.register("Ana")
    await box._measure()
    assert outbox._backlog.value() == before + 1
    age = outbox._oldest.value()
    assert age is not None
    assert 0 <= age < 60
    parked = outbox._parked.value()
    (row, *_) = await box.first()
    await box.park(row.customer, row.position, "it cannot be read")
    await box._measure()
    assert parked is not None
    assert outbox._parked.value() == parked + 1
    await box.release(row.customer)
    await box.__aexit__(None, None, None)


async def test_a_long_outbox_is_counted_up_to_a_bound(write_side: WriteSide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "COUNTED", 2)
    for number in range(3):
        await write_side.register(f"Ana {number}")
    await Outbox(write_side.engine)._measure()
    assert outbox._backlog.value() == 2


async def test_while_the_database_is_away_nothing_is_told_of_the_outbox() -> None:
    for gauge in (outbox._backlog, outbox._oldest, outbox._parked):
        gauge.set(1)
    watch = asyncio.create_task(Outbox(nowhere()).watch())
    await asyncio.sleep(0.3)
    assert [one.value() for one in (outbox._backlog, outbox._oldest, outbox._parked)] == [None] * 3
    watch.cancel()


def nowhere() -> AsyncEngine:
    return database.open_engine("mysql://nobody:nothing@127.0.0.1:1/nowhere")


async def test_statements_are_measured_by_what_they_do_and_to_which_table(write_side: WriteSide) -> None:
    def asked(operation: str, table: str) -> int:
        return conventions._asked.count("mysql", operation, table, "")

    batches, looks = asked("BATCH", ""), asked("SELECT", "cf_events")
    customer = await write_side.register("Ana")
    assert asked("BATCH", "") == batches + 1
    write_side.store.cache.doubt(customer)
    await write_side.store.load(customer, fresh=True)
    assert asked("SELECT", "cf_events") > looks


def test_a_statement_s_table_is_found() -> None:
    found = {
        "SELECT head FROM cf_position": ("SELECT", "cf_position"),
        "INSERT IGNORE INTO cf_outbox_parked (customer_id": ("INSERT", "cf_outbox_parked"),
        "UPDATE cf_leases SET expires_at": ("UPDATE", "cf_leases"),
        "DELETE FROM cf_outbox WHERE": ("DELETE", "cf_outbox"),
        "SELECT COUNT(*) FROM (SELECT position FROM cf_outbox": ("SELECT", "cf_outbox"),
        "SET TRANSACTION ISOLATION LEVEL": ("SET", ""),
    }
    assert {statement: database._operation(statement) for statement in found} == found


def test_the_pools_tell_how_many_connections_they_have() -> None:
    engine = database.open_engine("mysql://nobody:nothing@127.0.0.1:1/nowhere", connections=7)
    assert (conventions.MOST_CONNECTIONS.value("mysql") or 0) >= 7
    assert (conventions.CONNECTIONS.value("mysql", "used") or 0) >= 0
    assert engine.pool.status()


def returned() -> PublishError:
    told = Basic.Return(312, "NO_ROUTE", "customerflow.domain", "7")
    return PublishError(DeliveredMessage(told, ContentHeader(), b"", Channel.__new__(Channel)), Basic.Ack())


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (returned(), "returned"),
        (DeliveryError(None, Basic.Nack()), "refused"),
        (None, "unanswered"),
        (ConnectionError(), "unanswered"),
    ],
)
async def test_a_message_is_counted_by_what_the_broker_has_answered(error: Exception | None, answer: str) -> None:
    sent = Sent(asyncio.get_running_loop().create_future(), 2)
    sent.confirmations[0].set_result(None)
    if error is not None:
        sent.confirmations[1].set_exception(error)
    confirmed = relay._confirms.value("customerflow.domain", "confirmed")
    others = relay._confirms.value("customerflow.domain", answer)
    relay._count("customerflow.domain", sent)
    assert relay._confirms.value("customerflow.domain", "confirmed") == confirmed + 1
    assert relay._confirms.value("customerflow.domain", answer) == others + 1
    assert isinstance(sent.confirmations[0], Confirmation)


async def test_who_holds_the_lease_is_active(write_side: WriteSide) -> None:
    lease = Lease(write_side.engine, "measured")
    assert outbox._active.value() == 0
    await lease._take_or_renew()
    assert outbox._active.value() == 1
    await lease._give_back()
    assert outbox._active.value() == 0


async def test_while_a_command_is_carried_out_log_lines_tell_its_correlation_id() -> None:
    seen = []

    async def handle(_: Request) -> Outcome:
        seen.append(telemetry.CORRELATION.get())
        return Outcome(id=ANA, version=1)

    await mediator.traced(REQUEST, handle)
    assert seen == [REQUEST.correlation_id]
    assert telemetry.CORRELATION.get() is None
