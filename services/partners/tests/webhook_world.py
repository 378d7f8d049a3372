"""Webhooks against real servers: events are published as the relay does it, workers run in this process."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel, AbstractConnection
from customerflow_local.testing import Database
from customerflow_partners.webhooks import queues, signing
from customerflow_partners.webhooks.addresses import networks
from customerflow_partners.webhooks.sending import Outgoing
from customerflow_partners.webhooks.serving import Limits
from customerflow_partners.webhooks.store import Counts, State, Store, Webhook
from customerflow_partners.webhooks.worker import Worker
from customerflow_shared import database, messaging, service
from customerflow_shared.database import utc_now
from customerflow_shared.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncEngine

from .receiver import Received

MASTER = base64.b64decode("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
KEY = "customer.updated.v1"


@dataclass
class Clock:
    """The time of day, and as much later as it is told."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass
class World:
    engine: AsyncEngine
    amqp_url: str
    connection: AbstractConnection
    channel: AbstractChannel
    clock: Clock = field(default_factory=Clock)
    outgoing: Outgoing = field(default_factory=lambda: Outgoing(networks("127.0.0.0/8")))
    sent: dict[UUID, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    """The ids of the events of each customer, in order."""

    def __post_init__(self) -> None:
        self.store = Store(self.engine)
        self.keys = signing.Keys(MASTER)

    async def webhook(self, url: str, keys: Sequence[str] = ("customer.#",)) -> Webhook:
        identifier = uuid7()
        one = Webhook(
            id=identifier,
            url=url,
            routing_keys=tuple(keys),
            state=State.ACTIVE,
            key_check=self.keys.check_of(identifier),
            created_at=utc_now(),
        )
        await queues.declare(self.channel, one.id, one.routing_keys)
        await self.store.add(one)
        return one

    @asynccontextmanager
    async def worker(self, limits: Limits = Limits()) -> AsyncIterator[Worker]:  # noqa: B008 (it is a tuple)
        worker = Worker(self.engine, self.amqp_url, self.keys, self.outgoing, limits, self.clock)
        async with service.background("webhooks", worker.run):
            yield worker
            await worker.finish()

    async def tell(self, *customers: UUID, key: str = KEY) -> None:
        """One event of each; in this order."""
        exchange = await self.channel.get_exchange(messaging.INTEGRATION, ensure=False)
        for customer in customers:
            identifier = uuid7()
            self.sent[customer].append(identifier)
            body = event(identifier, customer, len(self.sent[customer]), key)
            message = aio_pika.Message(body, delivery_mode=2, message_id=str(identifier))
            await exchange.publish(message, key, mandatory=False)

    async def backlog(self, one: Webhook) -> int:
        return await queues.declare(self.channel, one.id, ())

    async def counts(self, one: Webhook) -> Counts:
        return (await self.store.counts()).get(one.id, Counts())

    def everything(self, received: Iterable[Received]) -> bool:
        return {UUID(one.event["id"]) for one in received} >= {each for ids in self.sent.values() for each in ids}

    def in_order(self, received: Iterable[Received]) -> bool:
        """Whether each customer's events came in order, apart from repetitions."""
        last: dict[str, int] = {}
        for one in received:
            before = last.get(one.customer, 0)
            if one.number > before + 1:
                return False
            last[one.customer] = max(one.number, before)
        return True


def event(identifier: UUID, customer: UUID, number: int, key: str = KEY) -> bytes:
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": identifier,
            "type": f"io.customerflow.{key}",
            "source": "/customerflow",
            "subject": customer,
            "time": datetime.now(UTC),
            "sequence": f"{number:020}",
            "data": {"customerId": customer, "version": number, "changed": ["/name"]},
        }
    )


async def until(condition: Callable[[], Awaitable[bool] | bool], seconds: float = 20.0, every: float = 0.02) -> None:
    """Raises AssertionError."""
    give_up = time.monotonic() + seconds
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < give_up, "it has not come true"
        await asyncio.sleep(every)


@asynccontextmanager
async def world(migrated: Database, amqp_url: str) -> AsyncIterator[World]:
    engine = database.open_engine(migrated.url, connections=8)
    async with messaging.connected(amqp_url, "tests") as connection:
        channel = await connection.channel()
        made = World(engine, amqp_url, connection, channel)
        await channel.declare_exchange(messaging.INTEGRATION, aio_pika.ExchangeType.TOPIC, durable=True)
        yield made
        for row in await made.store.all():
            await queues.delete(channel, row.id)
            await made.store.delete(row.id)
        made.outgoing.close()
    await engine.dispose()


def customers(count: int) -> list[UUID]:
    return [UUID(bytes=secrets.token_bytes(16), version=4) for _ in range(count)]
