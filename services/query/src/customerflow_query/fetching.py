"""Fetching from Redis on a connection of its own, on which commands follow one another without waiting for replies.

redis-py makes it, by the same URL: TLS, AUTH and SELECT. To ask through redis-py as well takes three times as long: a
connection out of the pool and back, a timeout, a task that is woken for each part of a reply.
"""

import asyncio
from collections import deque
from typing import Any, Final

import hiredis
from redis._parsers.helpers import parse_info
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, InvalidResponse, TimeoutError

from customerflow_query.read_model import Pool

_MORE: Final = object()


class Fetcher(Redis):
    """Shares the pool of another client, which counts its connections; `mget` and `info` have one of their own."""

    def __init__(self, pool: Pool, *, seconds: float = 2.0) -> None:
        super().__init__(connection_pool=pool)
        self._pool = pool
        self._seconds = seconds
        self._line: _Line | None = None
        self._connecting: asyncio.Task[_Line] | None = None

    async def mget(self, *keys: str) -> Any:  # type: ignore[override]  # redis-py takes lists as well
        return await self._ask("MGET", *keys)

    async def info(self, *sections: str) -> Any:  # type: ignore[override]  # redis-py takes options as well
        """Of the process that answers `mget`."""
        return parse_info(await self._ask("INFO", *sections))  # type: ignore[no-untyped-call]  # redis-py's

    async def _ask(self, *command: str) -> Any:
        """Raises what redis-py raises. A connection that turns out to be lost is made anew once."""
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # however many words it has
        line = self._line
        if line is None or line.ended:
            line = await self._connected()
        try:
            return await line.ask(packed)
        except (ConnectionError, TimeoutError):
            return await (await self._connected()).ask(packed)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        if self._connecting:
            self._connecting.cancel()
        if self._line:
            self._line.end(ConnectionError("closed"))
        await super().aclose(close_connection_pool)

    async def _connected(self) -> "_Line":
        """All who need a new connection wait for the same one, and none who gives up takes it from others."""
        if self._line and not self._line.ended:
            return self._line
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._made)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> "_Line":
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's
        connection.retry = Retry(NoBackoff(), 0)
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
        self._line = _Line(connection, self._seconds)
        return self._line

    def _made(self, task: "asyncio.Task[_Line]") -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # whoever waited may have left: then nobody else looks at it


class _Line(asyncio.Protocol):
    """Takes over the transport of a connection that is ready."""

    def __init__(self, connection: AbstractConnection, seconds: float) -> None:
        self.ended = False
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._asked: deque[tuple[asyncio.Future[Any], asyncio.TimerHandle]] = deque()
        self._parser = hiredis.Reader(
            protocolError=InvalidResponse, replyError=connection._parser.parse_error, notEnoughData=_MORE
        )
        self._connection = connection  # closes its transport if it is forgotten
        self._transport: Any = connection._writer.transport  # type: ignore[union-attr]  # it is connected
        self._transport.set_protocol(self)

    def ask(self, packed: bytes) -> asyncio.Future[Any]:
        """Raises what Redis says when awaited, ConnectionError or TimeoutError."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asked.append((future, self._loop.call_later(self._seconds, self._late)))
        self._transport.write(packed)
        return future

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
            while (reply := self._parser.gets()) is not _MORE:
                if isinstance(reply, hiredis.PushNotification):
                    continue
                future, timer = self._asked.popleft()
                timer.cancel()
                if future.done():  # whoever asked has left
                    continue
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except (InvalidResponse, IndexError):  # or nobody has asked
            self.end(ConnectionError("Redis has said what is not understood"))

    def connection_lost(self, _: Exception | None) -> None:
        self.end(ConnectionError("Redis has hung up"))

    def end(self, error: Exception) -> None:
        """Whoever still waits is told the error."""
        self.ended = True
        self._transport.abort()
        self._connection._close()  # type: ignore[no-untyped-call]  # redis-py's
        while self._asked:
            future, timer = self._asked.popleft()
            timer.cancel()
            if not future.done():
                future.set_exception(error)

    def _late(self) -> None:
        self.end(TimeoutError("Redis does not answer"))
