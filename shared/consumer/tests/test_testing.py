"""The harness lets right handlers pass, and catches each way to be wrong."""

import random
import sqlite3
from typing import Any

import pytest
from customerflow_consumer import Handlers
from customerflow_consumer.testing import MemoryInbox, deliveries, prove
from customerflow_contract.cloud_event import CloudEvent
from customerflow_contract.events import CustomerConsentChangedV1, CustomerRegisteredV1

from .events import ANA, BRUNO, CECILIA, Heard, consent, counting, life

EVENTS = [*life(ANA, 8), *life(BRUNO, 5), *life(CECILIA, 3)]


def test_each_event_is_delivered_and_some_twice_the_first_time_in_its_customers_order() -> None:
    for seed in range(50):
        found = deliveries(EVENTS, random.Random(seed))
        first = list(dict.fromkeys(event.id for event in found))
        assert len(found) > len(EVENTS)
        for customer in (ANA, BRUNO, CECILIA):
            ids = [event.id for event in EVENTS if event.subject == customer]
            assert [one for one in first if one in ids] == ids
    overtaking = deliveries(EVENTS, random.Random(1), overtaking=True)
    assert {event.id for event in overtaking} == {event.id for event in EVENTS}
    assert list(dict.fromkeys(event.id for event in overtaking if event.subject == ANA)) != [
        event.id for event in EVENTS if event.subject == ANA
    ]


async def test_what_is_changed_with_the_transaction_is_there_once() -> None:
    await prove(counting(), EVENTS, Heard, lambda inbox: inbox.everything())


async def test_an_effect_outside_the_transaction_is_caught() -> None:
    handlers, mails = Handlers[dict[str, Any]](), list[str]()

    @handlers.on(CustomerRegisteredV1)
    async def _(event: CustomerRegisteredV1, told: CloudEvent, transaction: dict[str, Any]) -> None:
        mails.append(str(told.id))

    def sent(_: MemoryInbox) -> object:
        found = sorted(mails)
        mails.clear()
        return found

    with pytest.raises(AssertionError, match="ends otherwise"):
        await prove(handlers, EVENTS, MemoryInbox, sent)


async def test_a_handler_that_fails_is_named() -> None:
    with pytest.raises(AssertionError, match=r"a handler has failed: ZeroDivisionError in count_update \(events.py"):
        await prove(counting({"name": ZeroDivisionError()}), EVENTS, Heard, lambda inbox: inbox.everything())


def last_consents(guarded: bool) -> Handlers[dict[str, Any]]:
    handlers = Handlers[dict[str, Any]]()

    @handlers.on(CustomerConsentChangedV1, overtaken=True)
    async def _(event: CustomerConsentChangedV1, told: CloudEvent, transaction: dict[str, Any]) -> None:
        if not guarded or transaction.get(event.purpose, (0,))[0] < event.version:
            transaction[event.purpose] = event.version, event.state

    return handlers


@pytest.mark.parametrize("guarded", [True, False])
async def test_what_comes_late_may_not_undo_what_came_before_it(guarded: bool) -> None:
    events = [
        consent(ANA, version, "granted" if version % 2 else "withdrawn", purpose)
        for version in range(1, 9)
        for purpose in ("marketing", "terms")
    ]

    async def proved() -> None:
        await prove(last_consents(guarded), events, MemoryInbox, lambda inbox: inbox.kept, overtaking=True)

    if guarded:
        await proved()
    else:
        with pytest.raises(AssertionError, match="ends otherwise"):
            await proved()


async def test_who_does_not_take_what_was_overtaken_is_not_proved_for_it() -> None:
    with pytest.raises(AssertionError, match="ends otherwise"):
        await prove(counting(), EVENTS, Heard, lambda inbox: inbox.everything(), overtaking=True)


def test_the_connection_is_there_for_whoever_keeps_tables_of_their_own() -> None:
    with Heard() as inbox:
        assert isinstance(inbox.connection, sqlite3.Connection)
    with pytest.raises(sqlite3.ProgrammingError):
        inbox.connection.execute("SELECT 1")
