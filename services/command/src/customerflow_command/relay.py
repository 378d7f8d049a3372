"""The relay: from the outbox to RabbitMQ, at least once, in order per customer.

A command's pointers are deleted after the broker has confirmed its domain and its integration messages. Of one
customer no event is sent before the one before it is confirmed, so a lost connection can repeat events but never
overtake. A broker that is away is waited for without limit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Self
from uuid import UUID

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection, AbstractExchange
from customerflow_shared import events, integration, messaging, telemetry
from customerflow_shared.events import Recorded
from customerflow_shared.patience import Patience
from opentelemetry import trace

from customerflow_command.doorbell import Doorbell
from customerflow_command.outbox import BATCH, Lease, Outbox
from customerflow_command.personal import UnreadableEvent
from customerflow_command.publishing import cloud_events
from customerflow_command.store import EventReader, EventRow

log = structlog.get_logger()
tracer = trace.get_tracer("customerflow.relay")

LOOK_EVERY = 0.25  # seconds, should the doorbell not ring
PARKED_SECONDS = 60.0  # after which a parked customer's events are tried again


class NotConfirmed(Exception):
    """The broker has refused, returned or not confirmed a message."""


@dataclass(frozen=True)
class Publisher:
    """Both exchanges, each on a channel of its own: returned messages are matched by message id, and both carry the
    event's.
    """

    internal: AbstractExchange
    public: AbstractExchange

    @classmethod
    async def open(cls, connection: AbstractConnection) -> Self:
        internal = await connection.channel(publisher_confirms=True, on_return_raises=True)
        public = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await messaging.declare(internal)
        return cls(
            await internal.get_exchange(messaging.DOMAIN, ensure=False),
            await public.get_exchange(messaging.INTEGRATION, ensure=False),
        )

    async def publish(self, command: Sequence[Recorded]) -> None:
        """Send the events of one command, one after the other, and what it means to others; all is confirmed then."""
        context = telemetry.context_of(command[0].metadata.traceparent)
        with telemetry.span(tracer, "publish", context=context, kind=trace.SpanKind.PRODUCER) as span:
            span.set_attribute("messaging.system", "rabbitmq")
            *first, last = command
            for recorded in first:
                await self._publish_domain(recorded)
            await asyncio.gather(self._publish_domain(last), *map(self._publish_integration, cloud_events(command)))

    async def _publish_domain(self, recorded: Recorded) -> None:
        message = aio_pika.Message(
            events.encode(recorded),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(recorded.event_id),
            type=events.event_name(type(recorded.event)),
            headers={
                "customer-id": str(recorded.customer_id),
                "version": recorded.version,
                "position": recorded.position,
                "traceparent": telemetry.current_traceparent(),
            },
        )
        shard = str(messaging.shard_of(recorded.customer_id))
        await self.internal.publish(message, shard, timeout=messaging.PUBLISH_TIMEOUT)

    async def _publish_integration(self, event: integration.CloudEvent) -> None:
        message = aio_pika.Message(
            integration.encode(event),
            content_type=integration.MEDIA_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(event.id),
            headers={"traceparent": telemetry.current_traceparent()},
        )
        routing_key = integration.ROUTING_KEYS[type(event.data)]
        await self.public.publish(message, routing_key, timeout=messaging.PUBLISH_TIMEOUT)


class Relay:
    """One of possibly several, all connected; the holder of the lease sends, the others stand by.

    `check_keys` raises unless this process has the keys of this database: with others it would park every customer.
    """

    def __init__(
        self,
        outbox: Outbox,
        lease: Lease,
        reader: EventReader,
        doorbell: Doorbell,
        amqp_url: str,
        check_keys: Callable[[], Awaitable[None]],
    ) -> None:
        self._outbox = outbox
        self._lease = lease
        self._reader = reader
        self._doorbell = doorbell
        self._amqp_url = amqp_url
        self._check_keys = check_keys
        self._connection: AbstractConnection | None = None
        self._patience = Patience("relay")
        self._release_at = 0.0

    async def check(self) -> None:
        """Raises ConnectionError unless the broker can be reached."""
        if self._connection is None or not self._connection.connected.is_set():
            raise ConnectionError("not connected")

    async def run(self) -> None:
        await self._patience.persist(self._relay)

    async def _relay(self) -> None:
        """Raises whatever interrupts it. Only who has the keys and a connection to the broker seeks the lease."""
        await self._check_keys()
        async with messaging.connected(self._amqp_url, "relay") as self._connection:
            publisher = await Publisher.open(self._connection)
            async with self._lease.sought():
                while True:
                    await self.check()
                    if not self._lease.held:
                        await self._lease.wait(LOOK_EVERY)
                        continue
                    self._doorbell.rung.clear()
                    if not await self._send_first(publisher):
                        await self._rest()

    async def _rest(self) -> None:
        """Until the doorbell rings, but not for long; a parked customer is given another try meanwhile."""
        now = asyncio.get_running_loop().time()
        if now >= self._release_at:
            await self._outbox.release_after(PARKED_SECONDS)
            self._release_at = now + PARKED_SECONDS / 4
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self._doorbell.rung.wait()

    async def _send_first(self, publisher: Publisher) -> bool:
        """Send the first events of the outbox and forget their pointers; False if there are none."""
        rows = await self._outbox.first()
        batch = commands(await self._readable(rows))
        if len(rows) == BATCH and len(batch) > 1:
            batch.pop()  # it may go on behind the last row
        confirmed: list[int] = []

        async def send(customer: Sequence[Sequence[Recorded]]) -> None:
            for command in customer:
                self._lease.require()
                await publisher.publish(command)
                confirmed.extend(recorded.position for recorded in command)

        results = await asyncio.gather(*map(send, by_customer(batch)), return_exceptions=True)
        await self._outbox.settle(confirmed, self._lease.token)
        if confirmed:
            self._patience.rewarded()
        for result in results:
            if result is not None:
                raise NotConfirmed(type(result).__name__) from None
        return bool(rows)

    async def _readable(self, rows: Sequence[EventRow]) -> list[Recorded]:
        """The events of the rows. A customer with one that cannot be read is parked from there on."""
        readable: list[Recorded] = []
        parked: set[UUID] = set()
        for row in rows:
            if row.customer in parked:
                continue
            try:
                readable.append(self._reader.read(row))
            except UnreadableEvent as error:
                await self._check_keys()
                parked.add(row.customer)
                await self._outbox.park(row.customer, row.position, str(error))
                log.error("customer parked", customer_id=str(row.customer), position=row.position, reason=str(error))
        return readable


def commands(batch: Sequence[Recorded]) -> list[list[Recorded]]:
    """The events of each command: they stand together, for they were committed together."""
    return [list(group) for _, group in groupby(batch, lambda one: (one.customer_id, one.metadata.causation_id))]


def by_customer(batch: Sequence[Sequence[Recorded]]) -> list[list[Sequence[Recorded]]]:
    """Each customer's commands, in order: one customer's are sent in turn, all customers' at the same time."""
    customers: dict[UUID, list[Sequence[Recorded]]] = {}
    for command in batch:
        customers.setdefault(command[0].customer_id, []).append(command)
    return list(customers.values())
