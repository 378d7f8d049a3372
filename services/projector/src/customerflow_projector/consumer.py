"""Taking domain events from the sixteen shard queues, in batches of whatever has arrived.

Every replica consumes every queue; a queue gives to one of them, the one with the highest weight for it (RabbitMQ 4;
before that, the first). Nothing is acknowledged before it is applied, and what is delivered twice is applied once.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
import structlog
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import AMQPError, ChannelInvalidStateError
from customerflow_shared import conventions, events, messaging, metrics, telemetry
from customerflow_shared.events import Place, Recorded
from customerflow_shared.patience import Patience
from opentelemetry import trace
from redis.exceptions import RedisError, ResponseError

from customerflow_projector.apply import Applier
from customerflow_projector.read_model import ReadModel

log = structlog.get_logger()
tracer = trace.get_tracer("customerflow.projector")

PREFETCH = 64  # per queue
BATCH = 500
PAUSE = 0.2  # seconds, while no generation is live
ACKNOWLEDGE_AFTER = 0.03  # seconds
LOOK_EVERY = 0.25  # seconds, whether events are to be applied

Inbox = asyncio.Queue[DeliveredMessage | None]

QUEUES = "customerflow.projector.{shard}"
_lags = metrics.histogram(
    "customerflow.projection.lag",
    "s",
    "From an event's commit to its being visible, or its customer parked; one that is delivered again counts again.",
    bounds=metrics.LONG_SECONDS,
)
_batch_sizes = metrics.histogram(
    "customerflow.projection.batch.size", "{event}", "Events that were applied together.", bounds=metrics.SIZES
)
_set_aside = metrics.counter("customerflow.projection.set_aside", "{message}", "Messages that are no event.")
conventions.CONSUMED.begin(QUEUES)


class Consumer:
    """`projects` says whether events are to be applied: while they are not, all messages lie in their queues."""

    def __init__(
        self,
        amqp_url: str,
        replica: str,
        model: ReadModel,
        applier: Applier,
        projects: Callable[[], bool] = lambda: True,
    ) -> None:
        self._amqp_url = amqp_url
        self._replica = replica
        self._model = model
        self._applier = applier
        self._projects = projects
        self.connected = False
        self._live: str | None = None
        """Which generation was so the last time: it is looked into while it is asked whether it still is."""
        self._refusing: set[str] = set()
        self._patience = Patience("consumer")

    async def run(self) -> None:
        await self._patience.persist(self._consume_until_interrupted)

    async def _consume_until_interrupted(self) -> None:
        try:
            async with messaging.connected(self._amqp_url, f"projector {self._replica}") as connection:
                paused = True
                while paused:
                    await self._until_it_projects(connection)
                    paused = await self._consume(connection)
        finally:
            self.connected = False

    async def _until_it_projects(self, connection: AbstractConnection) -> None:
        """Raises ConnectionError if the connection is lost meanwhile."""
        if self._projects():
            return
        self.connected = True
        log.info("paused", replica=self._replica)
        while not self._projects():
            if not connection.connected.is_set():
                raise ConnectionError("not connected")
            await asyncio.sleep(LOOK_EVERY)

    async def _consume(self, connection: AbstractConnection) -> bool:
        """Whether it has ended because events are not to be applied; else the channel is closed, or a queue is gone."""
        inbox: Inbox = asyncio.Queue()
        async with asyncio.timeout(messaging.SETUP_SECONDS):
            channel = await connection.channel(publisher_confirms=False)
            channel.close_callbacks.add(lambda *_: inbox.put_nowait(None))
            await channel.set_qos(prefetch_count=PREFETCH)
            await messaging.declare(channel)
            # what aio-pika makes of a message costs as much as applying half of its event
            raw = await channel.get_underlay_channel()
            # the broker cancels a consumer whose queue is deleted: all is declared and consumed again
            raw.on_consumer_cancel_callbacks.add(lambda _: inbox.put_nowait(None))
            for shard in range(messaging.SHARDS):
                name = messaging.shard_queue(shard)
                await raw.basic_consume(name, inbox.put, arguments={"x-priority": weight(self._replica, name)})
        self.connected = True
        self._patience.rewarded()
        log.info("consuming", replica=self._replica)
        paused = await self._work(raw, inbox)
        if paused:
            await channel.close()  # and what was fetched is back in its queue
        return paused

    async def _work(self, channel: AbstractChannel, inbox: Inbox) -> bool:
        """Returns when events are not to be applied (True), the channel is closed or a queue is gone (False); what is
        not acknowledged will come again.
        """
        handled, clock = Handled(channel), asyncio.get_running_loop().time
        try:
            while self._projects():
                await handled.acknowledge_if_due()
                try:
                    async with asyncio.timeout_at(handled.due or clock() + LOOK_EVERY):
                        batch = [await inbox.get()]
                except TimeoutError:
                    continue
                while len(batch) < BATCH and not inbox.empty():
                    batch.append(inbox.get_nowait())
                messages = [message for message in batch if message is not None]
                if len(messages) < len(batch):
                    return False
                handled.add(await self._handle(channel, messages))
            return True
        finally:
            with suppress(AMQPError, ChannelInvalidStateError, OSError):  # the broker is gone: it gives all of it again
                await handled.acknowledge()

    async def _handle(
        self, channel: AbstractChannel, messages: Sequence[DeliveredMessage]
    ) -> Sequence[DeliveredMessage]:
        """Those that may be acknowledged; the others are set aside."""
        conventions.CONSUMED.add(len(messages), QUEUES)
        batch: list[Recorded | Place] = []
        readable: list[DeliveredMessage] = []
        for message in messages:
            try:
                batch.append(events.decode(message.body))
                readable.append(message)
            except msgspec.DecodeError:
                log.error("message set aside: it is no event", routing_key=message.routing_key)
                _set_aside.add(1)
                await channel.basic_reject(_tag(message), requeue=False)
        if not readable:
            return []
        spans = [span for message in readable if (span := _span(message))]
        begun, error = time.perf_counter(), ""
        try:
            size = {"customerflow.batch.size": len(batch)}
            with telemetry.shared(tracer, "project batch", [one.get_span_context() for one in spans], attributes=size):
                await self._apply(batch)
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            conventions.PROCESS_SECONDS.record(time.perf_counter() - begun, QUEUES, error)
            for span in spans:
                span.end()
        _batch_sizes.record(len(batch))
        now = time.time()
        for event in batch:
            if isinstance(event, Recorded):
                _lags.record(max(0.0, now - event.recorded_at.timestamp()))
        return readable

    async def _apply(self, batch: Sequence[Recorded | Place]) -> None:
        """Apply to the live generation, and beside it to the one being built and the one before; wait for Redis as long
        as it takes.
        """
        patience = Patience("projection")
        while True:
            try:
                supposed = self._live
                look = await self._model.look(supposed, {event.customer_id for event in batch})
                live, *beside = look.generations
                self._live = live
                for generation in beside:
                    if generation and await self._model.is_ours(generation):
                        await self._apply_beside(generation, batch)
                if live and await self._model.is_ours(live):
                    return await self._applier.apply(live, batch, look if live == supposed else None)
                # none is live yet: a keeper builds it from the feed, these events included
                await asyncio.sleep(PAUSE)
            except (RedisError, OSError, TimeoutError) as error:
                await patience.after(error)

    async def _apply_beside(self, generation: str, batch: Sequence[Recorded | Place]) -> None:
        """What Redis refuses there does not stop the live generation: whoever builds or keeps this one brings it."""
        try:
            await self._model.mark(generation, await self._applier.apply_where_next(generation, batch))
        except ResponseError as error:
            if generation not in self._refusing:
                log.warning("not applied beside", generation=generation, error=telemetry.describe(error))
            self._refusing.add(generation)
        else:
            self._refusing.discard(generation)


class Handled:
    """What is not acknowledged yet. The broker writes every acknowledgement to its disk, so of what is handled shortly
    after one another only the last is told: until `due`, or until there is so much that a queue might hold more back.
    """

    def __init__(self, channel: AbstractChannel) -> None:
        self.due: float | None = None
        self._channel = channel
        self._messages = 0
        self._last = 0

    def add(self, messages: Sequence[DeliveredMessage]) -> None:
        if not messages:
            return
        self._messages += len(messages)
        self._last = _tag(messages[-1])
        if self.due is None:
            self.due = asyncio.get_running_loop().time() + ACKNOWLEDGE_AFTER

    async def acknowledge_if_due(self) -> None:
        if self.due is None:
            return
        if self._messages >= PREFETCH // 2 or asyncio.get_running_loop().time() >= self.due:
            await self.acknowledge()

    async def acknowledge(self) -> None:
        if self.due is not None:
            self.due, self._messages = None, 0
            await self._channel.basic_ack(self._last, multiple=True)


def weight(replica: str, queue: str) -> int:
    """Spreads the queues over the replicas without a coordinator: each is highest for about its share of them."""
    return int.from_bytes(hashlib.blake2b(f"{replica}:{queue}".encode(), digest_size=2).digest())


def _tag(message: DeliveredMessage) -> int:
    assert message.delivery_tag is not None, "only an answer that there is no message has none"
    return message.delivery_tag


def _span(message: DeliveredMessage) -> trace.Span | None:
    """None if whoever began the trace does not keep it."""
    properties = message.header.properties
    traceparent = (properties.headers or {}).get("traceparent")
    if not isinstance(traceparent, str):
        traceparent = None
    if telemetry.is_dropped(traceparent):
        return None
    return tracer.start_span(
        "process customerflow.projector",
        telemetry.context_of(traceparent),
        kind=trace.SpanKind.CONSUMER,
        attributes={
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.template": QUEUES,
            "messaging.message.id": properties.message_id or "",
        },
    )
