"""Queues and exchanges of the same kinds as the system's (see `customerflow_shared.messaging`), under other names."""

from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel
from customerflow_shared import messaging

DOMAIN, INTEGRATION = "bench.domain", "bench.integration"
_QUORUM: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-dead-letter-exchange": messaging.DEAD,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
    "x-delivery-limit": 1000,
}
_LOG: dict[str, Any] = {"x-queue-type": "stream", "x-max-length-bytes": 1_000_000_000, "x-max-age": "7D"}


def shard_queue(prefix: str, shard: int) -> str:
    return f"{prefix}.{shard:02d}"


async def declare_shards(channel: AbstractChannel, prefix: str, exchange: str) -> None:
    """Sixteen queues that are given what the system's are, if `exchange` is the system's."""
    for shard in range(messaging.SHARDS):
        queue = await channel.declare_queue(shard_queue(prefix, shard), durable=True, arguments=_QUORUM)
        await queue.bind(exchange, str(shard))


async def declare(channel: AbstractChannel) -> None:
    await channel.declare_exchange(DOMAIN, aio_pika.ExchangeType.DIRECT, durable=True)
    integration = await channel.declare_exchange(INTEGRATION, aio_pika.ExchangeType.TOPIC, durable=True)
    await declare_shards(channel, "bench.shard", DOMAIN)
    log = await channel.declare_queue("bench.log", durable=True, arguments=_LOG)
    await log.bind(integration, "#")


async def empty(channel: AbstractChannel) -> None:
    """The broker does not slow down because of what was published before."""
    for shard in range(messaging.SHARDS):
        await channel.queue_delete(shard_queue("bench.shard", shard))
    await channel.queue_delete("bench.log")
