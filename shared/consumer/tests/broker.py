"""A queue as a partner has it, and a wire to the broker that can be cut."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aio_pika
from aio_pika.abc import AbstractChannel
from customerflow_consumer import Consumer, subscribe
from customerflow_consumer.queues import EXCHANGE
from customerflow_contract.cloud_event import TYPE_PREFIX, CloudEvent, encode
from customerflow_shared import messaging


class Partner:
    def __init__(self, channel: AbstractChannel, queue: str) -> None:
        self.channel = channel
        self.queue = queue

    async def tell(self, events: Iterable[CloudEvent]) -> None:
        """As the relay does it."""
        for event in events:
            await self.tell_body(encode(event), event.type.removeprefix(TYPE_PREFIX))

    async def tell_body(self, body: bytes, routing_key: str) -> None:
        exchange = await self.channel.get_exchange(EXCHANGE, ensure=False)
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await exchange.publish(message, routing_key)

    async def waiting(self, queue: str | None = None) -> int:
        """Messages that nobody holds."""
        declared = await self.channel.declare_queue(queue or self.queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def settles(self, count: int) -> None:
        """So many wait once the broker has noticed who has gone."""

        async def holds() -> bool:
            return await self.waiting() == count

        await asyncio.sleep(0.3)
        await until(holds)

    async def refused(self) -> bytes:
        queue = await self.channel.get_queue(f"{self.queue}.refused", ensure=False)
        message = await queue.get(no_ack=True)
        return message.body


@asynccontextmanager
async def partner(url: str, *routing_keys: str) -> AsyncIterator[Partner]:
    queue = f"partner-{secrets.token_hex(4)}"
    async with messaging.connected(url, "test") as connection:
        channel = await connection.channel()
        await messaging.declare(channel)
        await subscribe(channel, queue, routing_keys or ["#"])
        yield Partner(channel, queue)
        await channel.queue_delete(queue)
        await channel.queue_delete(f"{queue}.refused")


@asynccontextmanager
async def running(consumer: Consumer[Any]) -> AsyncIterator[None]:
    """Stopped gracefully at the end."""
    task = asyncio.create_task(consumer.run())
    try:
        yield
    finally:
        consumer.stop()
        async with asyncio.timeout(10):
            await task


async def until(true: Callable[[], bool | Awaitable[bool]], within: float = 20) -> None:
    async with asyncio.timeout(within):
        while not (found if isinstance(found := true(), bool) else await found):
            await asyncio.sleep(0.02)


class Wire:
    """A TCP proxy in front of a server."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def wired(url: str) -> AsyncIterator[Wire]:
    parts = urlsplit(url)
    wire = Wire()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while content := await reader.read(65536):
                writer.write(content)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        wire.connections += 1
        wire._writers |= {writer, back}
        await asyncio.gather(pump(reader, back), pump(there, writer))
        wire._writers -= {writer, back}

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    wire.url = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{host}:{port}"))
    async with server:
        yield wire
        wire.cut()
        await asyncio.sleep(0.05)
