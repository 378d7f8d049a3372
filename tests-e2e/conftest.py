"""One system for the whole run: the one whose addresses CF_E2E_* give, or a local stack of our own."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from blackbox.customers import Customer, Customers
from blackbox.feed import Feed
from blackbox.outside import Outside
from blackbox.sink import Sink
from blackbox.system import Incomplete, System, given, started
from customerflow_local.flag_file import FlagFile
from customerflow_local.instance import RUN
from customerflow_local.stack import Stack


@pytest.fixture(scope="session")
def sink() -> Iterator[Sink]:
    """Takes the traces and metrics of our own stack's programs."""
    with Sink() as sink:
        yield sink


def own(folder: Path) -> Stack:
    """An empty stack, unless CF_E2E_KEEP=1 has left one running."""
    if not Stack(folder).running():
        shutil.rmtree(folder)
    return Stack(folder, durable=False)


@pytest.fixture(scope="session")
def system(sink: Sink) -> Iterator[System]:
    try:
        running = given()
    except Incomplete as missing:
        pytest.fail(f"The address of a running system is given, but not {missing}", pytrace=False)
    if running:
        yield running
        return
    stack = own(RUN / "e2e")
    try:
        size = os.environ.get("CF_TEST_GROUP")
        yield started(stack, {**sink.settings, **({"CF_COMMIT_GROUP": size} if size else {})})
    finally:
        if not os.environ.get("CF_E2E_KEEP"):
            stack.stop()


@pytest.fixture(scope="session")
async def customers(system: System) -> AsyncIterator[Customers]:
    async with Customers(system) as customers:
        yield customers


@pytest.fixture(scope="session")
async def feed(system: System) -> AsyncIterator[Feed]:
    async with Feed(system) as feed:
        yield feed


@pytest.fixture(scope="session")
async def standing(customers: Customers) -> Customer:
    """A customer at version 1, which no test may change."""
    return await customers.register()


@pytest.fixture(scope="session")
async def archived(customers: Customers) -> Customer:
    """An archived customer at version 2, which no test may change."""
    return await customers.archive(await customers.register())


@pytest.fixture
async def own_stack(system: System, sink: Sink) -> AsyncIterator[Stack]:
    """Processes that the test may kill; afterwards all of them run again."""
    if system.stack is None:
        pytest.skip("kills processes: runs with a stack of its own only")
    yield system.stack
    if not await all_ready(system):
        await asyncio.to_thread(started, system.stack, sink.settings)


@pytest.fixture
def switches(own_stack: Stack) -> Iterator[FlagFile]:
    """What the test switches; afterwards everything is as shipped."""
    path = own_stack.instance.folder / "flags.json"
    shipped = path.read_text(encoding="utf-8")
    switches = FlagFile(path)
    yield switches
    switches.write(shipped)


@pytest.fixture
async def outside(system: System) -> AsyncIterator[Outside]:
    async with Outside(system.provider) as outside:
        yield outside


async def all_ready(system: System) -> bool:
    """Whether every program answers and misses nothing that it needs."""
    async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
        try:
            answers = [await client.get(f"{url}/health/ready") for url in system.programs]
        except httpx.TransportError:
            return False
    return all(answer.is_success for answer in answers)


@pytest.fixture
async def nothing_changes(feed: Feed) -> AsyncIterator[None]:
    """Whatever the test sends, no event is recorded."""
    before = await feed.head()
    yield
    assert await feed.head() == before
