"""A connection of our own to Redis: replies reach whoever asked, whatever happens to it and to others."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from customerflow_query import read_model
from customerflow_query.fetching import Fetcher
from customerflow_query.read_model import Pool, ReadModel, ReadModelUnavailable
from customerflow_query.reader import Reader
from customerflow_shared import views
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ConnectionError, ResponseError, TimeoutError

from .builders import ANA, BRUNO, GENERATION, NOBODY, customer, publish, silent_server


class Wire:
    """Between a client and Redis: what comes back may be held, replaced, or cut off."""

    def __init__(self, redis_url: str) -> None:
        self._redis = urlsplit(redis_url)
        self._writers: list[asyncio.StreamWriter] = []
        self.connections = 0
        self.open = asyncio.Event()
        self.open.set()
        self.said = b""
        """Said in place of the next reply."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        from_redis, to_redis = await asyncio.open_connection(self._redis.hostname, self._redis.port)
        self._writers += [writer, to_redis]
        with suppress(OSError):
            await asyncio.gather(self._pass(reader, to_redis), self._pass(from_redis, writer, back=True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool = False) -> None:
        while data := await reader.read(65536):
            if back:
                await self.open.wait()
                data, self.said = self.said or data, b""
            writer.write(data)
        writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@asynccontextmanager
async def wired(redis_url: str, *, seconds: float = 2.0) -> AsyncIterator[tuple[Fetcher, Wire]]:
    wire = Wire(redis_url)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, fetching(f"redis://{host}:{port}{urlsplit(redis_url).path}", seconds=seconds) as fetcher:
        try:
            yield fetcher, wire
        finally:
            wire.open.set()
            wire.cut()


@asynccontextmanager
async def fetching(url: str, *, seconds: float = 2.0) -> AsyncIterator[Fetcher]:
    client = read_model.connect(url)
    fetcher = Fetcher(cast(Pool, client.connection_pool), seconds=seconds)
    yield fetcher
    await fetcher.aclose()
    await client.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def raised_by(asked: Awaitable[Any]) -> type[BaseException] | None:
    try:
        await asked
    except Exception as error:
        return type(error)
    return None


async def test_many_are_fetched_at_once_on_one_connection(redis: Redis, cf_redis_url: str) -> None:
    await redis.mset({f"key {number}": f"value {number}" for number in range(500)})
    async with wired(cf_redis_url) as (fetcher, wire):
        found = await asyncio.gather(*(fetcher.mget(f"key {number}", "nothing") for number in range(500)))
        assert found == [[b"value %d" % number, None] for number in range(500)]
        assert wire.connections == 1


async def test_a_reply_in_pieces_is_one_reply(redis: Redis, cf_redis_url: str) -> None:
    large = random.Random(0).randbytes(3_000_000)
    await redis.set("large", large)
    async with fetching(cf_redis_url) as fetcher:
        assert [*await asyncio.gather(fetcher.mget("large"), fetcher.mget("none"))] == [[large], [None]]


async def test_an_error_is_for_whom_it_is_of(redis: Redis, cf_redis_url: str) -> None:
    await redis.set("one", "1")
    async with fetching(cf_redis_url) as fetcher:
        answers = await asyncio.gather(fetcher.mget("one"), fetcher.mget(), fetcher.mget("one"), return_exceptions=True)
        assert [answers[0], answers[2]] == [[b"1"], [b"1"]]
        assert isinstance(answers[1], ResponseError)


async def test_who_gives_up_does_not_shift_the_replies_of_others(redis: Redis, cf_redis_url: str) -> None:
    await redis.mset({"one": "1", "two": "2", "three": "3"})
    async with wired(cf_redis_url) as (fetcher, wire):
        await fetcher.mget("one")
        wire.open.clear()
        one, two, three = (asyncio.create_task(fetcher.mget(key)) for key in ("one", "two", "three"))
        await asyncio.sleep(0.02)
        two.cancel()
        await asyncio.sleep(0)
        wire.open.set()
        assert (await one, await three) == ([b"1"], [b"3"])
        assert two.cancelled()
        assert wire.connections == 1


async def test_thousands_of_cancelled_fetches_give_nobody_anothers_reply(redis: Redis, cf_redis_url: str) -> None:
    await redis.mset({f"key {number}": number for number in range(200)})
    chance = random.Random(0)

    async def impatient(fetcher: Fetcher, number: int) -> None:
        task = asyncio.create_task(fetcher.mget(f"key {number}"))
        await asyncio.sleep(chance.random() / 500)
        if chance.random() < 0.5:
            task.cancel()
        with suppress(asyncio.CancelledError):
            assert await task == [b"%d" % number]

    async with fetching(cf_redis_url) as fetcher:
        for _ in range(10):
            await asyncio.gather(*(impatient(fetcher, number) for number in range(200)))


async def test_who_waits_for_a_connection_and_gives_up_takes_it_from_nobody(redis: Redis, cf_redis_url: str) -> None:
    await redis.set("one", "1")
    async with wired(cf_redis_url) as (fetcher, wire):
        first, second = (asyncio.create_task(fetcher.mget("one")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == [b"1"]
        assert first.cancelled()
        assert wire.connections == 1


async def test_a_server_that_goes_away_in_the_middle_is_asked_again_once(redis: Redis, cf_redis_url: str) -> None:
    await redis.mset({"one": "1", "two": "2"})
    async with wired(cf_redis_url) as (fetcher, wire):
        await fetcher.mget("one")
        wire.open.clear()
        asked = [asyncio.create_task(fetcher.mget(key)) for key in ("one", "two")]
        await asyncio.sleep(0.02)
        wire.cut()
        wire.open.set()
        assert await asyncio.gather(*asked) == [[b"1"], [b"2"]]
        assert wire.connections == 2


async def test_so_it_is_by_what_is_asked_through_redis_py(redis: Redis, cf_redis_url: str) -> None:
    await redis.set("one", "1")
    async with wired(cf_redis_url) as (fetcher, wire):
        await fetcher.get("one")
        wire.open.clear()
        asked = asyncio.ensure_future(fetcher.get("one"))
        await asyncio.sleep(0.02)
        wire.cut()
        wire.open.set()
        assert await asked == b"1"
        assert wire.connections == 2


async def test_a_connection_that_was_cut_while_nobody_asked_is_made_anew(redis: Redis, cf_redis_url: str) -> None:
    await redis.set("one", "1")
    async with wired(cf_redis_url) as (fetcher, wire):
        counted = cast(Pool, fetcher.connection_pool)
        await fetcher.mget("one")
        assert counted.connected == 1
        wire.cut()
        await asyncio.sleep(0.02)
        assert await fetcher.mget("one") == [b"1"]
        assert counted.connected == 2  # so that it is asked whether it is still the same process


async def test_a_server_that_is_away_is_given_up_at_once() -> None:
    async with fetching("redis://127.0.0.1:9/0") as fetcher:
        began = time.monotonic()
        assert await asyncio.gather(*(raised_by(fetcher.mget("one")) for _ in range(20))) == [ConnectionError] * 20
        assert time.monotonic() - began < 1


async def test_a_server_that_stops_to_answer_is_given_up_and_asked_again_on_a_new_connection(
    redis: Redis, cf_redis_url: str
) -> None:
    await redis.set("one", "1")
    async with wired(cf_redis_url, seconds=0.2) as (fetcher, wire):
        await fetcher.mget("one")
        wire.open.clear()
        asked = asyncio.create_task(fetcher.mget("one"))
        await asyncio.sleep(0.1)
        assert not asked.done()
        await until(lambda: wire.connections == 2)
        wire.open.set()
        assert await asked == [b"1"]


async def test_a_silent_server_is_given_up_within_five_seconds() -> None:
    async with silent_server() as url, fetching(url) as fetcher:
        reader, began = Reader(ReadModel(fetcher)), time.monotonic()
        answers = await asyncio.gather(*(reader.read(ANA) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(answer, ReadModelUnavailable) for answer in answers)
        assert await raised_by(fetcher.mget("one")) is TimeoutError
        assert time.monotonic() - began < 5


async def test_a_wrong_password_is_told_to_whoever_asks(cf_redis_url: str) -> None:
    url = urlsplit(cf_redis_url)
    async with fetching(f"redis://nobody:wrong@{url.hostname}:{url.port}{url.path}") as fetcher:
        assert await raised_by(fetcher.mget("one")) is AuthenticationError
        with pytest.raises(ReadModelUnavailable, match="AuthenticationError"):
            await Reader(ReadModel(fetcher)).read(ANA)


@pytest.mark.parametrize("said", [b"*1\r\n$1\r\n1\r\n*1\r\n$1\r\n2\r\n", b"nonsense\r\n"])
async def test_of_a_connection_that_says_what_nobody_asked_for_nothing_more_is_believed(
    redis: Redis, cf_redis_url: str, said: bytes
) -> None:
    await redis.set("one", "1")
    async with wired(cf_redis_url) as (fetcher, wire):
        await fetcher.mget("one")
        wire.said = said
        assert await fetcher.mget("one") == [b"1"]
        await asyncio.sleep(0.02)
        assert await fetcher.mget("one") == [b"1"]
        assert wire.connections == 2


async def test_what_is_pushed_is_no_reply(redis: Redis, cf_redis_url: str) -> None:
    await redis.set("one", "1")
    async with wired(cf_redis_url) as (fetcher, wire):
        await fetcher.mget("one")
        wire.said = b">2\r\n+moving\r\n+soon\r\n*1\r\n$1\r\n1\r\n"
        assert await fetcher.mget("one") == [b"1"]
        assert wire.connections == 1


async def test_who_still_waits_when_it_is_closed_is_told(redis: Redis, cf_redis_url: str) -> None:
    async with wired(cf_redis_url) as (fetcher, wire):
        await fetcher.mget("one")
        wire.open.clear()
        line: Any = fetcher._line
        asked = line.ask(b"*2\r\n$4\r\nMGET\r\n$3\r\none\r\n")
        await fetcher.aclose()
        assert await raised_by(asked) is ConnectionError


async def test_customers_are_read_over_it(redis: Redis, cf_redis_url: str) -> None:
    await publish(redis, customer(), customer(BRUNO, version=9))
    async with wired(cf_redis_url) as (fetcher, wire):
        reader = Reader(ReadModel(fetcher))
        found = await asyncio.gather(*map(reader.read, [ANA, BRUNO, NOBODY]))
        assert [one.value and one.value.version for one in found] == [7, 9, None]
        wire.cut()
        await redis.set(views.VOUCHED, "the process before")
        await redis.delete(views.customer_key(GENERATION, UUID(int=0xB)))
        ana, bruno = await asyncio.gather(*map(reader.read, [ANA, BRUNO]), return_exceptions=True)
        assert not isinstance(ana, BaseException)
        assert isinstance(bruno, read_model.Rebuilding)
