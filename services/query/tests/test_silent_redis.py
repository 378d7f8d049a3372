"""A Redis that takes a connection and says nothing, as one that has stopped or been cut off, holds nobody up."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from customerflow_query import changes, read_model
from customerflow_query.changes import Changes, connect_bell
from customerflow_query.fetching import Fetcher
from customerflow_query.read_model import FAILURES
from customerflow_shared import service


class Silent:
    """Where it can be reached, and how often that has been tried."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []
        self.url = ""

    async def take(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    silent = Silent()
    server = await asyncio.start_server(silent.take, "127.0.0.1", 0)
    silent.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    yield silent
    server.close()
    for connection in silent.connections:
        connection.close()


async def test_no_read_waits_for_it(silent: Silent) -> None:
    redis = read_model.connect(silent.url)
    fetcher = Fetcher(redis.connection_pool)  # type: ignore[arg-type]  # as `connect` makes it
    for client in (redis, fetcher):
        begun = time.monotonic()
        with pytest.raises(FAILURES):
            await client.mget("one")
        assert time.monotonic() - begun < 6
    await fetcher.aclose()


async def test_who_listens_for_changes_connects_anew(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "SUBSCRIBED_WITHIN", 0.2)
    bell = connect_bell(silent.url)
    told = Changes(read_model.connect(silent.url), bell)
    async with service.background("listen", told.listen):
        with told.told_to(lambda: None):
            async with asyncio.timeout(5):
                while len(silent.connections) < 2:
                    await asyncio.sleep(0.01)
    await bell.aclose()
