"""A server that takes a connection and says nothing, as one that has stopped or been cut off, holds nobody up."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
from customerflow_shared import database, messaging
from customerflow_shared.database import DatabaseUnavailable, Schema, SchemaNotReady


@pytest.fixture
async def port() -> AsyncIterator[int]:
    writers: list[asyncio.StreamWriter] = []

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in writers:
        writer.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "ANSWER_SECONDS", 0.3)


async def gives_up(attempt: Awaitable[object], error: type[Exception], within: float) -> None:
    begun = time.monotonic()
    async with asyncio.timeout(within + 5):
        with pytest.raises(error):
            await attempt
    assert time.monotonic() - begun < within


async def test_no_statement_waits_for_a_database_that_is_silent(port: int) -> None:
    engine = database.open_engine(f"mysql://nobody:nothing@127.0.0.1:{port}/none")

    async def ask() -> None:
        async with database.session(engine) as session:
            await session.rows("SELECT 1")

    await gives_up(ask(), DatabaseUnavailable, within=2)
    await engine.dispose()


async def test_nobody_waits_for_the_schema_of_a_database_that_is_silent(port: int) -> None:
    url = f"mysql://nobody:nothing@127.0.0.1:{port}/none"
    schema, engine = Schema("test", Path(), {}), database.open_engine(url)
    await gives_up(schema.check(engine), SchemaNotReady, within=2)
    await gives_up(schema.migrate(url, url), SchemaNotReady, within=2)
    await engine.dispose()


async def test_nobody_waits_for_a_broker_that_is_silent(port: int) -> None:
    async def connect() -> None:
        async with messaging.connected(f"amqp://nobody:nothing@127.0.0.1:{port}/", "test"):
            pass

    await gives_up(connect(), TimeoutError, within=8)
