"""A real RabbitMQ as an operator, the relay and partners see it; and a management interface that is none."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import aio_pika
import httpx
from aio_pika.abc import AbstractChannel, AbstractConnection
from customerflow_contract.asyncapi import EXCHANGE
from customerflow_partners import management
from customerflow_partners.keeping import Credentials, NotSubscribed, Subscriptions
from customerflow_partners.management import Management
from customerflow_partners.subscriptions import Limits, Step, Wish, dead_of, queue_of, user_of

KEYS = ("customer.erased.v1", "customer.updated.v1")


class Broker:
    """Whatever is subscribed by a name of `name()` is removed at the end."""

    def __init__(self, amqp_url: str, management_url: str, http: httpx.AsyncClient, channel: AbstractChannel) -> None:
        self.amqp_url = amqp_url
        self.management_url = management_url
        self.vhost = unquote(urlsplit(amqp_url).path[1:]) or "/"
        self.management = Management(http, self.vhost)
        self.kept = Subscriptions(self.management)
        self.names = list[str]()
        self._http = http
        self._channel = channel

    def name(self) -> str:
        """Users are not of a virtual host, so a name is nobody else's."""
        self.names.append(f"test-{secrets.token_hex(6)}")
        return self.names[-1]

    def wish(self, *keys: str, name: str = "", **limits: int) -> Wish:
        return Wish(name=name or self.name(), routing_keys=keys or KEYS, limits=Limits(**limits))

    async def ask(self, *path: str) -> Any:
        """As RabbitMQ says it; None if there is none."""
        answer = await self._http.get("api/" + "/".join(quote(part, safe="") for part in path))
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    async def definition(self, name: str) -> dict[str, Any]:
        """All that there is of a subscription, without numbers."""
        queues = [await self.ask("queues", self.vhost, queue) for queue in (queue_of(name), dead_of(name))]
        bindings = await self.ask("queues", self.vhost, queue_of(name), "bindings") or []
        return {
            "queues": [one and one["arguments"] for one in queues],
            "bindings": sorted(one["routing_key"] for one in bindings if one["source"] == EXCHANGE),
            "user": await self.ask("users", user_of(name)),
            "permissions": await self.ask("users", user_of(name), "permissions") or [],
        }

    async def publish(self, *bodies: bytes, key: str = "customer.updated.v1", exchange: str = EXCHANGE) -> None:
        """As the relay does it."""
        declared = await self._channel.get_exchange(exchange, ensure=False)
        for body in bodies:
            message = aio_pika.Message(
                body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, message_id=f"id-{body[:9].decode()}"
            )
            await declared.publish(message, key)

    async def waiting(self, queue: str) -> int:
        declared = await self._channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def holds(self, queue: str, count: int) -> None:
        async def so_many() -> bool:
            return await self.waiting(queue) == count

        await until(so_many)

    @asynccontextmanager
    async def as_partner(self, credentials: Credentials) -> AsyncIterator[AbstractConnection]:
        parts = urlsplit(self.amqp_url)
        host = parts.netloc.rpartition("@")[2]
        url = urlunsplit(parts._replace(netloc=f"{credentials.user}:{credentials.password}@{host}"))
        connection = await aio_pika.connect(url, timeout=5)
        try:
            yield connection
        finally:
            with suppress(Exception):
                await connection.close()

    async def taken(self, credentials: Credentials, queue: str, count: int) -> list[bytes]:
        """The partner consumes and acknowledges so many, and looks whether there are more."""
        bodies = list[bytes]()
        async with self.as_partner(credentials) as connection:
            channel = await connection.channel()
            consumed = await channel.get_queue(queue, ensure=False)

            async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
                bodies.append(message.body)
                await message.ack()

            await consumed.consume(take)
            await until(lambda: len(bodies) >= count)
            await asyncio.sleep(0.2)
        return bodies


class Interrupted(Exception):
    pass


class Mortal(Management):
    """It is killed after so many steps."""

    def __init__(self, management: Management, steps: int) -> None:
        super().__init__(management._client, management._vhost)
        self._left = steps

    async def perform(self, step: Step, password: str) -> None:
        if not self._left:
            raise Interrupted
        self._left -= 1
        await super().perform(step, password)


@asynccontextmanager
async def broker(amqp_url: str, management_url: str) -> AsyncIterator[Broker]:
    async with (
        management.connect(management_url) as http,
        await aio_pika.connect(amqp_url) as connection,
        connection.channel() as channel,
    ):
        found = Broker(amqp_url, management_url, http, channel)
        yield found
        for name in found.names:
            with suppress(NotSubscribed):
                await found.kept.remove(name, force=True)


async def until(true: Callable[[], bool | Awaitable[bool]], within: float = 20) -> None:
    async with asyncio.timeout(within):
        while not (found if isinstance(found := true(), bool) else await found):
            await asyncio.sleep(0.05)


class Answer(NamedTuple):
    status: int
    body: bytes = b""
    headers: tuple[str, ...] = ()
    after: float = 0  # seconds


@asynccontextmanager
async def pretending(answer: Answer) -> AsyncIterator[str]:
    """Where something answers each request the same."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(answer.after)
            writer.write("\r\n".join(_head(answer)).encode() + answer.body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"http://user:password@{host}:{port}/"
    server.close()


def _head(answer: Answer) -> Iterable[str]:
    yield f"HTTP/1.1 {answer.status} Told"
    yield from answer.headers
    yield from (f"Content-Length: {len(answer.body)}", "Connection: close", "", "")
