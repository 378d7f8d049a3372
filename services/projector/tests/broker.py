"""The other end of the projector's queues, and a wire to the broker that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractChannel
from customerflow_shared import events, messaging
from customerflow_shared.events import Recorded


class Broker:
    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel

    async def publish(self, history: Iterable[Recorded], headers: Mapping[str, str] | None = None) -> None:
        """As the relay does it."""
        for event in history:
            await self.publish_body(events.encode(event), event.customer_id, headers)

    async def publish_body(self, body: bytes, customer_id: UUID, headers: Mapping[str, str] | None = None) -> None:
        exchange = await self.channel.get_exchange(messaging.DOMAIN, ensure=False)
        persistent = aio_pika.DeliveryMode.PERSISTENT
        message = aio_pika.Message(body, delivery_mode=persistent, headers=dict(headers or {}))
        await exchange.publish(message, routing_key=str(messaging.shard_of(customer_id)), mandatory=True)

    async def waiting(self) -> int:
        """Messages in the shards' queues that nobody holds."""
        queues = [
            await self.channel.declare_queue(messaging.shard_queue(shard), passive=True)
            for shard in range(messaging.SHARDS)
        ]
        return sum(queue.declaration_result.message_count or 0 for queue in queues)

    async def delete_queue(self, shard: int) -> None:
        await self.channel.queue_delete(messaging.shard_queue(shard))

    async def dead(self) -> bytes:
        """The next message that was set aside."""
        queue = await self.channel.get_queue(messaging.DEAD, ensure=False)
        async with asyncio.timeout(5):
            while True:
                message = await queue.get(fail=False, no_ack=True)
                if message is not None:
                    return message.body
                await asyncio.sleep(0.05)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Broker]:
    """The broker with everything declared and every queue empty."""
    async with messaging.connected(url, "test") as connection:
        channel = await connection.channel()
        await messaging.declare(channel)
        for shard in range(messaging.SHARDS):
            await (await channel.get_queue(messaging.shard_queue(shard), ensure=False)).purge()
        yield Broker(channel)


class Wire:
    """A TCP proxy in front of a server."""

    def __init__(self) -> None:
        self.url = ""
        self.silent = False  # takes what is sent, and passes nothing on
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
                if wire.silent:
                    continue
                writer.write(content)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        wire._writers |= {writer, back}
        await asyncio.gather(pump(reader, back), pump(there, writer))
        wire._writers -= {writer, back}

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    credentials = parts.netloc.rpartition("@")[0]
    wire.url = urlunsplit(parts._replace(netloc=f"{credentials}@{host}:{port}"))
    async with server:
        yield wire
        wire.cut()
        await asyncio.sleep(0.05)
