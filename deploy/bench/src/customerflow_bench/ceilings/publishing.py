"""How fast a client library alone publishes messages of the system's own, each confirmed, in batches of 500:
`python -m customerflow_bench.ceilings.publishing URL FILE MESSAGES aio-pika|aiormq`.
"""

import asyncio
import json
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import aio_pika
import aiormq
import msgspec
import uvloop

from customerflow_bench.ceilings import topology

BATCH = 500


class Captured(msgspec.Struct, frozen=True, array_like=True):
    """A message as it was published."""

    domain: bool
    routing_key: str
    body: bytes
    message_id: str
    content_type: str
    type: str | None
    headers: dict[str, Any]

    @property
    def exchange(self) -> str:
        return topology.DOMAIN if self.domain else topology.INTEGRATION


async def by_aio_pika(url: str, messages: list[Captured]) -> float:
    connection = await aio_pika.connect(url)
    channel = await connection.channel(publisher_confirms=True)
    await topology.declare(channel)
    exchanges = {one.exchange: await channel.get_exchange(one.exchange, ensure=False) for one in messages}
    prepared = [(exchanges[one.exchange], _message(one), one.routing_key) for one in messages]
    began = time.perf_counter()
    for start in range(0, len(prepared), BATCH):
        some = prepared[start : start + BATCH]
        await asyncio.gather(*(exchange.publish(message, key) for exchange, message, key in some))
    took = time.perf_counter() - began
    await topology.empty(channel)
    await connection.close()
    return took


def _message(one: Captured) -> aio_pika.Message:
    return aio_pika.Message(
        one.body,
        content_type=one.content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=one.message_id,
        type=one.type,
        headers=one.headers,
    )


async def by_aiormq(url: str, messages: list[Captured]) -> float:
    connection = await aio_pika.connect(url)
    declaring = await connection.channel()
    await topology.declare(declaring)
    raw = await aiormq.connect(url)
    channel = await raw.channel(publisher_confirms=True)
    prepared = [(one.exchange, _properties(one), one) for one in messages]
    began = time.perf_counter()
    for start in range(0, len(prepared), BATCH):
        some = prepared[start : start + BATCH]
        await asyncio.gather(
            *(
                channel.basic_publish(
                    one.body, exchange=exchange, routing_key=one.routing_key, properties=properties, mandatory=True
                )
                for exchange, properties, one in some
            )
        )
    took = time.perf_counter() - began
    await topology.empty(declaring)
    await raw.close()
    await connection.close()
    return took


def _properties(one: Captured) -> aiormq.spec.Basic.Properties:
    return aiormq.spec.Basic.Properties(
        content_type=one.content_type,
        delivery_mode=2,
        message_id=one.message_id,
        message_type=one.type,
        headers=one.headers,
    )


if __name__ == "__main__":
    publish = {"aio-pika": by_aio_pika, "aiormq": by_aiormq}[sys.argv[4]]
    captured = msgspec.msgpack.decode(Path(sys.argv[2]).read_bytes(), type=list[Captured])
    number = int(sys.argv[3])
    print(json.dumps({"a second": number / uvloop.run(publish(sys.argv[1], [*islice(cycle(captured), number)]))}))
