"""RabbitMQ, watched by somebody who is not part of the system."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID
from zlib import crc32

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

INTEGRATION: Final = "customerflow.integration"
INTEGRATION_LOG: Final = "customerflow.integration.log"
DOMAIN: Final = "customerflow.domain"
DEAD: Final = "customerflow.dead"
SHARDS: Final = 16


def shard_of(customer_id: str) -> int:
    return crc32(UUID(customer_id).bytes) % SHARDS


def shard_queue(shard: int) -> str:
    return f"customerflow.projector.{shard:02d}"


@dataclass
class Heard:
    """The messages so far, in the order in which they came."""

    messages: list[AbstractIncomingMessage] = field(default_factory=list)

    async def take(self, message: AbstractIncomingMessage) -> None:
        self.messages.append(message)
        await message.ack()


@asynccontextmanager
async def channel(url: str) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(url) as connection:
        yield await connection.channel(on_return_raises=True)


@asynccontextmanager
async def listening(url: str, exchange: str = INTEGRATION, routing_key: str = "#") -> AsyncIterator[Heard]:
    """An exclusive queue of our own, bound to the exchange from now on."""
    async with channel(url) as own:
        await own.set_qos(prefetch_count=500)
        queue = await own.declare_queue(exclusive=True)
        await queue.bind(exchange, routing_key)
        heard = Heard()
        await queue.consume(heard.take)
        yield heard


@asynccontextmanager
async def reading_the_log(url: str, offset: str | int = "first") -> AsyncIterator[Heard]:
    """The stream of everything that was ever published, from an offset on."""
    async with channel(url) as own:
        await own.set_qos(prefetch_count=500)
        queue = await own.get_queue(INTEGRATION_LOG)
        heard = Heard()
        await queue.consume(heard.take, arguments={"x-stream-offset": offset})
        yield heard


def overtaken(messages: Iterable[AbstractIncomingMessage]) -> list[str]:
    """Versions that were first heard of after a later one: a redelivery may repeat, never overtake."""
    heard: dict[str, set[int]] = defaultdict(set)
    late = []
    for message in messages:
        about = json.loads(message.body)["data"]
        seen, version = heard[about["customerId"]], about["version"]
        if version not in seen and seen and version < max(seen):
            late.append(f"{about} came after version {max(seen)}")
        seen.add(version)
    return late


async def publish(url: str, exchange: str, routing_key: str, message: aio_pika.Message) -> None:
    async with channel(url) as own:
        target = await own.get_exchange(exchange, ensure=False)
        await target.publish(message, routing_key, mandatory=True, timeout=10)


async def depth(queue: AbstractQueue) -> int:
    """How many messages wait."""
    return (await queue.declare()).message_count or 0


async def drain(url: str, queue: str, quiet: float = 0.5) -> list[AbstractIncomingMessage]:
    """Take everything out of a queue, until nothing has come for a while."""
    async with channel(url) as own:
        source, taken = await own.get_queue(queue), list[AbstractIncomingMessage]()
        while message := await source.get(fail=False, no_ack=True):
            taken.append(message)
        await asyncio.sleep(quiet)
        while message := await source.get(fail=False, no_ack=True):
            taken.append(message)
        return taken
