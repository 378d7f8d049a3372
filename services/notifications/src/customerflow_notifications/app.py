"""The composition root of the notifications service."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial

import msgspec
import structlog
from customerflow_consumer import Consumer, SqliteInbox, subscribe
from customerflow_shared import service
from customerflow_shared.settings import AmqpUrl, HttpUrl, Listen, LogLevel, Port, Token
from litestar import Litestar

from customerflow_notifications.listening import handlers
from customerflow_notifications.pending import Pending
from customerflow_notifications.sending import Sender
from customerflow_notifications.services import Commands, Provider

log = structlog.get_logger()

FINISHING = 10.0  # seconds
REMEMBERED = timedelta(days=30)
"""Longer than an event can be delivered again."""
FORGETS_EVERY = 3600.0


class ToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For the commands that look at what could not be handled, also while the program runs."""

    notifications_db: str = "notifications.db"
    log_level: LogLevel = "warning"


class NotificationsSettings(Listen, frozen=True, kw_only=True):
    amqp_url: AmqpUrl
    command_url: HttpUrl
    delivery_token: Token
    email_provider_url: HttpUrl | None = None
    """Without it nothing is sent: what is asked for is kept until its code expires."""
    email_provider_token: Token | None = None
    notifications_db: str = "notifications.db"
    """The file in which is kept what was handled and what is still to be sent; of one process at a time."""
    notifications_queue: str = "notifications"
    port: Port = 8084


def notifications(config: NotificationsSettings) -> tuple[Litestar, service.Health]:
    inbox = SqliteInbox(config.notifications_db)
    pending = Pending(inbox)
    commands = Commands(config.command_url, config.delivery_token)
    provider = None
    if config.email_provider_url:
        provider = Provider(config.email_provider_url, config.email_provider_token)
    else:
        log.warning("nothing is sent, for there is no provider: CF_EMAIL_PROVIDER_URL is not set")
    sender = Sender(pending, commands, provider)
    listened_for = handlers(pending, time.time)
    consumer = Consumer(
        config.amqp_url,
        config.notifications_queue,
        listened_for,
        inbox,
        declare=lambda channel: subscribe(channel, config.notifications_queue, listened_for.routing_keys),
    )
    finished = asyncio.Event()

    async def listen() -> None:
        await consumer.run()
        finished.set()
        await asyncio.Event().wait()  # it was asked to end, and is not missed

    async def forget() -> None:
        while True:
            await inbox.forget(REMEMBERED)
            await asyncio.sleep(FORGETS_EVERY)

    async def broker() -> None:
        if not consumer.connected:
            raise ConnectionError("not connected")

    health = service.Health({"rabbitmq": broker})

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(inbox.close)
            stack.push_async_callback(commands.client.close)
            if provider:
                stack.push_async_callback(provider.client.close)
            await stack.enter_async_context(service.background("forgetting", forget))
            await stack.enter_async_context(service.background("sender", sender.run))
            await stack.enter_async_context(service.background("consumer", listen))
            stack.push_async_callback(partial(_finish, consumer.stop, finished))
            yield

    app = service.create(
        "CustomerFlow notifications",
        "Has verification codes delivered. It has no interface but its health.",
        handlers=[],
        health=health,
        lifespan=[lifespan],
    )
    return app, health


@contextmanager
def mending(config: ToolSettings) -> Iterator[Consumer[sqlite3.Connection]]:
    """A consumer that does not listen."""
    with SqliteInbox(config.notifications_db) as inbox:
        yield Consumer("", "", handlers(Pending(inbox), time.time), inbox)


async def _finish(stop: Callable[[], None], finished: asyncio.Event) -> None:
    stop()
    with suppress(TimeoutError):
        async with asyncio.timeout(FINISHING):
            await finished.wait()
