"""The composition root of the command service's two programs: everything concrete is chosen here, and nothing
connects at import.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from customerflow_shared import database, service, settings
from customerflow_shared.database import utc_now
from customerflow_shared.flags import Flags, Report, routers
from customerflow_shared.flags.catalogue import RELAY_PUBLISHING
from customerflow_shared.settings import AmqpUrl, HttpUrl, Listen, LogLevel, MysqlUrl, Port, Seconds, Token
from litestar import Litestar, Router
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import Guard
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command import api, delivery, feed
from customerflow_command.commit import LARGEST, GroupCommit, open_commit_engine
from customerflow_command.customer.claims import Uniqueness
from customerflow_command.doorbell import Doorbell, Ringer, parse_addresses
from customerflow_command.enrichment import Enrichment
from customerflow_command.fingerprints import Fingerprints
from customerflow_command.idempotency import Idempotency
from customerflow_command.mediator import (
    SWITCHES,
    Handler,
    Outcome,
    Policy,
    Request,
    counted,
    mediator,
    retrying_lost_races,
    traced,
    unless_switched_off,
    with_position,
    within,
)
from customerflow_command.outbox import Lease, Outbox
from customerflow_command.past import Past
from customerflow_command.personal import MasterKeys, Pepper
from customerflow_command.postal_codes import PostalCodes, parse_providers
from customerflow_command.publishing import cloud_events
from customerflow_command.relay import Relay
from customerflow_command.schema import SCHEMA
from customerflow_command.store import EventReader, Store
from customerflow_command.unit_of_work import UnitOfWork
from customerflow_command.upkeep import Upkeep
from customerflow_command.verification import Codes
from customerflow_command.verify import Verifier

T = TypeVar("T")

Names = Annotated[str, msgspec.Meta(pattern=r"^([^,\s]+(,[^,\s]+)*)?$")]
Connections = Annotated[int, msgspec.Meta(ge=2, le=64)]
CommitGroup = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class MigrateSettings(msgspec.Struct, frozen=True, kw_only=True):
    mysql_owner_url: MysqlUrl
    mysql_url: MysqlUrl
    log_level: LogLevel = "info"


class ToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For the commands that work on the database and leave."""

    mysql_url: MysqlUrl
    log_level: LogLevel = "warning"


class FlagSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For who asks what is switched on: the program that runs, or, without its token, the source of the flags."""

    flags: str = ""
    operator_token: Token | None = None
    host: str = "127.0.0.1"
    port: Port = 8080
    log_level: LogLevel = "warning"


class WriteSettings(Listen, frozen=True, kw_only=True):
    """For whatever reads and changes customers. The rules, an organisation's own, must be the same for all of them."""

    mysql_url: MysqlUrl
    master_keys: str
    claim_pepper: str
    unique_email: bool = True
    unique_tax_id: bool = True
    unique_phone: bool = False
    personal_sources: Names = ""
    """Sources of external ids that are themselves personal, separated by commas."""

    @property
    def unique(self) -> Uniqueness:
        return Uniqueness(email=self.unique_email, tax_id=self.unique_tax_id, phone=self.unique_phone)


class RepairSettings(WriteSettings, frozen=True, kw_only=True):
    log_level: LogLevel = "warning"


class ApiSettings(WriteSettings, frozen=True, kw_only=True):
    feed_token: Token
    delivery_token: Token | None = None
    """With it a notification system fetches the codes that it is to deliver."""
    mysql_owner_url: MysqlUrl | None = None
    """If given, the schema is brought up to date as soon as the database answers."""
    contract_url: HttpUrl | None = None
    """As the relay has it: what is told again is told in the same words."""
    relay_doorbell: str = ""
    require_idempotency_key: bool = False
    mysql_connections: Connections = 8
    cached_customers: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    command_deadline: Seconds = 8.0
    commit_group: CommitGroup = LARGEST
    """Commands that one transaction may hold."""
    upkeep_every: Seconds = 5.0
    """Between two looks at what is due."""
    drain_delay: Seconds = 1.0
    postal_providers: str = ""
    """Who is asked for postal codes, in which form, in this order: `viacep=https://...;brasilapi=https://...`."""
    enrichment_patience: Seconds = 0.15
    """How long a command waits for what its addresses lack."""
    port: Port = 8080


