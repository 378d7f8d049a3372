"""The composition root of the projector."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec
from customerflow_shared import requests, service
from customerflow_shared.flags import Flags, routers
from customerflow_shared.flags.catalogue import CUSTOMER_PROJECTION
from customerflow_shared.indexing import Lookups
from customerflow_shared.settings import AmqpUrl, HttpUrl, Key32, Listen, LogLevel, Port, RedisUrl, Seconds, Token
from litestar import Litestar, Router
from opentelemetry.instrumentation.redis import RedisInstrumentor

from customerflow_projector import feed as event_feed
from customerflow_projector import operations, read_model, watch
from customerflow_projector.apply import Applier
from customerflow_projector.consumer import Consumer
from customerflow_projector.feed import Feed
from customerflow_projector.keeper import Keeper
from customerflow_projector.mending import Mending
from customerflow_projector.read_model import ReadModel


class ToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For the commands that work on the read model and leave."""

    redis_url: RedisUrl
    feed_url: HttpUrl
    feed_token: Token
    lookup_key: Key32
    keep_previous: Seconds = 900.0
    """How long after a rebuild there is a way back; 0: there is none."""
    log_level: LogLevel = "warning"


class ProjectorSettings(Listen, frozen=True, kw_only=True):
    amqp_url: AmqpUrl
    redis_url: RedisUrl
    feed_url: HttpUrl
    feed_token: Token
    lookup_key: Key32
    replica: str = ""
    """A name that no other replica has; by default made of host name and process id."""
    port: Port = 8083


def projector(config: ProjectorSettings) -> tuple[Litestar, service.Health]:
    flags = Flags.open_or_exit(config.flags)
    projects = partial(flags.on, CUSTOMER_PROJECTION)
    RedisInstrumentor().instrument()
    redis = read_model.connect(config.redis_url)
    http = event_feed.connect(config.feed_url, config.feed_token)
    model, feed = ReadModel(redis, Lookups(config.lookup_key)), Feed(http)
    applier = Applier(model, feed)
    replica = config.replica or f"{socket.gethostname()}-{os.getpid()}"
    consumer = Consumer(config.amqp_url, replica, model, applier, projects)
    keeper = Keeper(model, feed, applier, projects)

    async def broker() -> None:
        if not consumer.connected:
            raise ConnectionError("not connected")

    health = service.Health(
        {"redis": model.ping, "rabbitmq": broker, "event feed": feed.ping, "read model": keeper.check},
        paused=partial(flags.off, CUSTOMER_PROJECTION),
    )

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with (
            service.background("flags", flags.watch),
            service.background("consumer", consumer.run),
            service.background("keeper", keeper.run),
            service.background("queue watch", partial(watch.queues, config.amqp_url, replica)),
            service.background("parked watch", partial(watch.parked, model)),
        ):
            yield
        flags.close()
        await http.aclose()
        await redis.aclose()

    token = config.operator_token
    guards = [] if token is None else [requests.with_token(token, "Send the operator's token.")]
    app = service.create(
        "CustomerFlow projector",
        "Keeps the read model. Its operator sees here whose events cannot be applied, and mends it."
        if guards
        else "Keeps the read model. It has no interface but its health.",
        handlers=[Router("/", route_handlers=operations.ROUTES, guards=guards), *routers(token)] if guards else [],
        health=health,
        lifespan=[lifespan],
        translations=operations.TRANSLATIONS,
        dependencies={"mended": Mending(model, feed, applier), "flags": flags},
    )
    return app, health
