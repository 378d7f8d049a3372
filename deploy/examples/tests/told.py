"""What CustomerFlow tells, on a broker with its topology, and programs that listen."""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractChannel
from customerflow_consumer.testing import told
from customerflow_contract.cloud_event import TYPE_PREFIX, CloudEvent, encode
from customerflow_contract.events import (
    CustomerConsentChangedV1,
    CustomerErasedV1,
    CustomerErasureCancelledV1,
    CustomerErasureRequestedV1,
    CustomerRegisteredV1,
    CustomerStatusChangedV1,
)
from customerflow_shared import messaging

AT = "2026-11-23T12:00:00.000Z"


def registered(customer: UUID, version: int = 1) -> CloudEvent:
    links: Any = {"self": f"/v1/customers/{customer}"}
    return told(
        CustomerRegisteredV1(
            customer_id=customer, version=version, type="person", status="active", external_ids=(), links=links
        )
    )


def consent(customer: UUID, version: int, state: Any, purpose: str = "marketing", channel: str = "email") -> CloudEvent:
    return told(
        CustomerConsentChangedV1(
            customer_id=customer, version=version, purpose=purpose, channel=channel, state=state, captured_at=AT
        )
    )


def status(customer: UUID, version: int, previous: Any, current: Any) -> CloudEvent:
    return told(CustomerStatusChangedV1(customer_id=customer, version=version, previous=previous, current=current))


def erasure_requested(customer: UUID, version: int) -> CloudEvent:
    return told(CustomerErasureRequestedV1(customer_id=customer, version=version, due_at=AT))


def erasure_cancelled(customer: UUID, version: int) -> CloudEvent:
    return told(CustomerErasureCancelledV1(customer_id=customer, version=version))


def erased(customer: UUID, version: int) -> CloudEvent:
    return told(CustomerErasedV1(customer_id=customer, version=version, erased_at=AT, external_ids=()))


class Telling:
    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel

    async def tell(self, events: Iterable[CloudEvent]) -> None:
        """As the relay does it."""
        for event in events:
            await self.tell_body(encode(event), event.type.removeprefix(TYPE_PREFIX))

    async def tell_body(self, body: bytes, routing_key: str) -> None:
        exchange = await self.channel.get_exchange(messaging.INTEGRATION, ensure=False)
        await exchange.publish(aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT), routing_key)

    async def ready(self, queue: str) -> int | None:
        """Messages that nobody holds; None if there is no such queue."""
        try:
            declared = await self.channel.declare_queue(queue, passive=True)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            await self.channel.reopen()
            return None
        return declared.declaration_result.message_count or 0


@asynccontextmanager
async def telling(url: str) -> AsyncIterator[Telling]:
    async with messaging.connected(url, "test") as connection:
        channel = await connection.channel()
        await messaging.declare(channel)
        yield Telling(channel)


class Given(NamedTuple):
    """What CustomerFlow's operator hands to a partner."""

    url: str
    queue: str


@asynccontextmanager
async def given(amqp_url: str, management_url: str, *routing_keys: str) -> AsyncIterator[Given]:
    """A subscription, made and removed as an operator does it."""
    parts = urlsplit(amqp_url)
    name = f"example-{secrets.token_hex(6)}"
    env = {
        **os.environ,
        "CF_RABBITMQ_MANAGEMENT_URL": management_url,
        "CF_RABBITMQ_VHOST": unquote(parts.path[1:]) or "/",
    }

    async def operate(*arguments: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "customerflow_partners", "subscriptions", *arguments),
            env=env,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return output

    to = (argument for key in routing_keys for argument in ("--to", key))
    told = json.loads(await operate("create", name, *to, "--json"))
    account = f"{told['credentials']['user']}:{told['credentials']['password']}"
    host = parts.netloc.rpartition("@")[2]
    try:
        yield Given(urlunsplit(parts._replace(netloc=f"{account}@{host}")), told["subscription"]["queue"])
    finally:
        await operate("remove", name, "--force")


@asynccontextmanager
async def running(command: Sequence[str], env: dict[str, str], cwd: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Ended by SIGTERM, after which it must come to its end by itself, in good order."""
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **env}, cwd=cwd)
    try:
        yield process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def killed(process: asyncio.subprocess.Process) -> None:
    process.kill()
    await process.wait()


async def until(true: Callable[[], Awaitable[bool]], within: float = 20) -> None:
    async with asyncio.timeout(within):
        while not await true():
            await asyncio.sleep(0.05)
