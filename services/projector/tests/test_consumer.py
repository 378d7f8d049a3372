"""From real queues into a real Redis: nothing is acknowledged before it is applied."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import aiormq
import pytest
import structlog
from aio_pika.abc import AbstractChannel
from customerflow_projector import consumer, read_model
from customerflow_projector.apply import Applier
from customerflow_projector.consumer import Consumer
from customerflow_projector.read_model import Look, ReadModel
from customerflow_shared import conventions, events, indexing, messaging, views
from customerflow_shared.events import Place, Recorded
from msgspec.structs import replace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError

from . import broker
from .broker import Broker
from .builders import ANA, BRUNO, CECILIA, LOOKUPS, EventStore, folded, interleaved, renamings
from .steps import running, until

GENERATION = f"{views.SCHEMA}-00000001"
PROCESS = "process customerflow.projector"
HISTORY = interleaved(*(renamings(UUID(int=number), 10) for number in range(1, 9)))


@pytest.fixture
async def queues(cf_amqp_url: str) -> AsyncIterator[Broker]:
    async with broker.connected(cf_amqp_url) as it:
        yield it


@pytest.fixture(autouse=True)
async def _live(redis: Redis) -> None:
    await begun(redis, GENERATION)
    await redis.set(views.LIVE, GENERATION)


async def begun(redis: Redis, generation: str) -> None:
    """As one that another process has begun."""
    await redis.set(views.key(generation, "lookup-key"), LOOKUPS.fingerprint())


@asynccontextmanager
async def consuming(
    url: str,
    model: ReadModel,
    applier: Applier | None = None,
    name: str = "one",
    projects: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Consumer]:
    it = Consumer(url, name, model, applier or Applier(model, EventStore(HISTORY)), projects)
    async with running(it.run):
        yield it


def holds(model: ReadModel, history: Sequence[Recorded]) -> Callable[[], Awaitable[bool]]:
    expected = folded(history)

    async def check() -> bool:
        return dict(zip(expected, await model.load(GENERATION, list(expected)), strict=True)) == expected

    return check


class Stuck(ReadModel):
    """A read model in a Redis that does not take events yet."""

    asked = 0

    async def look(self, generation: str | None, customers: Collection[UUID]) -> Look:
        self.asked += 1
        raise BusyLoadingError


async def test_what_is_published_is_applied_and_acknowledged(
    queues: Broker, cf_amqp_url: str, model: ReadModel
) -> None:
    await queues.publish(HISTORY)
    store = EventStore()
    async with consuming(cf_amqp_url, model, Applier(model, store)):
        await until(holds(model, HISTORY))
        await asyncio.sleep(0.5)  # it is acknowledged only after it has been stored
    assert (await queues.waiting(), store.asked) == (0, 0)


async def test_what_is_handled_shortly_after_one_another_is_acknowledged_together(
    queues: Broker, cf_amqp_url: str, model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    acknowledge = aiormq.Channel.basic_ack

    async def counted(channel: aiormq.Channel, delivery_tag: int, multiple: bool = False, wait: bool = True) -> None:
        told.append(delivery_tag)
        await acknowledge(channel, delivery_tag, multiple, wait)

    monkeypatch.setattr(aiormq.Channel, "basic_ack", counted)
    monkeypatch.setattr(consumer, "BATCH", 1)
    monkeypatch.setattr(consumer, "ACKNOWLEDGE_AFTER", 60)
    await queues.publish(HISTORY[:40])
    async with consuming(cf_amqp_url, model):
        await until(holds(model, HISTORY[:40]))
    # for more, a queue might wait; and what is left is not left for another
    assert told == [consumer.PREFETCH // 2, 40]


async def test_what_is_not_applied_comes_again(
    queues: Broker, cf_amqp_url: str, model: ReadModel, redis: Redis
) -> None:
    await queues.publish(HISTORY)
    stuck = Stuck(redis, LOOKUPS)

    async def was_asked() -> bool:
        return stuck.asked > 1

    async with consuming(cf_amqp_url, stuck):
        await until(was_asked)

    async def all_wait() -> bool:
        return await queues.waiting() == len(HISTORY)

    await until(all_wait)
    async with consuming(cf_amqp_url, model):
        await until(holds(model, HISTORY))


async def test_what_was_applied_but_not_acknowledged_is_applied_once(
    queues: Broker, cf_amqp_url: str, model: ReadModel
) -> None:
    applied = asyncio.Event()

    class Dying(Applier):
        async def apply(self, generation: str, batch: Sequence[Recorded | Place], look: Look | None = None) -> None:
            await super().apply(generation, batch, look)
            applied.set()
            await asyncio.sleep(60)

    await queues.publish(HISTORY)
    async with consuming(cf_amqp_url, model, Dying(model, EventStore(HISTORY))):
        await applied.wait()
    async with consuming(cf_amqp_url, model):
        await until(holds(model, HISTORY))
    assert await model.parked(GENERATION) == {}


async def test_an_interrupted_batch_leaves_its_spans(
    queues: Broker, cf_amqp_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, provider, stuck = InMemorySpanExporter(), TracerProvider(), Stuck(redis, LOOKUPS)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(consumer, "tracer", provider.get_tracer("test"))
    await queues.publish(HISTORY[:1])

    async def was_asked() -> bool:
        return stuck.asked > 0

    async with consuming(cf_amqp_url, stuck):
        await until(was_asked)
    assert {span.name for span in exporter.get_finished_spans()} == {PROCESS, "project batch"}


@pytest.mark.parametrize(("flags", "spans"), [("00", 0), ("01", 1)])
async def test_a_trace_that_nobody_keeps_is_not_gone_on_with(
    queues: Broker, cf_amqp_url: str, model: ReadModel, monkeypatch: pytest.MonkeyPatch, flags: str, spans: int
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for module in (consumer, read_model):
        monkeypatch.setattr(module, "tracer", provider.get_tracer("test"))
    await queues.publish(HISTORY[:1], {"traceparent": f"00-{1:032x}-{2:016x}-{flags}"})
    async with consuming(cf_amqp_url, model):
        await until(holds(model, HISTORY[:1]))
    for name in (PROCESS, "project batch", "MGET views", "EVALSHA views"):
        projected = {
            span.context and span.context.trace_id for span in exporter.get_finished_spans() if span.name == name
        }
        assert projected == ({1} if spans else set())


async def test_events_that_are_applied_together_are_in_the_trace_of_each(
    queues: Broker, cf_amqp_url: str, model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for module in (consumer, read_model):
        monkeypatch.setattr(module, "tracer", provider.get_tracer("test"))
    for number, event in enumerate(HISTORY[:8], start=1):
        await queues.publish([event], {"traceparent": f"00-{number:032x}-{number:016x}-0{number % 2}"})
    async with consuming(cf_amqp_url, model):
        await until(holds(model, HISTORY[:8]))
    spans: dict[str, set[int]] = defaultdict(set)
    for span in exporter.get_finished_spans():
        assert span.context is not None
        spans[span.name].add(span.context.trace_id)
    assert spans.keys() == {PROCESS, "project batch", "MGET views", "EVALSHA views"}
    assert all(traces == {1, 3, 5, 7} for traces in spans.values())


async def test_what_was_projected_is_measured(queues: Broker, cf_amqp_url: str, model: ReadModel) -> None:
    lags, batches = consumer._lags.count(), consumer._batch_sizes.count()
    messages = conventions.CONSUMED.value(consumer.QUEUES)
    await queues.publish(HISTORY)
    async with consuming(cf_amqp_url, model):
        await until(holds(model, HISTORY))
        await asyncio.sleep(0.1)
    assert conventions.CONSUMED.value(consumer.QUEUES) - messages == len(HISTORY)
    assert consumer._lags.count() - lags == len(HISTORY)
    assert 1 <= consumer._batch_sizes.count() - batches <= len(HISTORY)


@pytest.mark.parametrize("beside", [views.BUILDING, views.PREVIOUS])
async def test_live_events_go_into_the_generations_beside_as_well(
    queues: Broker, cf_amqp_url: str, model: ReadModel, redis: Redis, beside: str
) -> None:
    other = f"{views.SCHEMA}-00000002"
    await begun(redis, other)
    await redis.set(beside, other)
    await queues.publish(HISTORY)
    async with consuming(cf_amqp_url, model):
        await until(holds(model, HISTORY))
    assert await model.load(other, list(folded(HISTORY))) == list(folded(HISTORY).values())


async def test_what_is_applied_is_marked_where_it_is_contained(
    queues: Broker, cf_amqp_url: str, model: ReadModel, redis: Redis
) -> None:
    """The generation being built lacks the first events, which nobody publishes any more."""
    other = f"{views.SCHEMA}-00000002"
    await Applier(model, EventStore()).apply(GENERATION, HISTORY[:9])
    await model.mark(GENERATION, HISTORY[:9])
    await model.begin(other)
    fresh = [replace(renamings(CECILIA, 1)[0], position=10), HISTORY[8]]
    await queues.publish(fresh)

    async def marked() -> bool:
        return await model.applied(GENERATION) == (10, indexing.milliseconds(views.timestamp(HISTORY[8].recorded_at)))

    async with consuming(cf_amqp_url, model):
        await until(marked)
    assert await model.applied(other) == (0, 0)
    recorded_at = indexing.milliseconds(views.timestamp(fresh[0].recorded_at))
    assert await redis.zrange(views.key(other, "handled"), 0, -1) == [b"10 %d" % recorded_at]


async def test_a_generation_with_look_ups_of_another_key_is_not_written_to(
    queues: Broker, cf_amqp_url: str, model: ReadModel, redis: Redis
) -> None:
    await redis.set(views.key(GENERATION, "lookup-key"), "that of another key")
    await queues.publish(HISTORY)
    async with consuming(cf_amqp_url, model):
        await asyncio.sleep(0.5)
        assert await redis.dbsize() == 2
        await begun(redis, GENERATION)
        await until(holds(model, HISTORY))


async def test_without_a_live_generation_events_wait(
    queues: Broker, cf_amqp_url: str, model: ReadModel, redis: Redis
) -> None:
    await redis.delete(views.LIVE)
    await queues.publish(HISTORY)
    async with consuming(cf_amqp_url, model):
        await asyncio.sleep(0.5)
        assert await redis.dbsize() == 1, "what says by which key it was begun"
        await redis.set(views.LIVE, GENERATION)
        await until(holds(model, HISTORY))


async def test_a_generation_of_another_schema_is_not_written_to(
    queues: Broker, cf_amqp_url: str, model: ReadModel, redis: Redis
) -> None:
    """What this release does not know of a document it would drop."""
    await redis.set(views.LIVE, f"{int(views.SCHEMA) + 1}-00000001")
    await model.begin(f"{int(views.SCHEMA) - 1}-00000002")
    await queues.publish(HISTORY)
    async with consuming(cf_amqp_url, model):
        await asyncio.sleep(0.5)
        assert await redis.dbsize() == 4, "the names of two generations, by which keys they were begun"
        await redis.set(views.LIVE, GENERATION)
        await until(holds(model, HISTORY))


async def test_a_generation_beside_that_refuses_what_is_written_does_not_stop_the_live_one(
    queues: Broker, cf_amqp_url: str, model: ReadModel, redis: Redis
) -> None:
    beside = f"{views.SCHEMA}-00000002"
    await begun(redis, beside)
    await redis.set(views.BUILDING, beside)
    await redis.rpush(views.key(beside, "applied"), "no position")
    await queues.publish(HISTORY)
    async with consuming(cf_amqp_url, model):
        await until(holds(model, HISTORY), seconds=5)
        await asyncio.sleep(0.5)
    assert await queues.waiting() == 0
    assert (await model.applied(GENERATION))[0] == len(HISTORY)


async def test_a_generation_beside_that_goes_on_refusing_is_told_once(model: ReadModel, redis: Redis) -> None:
    beside = f"{views.SCHEMA}-00000002"
    await begun(redis, beside)
    await redis.set(views.BUILDING, beside)
    await redis.rpush(views.key(beside, "applied"), "no position")
    it = Consumer("", "one", model, Applier(model, EventStore(HISTORY)))
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            await it._apply(HISTORY)
    assert [one["generation"] for one in logged] == [beside]


async def test_a_connection_that_is_lost_to_a_generation_beside_is_waited_for(
    queues: Broker, cf_amqp_url: str, model: ReadModel, redis: Redis
) -> None:
    class Busy(Applier):
        asked = 0

        async def apply_where_next(
            self, generation: str, batch: Sequence[Recorded | Place]
        ) -> Sequence[Recorded | Place]:
            self.asked += 1
            if self.asked < 3:
                raise BusyLoadingError
            return await super().apply_where_next(generation, batch)

    beside = f"{views.SCHEMA}-00000002"
    await begun(redis, beside)
    await redis.set(views.BUILDING, beside)
    await queues.publish(HISTORY)
    async with consuming(cf_amqp_url, model, Busy(model, EventStore())):
        await until(holds(model, HISTORY), seconds=5)
    assert (await model.applied(beside))[0] == len(HISTORY)


READABLE = events.encode(renamings(ANA, 1)[0])


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="no event"),
        pytest.param(b"\x00\xff", id="binary"),
        pytest.param(READABLE[:-3], id="cut off"),
        pytest.param(READABLE.replace(b"Ana", b"\xff"), id="not UTF-8"),
        pytest.param(b'{"a":' + b"[" * 100_000, id="nested deeply"),
    ],
)
async def test_what_is_no_event_is_set_aside_and_the_rest_flows_on(
    queues: Broker, cf_amqp_url: str, model: ReadModel, garbage: bytes
) -> None:
    history = renamings(ANA, 3)
    await queues.publish(history[:1])
    await queues.publish_body(garbage, ANA)
    await queues.publish(history[1:])
    async with consuming(cf_amqp_url, model):
        await until(holds(model, history))
        assert await queues.dead() == garbage
    assert await queues.waiting() == 0


async def test_a_cut_connection_is_made_again(queues: Broker, cf_amqp_url: str, model: ReadModel) -> None:
    async with broker.wired(cf_amqp_url) as wire, consuming(wire.url, model) as it:
        for start in range(0, len(HISTORY), 8):
            await queues.publish(HISTORY[start : start + 8])
            await asyncio.sleep(random.random() / 20)
            wire.cut()
        await until(holds(model, HISTORY), seconds=20)

        async def connected() -> bool:
            return it.connected

        await until(connected)


async def test_a_broker_that_falls_silent_is_connected_to_anew(
    queues: Broker, cf_amqp_url: str, model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare, silent_once = messaging._declare, iter([True])
    async with broker.wired(cf_amqp_url) as wire:

        async def declare_on_a_wire_that_falls_silent(channel: AbstractChannel) -> None:
            wire.silent = next(silent_once, False)
            await declare(channel)

        monkeypatch.setattr(messaging, "SETUP_SECONDS", 0.5)
        monkeypatch.setattr(messaging, "_declare", declare_on_a_wire_that_falls_silent)
        async with consuming(wire.url, model):
            await until(lambda: _is(wire.silent), seconds=5)
            await asyncio.sleep(1)
            wire.silent = False
            await queues.publish(HISTORY)
            await until(holds(model, HISTORY), seconds=10)


async def _is(true: bool) -> bool:
    return true


async def test_a_deleted_queue_is_declared_and_consumed_again(
    queues: Broker, cf_amqp_url: str, model: ReadModel
) -> None:
    history = renamings(BRUNO, 2)
    async with consuming(cf_amqp_url, model, Applier(model, EventStore(history))):
        await queues.publish(history[:1])
        await until(holds(model, history[:1]))
        await queues.delete_queue(messaging.shard_of(BRUNO))
        await asyncio.sleep(0.05)  # RabbitMQ 3.10 tells no consumer of a queue that is declared again at once
        await messaging.declare(queues.channel)  # as the relay does, sooner or later than the projector
        await queues.publish(history[1:])
        await until(holds(model, history), seconds=2)


async def test_order_is_kept_between_replicas_that_come_and_go(
    queues: Broker, cf_amqp_url: str, model: ReadModel
) -> None:
    """A version may come again, but never before the one before it has come."""
    seen: dict[UUID, list[int]] = defaultdict(list)

    class Watching(Applier):
        async def apply(self, generation: str, batch: Sequence[Recorded | Place], look: Look | None = None) -> None:
            for event in batch:
                seen[event.customer_id].append(event.version)
            await super().apply(generation, batch, look)

    long = interleaved(*(renamings(UUID(int=number), 40) for number in range(1, 9)))
    applier = Watching(model, EventStore(long))
    async with broker.wired(cf_amqp_url) as wire, consuming(cf_amqp_url, model, applier, "two"):
        async with consuming(wire.url, model, applier, "one"):
            for start in range(0, len(long), 40):
                await queues.publish(long[start : start + 40])
                wire.cut()
        await until(holds(model, long))
    for versions in seen.values():
        for place, version in enumerate(versions):
            assert version <= max(versions[:place], default=0) + 1


async def test_while_nothing_is_to_be_applied_events_wait_in_their_queues_and_then_none_is_missing(
    queues: Broker, cf_amqp_url: str, model: ReadModel
) -> None:
    projects, store = True, EventStore()
    before, meanwhile = HISTORY[: len(HISTORY) // 2], HISTORY[len(HISTORY) // 2 :]

    async def all_wait() -> bool:
        return await queues.waiting() == len(meanwhile)

    async with consuming(cf_amqp_url, model, Applier(model, store), projects=lambda: projects) as it:
        await queues.publish(before)
        await until(holds(model, before))
        projects = False
        await asyncio.sleep(2 * consumer.LOOK_EVERY)
        await queues.publish(meanwhile)
        await until(all_wait)
        await asyncio.sleep(2 * consumer.LOOK_EVERY)
        assert await all_wait()
        assert await holds(model, before)()
        assert it.connected
        projects = True
        await until(holds(model, HISTORY))
    assert (await queues.waiting(), store.asked) == (0, 0)  # in order: no gap had to be filled


async def test_a_switch_that_goes_to_and_fro_while_events_arrive_loses_none(
    queues: Broker, cf_amqp_url: str, model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "LOOK_EVERY", 0.02)
    projects = True
    async with consuming(cf_amqp_url, model, projects=lambda: projects):
        for first in range(0, len(HISTORY), 5):
            await queues.publish(HISTORY[first : first + 5])
            projects = not projects
            await asyncio.sleep(random.uniform(0, 0.1))
        projects = True
        await until(holds(model, HISTORY))
        await asyncio.sleep(0.5)
    assert await queues.waiting() == 0


async def test_a_connection_that_is_lost_while_nothing_is_to_be_applied_is_made_again(
    queues: Broker, cf_amqp_url: str, model: ReadModel
) -> None:
    projects = False
    async with broker.wired(cf_amqp_url) as wire, consuming(wire.url, model, projects=lambda: projects) as it:

        async def connected() -> bool:
            return it.connected

        async def disconnected() -> bool:
            return not it.connected

        await until(connected)
        wire.cut()
        await until(disconnected)
        await until(connected)
        await queues.publish(HISTORY)
        projects = True
        await until(holds(model, HISTORY))
