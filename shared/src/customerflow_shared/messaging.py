"""RabbitMQ: the topology, and how a connection is made.

    customerflow.domain (direct)       --shard 0..15--> customerflow.projector.<shard>   quorum, single active consumer
    customerflow.integration (topic)   ------------#--> customerflow.integration.log     stream, read from any offset
    customerflow.dead (fanout)         ---------------> customerflow.dead                what no one could even read

The number of shards is fixed at birth: order per customer holds only while a customer stays in one queue. Every
program that connects declares everything, so that an event is never unroutable because another program has not
started yet.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection

DOMAIN = "customerflow.domain"
INTEGRATION = "customerflow.integration"
INTEGRATION_LOG = "customerflow.integration.log"
DEAD = "customerflow.dead"
SHARDS = 16

PUBLISH_TIMEOUT = 5.0
SETUP_SECONDS = 20.0  # for all that a connection begins with; heartbeats alone would wait for 90

_QUORUM: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-dead-letter-exchange": DEAD,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
    # A message comes back whenever its consumer dies, and that is no fault of the message: the limit is only a net
    # (RabbitMQ 4 would otherwise set 20 and drop). What cannot be applied is parked by the projector itself.
    "x-delivery-limit": 1000,
}


class BrokerUnavailable(Exception):
    """RabbitMQ does not answer, or refuses."""


def shard_of(customer_id: UUID) -> int:
    return zlib.crc32(customer_id.bytes) % SHARDS


def shard_queue(shard: int) -> str:
    return f"customerflow.projector.{shard:02d}"


@asynccontextmanager
async def connected(url: str, name: str) -> AsyncIterator[AbstractConnection]:
    """One connection, closed at the end. It is not re-established: whoever holds it starts over, and re-reads what is
    true.
    """
    connection = await aio_pika.connect(url, timeout=5, heartbeat=30, client_properties={"connection_name": name})
    try:
        yield connection
    finally:
        # closing a connection whose peer has vanished must not hang the way out
        try:
            async with asyncio.timeout(2):
                await connection.close()
        except Exception:
            pass


async def declare(channel: AbstractChannel) -> None:
    """Create what is missing of the topology; raises if something exists in another form, and TimeoutError."""
    async with asyncio.timeout(SETUP_SECONDS):
        await _declare(channel)


async def _declare(channel: AbstractChannel) -> None:
    domain = await channel.declare_exchange(DOMAIN, aio_pika.ExchangeType.DIRECT, durable=True)
    integration = await channel.declare_exchange(INTEGRATION, aio_pika.ExchangeType.TOPIC, durable=True)
    dead = await channel.declare_exchange(DEAD, aio_pika.ExchangeType.FANOUT, durable=True)
    dead_queue = await channel.declare_queue(
        DEAD,
        durable=True,
        arguments={"x-queue-type": "quorum", "x-max-length": 10_000, "x-overflow": "drop-head"},
    )
    await dead_queue.bind(dead)
    log_queue = await channel.declare_queue(
        INTEGRATION_LOG,
        durable=True,
        arguments={"x-queue-type": "stream", "x-max-length-bytes": 1_000_000_000, "x-max-age": "7D"},
    )
    await log_queue.bind(integration, "#")
    for shard in range(SHARDS):
        queue = await channel.declare_queue(shard_queue(shard), durable=True, arguments=_QUORUM)
        await queue.bind(domain, str(shard))
