"""A migrated database per test module, and the parts of the write side on it."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from customerflow_command import feed
from customerflow_command.commit import GroupCommit, open_commit_engine
from customerflow_command.customer.claims import Uniqueness
from customerflow_command.customer.commands import ArchiveCustomer, ChangeCustomer, Command, RegisterCustomer
from customerflow_command.idempotency import Idempotency
from customerflow_command.mediator import (
    Handler,
    IdempotencyKey,
    Outcome,
    Request,
    mediator,
    retrying_lost_races,
    with_position,
)
from customerflow_command.past import Past
from customerflow_command.personal import MasterKeys, Pepper
from customerflow_command.preconditions import Precondition
from customerflow_command.schema import SCHEMA
from customerflow_command.store import Store
from customerflow_command.unit_of_work import UnitOfWork
from customerflow_local.testing import Database, Servers
from customerflow_shared import database, service
from customerflow_shared.database import utc_now
from customerflow_shared.events import Recorded
from customerflow_shared.ids import uuid7
from customerflow_shared.values import ExternalId, PersonalProfile
from litestar import Router
from sqlalchemy.ext.asyncio import AsyncEngine

FORCED_GROUP = int(os.environ.get("CF_TEST_GROUP", "0"))
CONTRACT_URL = "https://customers.example.com/contract"
KEY = base64.b64encode(bytes(range(32))).decode()


@dataclass(frozen=True)
class WriteSide:
    """One command process, as far as the database sees it."""

    engine: AsyncEngine
    keys: MasterKeys
    store: Store
    commit: GroupCommit
    send: Handler

    async def register(self, name: str = "Ana", email: str | None = None, **fields: Any) -> UUID:
        command = RegisterCustomer(customer_type="person", name=name, email=email, **fields)
        return (await self.do(uuid7(), command)).id

    async def rename(self, customer_id: UUID, name: str, *, expected: int | None = None) -> int:
        return (await self.do(customer_id, renamed(name), expected)).version

    async def archive(self, customer_id: UUID) -> int:
        return (await self.do(customer_id, ArchiveCustomer())).version

    async def do(
        self,
        target: UUID | ExternalId,
        command: Command,
        expected: int | None = None,
        *,
        key: str | None = None,
        payload: str | None = None,
    ) -> Outcome:
        versions = Precondition(given=False) if expected is None else Precondition(True, frozenset({expected}))
        return await self.send(
            Request(
                target=target,
                command=type(command),
                read=lambda _: command,
                precondition=versions,
                key=None if key is None else IdempotencyKey(key, (payload or repr(command)).encode()),
                correlation_id=uuid7(),
            )
        )

    async def feed(self) -> list[Recorded]:
        return [
            one
            async for page in self.store.feed(0, await self.store.head())
            for one in page
            if isinstance(one, Recorded)
        ]

    async def history(self, customer_id: UUID) -> list[Recorded]:
        return [one async for page in self.store.stream(customer_id, 0) for one in page if isinstance(one, Recorded)]

    async def count(self, table: str) -> int:
        async with database.session(self.engine) as session:
            return int((await session.rows(f"SELECT COUNT(*) FROM {table}"))[0][0])


def renamed(name: str) -> ChangeCustomer:
    return ChangeCustomer(personal=PersonalProfile(name=name))


Start = Callable[..., AbstractAsyncContextManager[WriteSide]]


class ForcedGroups(GroupCommit):
    """A group is written when it is as large as it may be, or when nothing more arrives."""

    async def _arrival(self) -> None:
        await super()._arrival()
        known = 0
        while known < len(self._waiting) < self._largest:
            known = len(self._waiting)
            await asyncio.sleep(0.004)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "group_sizes: is run with groups forced to several sizes")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "group_size" in metafunc.fixturenames:
        several = metafunc.definition.get_closest_marker("group_sizes") and not FORCED_GROUP
        sizes = [pytest.param(FORCED_GROUP, id=pytest.HIDDEN_PARAM), *((1, 7, 500) if several else ())]
        metafunc.parametrize("group_size", sizes, indirect=True, scope="module")


@pytest.fixture(scope="module")
def group_size(request: pytest.FixtureRequest) -> int:
    """To which size groups are forced, 0 if they are not; CF_TEST_GROUP says it for all tests."""
    return int(request.param)


@pytest.fixture(scope="module")
def cf_database(cf_servers: Servers, group_size: int) -> Iterator[Database]:
    """One for each size: the tests use the same names."""
    with cf_servers.database() as database:
        yield database


@pytest.fixture(scope="module")
async def migrated(cf_database: Database) -> Database:
    await SCHEMA.migrate(cf_database.owner_url, cf_database.url)
    return cf_database


@pytest.fixture
def natural_groups(group_size: int) -> None:
    if group_size:
        pytest.skip("looks at the size of groups")


@pytest.fixture
def start(migrated: Database, group_size: int) -> Start:
    """Start another command process on the same database; its clock may be `late`."""

    @asynccontextmanager
    async def started(late: timedelta = timedelta()) -> AsyncIterator[WriteSide]:
        engine = database.open_engine(migrated.url)
        keys, pepper = MasterKeys(f"k1={KEY}"), Pepper(KEY)
        store = Store(engine, keys)
        commit_engine = open_commit_engine(migrated.url)
        commit = (
            ForcedGroups(commit_engine, on_commit=lambda: None, largest=group_size)
            if group_size
            else GroupCommit(commit_engine, on_commit=lambda: None)
        )
        send = mediator(
            UnitOfWork(store, commit, keys, pepper, Uniqueness(), lambda: utc_now() - late),
            [with_position(store.position), Idempotency(engine, pepper).once, retrying_lost_races(3)],
        )
        async with service.background("group commit", commit.run):
            yield WriteSide(engine, keys, store, commit, send)
        await engine.dispose()
        await commit_engine.dispose()

    return started


@pytest.fixture
async def write_side(start: Start) -> AsyncIterator[WriteSide]:
    async with start() as started:
        yield started


@pytest.fixture
async def feed_client(write_side: WriteSide) -> AsyncIterator[httpx.AsyncClient]:
    """The event feed alone, over HTTP."""
    token = "token-of-the-feed"
    app = service.create(
        "Feed",
        "Alone.",
        handlers=[Router("/", route_handlers=feed.ROUTES, guards=[feed.with_token(token)])],
        health=service.Health({}),
        lifespan=[],
        dependencies={"store": write_side.store, "past": Past(write_side.engine, write_side.store, CONTRACT_URL)},
    )
    transport, headers = httpx.ASGITransport(cast(Any, app)), {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url="http://command", transport=transport, headers=headers) as client:
        yield client