class RelaySettings(Listen, frozen=True, kw_only=True):
    mysql_url: MysqlUrl
    amqp_url: AmqpUrl
    master_keys: str
    contract_url: HttpUrl | None = None
    """Where others find the contract, from where they are; messages name their schema below it."""
    doorbell_port: Port = 0
    port: Port = 8082


def command_api(config: ApiSettings) -> tuple[Litestar, service.Health]:
    keys, pepper = _secrets(config)
    faults: list[str] = []
    addresses = _parsed("CF_RELAY_DOORBELL", parse_addresses, config.relay_doorbell, faults)
    providers = _parsed("CF_POSTAL_PROVIDERS", parse_providers, config.postal_providers, faults)
    if addresses is None or providers is None:
        settings.exit_with_faults(faults)

    flags = open_flags(config)
    postal_codes = PostalCodes(providers, config.enrichment_patience)
    ringer = Ringer(addresses)
    engine = database.open_engine(config.mysql_url, connections=config.mysql_connections)
    side = _write_side(
        config,
        engine,
        keys,
        pepper,
        flags,
        ringer.ring,
        config.cached_customers,
        config.command_deadline,
        config.commit_group,
    )
    upkeep = Upkeep(engine, side.send, side.store, every=config.upkeep_every)
    health = service.Health({"mysql": lambda: SCHEMA.check(engine), "secrets": side.fingerprints.check})

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(engine.dispose)
            stack.push_async_callback(postal_codes.close)
            stack.callback(flags.close)
            stack.callback(ringer.close)
            await stack.enter_async_context(service.background("flags", flags.watch))
            await stack.enter_async_context(side.running())
            await stack.enter_async_context(service.background("doorbell", ringer.keep_resolving))
            await stack.enter_async_context(service.background("upkeep", upkeep.run))
            if owner_url := config.mysql_owner_url:
                migrate = partial(SCHEMA.migrate_when_possible, owner_url, config.mysql_url)
                await stack.enter_async_context(service.background("migration", migrate))
            yield

    def internal(token: str | None, routes: Sequence[HTTPRouteHandler]) -> list[Router]:
        guards = [] if token is None else [feed.with_token(token), _guarding_secrets(side.fingerprints)]
        return [Router("/", route_handlers=routes, guards=guards)] if guards else []

    customers = api.Customers(
        send=side.send,
        now=utc_now,
        personal_sources=frozenset(filter(None, config.personal_sources.split(","))),
        require_key=config.require_idempotency_key,
        codes=Codes(pepper),
        choose=flags.choose,
        enrichment=Enrichment(postal_codes) if providers else None,
    )
    app = service.create(
        "CustomerFlow commands",
        "Register and change customers. Read them from the query service, with the version that you were given here.",
        handlers=[
            *api.ROUTES,
            *internal(config.feed_token, feed.ROUTES),
            *internal(config.delivery_token, delivery.ROUTES),
            *(api.POSTAL_CODES if providers else []),
            *routers(config.operator_token),
        ],
        health=health,
        lifespan=[lifespan],
        translations=api.TRANSLATIONS,
        dependencies={
            "customers": customers,
            "store": side.store,
            "past": Past(engine, side.store, config.contract_url),
            "codes": Codes(pepper),
            "flags": flags,
            "postal_codes": postal_codes,
        },
    )
    return app, health


def flags_here(config: FlagSettings, customer_id: UUID | None) -> Report:
    """As a program that starts now would see them."""
    flags = open_flags(config)
    try:
        return flags.report(customer_id)
    finally:
        flags.close()


def open_flags(config: Listen | FlagSettings) -> Flags:
    return Flags.open_or_exit(config.flags, *SWITCHES.values())


@dataclass(frozen=True)
class WriteSide:
    """The way in for commands, and what it stands on."""

    send: Handler
    store: Store
    commit: GroupCommit
    commit_engine: AsyncEngine
    fingerprints: Fingerprints

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            async with service.background("group commit", self.commit.run):
                yield
        finally:
            await self.commit_engine.dispose()


