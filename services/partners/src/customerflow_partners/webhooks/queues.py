"""The queue of a webhook at the broker.

customerflow.integration --routing keys--> customerflow.webhook.<id>    quorum, single active consumer
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractChannel
from customerflow_shared import messaging

from customerflow_partners.subscriptions import Limits

PREFIX = "customerflow.webhook."
LIMITS = Limits()

# Full means that the oldest messages go: a queue that refuses would hold up everybody else.
_ARGUMENTS: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-max-length": LIMITS.messages,
    "x-max-length-bytes": LIMITS.bytes,
    "x-message-ttl": LIMITS.age * 1000,
    "x-overflow": "drop-head",
    # It comes back with each probe of a webhook that fails, which is no fault of the message; RabbitMQ 4 would say 20.
    "x-delivery-limit": 1_000_000_000,
}


def queue_of(webhook: UUID) -> str:
    return f"{PREFIX}{webhook}"


async def declare(channel: AbstractChannel, webhook: UUID, keys: Iterable[str], stale: Iterable[str] = ()) -> int:
    """Create and bind what is missing of it, unbind what is not wanted any more; how many messages wait.

    May be repeated without harm.
    """
    exchange = await channel.declare_exchange(messaging.INTEGRATION, aio_pika.ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue(queue_of(webhook), durable=True, arguments=_ARGUMENTS)
    for key in keys:
        await queue.bind(exchange, key)
    for key in stale:
        await queue.unbind(exchange, key)
    return queue.declaration_result.message_count or 0


async def waiting(channel: AbstractChannel, webhook: UUID) -> int:
    """How many messages nobody has taken yet. Raises ChannelNotFoundEntity if there is no such queue."""
    queue = await channel.declare_queue(queue_of(webhook), passive=True)
    return queue.declaration_result.message_count or 0


async def delete(channel: AbstractChannel, webhook: UUID) -> None:
    """With all that it holds; nothing, if it is gone."""
    await channel.queue_delete(queue_of(webhook))
