"""The change stream, from a real Redis over real connections."""

import asyncio
import os
import random
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from customerflow_query import app
from customerflow_query import changes as stream
from customerflow_query.api import changes
from customerflow_query.app import QuerySettings
from customerflow_shared import service, views
from customerflow_shared.settings import Listen
from redis.asyncio import Redis

from .builders import ANA, BRUNO, KEY, NEXT, customer, publish
from .event_source import TYPES, following, handle, notice

PATH = "/v1/changes"


@asynccontextmanager
async def served(redis_url: str, **settings: Any) -> AsyncIterator[tuple[uvicorn.Server, httpx.AsyncClient]]:
    """The query API on a port of its own, as it is composed for production."""
    application: Any
    application, health = app.query_api(QuerySettings(redis_url=redis_url, lookup_key=KEY, **settings))
    server = service.server(application, health, Listen())
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    url = "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    async with httpx.AsyncClient(base_url=url, timeout=20, limits=httpx.Limits(max_connections=None)) as client:
        yield server, client
    server.should_exit = True
    await serving


@pytest.fixture
async def api(redis: Redis, cf_redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Nothing has happened yet but position 10."""
    await publish(redis, customer())
    await handle(redis, [notice(10)], applied=10)
    async with served(cf_redis_url) as (_, client):
        yield client


def data_of(position: int) -> dict[str, Any]:
    return {
        "position": position,
        "customerId": str(ANA),
        "version": position,
        "type": TYPES[position % len(TYPES)],
        "recordedAt": "2026-11-22T12:00:01.005Z",
    }


async def test_a_client_is_told_from_now_on(api: httpx.AsyncClient, redis: Redis) -> None:
    async with following(api) as events:
        assert events.response.headers["content-type"].startswith("text/event-stream")
        assert events.response.headers["cache-control"] == "no-cache"
        assert events.response.headers["x-accel-buffering"] == "no"
        first = await events.next()
        assert (first.id, first.name, first.data) == (10, "", None)
        await handle(redis, [notice(11)], applied=11)
        told = await events.next()
        assert (told.id, told.name, told.data) == (11, "change", data_of(11))


async def test_a_browser_is_told_when_to_come_back(api: httpx.AsyncClient) -> None:
    async with api.stream("GET", PATH) as response:
        assert await anext(response.aiter_text()) == "retry: 1000\nid: 10\n\n"


async def test_nothing_is_told_before_what_comes_before_it(api: httpx.AsyncClient, redis: Redis) -> None:
    async with following(api, after=10) as events:
        await events.next()
        await handle(redis, [notice(13), notice(12)], applied=10)
        await asyncio.sleep(0.4)
        await handle(redis, [notice(11)], applied=13)
        assert await events.changes(3) == [11, 12, 13]


async def test_redis_is_not_asked_for_changes_that_nobody_follows(api: httpx.AsyncClient, redis: Redis) -> None:
    async def looks() -> int:
        statistics: Any = await redis.info("commandstats")
        return int(statistics.get("cmdstat_zcard", {}).get("calls", 0))

    async with following(api) as events:
        await events.next()
    async with asyncio.timeout(10):
        await asyncio.sleep(stream.POLL)
        while await looks():  # it is still being noticed that the client has left
            await redis.config_resetstat()
            await asyncio.sleep(2 * stream.POLL)
    for position in range(11, 15):
        await handle(redis, [notice(position)], applied=position)
        await asyncio.sleep(stream.POLL)
    assert await looks() == 0
    async with following(api, after=10) as events:
        await events.next()
        assert await events.changes(4) == [11, 12, 13, 14]
        await handle(redis, [notice(15)], applied=15)
        assert await events.changes(1) == [15]


async def test_what_the_bell_does_not_tell_is_seen_all_the_same(api: httpx.AsyncClient, redis: Redis) -> None:
    async with following(api) as events:
        await events.next()
        await handle(redis, [notice(11)], applied=11, ring=False)
        async with asyncio.timeout(2 * stream.POLL + 0.5):
            assert await events.changes(1) == [11]


async def test_what_the_bell_tells_is_told_at_once(api: httpx.AsyncClient, redis: Redis) -> None:
    took = []
    async with following(api) as events:
        await events.next()
        for position in range(11, 31):
            await asyncio.sleep(0.03)
            began = time.monotonic()
            await handle(redis, [notice(position)], applied=position)
            await events.changes(1)
            took.append(time.monotonic() - began)
    assert sorted(took)[10] < stream.POLL / 2


async def out_of_order(redis: Redis, first: int, last: int, chance: random.Random) -> None:
    """Positions are handled in batches, some later than those that come after them."""
    waiting = list(range(first, last + 1))
    handled: set[int] = set()
    applied = first - 1
    while waiting:
        batch = {waiting.pop(chance.randrange(min(len(waiting), 30))) for _ in range(min(len(waiting), 17))}
        handled |= batch
        while applied + 1 in handled:
            applied += 1
        await handle(redis, [notice(one) for one in batch], applied=applied, ring=chance.random() < 0.8)


async def test_twenty_clients_are_told_everything_in_order(api: httpx.AsyncClient, redis: Redis) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(following(api, after=10)) for _ in range(20)]
        telling = asyncio.create_task(out_of_order(redis, 11, 2000, random.Random(4)))
        told = await asyncio.gather(*(one.changes(1990) for one in clients))
        await telling
    assert all(positions == list(range(11, 2001)) for positions in told)


async def test_a_client_that_comes_back_again_and_again_misses_nothing(api: httpx.AsyncClient, redis: Redis) -> None:
    chance = random.Random(5)
    telling = asyncio.create_task(out_of_order(redis, 11, 3000, chance))
    told: list[int] = []
    for _ in range(50):
        last = told[-1] if told else 10
        async with following(api, last, after=10) as events:
            told += await events.changes(chance.randrange(1, 60))
    async with following(api, told[-1]) as events:
        told += await events.changes(3000 - told[-1])
    await telling
    assert told == list(range(11, 3001))


async def test_positions_without_a_line_are_no_gap(api: httpx.AsyncClient, redis: Redis) -> None:
    async with following(api) as events:
        await events.next()
        await handle(redis, [notice(15)], applied=20)
        await handle(redis, [notice(21)], applied=21)
        assert await events.changes(2) == [15, 21]


async def test_what_is_not_in_the_ring_any_more_is_read_from_redis(api: httpx.AsyncClient, redis: Redis) -> None:
    many = [notice(position) for position in range(11, 3 * stream.RING)]
    await handle(redis, many, applied=many[-1].position)
    async with following(api, after=0) as events:
        await events.next()
        assert await events.changes(1 + len(many)) == [10, *(one.position for one in many)]


async def test_a_position_that_is_not_reached_is_waited_for(api: httpx.AsyncClient, redis: Redis) -> None:
    async with following(api, after=12) as events:
        await events.next()
        await handle(redis, [notice(11), notice(12)], applied=12)
        await asyncio.sleep(0.1)
        await handle(redis, [notice(13)], applied=13)
        assert await events.changes(1) == [13]


# --- what is asked for ------------------------------------------------------------------------------------------------


async def test_only_some_types_are_told(api: httpx.AsyncClient, redis: Redis) -> None:
    async with following(api, type=["CustomerTagged", "CustomerEmailChanged"]) as events:
        await events.next()
        await handle(redis, [notice(one) for one in range(11, 21)], applied=20)
        assert await events.changes(7) == [11, 13, 14, 16, 17, 19, 20]


async def test_only_some_customers_are_told(api: httpx.AsyncClient, redis: Redis) -> None:
    async with following(api, customerId=[str(BRUNO).upper()], type="CustomerTagged") as events:
        await events.next()
        await handle(redis, [notice(one, customer_id=[ANA, BRUNO][one % 2]) for one in range(11, 21)], applied=20)
        assert await events.changes(2) == [13, 19]


async def test_fifty_customers_may_be_named(api: httpx.AsyncClient) -> None:
    async with following(api, after=1, customerId=[str(UUID(int=one)) for one in range(50)]) as events:
        assert events.response.status_code == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("x=1", "unknown-parameter"),
        ("minPosition=1", "unknown-parameter"),
        ("after=", "invalid-parameter"),
        ("after=-1", "invalid-parameter"),
        ("after=1.0", "invalid-parameter"),
        ("after=1&after=2", "invalid-parameter"),
        ("after=9999999999999999999", "invalid-parameter"),
        ("type=", "invalid-parameter"),
        ("type=CustomerVanished", "invalid-parameter"),
        ("type=customer.registered.v1", "invalid-parameter"),
        ("type=CustomerTagged,CustomerRegistered", "invalid-parameter"),
        ("customerId=x", "invalid-parameter"),
        (f"customerId={ANA.hex}", "invalid-parameter"),
        ("&".join(f"customerId={UUID(int=one)}" for one in range(51)), "invalid-parameter"),
    ],
)
async def test_an_unfit_query_is_refused(api: httpx.AsyncClient, query: str, code: str) -> None:
    response = await api.get(f"{PATH}?{query}")
    assert (response.status_code, response.json()["code"]) == (400, code)


@pytest.mark.parametrize("last", [[""], ["x"], ["-1"], ["1.5"], ["9" * 19], ["1", "2"]])
async def test_an_unfit_last_event_is_refused(api: httpx.AsyncClient, last: list[str]) -> None:
    response = await api.get(PATH, headers=[("Last-Event-ID", one) for one in last])
    assert (response.status_code, response.json()["code"]) == (400, "invalid-parameter")


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
async def test_changes_are_only_read(api: httpx.AsyncClient, method: str) -> None:
    response = await api.request(method, PATH)
    assert response.status_code == 405


async def test_there_are_only_so_many_streams(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "STREAMS", 2)
    async with following(api) as first, following(api) as second:
        await first.next()
        await second.next()
        response = await api.get(PATH)
        assert (response.status_code, response.json()["code"]) == (503, "busy")
        assert response.headers["retry-after"]
    await asyncio.sleep(0.2)
    async with following(api) as third:
        assert third.response.status_code == 200


# --- what is not kept any more ----------------------------------------------------------------------------------------


@pytest.fixture
def _few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "CHANGES_KEPT", 100)


@pytest.mark.usefixtures("_few_are_kept")
async def test_who_asks_for_what_is_not_kept_is_told_so_and_goes_on(api: httpx.AsyncClient, redis: Redis) -> None:
    await handle(redis, [notice(one) for one in range(11, 301)], applied=300)
    async with following(api, after=150) as events:
        await events.next()
        reset = await events.next()
        assert (reset.id, reset.name, reset.data) == (300, "reset", {"position": 300, "oldest": 201})
        await handle(redis, [notice(301)], applied=301)
        assert await events.changes(1) == [301]
    async with following(api, after=201) as events:
        assert await events.changes(100) == list(range(202, 302))


@pytest.mark.usefixtures("_few_are_kept")
async def test_who_follows_is_told_if_something_was_never_seen(
    api: httpx.AsyncClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More has come between two looks than is kept."""
    async with following(api) as events:
        await events.next()
        await handle(redis, [notice(one) for one in range(11, 301)], applied=300)
        reset = await events.next()
        assert (reset.name, reset.data) == ("reset", {"position": 300, "oldest": 201})
        await handle(redis, [notice(301)], applied=301)
        assert await events.changes(1) == [301]


# --- those who are quiet ----------------------------------------------------------------------------------------------


async def test_a_quiet_stream_tells_how_far_it_is(
    api: httpx.AsyncClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "HEARTBEAT", 0.3)
    monkeypatch.setattr(changes, "LOOK_AGAIN", 0.1)
    async with following(api, type="CustomerRegistered") as events:
        await events.next()
        assert (await events.next())[:3] == (10, "", None)
        await handle(redis, [notice(11)], applied=11)
        heard = [await events.next() for _ in range(2)]
        assert heard[-1].id == 11
        assert heard[-1].comment
        async with following(api, heard[-1].id) as again:
            await handle(redis, [notice(12)], applied=12)
            assert await again.changes(1) == [12]


@pytest.fixture
def idle(api: httpx.AsyncClient) -> Iterator[socket.socket]:
    """A client that asks for the stream and reads nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((api.base_url.host, api.base_url.port))
        client.sendall(b"GET /v1/changes?after=10 HTTP/1.1\r\nHost: query\r\n\r\n")
        yield client


async def test_who_reads_nothing_holds_up_nobody_and_is_cut_off(
    api: httpx.AsyncClient, redis: Redis, monkeypatch: pytest.MonkeyPatch, idle: socket.socket
) -> None:
    monkeypatch.setattr(changes, "TAKEN_WITHIN", 1.0)
    async with following(api, after=10) as events:
        await events.next()
        for first in range(11, 50_011, 1000):
            began = time.monotonic()
            await handle(redis, [notice(one) for one in range(first, first + 1000)], applied=first + 999)
            assert await events.changes(1000) == list(range(first, first + 1000))
            assert time.monotonic() - began < 2
    await asyncio.sleep(1.5)
    idle.settimeout(5)
    got = b"".join([*iter(lambda: idle.recv(1_000_000), b"")])
    assert got.count(b"event: change") < 40_000
    assert not got.endswith(b"0\r\n\r\n")


async def test_what_clients_have_not_taken_takes_little_room(redis: Redis, cf_redis_url: str) -> None:
    """What 30 clients do not read, of 50,000 lines, would be 400 MB."""
    await publish(redis, customer())
    await handle(redis, [], applied=10)
    async with running(cf_redis_url) as (program, api), AsyncExitStack() as stack:
        for _ in range(30):
            idle = stack.enter_context(socket.socket())
            idle.connect((api.base_url.host, api.base_url.port))
            idle.sendall(b"GET /v1/changes?after=10 HTTP/1.1\r\nHost: query\r\n\r\n")
        async with following(api) as events:
            await events.next()
            before = _megabytes(program)
            for first in range(11, 50_011, 1000):
                await handle(redis, [notice(one) for one in range(first, first + 1000)], applied=first + 999)
                await events.changes(1000)
            assert _megabytes(program) - before < 60


# --- servers that come and go -----------------------------------------------------------------------------------------


async def test_a_new_generation_goes_on_where_the_one_before_was(api: httpx.AsyncClient, redis: Redis) -> None:
    async with following(api) as events:
        await events.next()
        await handle(redis, [notice(one) for one in range(11, 14)], applied=13, generation=NEXT)
        await redis.set(views.LIVE, NEXT)
        assert await events.changes(3) == [11, 12, 13]
        await handle(redis, [notice(14)], applied=14, generation=NEXT)
        assert await events.changes(1) == [14]


async def test_a_redis_that_was_emptied_is_waited_for(
    api: httpx.AsyncClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "HEARTBEAT", 0.3)
    monkeypatch.setattr(changes, "LOOK_AGAIN", 0.1)
    async with following(api) as events:
        await events.next()
        await redis.flushdb()
        assert (await events.next()).comment
        response = await api.get(PATH)
        assert (response.status_code, response.json()["code"]) == (503, "rebuilding")
        async with following(api, 9) as other:
            assert (await other.next()).id == 9
            await handle(redis, [notice(one) for one in range(1, 6)], applied=5, generation=NEXT)
            await redis.set(views.LIVE, NEXT)
            await asyncio.sleep(0.5)
            await handle(redis, [notice(one) for one in range(6, 13)], applied=12, generation=NEXT)
            assert await events.changes(2) == [11, 12]
            assert await other.changes(3) == [10, 11, 12]


class Wire:
    """Passes bytes on to a server, until it is cut."""

    def __init__(self, url: str) -> None:
        address = httpx.URL(url)
        self._to = (address.host, address.port)
        self._path = address.path
        self._open: set[asyncio.StreamWriter] = set()
        self.cut = False

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        yield f"redis://{host}:{port}{self._path}"
        self.break_off()
        server.close()

    def break_off(self) -> None:
        self.cut = True
        for writer in self._open:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.close()
            return
        there, back = await asyncio.open_connection(*self._to)
        self._open |= {writer, back}
        await asyncio.gather(_pump(reader, back), _pump(there, writer))
        self._open -= {writer, back}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def test_a_redis_that_is_away_is_waited_for(
    redis: Redis, cf_redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "HEARTBEAT", 0.3)
    monkeypatch.setattr(changes, "LOOK_AGAIN", 0.1)
    await publish(redis, customer())
    await handle(redis, [], applied=10)
    wire = Wire(cf_redis_url)
    async with wire.laid() as url, served(url) as (_, api), following(api) as events:
        await events.next()
        await handle(redis, [notice(11)], applied=11)
        assert await events.changes(1) == [11]
        for position in range(12, 15):
            wire.break_off()
            await handle(redis, [notice(position)], applied=position)
            assert (await events.next()).comment
            response = await api.get(PATH)
            assert (response.status_code, response.json()["code"]) == (503, "unavailable")
            async with following(api, 10) as other:
                assert (await other.next()).id == 10
                wire.cut = False
                assert await events.changes(1) == [position]
                assert await other.changes(position - 10) == list(range(11, position + 1))


async def test_a_program_that_leaves_ends_its_streams_at_once(redis: Redis, cf_redis_url: str) -> None:
    """Also those that nobody reads from."""
    await publish(redis, customer())
    await handle(redis, [], applied=10)
    async with running(cf_redis_url) as (program, api):
        with socket.socket() as idle:
            idle.connect((api.base_url.host, api.base_url.port))
            idle.sendall(b"GET /v1/changes?after=10 HTTP/1.1\r\nHost: query\r\n\r\n")
            async with following(api) as events:
                await events.next()
                many = [notice(one) for one in range(11, 30_000)]
                await handle(redis, many, applied=many[-1].position)
                await events.changes(len(many))
                began = time.monotonic()
                program.terminate()
                with pytest.raises(StopAsyncIteration):
                    await events.next()
                assert time.monotonic() - began < 1
            assert await program.wait() == 0
            assert time.monotonic() - began < 3


@asynccontextmanager
async def running(redis_url: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """The query API as a program of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {"CF_REDIS_URL": redis_url, "CF_LOOKUP_KEY": b64encode(KEY).decode(), "CF_PORT": str(port)}
    env["CF_DRAIN_DELAY"] = "0"
    command = [sys.executable, "-m", "customerflow_query", "api"]
    program = await create_subprocess_exec(*command, env=os.environ | env, stdout=DEVNULL)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            while True:
                with suppress(httpx.TransportError):
                    await client.get("/health/live")
                    break
                await asyncio.sleep(0.05)
            yield program, client
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


def _megabytes(program: Process) -> float:
    resident = int(Path(f"/proc/{program.pid}/statm").read_text().split()[1])
    return resident * os.sysconf("SC_PAGESIZE") / 1e6
