"""The composition root of the partners' service."""

import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Annotated, TypeAlias

import msgspec
from customerflow_shared import database, requests, service, settings
from customerflow_shared.settings import AmqpUrl, HttpUrl, Listen, LogLevel, MysqlUrl, Port, Token
from litestar import Litestar, Router

from customerflow_partners import api, feed, management, watch
from customerflow_partners.dead_letters import DeadLetters
from customerflow_partners.feed import Feed
from customerflow_partners.keeping import Subscriptions
from customerflow_partners.management import Management
from customerflow_partners.replaying import Runner
from customerflow_partners.replays import Replays
from customerflow_partners.schema import SCHEMA
from customerflow_partners.webhooks import addresses
from customerflow_partners.webhooks.addresses import Network
from customerflow_partners.webhooks.keeping import Webhooks
from customerflow_partners.webhooks.sending import Outgoing
from customerflow_partners.webhooks.serving import Limits
from customerflow_partners.webhooks.signing import MIN_KEY, Keys
from customerflow_partners.webhooks.worker import Worker

ManagementUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^https?://[^@/\s:]+:[^@/\s]+@[^\s/?#]+(/[^\s?#]*)?\Z")]
WebhookKey: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=MIN_KEY, max_length=1024)]  # in base64
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


class WebhookToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For the commands that look at webhooks and change them."""

    partners_mysql_url: MysqlUrl
    amqp_url: AmqpUrl
    webhook_key: WebhookKey
    webhook_allow: str = ""
    webhook_ca: str | None = None
    log_level: LogLevel = "warning"


class WebhookSettings(Listen, frozen=True, kw_only=True):
    partners_mysql_url: MysqlUrl
    amqp_url: AmqpUrl
    """With an account that may make queues `customerflow.webhook.*`, bind them, read them."""
    webhook_key: WebhookKey
    """Of which the secrets are made that sign; the same for the API and every worker."""
    webhook_allow: str = ""
    """Networks, separated by commas, that webhooks may lead to though they are not public, also without TLS."""
    webhook_ca: str | None = None
    """Certificates in PEM by which receivers are known, beside the usual ones."""
    webhook_concurrency: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    """Attempts at a time to one webhook."""
    webhook_disable_after: Annotated[float, msgspec.Meta(gt=0, le=366)] = 5.0
    """Days without any success."""
    port: Port = 8086


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
    webhook_key: WebhookKey | None = None
    """With it there are webhooks. The key, and what follows, as their workers have them."""
    webhook_allow: str = ""
    webhook_ca: str | None = None
    port: Port = 8085


def partners(config: PartnersSettings) -> tuple[Litestar, service.Health]:
    http = management.connect(config.rabbitmq_management_url)
    broker = Management(http, config.rabbitmq_vhost)
    engine = database.open_engine(config.partners_mysql_url)
    feed_http = feed.connect(config.feed_url, config.feed_token)
    past, replays = Feed(feed_http), Replays(engine)
    runner = Runner(replays, past, broker, config.amqp_url, holder())
    health = service.Health({"rabbitmq": broker.check, "mysql": lambda: SCHEMA.check(engine)})
    outgoing = _outgoing(config.webhook_allow, config.webhook_ca)
    routes = [*api.ROUTES]
    dependencies = {
        "kept": Subscriptions(broker),
        "management": broker,
        "replays": replays,
        "letters": DeadLetters(broker, past, config.amqp_url),
    }
    if key := config.webhook_key:
        routes += api.WEBHOOK_ROUTES
        dependencies["hooks"] = Webhooks(engine, config.amqp_url, Keys(key), outgoing)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(outgoing.close)
            stack.push_async_callback(engine.dispose)
            stack.push_async_callback(http.aclose)
            stack.push_async_callback(feed_http.aclose)
            await stack.enter_async_context(service.background("replays", runner.run))
            await stack.enter_async_context(service.background("queues watch", partial(watch.queues, broker)))
            await stack.enter_async_context(service.background("webhooks watch", partial(watch.webhooks, engine)))
            if owner_url := config.partners_mysql_owner_url:
                migrate = partial(SCHEMA.migrate_when_possible, owner_url, config.partners_mysql_url)
                await stack.enter_async_context(service.background("migration", migrate))
            yield

    guards = [requests.with_token(config.operator_token, "Send the operator's token.")]
    app = service.create(
        "CustomerFlow partners",
        "An operator subscribes other systems here: a queue for each, with an account that may read it.",
        handlers=[Router("/", route_handlers=routes, guards=guards)],
        health=health,
        lifespan=[lifespan],
        translations=api.TRANSLATIONS,
        dependencies=dependencies,
    )
    return app, health


def webhooks(config: WebhookSettings) -> tuple[Litestar, service.Health]:
    """The worker that delivers them."""
    engine = database.open_engine(config.partners_mysql_url, connections=8)
    outgoing = _outgoing(config.webhook_allow, config.webhook_ca)
    limits = Limits(config.webhook_concurrency, timedelta(days=config.webhook_disable_after))
    worker = Worker(engine, config.amqp_url, Keys(config.webhook_key), outgoing, limits)
    health = service.Health({"rabbitmq": worker.check, "mysql": lambda: SCHEMA.check(engine)})

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with service.background("webhooks", worker.run):
            yield
            await worker.finish()
        outgoing.close()
        await engine.dispose()

    description = "Delivers webhooks. It has no interface but its health."
    return service.create("CustomerFlow webhooks", description, handlers=[], health=health, lifespan=[lifespan]), health


@asynccontextmanager
async def webhooks_of(config: WebhookToolSettings) -> AsyncIterator[Webhooks]:
    """For the command line."""
    outgoing = _outgoing(config.webhook_allow, config.webhook_ca)
    engine = database.open_engine(config.partners_mysql_url)
    try:
        yield Webhooks(engine, config.amqp_url, Keys(config.webhook_key), outgoing)
    finally:
        outgoing.close()
        await engine.dispose()


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


@asynccontextmanager
async def dead_letters_of(config: DeadLetterSettings) -> AsyncIterator[DeadLetters]:
    """For the command line."""
    async with (
        management.connect(config.rabbitmq_management_url) as http,
        feed.connect(config.feed_url, config.feed_token) as past,
    ):
        yield DeadLetters(Management(http, config.rabbitmq_vhost), Feed(past), config.amqp_url)


def _outgoing(allow: str, authorities: str | None) -> Outgoing:
    faults: list[str] = []
    allowed: Sequence[Network] = ()
    try:
        allowed = addresses.networks(allow)
    except ValueError:
        faults.append("CF_WEBHOOK_ALLOW: Expected networks, such as 10.0.0.0/8, separated by commas")
    try:
        made = Outgoing(allowed, authorities)
    except ssl.SSLError:
        faults.append("CF_WEBHOOK_CA: Expected certificates in PEM")
    if faults:
        settings.exit_with_faults(faults)
    return made
