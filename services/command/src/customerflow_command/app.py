"""The composition root of the command service's two programs: everything concrete is chosen here, and nothing
connects at import.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

import msgspec
import structlog
from customerflow_shared import service, settings
from customerflow_shared.settings import AmqpUrl, Listen, MysqlUrl, Port, Seconds, Token
from litestar import Litestar, Router
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command import api, database, feed
from customerflow_command.commit import GroupCommit
from customerflow_command.doorbell import Doorbell, Ringer, parse_addresses
from customerflow_command.mediator import UnitOfWork, mediator, retrying_lost_races, traced, within
from customerflow_command.outbox import Lease, Outbox
from customerflow_command.personal import ClaimHasher, MasterKeys
from customerflow_command.relay import Relay
from customerflow_command.store import EventReader, Store, utc_now

log = structlog.get_logger()

T = TypeVar("T")

Connections = Annotated[int, msgspec.Meta(ge=2, le=64)]


class MigrateSettings(msgspec.Struct, frozen=True, kw_only=True):
    mysql_owner_url: MysqlUrl
    mysql_url: MysqlUrl
    log_level: str = "info"


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    mysql_url: MysqlUrl


class ApiSettings(Listen, frozen=True, kw_only=True):
    mysql_url: MysqlUrl
    master_keys: str
    claim_pepper: str
    feed_token: Token
    mysql_owner_url: MysqlUrl | None = None
    """If given, the schema is brought up to date at start-up."""
    relay_doorbell: str = ""
    mysql_connections: Connections = 8
    cached_customers: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    command_deadline: Seconds = 8.0
    port: Port = 8080


class RelaySettings(Listen, frozen=True, kw_only=True):
    mysql_url: MysqlUrl
    amqp_url: AmqpUrl
    master_keys: str
    doorbell_port: Port = 0
    port: Port = 8082


def command_api(config: ApiSettings) -> tuple[Litestar, service.Health]:
    faults: list[str] = []
    keys = _parsed("CF_MASTER_KEYS", MasterKeys, config.master_keys, faults)
    hasher = _parsed("CF_CLAIM_PEPPER", ClaimHasher, config.claim_pepper, faults)
    addresses = _parsed("CF_RELAY_DOORBELL", parse_addresses, config.relay_doorbell, faults)
    if keys is None or hasher is None or addresses is None:
        settings.exit_with_faults(faults)

    engine = _engine(config.mysql_url, config.mysql_connections)
    ringer = Ringer(addresses)
    store = Store(engine, keys, cached_customers=config.cached_customers)
    commit_engine = database.open_commit_engine(config.mysql_url)
    commit = GroupCommit(commit_engine, on_commit=ringer.ring)
    send = mediator(
        UnitOfWork(store, commit, keys, hasher, utc_now),
        [
            traced,
            within(config.command_deadline),
            retrying_lost_races(3),
        ],
    )
    health = service.Health({"mysql": lambda: database.check_schema(engine)})

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with (
            service.background("group commit", commit.run),
            service.background("doorbell", ringer.keep_resolving),
        ):
            if config.mysql_owner_url:
                await _migrate_when_possible(config.mysql_owner_url, config.mysql_url)
            yield
        await engine.dispose()
        await commit_engine.dispose()

    app = service.create(
        "CustomerFlow commands",
        "Register and change customers. Read them from the query service, with the version that you were given here.",
        handlers=[
            *api.ROUTES,
            Router("/", route_handlers=feed.ROUTES, guards=[feed.with_token(config.feed_token)]),
        ],
        health=health,
        lifespan=[lifespan],
        translations=api.TRANSLATIONS,
        dependencies={"customers": api.Customers(send, store), "store": store},
    )
    return app, health


def relay(config: RelaySettings) -> tuple[Litestar, service.Health]:
    faults: list[str] = []
    keys = _parsed("CF_MASTER_KEYS", MasterKeys, config.master_keys, faults)
    if keys is None:
        settings.exit_with_faults(faults)

    engine = _engine(config.mysql_url, 3)
    lease = Lease(engine, f"{socket.gethostname()}:{os.getpid()}")
    doorbell = Doorbell()
    sender = Relay(Outbox(engine), lease, EventReader(keys), doorbell, config.amqp_url)

    health = service.Health({"mysql": lambda: database.check_schema(engine), "rabbitmq": sender.check})

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        transport, _protocol = await loop.create_datagram_endpoint(
            lambda: doorbell, local_addr=(config.host, config.doorbell_port)
        )
        async with service.background("relay", sender.run):
            yield
        transport.close()
        await engine.dispose()

    app = service.create(
        "CustomerFlow relay",
        "Publishes committed events to RabbitMQ. It has no interface but its health.",
        handlers=[],
        health=health,
        lifespan=[lifespan],
    )
    return app, health


def _engine(url: str, connections: int) -> AsyncEngine:
    engine = database.open_engine(url, connections=connections)
    # the instrumentation declares SQLAlchemy < 2.1, but works with it
    SQLAlchemyInstrumentor().instrument(engine=engine.sync_engine, skip_dep_check=True)
    return engine


async def _migrate_when_possible(owner_url: str, runtime_url: str) -> None:
    while True:
        try:
            return await database.migrate(owner_url, runtime_url)
        except Exception as error:
            log.warning("the schema cannot be brought up to date yet", exc_info=error)
            await asyncio.sleep(1)


def _parsed(variable: str, parse: Callable[[str], T], text: str, faults: list[str]) -> T | None:
    try:
        return parse(text)
    except ValueError as error:
        faults.append(f"{variable}: {error}")
        return None
