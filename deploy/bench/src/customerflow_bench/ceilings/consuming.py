"""How fast a client library alone takes messages that wait in sixteen queues, and acknowledges many at once:
`python -m customerflow_bench.ceilings.consuming URL PREFIX MESSAGES aio-pika|aiormq`.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
import aiormq
import uvloop
from customerflow_shared import messaging

from customerflow_bench.ceilings.topology import shard_queue

PREFETCH = 64  # per queue, as the projector has it: with more, all of them would lie in memory before one is taken
BATCH = 500

Acknowledge = Callable[[Any], Awaitable[Any]]


async def by_aio_pika(url: str, prefix: str, messages: int) -> float:
    connection = await aio_pika.connect(url)
    channel = await connection.channel(publisher_confirms=False)
    await channel.set_qos(prefetch_count=PREFETCH)
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    began = time.perf_counter()
    for shard in range(messaging.SHARDS):
        queue = await channel.get_queue(shard_queue(prefix, shard), ensure=False)
        await queue.consume(inbox.put)
    await _take(inbox, messages, lambda message: message.ack(multiple=True))
    took = time.perf_counter() - began
    await connection.close()
    return took


async def by_aiormq(url: str, prefix: str, messages: int) -> float:
    connection = await aiormq.connect(url)
    channel = await connection.channel(publisher_confirms=False)
    await channel.basic_qos(prefetch_count=PREFETCH)
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    began = time.perf_counter()
    for shard in range(messaging.SHARDS):
        await channel.basic_consume(shard_queue(prefix, shard), inbox.put)
    await _take(inbox, messages, lambda message: channel.basic_ack(message.delivery_tag, multiple=True))
    took = time.perf_counter() - began
    await connection.close()
    return took


async def _take(inbox: "asyncio.Queue[Any]", messages: int, acknowledge: Acknowledge) -> None:
    left = messages
    while left:
        last, left, taken = await inbox.get(), left - 1, 1
        while taken < BATCH and not inbox.empty():
            last, left, taken = inbox.get_nowait(), left - 1, taken + 1
        await acknowledge(last)


if __name__ == "__main__":
    consume = {"aio-pika": by_aio_pika, "aiormq": by_aiormq}[sys.argv[4]]
    number = int(sys.argv[3])
    print(json.dumps({"a second": number / uvloop.run(consume(sys.argv[1], sys.argv[2], number))}))
