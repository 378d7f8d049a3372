"""The composition root of the partners' service."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Annotated, TypeAlias

import msgspec
from customerflow_shared import database, requests, service
from customerflow_shared.patience import Patience
from customerflow_shared.settings import AmqpUrl, HttpUrl, Listen, LogLevel, MysqlUrl, Port, Token
from litestar import Litestar, Router

from customerflow_partners import api, feed, management
from customerflow_partners.feed import Feed
from customerflow_partners.keeping import Subscriptions
from customerflow_partners.management import Management
from customerflow_partners.replaying import Runner
from customerflow_partners.replays import Replays
from customerflow_partners.schema import SCHEMA

ManagementUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^https?://[^@/\s:]+:[^@/\s]+@[^\s/?#]+(/[^\s?#]*)?\Z")]
Vhost: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class ToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For the commands that do one thing and leave."""

    rabbitmq_management_url: ManagementUrl
    """With the account of an administrator, which no other program has."""
    rabbitmq_vhost: Vhost = "/"
    log_level: LogLevel = "warning"


class MigrateSettings(msgspec.Struct, frozen=True, kw_only=True):
    partners_mysql_owner_url: MysqlUrl
    partners_mysql_url: MysqlUrl
    log_level: LogLevel = "info"


class DeadLetterSettings(ToolSettings, frozen=True, kw_only=True):
    """For the commands that publish to partners' queues."""

    amqp_url: AmqpUrl
    feed_url: HttpUrl
    feed_token: Token


class ReplaySettings(DeadLetterSettings, frozen=True, kw_only=True):
    partners_mysql_url: MysqlUrl


class PartnersSettings(Listen, frozen=True, kw_only=True):
    rabbitmq_management_url: ManagementUrl
    rabbitmq_vhost: Vhost = "/"
    operator_token: Token
    amqp_url: AmqpUrl
    """With an account that may write to the default exchange."""
    feed_url: HttpUrl
    feed_token: Token
    partners_mysql_url: MysqlUrl
    partners_mysql_owner_url: MysqlUrl | None = None
    """If given, the schema is brought up to date as soon as the database answers."""
    port: Port = 8085


def partners(config: PartnersSettings) -> tuple[Litestar, service.Health]:
    http = management.connect(config.rabbitmq_management_url)
    broker = Management(http, config.rabbitmq_vhost)
    engine = database.open_engine(config.partners_mysql_url)
    past = feed.connect(config.feed_url, config.feed_token)
    replays = Replays(engine)
    runner = Runner(replays, Feed(past), broker, config.amqp_url, holder())
    health = service.Health({"rabbitmq": broker.check, "mysql": lambda: SCHEMA.check(engine)})

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(engine.dispose)
            stack.push_async_callback(http.aclose)
            stack.push_async_callback(past.aclose)
            await stack.enter_async_context(service.background("replays", runner.run))
            if owner_url := config.partners_mysql_owner_url:
                migrate = partial(_migrate_when_possible, owner_url, config.partners_mysql_url)
                await stack.enter_async_context(service.background("migration", migrate))
            yield

    guards = [requests.with_token(config.operator_token, "Send the operator's token.")]
    app = service.create(
        "CustomerFlow partners",
        "An operator subscribes other systems here: a queue for each, with an account that may read it.",
        handlers=[Router("/", route_handlers=api.ROUTES, guards=guards)],
        health=health,
        lifespan=[lifespan],
        translations=api.TRANSLATIONS,
        dependencies={"kept": Subscriptions(broker), "management": broker, "replays": replays},
    )
    return app, health


def holder() -> str:
    """Of leases: this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


@asynccontextmanager
async def replaying(config: ReplaySettings) -> AsyncIterator[tuple[Replays, Management, Runner]]:
    """For the command line, which runs its own replay."""
    engine = database.open_engine(config.partners_mysql_url)
    try:
        async with (
            management.connect(config.rabbitmq_management_url) as http,
            feed.connect(config.feed_url, config.feed_token) as past,
        ):
            replays, broker = Replays(engine), Management(http, config.rabbitmq_vhost)
            yield replays, broker, Runner(replays, Feed(past), broker, config.amqp_url, holder())
    finally:
        await engine.dispose()


async def _migrate_when_possible(owner_url: str, runtime_url: str) -> None:
    async def attempt() -> None:
        await SCHEMA.migrate(owner_url, runtime_url)
        await asyncio.Event().wait()  # there is nothing more to do

    await Patience("migration").persist(attempt)