def _write_side(
    config: WriteSettings,
    engine: AsyncEngine,
    keys: MasterKeys,
    pepper: Pepper,
    flags: Flags,
    on_commit: Callable[[], None],
    cached_customers: int,
    deadline: float,
    commit_group: int = LARGEST,
) -> WriteSide:
    fingerprints = Fingerprints(engine, {"claim pepper": pepper.fingerprint(), **keys.fingerprints()}, leaves=True)
    store = Store(engine, keys, cached_customers=cached_customers)
    commit_engine = open_commit_engine(config.mysql_url)
    # the rest of the deadline is for retries, and for what the estimate of the wait misses
    commit = GroupCommit(commit_engine, on_commit=on_commit, largest=commit_group, patience=deadline / 2)
    send = mediator(
        UnitOfWork(store, commit, keys, pepper, config.unique, utc_now),
        [
            counted,
            traced,
            within(deadline),
            _with_own_secrets(fingerprints),
            with_position(store.position),
            Idempotency(engine, pepper).once,
            unless_switched_off(flags),
            retrying_lost_races(3),
        ],
    )
    return WriteSide(send, store, commit, commit_engine, fingerprints)


@asynccontextmanager
async def verifying(config: RepairSettings) -> AsyncIterator[Verifier]:
    keys, pepper = _secrets(config)
    engine = database.open_engine(config.mysql_url)
    try:
        await Fingerprints(engine, {"claim pepper": pepper.fingerprint(), **keys.fingerprints()}, leaves=False).check()
        yield Verifier(engine, keys, pepper, config.unique)
    finally:
        await engine.dispose()


@asynccontextmanager
async def sending(config: RepairSettings) -> AsyncIterator[Handler]:
    """The way in for commands from the command line."""
    keys, pepper = _secrets(config)
    engine = database.open_engine(config.mysql_url)
    flags = open_flags(config)
    side = _write_side(config, engine, keys, pepper, flags, lambda: None, cached_customers=0, deadline=60.0)
    try:
        async with side.running():
            yield side.send
    finally:
        flags.close()
        await engine.dispose()


def _secrets(config: WriteSettings) -> tuple[MasterKeys, Pepper]:
    faults: list[str] = []
    keys = _parsed("CF_MASTER_KEYS", MasterKeys, config.master_keys, faults)
    pepper = _parsed("CF_CLAIM_PEPPER", Pepper, config.claim_pepper, faults)
    if keys is None or pepper is None:
        settings.exit_with_faults(faults)
    return keys, pepper


def relay(config: RelaySettings) -> tuple[Litestar, service.Health]:
    faults: list[str] = []
    keys = _parsed("CF_MASTER_KEYS", MasterKeys, config.master_keys, faults)
    if keys is None:
        settings.exit_with_faults(faults)

    flags = Flags.open_or_exit(config.flags)
    engine = database.open_engine(config.mysql_url, connections=5)
    fingerprints = Fingerprints(engine, keys.fingerprints(), leaves=False)
    lease = Lease(engine, f"{socket.gethostname()}:{os.getpid()}")
    doorbell = Doorbell()
    tell = partial(cloud_events, contract_url=config.contract_url)
    outbox = Outbox(engine)
    sender = Relay(
        outbox,
        lease,
        EventReader(keys),
        doorbell,
        config.amqp_url,
        fingerprints.check,
        tell,
        partial(flags.on, RELAY_PUBLISHING),
    )

    health = service.Health(
        {"mysql": lambda: SCHEMA.check(engine), "secrets": fingerprints.check, "rabbitmq": sender.check},
        paused=partial(flags.off, RELAY_PUBLISHING),
    )

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(engine.dispose)
            transport, _protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: doorbell, local_addr=(config.host, config.doorbell_port)
            )
            stack.callback(transport.close)
            stack.callback(flags.close)
            await stack.enter_async_context(service.background("flags", flags.watch))
            await stack.enter_async_context(service.background("relay", sender.run))
            await stack.enter_async_context(service.background("outbox watch", outbox.watch))
            yield

    app = service.create(
        "CustomerFlow relay",
        "Publishes committed events to RabbitMQ. Its operator sees here what is switched on."
        if config.operator_token
        else "Publishes committed events to RabbitMQ. It has no interface but its health.",
        handlers=routers(config.operator_token),
        health=health,
        lifespan=[lifespan],
        dependencies={"flags": flags},
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


def _parsed(variable: str, parse: Callable[[str], T], text: str, faults: list[str]) -> T | None:
    try:
        return parse(text)
    except ValueError as error:
        faults.append(f"{variable}: {error}")
        return None
