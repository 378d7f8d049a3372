"""One effect each, in order per customer; what fails too often waits, and others with it only if they are its own."""

import asyncio
import logging
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from customerflow_consumer import Handlers, Outcome, Retries, TryLater, deliveries
from customerflow_consumer.deliveries import Deliveries
from customerflow_consumer.testing import MemoryInbox
from customerflow_contract.cloud_event import CloudEvent, encode
from customerflow_contract.events import CustomerUpdatedV1
from msgspec import UNSET
from msgspec.structs import replace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from .events import ANA, BRUNO, POISON, Heard, as_heard, consent, counting, life, registered, unhandled, updated

QUICK = Retries(attempts=3, first_pause=0)


@pytest.fixture
def inbox() -> Iterator[Heard]:
    with Heard() as it:
        yield it


async def delivered(to: Deliveries[Any], *events: CloudEvent) -> list[Outcome]:
    return [await to.deliver(event, encode(event)) for event in events]


async def test_what_is_delivered_twice_has_one_effect(inbox: Heard) -> None:
    it, events = Deliveries(counting(), inbox, QUICK), life(ANA, 6)
    assert await delivered(it, *events) == [Outcome.APPLIED] * 6
    assert await delivered(it, *events) == [Outcome.DUPLICATE] * 6
    assert inbox.of(ANA) == as_heard(events)


async def test_events_that_share_a_sequence_are_told_apart_by_their_ids(inbox: Heard) -> None:
    events = [registered(ANA), consent(ANA, 1), consent(ANA, 1, purpose="terms")]
    assert len({event.sequence for event in events}) == 1
    await delivered(Deliveries(counting(), inbox, QUICK), *events)
    assert inbox.of(ANA) == as_heard(events)


