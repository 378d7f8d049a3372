"""A Redis that takes a connection and says nothing, as one that has stopped or been cut off, holds nobody up."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from customerflow_query import changes, read_model
from customerflow_query.changes import Changes, connect_bell
from customerflow_query.fetching import Fetcher
from customerflow_query.read_model import FAILURES, Reading, ReadModel, ReadModelBusy, ReadModelUnavailable
from customerflow_shared import service
from customerflow_shared.views import Stored


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


async def test_no_more_wait_for_it_than_could_be_answered_in_time(silent: Silent) -> None:
    model = ReadModel(read_model.connect(silent.url))

    async def look(reading: Reading) -> list[Stored]:
        await reading.ask(lambda _: model.redis.mget("one"))
        return []

    waiting = [asyncio.create_task(model.attempt(look)) for _ in range(read_model.MOST_WAITING + 1)]
    await asyncio.sleep(0.1)
    begun = time.monotonic()
    with pytest.raises(ReadModelBusy):
        await model.attempt(look)
    assert time.monotonic() - begun < 0.1
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in results} == {ReadModelUnavailable}
    await model.redis.aclose()


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
