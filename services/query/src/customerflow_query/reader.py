"""Reading customers' documents from Redis as bytes: what is asked for in one turn of the event loop is fetched by one
command.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import cast
from uuid import UUID

from customerflow_shared import views
from customerflow_shared.views import Stored
from redis.asyncio import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

LARGEST_FETCH = 256
FETCHES = 4  # at a time; fewer than connections, so that none has to wait for one


class Rebuilding(Exception):
    """The read model is not complete: what it does not show may exist all the same."""


class ReadModelUnavailable(Exception):
    """Redis does not answer."""


def connect(url: str) -> Redis:
    """A client that gives up after 2 seconds: a query has someone waiting."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=8,
        timeout=2,
        socket_timeout=2,
        socket_connect_timeout=2,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1),
    )
    return Redis.from_pool(pool)  # which closes its connections with it


class Reader:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._generation = ""
        self._waiting: dict[UUID, asyncio.Future[Stored | None]] = {}
        self._fetches: set[asyncio.Task[None]] = set()

    async def read(self, customer_id: UUID) -> Stored | None:
        """The customer, or None if it does not exist. Raises Rebuilding or ReadModelUnavailable."""
        future = self._waiting.get(customer_id)
        if future is None:
            loop = asyncio.get_running_loop()
            if not self._waiting:
                loop.call_soon(self._fetch_waiting)
            future = self._waiting[customer_id] = loop.create_future()
        # others may wait for the same future: one that gives up must not take it from them
        return await asyncio.shield(future)

    async def check(self) -> None:
        """Raises Rebuilding or RedisError unless there is something to answer from."""
        if await self._redis.get(views.LIVE) is None:
            raise Rebuilding("no generation is live")

    def _fetch_waiting(self) -> None:
        """Fetch what is waiting; while enough fetches are under way, it waits and goes with the next one."""
        while self._waiting and len(self._fetches) < FETCHES:
            wanted = {one: self._waiting.pop(one) for one in [*islice(self._waiting, LARGEST_FETCH)]}
            task = asyncio.create_task(self._fetch(wanted))
            self._fetches.add(task)
            task.add_done_callback(self._fetched)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetches.discard(task)
        self._fetch_waiting()

    async def _fetch(self, wanted: dict[UUID, asyncio.Future[Stored | None]]) -> None:
        try:
            vouched, documents = await self._documents(list(wanted))
            complete = all(documents) or await self._is_run_by(vouched)
            for future, stored in zip(wanted.values(), documents, strict=True):
                if stored is not None:
                    future.set_result(views.split(stored))
                elif complete:
                    future.set_result(None)
                else:
                    _fail([future], Rebuilding("Redis has been restarted"))
        except (RedisError, OSError, TimeoutError) as error:
            _fail(wanted.values(), ReadModelUnavailable(type(error).__name__))
        except Exception as error:  # whoever asked must be told
            _fail(wanted.values(), error)

    async def _documents(self, customers: Sequence[UUID]) -> tuple[bytes | None, list[bytes | None]]:
        """From the live generation; which one that is, and which process was vouched for, is asked for in the same
        command.
        """
        while True:
            keys = [views.customer_key(self._generation, one) for one in customers]
            # a client without decode_responses gives bytes
            answer = cast(list[bytes | None], await self._redis.mget(views.LIVE, views.VOUCHED, *keys))
            live, vouched, *documents = answer
            if live is None:
                raise Rebuilding("no generation is live")
            if live.decode() == self._generation:
                return vouched, documents
            self._generation = live.decode()

    async def _is_run_by(self, vouched: bytes | None) -> bool:
        """Whether the process that the projector had vouched for when the documents were read is the one that runs:
        one that was restarted may have lost customers.
        """
        if vouched is None:
            return False
        return bool(vouched.decode() == (await self._redis.info("server"))["run_id"])


def _fail(futures: Iterable[asyncio.Future[Stored | None]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
            future.exception()  # whoever asked may have left: then nobody else looks at it