async def test_an_event_that_was_overtaken_is_left_out_and_said_so(
    inbox: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    late, early = updated(ANA, 3), updated(ANA, 2)
    it = Deliveries(counting(), inbox, QUICK)
    assert await delivered(it, late, early, early) == [Outcome.APPLIED, Outcome.OVERTAKEN, Outcome.DUPLICATE]
    assert inbox.of(ANA) == as_heard([late])
    assert f"overtaken, so left out: customer {ANA}, event {early.id}" in caplog.text


async def test_a_handler_that_looks_at_the_sequence_itself_is_given_what_was_overtaken(inbox: Heard) -> None:
    handlers, heard = Handlers[sqlite3.Connection](), []

    @handlers.on(CustomerUpdatedV1, overtaken=True)
    async def _(event: CustomerUpdatedV1, told: CloudEvent, transaction: sqlite3.Connection) -> None:
        heard.append(event.version)

    await delivered(Deliveries(handlers, inbox, QUICK), updated(ANA, 3), updated(ANA, 2))
    assert heard == [3, 2]


async def test_a_type_has_one_handler() -> None:
    with pytest.raises(ValueError, match="CustomerUpdatedV1 has a handler already"):
        counting().on(CustomerUpdatedV1)
    assert counting().routing_keys == ["customer.registered.v1", "customer.updated.v1", "customer.consent_changed.v1"]


async def test_a_type_without_a_handler_leaves_nothing(inbox: Heard) -> None:
    assert await delivered(Deliveries(counting(), inbox, QUICK), unhandled(ANA, 1)) == [Outcome.UNHANDLED]
    assert inbox.connection.execute("SELECT count(*) FROM customerflow_inbox").fetchone() == (0,)


async def test_what_fails_is_tried_again_with_growing_pauses(inbox: Heard) -> None:
    broken, paused = {POISON: ValueError("no")}, list[float]()

    async def sleep(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 3:
            broken.clear()

    retries = Retries(attempts=4, first_pause=0.4, longest_pause=1)
    event = updated(ANA, 1, POISON)
    assert await delivered(Deliveries(counting(broken), inbox, retries, sleep), event) == [Outcome.APPLIED]
    assert inbox.of(ANA) == as_heard([event]), "what a failed attempt has changed was rolled back"
    for pause, most in zip(paused, (0.4, 0.8, 1), strict=True):
        assert most / 2 <= pause <= most


@pytest.mark.parametrize("options", [{"attempts": 0}, {"first_pause": -1}, {"longest_pause": -1}, {"limit": 0}])
def test_retries_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="At least one attempt"):
        Retries(**options)


async def test_a_poison_event_parks_its_customer_and_no_other(inbox: Heard) -> None:
    events = [registered(ANA), updated(ANA, 2, POISON), updated(ANA, 3), consent(ANA, 4)]
    it = Deliveries(counting({POISON: ValueError("ana@example.com")}), inbox, QUICK)
    assert await delivered(it, *events) == [Outcome.APPLIED, Outcome.PARKED, Outcome.KEPT, Outcome.KEPT]
    assert await delivered(it, *events) == [Outcome.DUPLICATE] * 4
    assert await delivered(it, *life(BRUNO, 4)) == [Outcome.APPLIED] * 4
    assert inbox.of(ANA) == as_heard(events[:1])
    (parked,) = await inbox.parked()
    assert (parked.customer, parked.attempts, parked.waiting) == (ANA, 3, 3)
    assert parked.reason.startswith("ValueError in count_update (events.py:"), "and what it says is not kept"


async def test_retry_applies_what_waits_in_order(inbox: Heard) -> None:
    broken: dict[str, Exception] = {POISON: ValueError()}
    events = [registered(ANA), updated(ANA, 2, POISON), updated(ANA, 3), consent(ANA, 3), updated(ANA, 4)]
    it = Deliveries(counting(broken), inbox, QUICK)
    await delivered(it, *events[:4])
    assert not await it.retry(ANA)
    assert [parked.attempts for parked in await inbox.parked()] == [4]
    broken.clear()
    assert await it.retry(ANA)
    assert await delivered(it, *events) == [Outcome.DUPLICATE] * 4 + [Outcome.APPLIED]
    assert (inbox.of(ANA), await inbox.parked()) == (as_heard(events), [])


async def test_retry_stops_where_something_fails_and_goes_on_there_later(inbox: Heard) -> None:
    broken: dict[str, Exception] = {POISON: ValueError(), "name": KeyError()}
    events = [updated(ANA, 1, POISON), consent(ANA, 2), updated(ANA, 3), updated(ANA, 4, "tags")]
    it = Deliveries(counting(broken), inbox, QUICK)
    await delivered(it, *events)
    del broken[POISON]
    (parked,) = await it.retry_all()
    assert (parked.attempts, parked.waiting, parked.reason[:8]) == (1, 2, "KeyError")
    assert inbox.of(ANA) == as_heard(events[:2])
    broken.clear()
    assert await it.retry_all() == []
    assert inbox.of(ANA) == as_heard(events)


async def test_retry_of_all_frees_whom_it_can(inbox: Heard) -> None:
    broken: dict[str, Exception] = {POISON: ValueError(), "tags": ValueError()}
    it = Deliveries(counting(broken), inbox, QUICK)
    await delivered(it, updated(ANA, 1, "tags"), updated(BRUNO, 1, POISON), updated(BRUNO, 2))
    del broken[POISON]
    assert [parked.customer for parked in await it.retry_all()] == [ANA]
    assert len(inbox.of(BRUNO)) == 2


async def test_discarding_leaves_out_the_event_that_failed_and_no_other(inbox: Heard) -> None:
    events = [registered(ANA), updated(ANA, 2, POISON), updated(ANA, 3)]
    it = Deliveries(counting({POISON: ValueError()}), inbox, QUICK)
    await delivered(it, *events)
    with pytest.raises(ValueError, match="Say why"):
        await it.discard(ANA, " ")
    assert await it.discard(ANA, "told twice by mistake")
    assert await delivered(it, *events) == [Outcome.DUPLICATE] * 3
    assert inbox.of(ANA) == as_heard([events[0], events[2]])
    reasons = inbox.connection.execute("SELECT reason FROM customerflow_inbox WHERE reason != ''").fetchall()
    assert reasons == [("discarded: told twice by mistake",)]
    with pytest.raises(LookupError):
        await it.discard(ANA, "once more")


async def test_a_handler_that_takes_too_long_has_failed(inbox: Heard) -> None:
    handlers = Handlers[sqlite3.Connection]()

    @handlers.on(CustomerUpdatedV1)
    async def _(event: CustomerUpdatedV1, told: CloudEvent, transaction: sqlite3.Connection) -> None:
        await asyncio.sleep(60)

    it = Deliveries(handlers, inbox, Retries(attempts=2, first_pause=0, limit=0.01))
    assert await delivered(it, updated(ANA, 1)) == [Outcome.PARKED]
    assert (await inbox.parked())[0].reason.startswith("TimeoutError")


async def test_what_a_handler_says_is_away_is_waited_for_and_parks_nobody(
    inbox: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    broken: dict[str, Exception] = {POISON: TryLater("the mailing system is away")}
    pauses = 0

    async def sleep(seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 20:
            broken.clear()

    event = updated(ANA, 1, POISON)
    assert await delivered(Deliveries(counting(broken), inbox, QUICK, sleep), event) == [Outcome.APPLIED]
    assert inbox.of(ANA) == as_heard([event])
    assert caplog.text.count("the mailing system is away") == 1


class Away(Heard):
    """Its commits fail for a while: at first all of them."""

    failing = 10

    @asynccontextmanager
    async def transaction(self, customer: UUID) -> AsyncIterator[sqlite3.Connection]:
        async with super().transaction(customer) as transaction:
            yield transaction
            self.failing -= 1
            if self.failing >= 0:
                raise sqlite3.OperationalError("disk I/O error")


async def test_the_inbox_is_waited_for_as_long_as_it_is_away(caplog: pytest.LogCaptureFixture) -> None:
    events = life(ANA, 4)
    with Away() as inbox:
        it = Deliveries(counting(), inbox, QUICK)
        assert await delivered(it, *events) == [Outcome.APPLIED] * 4
        assert inbox.of(ANA) == as_heard(events)
    assert caplog.text.count("the inbox is away") == 1


async def test_nobody_is_parked_by_what_failed_only_while_the_inbox_was_away() -> None:
    """A handler may be the first to notice; but then its customer cannot be parked either."""
    broken: dict[str, Exception] = {POISON: sqlite3.OperationalError("disk I/O error")}
    pauses = 0

    async def sleep(seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 5:
            broken.clear()

    with Away() as inbox:
        event = updated(ANA, 1, POISON)
        assert await delivered(Deliveries(counting(broken), inbox, QUICK, sleep), event) == [Outcome.APPLIED]
        assert inbox.of(ANA) == as_heard([event])


async def test_another_process_that_writes_is_waited_for_without_stopping_this_one(tmp_path: Any) -> None:
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with Heard(tmp_path / "it.db") as other:
            other.connection.execute("BEGIN IMMEDIATE")
            held.set()
            release.wait(5)
            other.connection.execute("COMMIT")

    with Heard(tmp_path / "it.db") as inbox:
        holding = asyncio.create_task(asyncio.to_thread(hold))
        while not held.is_set():
            await asyncio.sleep(0.01)
        delivering = asyncio.create_task(delivered(Deliveries(counting(), inbox, QUICK), registered(ANA)))
        loop = asyncio.get_running_loop()
        for _ in range(10):
            before = loop.time()
            await asyncio.sleep(0.01)
            assert loop.time() - before < 0.5
        assert not delivering.done()
        release.set()
        assert await delivering == [Outcome.APPLIED]
        await holding


async def test_a_cancelled_delivery_leaves_nothing_and_the_next_one_works(inbox: Heard) -> None:
    chance, events = random.Random(6), life(ANA, 60)
    it = Deliveries(counting(), inbox, QUICK)
    for event in events:
        for _ in range(3):
            task = asyncio.create_task(it.deliver(event, encode(event)))
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert not inbox.connection.in_transaction
        await it.deliver(event, encode(event))
    assert inbox.of(ANA) == as_heard(events)


async def test_what_was_noted_long_ago_is_forgotten_but_for_the_last_and_what_waits(inbox: Heard) -> None:
    events = [*life(ANA, 5), updated(BRUNO, 1, POISON)]
    it = Deliveries(counting({POISON: ValueError()}), inbox, QUICK)
    await delivered(it, *events)
    assert await inbox.forget(timedelta(hours=1)) == 0
    inbox.connection.execute("UPDATE customerflow_inbox SET noted_at = datetime('now', '-2 hours')")
    assert await inbox.forget(timedelta(hours=1)) == 4
    assert await delivered(it, *events) == [Outcome.OVERTAKEN] * 4 + [Outcome.DUPLICATE] * 2
    assert inbox.of(ANA) == as_heard(events[:5])


@pytest.mark.parametrize(("flags", "spans"), [("00", 0), ("01", 1)])
async def test_a_handler_works_in_the_trace_of_the_command(
    inbox: Heard, monkeypatch: pytest.MonkeyPatch, flags: str, spans: int
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(deliveries, "tracer", provider.get_tracer("test"))
    event = replace(updated(ANA, 1, POISON), traceparent=f"00-{1:032x}-{2:016x}-{flags}")
    failing = counting({POISON: ValueError("ana@example.com")})
    await delivered(Deliveries(failing, inbox, Retries(attempts=1)), event)
    finished = exporter.get_finished_spans()
    assert [(span.context.trace_id, span.parent.span_id) for span in finished if span.context and span.parent] == [
        (1, 2)
    ] * spans
    for span in finished:
        assert span.status.description
        assert "ana@example.com" not in span.to_json()


@pytest.mark.parametrize("traceparent", [UNSET, "", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
async def test_without_a_trace_to_go_on_with_a_new_one_begins(
    inbox: Heard, monkeypatch: pytest.MonkeyPatch, traceparent: Any
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(deliveries, "tracer", provider.get_tracer("test"))
    event = replace(updated(ANA, 1), traceparent=traceparent)
    assert await delivered(Deliveries(counting(), inbox, QUICK), event) == [Outcome.APPLIED]
    assert [span.parent for span in exporter.get_finished_spans()] == [None]


async def test_nothing_of_an_error_but_its_kind_and_place_is_logged(
    inbox: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    failing = counting({POISON: ValueError("ana@example.com")})
    await delivered(Deliveries(failing, inbox, QUICK), updated(ANA, 1, POISON))
    assert "parked" in caplog.text
    assert "ana@example.com" not in caplog.text


async def test_the_inbox_for_tests_keeps_what_a_real_one_does() -> None:
    handlers, broken = Handlers[dict[str, Any]](), True

    @handlers.on(CustomerUpdatedV1)
    async def _(event: Any, told: CloudEvent, transaction: dict[str, Any]) -> None:
        transaction.setdefault("heard", []).append(event.version)
        if broken and event.version == 2:
            raise ValueError

    inbox = MemoryInbox()
    it = Deliveries(handlers, inbox, QUICK)
    events = [updated(ANA, version) for version in (1, 2, 3)]
    assert await delivered(it, *events) == [Outcome.APPLIED, Outcome.PARKED, Outcome.KEPT]
    assert await delivered(it, events[0], updated(BRUNO, 5), updated(BRUNO, 4)) == [
        Outcome.DUPLICATE,
        Outcome.APPLIED,
        Outcome.OVERTAKEN,
    ]
    assert [(parked.customer, parked.attempts, parked.waiting) for parked in await inbox.parked()] == [(ANA, 3, 2)]
    broken = False
    assert await it.retry(ANA)
    assert inbox.kept == {ANA: {"heard": [1, 2, 3]}, BRUNO: {"heard": [5]}}
