"""The composition root of the command service's two programs: everything concrete is chosen here, and nothing
connects at import.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Annotated, TypeVar

import msgspec
from customerflow_shared import service, settings
from customerflow_shared.patience import Patience
from customerflow_shared.settings import AmqpUrl, Listen, LogLevel, MysqlUrl, Port, Seconds, Token
from litestar import Litestar, Router
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from customerflow_command import api, database, feed
from customerflow_command.commit import GroupCommit
from customerflow_command.doorbell import Doorbell, Ringer, parse_addresses
from customerflow_command.fingerprints import Fingerprints
from customerflow_command.mediator import (
    Handler,
    Outcome,
    Policy,
    Request,
    UnitOfWork,
    mediator,
    retrying_lost_races,
    traced,
    within,
)
from customerflow_command.outbox import Lease, Outbox
from customerflow_command.personal import ClaimHasher, MasterKeys
from customerflow_command.relay import Relay
from customerflow_command.store import EventReader, Store, utc_now

T = TypeVar("T")

Connections = Annotated[int, msgspec.Meta(ge=2, le=64)]


class MigrateSettings(msgspec.Struct, frozen=True, kw_only=True):
    mysql_owner_url: MysqlUrl
    mysql_url: MysqlUrl
    log_level: LogLevel = "info"


class ToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For the commands that work on the database and leave."""

    mysql_url: MysqlUrl
    log_level: LogLevel = "warning"


class ApiSettings(Listen, frozen=True, kw_only=True):
    mysql_url: MysqlUrl
    master_keys: str
    claim_pepper: str
    feed_token: Token
    mysql_owner_url: MysqlUrl | None = None
    """If given, the schema is brought up to date as soon as the database answers."""
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

    engine = database.open_engine(config.mysql_url, connections=config.mysql_connections)
    fingerprints = Fingerprints(engine, {"claim pepper": hasher.fingerprint(), **keys.fingerprints()}, leaves=True)
    ringer = Ringer(addresses)
    store = Store(engine, keys, cached_customers=config.cached_customers)
    commit_engine = database.open_commit_engine(config.mysql_url)
    commit = GroupCommit(commit_engine, on_commit=ringer.ring)
    send = mediator(
        UnitOfWork(store, commit, keys, hasher, utc_now),
        [
            traced,
            within(config.command_deadline),
            _with_own_secrets(fingerprints),
            retrying_lost_races(3),
        ],
    )
    health = service.Health({"mysql": lambda: database.check_schema(engine), "secrets": fingerprints.check})

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(engine.dispose)
            stack.push_async_callback(commit_engine.dispose)
            stack.callback(ringer.close)
            await stack.enter_async_context(service.background("group commit", commit.run))
            await stack.enter_async_context(service.background("doorbell", ringer.keep_resolving))
            if owner_url := config.mysql_owner_url:
                migrate = partial(_migrate_when_possible, owner_url, config.mysql_url)
                await stack.enter_async_context(service.background("migration", migrate))
            yield

    app = service.create(
        "CustomerFlow commands",
        "Register and change customers. Read them from the query service, with the version that you were given here.",
        handlers=[
            *api.ROUTES,
            Router(
                "/",
                route_handlers=feed.ROUTES,
                guards=[feed.with_token(config.feed_token), _guarding_secrets(fingerprints)],
            ),
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

    engine = database.open_engine(config.mysql_url, connections=3)
    fingerprints = Fingerprints(engine, keys.fingerprints(), leaves=False)
    lease = Lease(engine, f"{socket.gethostname()}:{os.getpid()}")
    doorbell = Doorbell()
    sender = Relay(Outbox(engine), lease, EventReader(keys), doorbell, config.amqp_url, fingerprints.check)

    health = service.Health(
        {"mysql": lambda: database.check_schema(engine), "secrets": fingerprints.check, "rabbitmq": sender.check}
    )

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(engine.dispose)
            transport, _protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: doorbell, local_addr=(config.host, config.doorbell_port)
            )
            stack.callback(transport.close)
            await stack.enter_async_context(service.background("relay", sender.run))
            yield

    app = service.create(
        "CustomerFlow relay",
        "Publishes committed events to RabbitMQ. It has no interface but its health.",
        handlers=[],
        health=health,
        lifespan=[lifespan],
    )
    return app, health


def _with_own_secrets(fingerprints: Fingerprints) -> Policy:
    async def refusing_foreign_secrets(request: Request, handle: Handler) -> Outcome:
        await fingerprints.check()
        return await handle(request)

    return refusing_foreign_secrets


def _guarding_secrets(fingerprints: Fingerprints) -> Guard:
    """What cannot be read for want of the right key would be told as if nobody could read it."""

    async def guard(_: ASGIConnection, __: BaseRouteHandler) -> None:  # type: ignore[type-arg]  # any connection
        await fingerprints.check()

    return guard


async def _migrate_when_possible(owner_url: str, runtime_url: str) -> None:
    async def attempt() -> None:
        await database.migrate(owner_url, runtime_url)
        await asyncio.Event().wait()  # there is nothing more to do

    await Patience("migration").persist(attempt)


def _parsed(variable: str, parse: Callable[[str], T], text: str, faults: list[str]) -> T | None:
    try:
        return parse(text)
    except ValueError as error:
        faults.append(f"{variable}: {error}")
        return None
