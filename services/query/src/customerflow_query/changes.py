"""The change stream: what has happened to customers, in the order of positions, without gaps.

While there are clients, one follower per process reads each line once, into a ring that all of them read from, each at
its own pace from a place of its own. Who has fallen behind the ring reads from Redis. Lines are shown up to `applied`
only: what comes later than its position is then never passed over.
"""

import asyncio
import socket
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import attrgetter
from typing import NamedTuple

import msgspec
from customerflow_shared import metrics, views
from customerflow_shared.patience import Patience
from customerflow_shared.views import Notice
from opentelemetry.instrumentation.utils import suppress_instrumentation
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError

from customerflow_query.read_model import FAILURES, ReadModelUnavailable, Rebuilding

RING = 5_000  # lines that it holds at least
PAGE = 1_000  # lines that are read at once
BATCH = 200  # lines that a client is given at once
POLL = 0.25  # seconds, in case the bell is not heard
PAUSE = 0.02  # seconds between two looks: what comes meanwhile is told together
PING_EVERY = 15  # seconds
SUBSCRIBED_WITHIN = 5.0  # seconds
LAST_WORDS = 1.0  # seconds in which a client may still take what it is told at the end
END = 2**53  # positions are scores, and those are exact up to here

Cut = Callable[[], None]
"""Ends a client's connection, whatever it has not taken yet."""


class Line(NamedTuple):
    """A notice, and the event by which clients are told of it."""

    position: int
    notice: Notice
    event: bytes


class Lines(NamedTuple):
    """All that there are after a position, up to another one."""

    lines: Sequence[Line]
    upto: int


class Outdated(Exception):
    """Lines that were asked for are not kept any more: `oldest` is the first that is."""

    def __init__(self, oldest: int, now: int) -> None:
        super().__init__(f"{oldest} is the first that is kept")
        self.oldest = oldest
        self.now = now


class _Page(NamedTuple):
    """All lines after a position, up to another one. Those up to `floor` are not kept any more."""

    applied: int
    floor: int
    lines: list[Line]
    upto: int


_followers = metrics.gauge("customerflow.changes.followers", "{client}", "Clients that follow the stream of changes.")
_decoder = msgspec.json.Decoder(Notice)


def event(position: int, name: str, data: bytes) -> bytes:
    """A server-sent event."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (position, name.encode(), data)


def connect_bell(url: str) -> Redis:
    """A client that waits for messages without end, and now and then asks whether its server is there."""
    return Redis.from_url(
        url,
        socket_timeout=None,
        socket_connect_timeout=2,
        socket_keepalive=True,
        # its pings wait for no answer: the system ends a connection on which nothing was acknowledged for so long
        socket_keepalive_options={socket.TCP_USER_TIMEOUT: 2000 * PING_EVERY},
        health_check_interval=PING_EVERY,
        retry=Retry(NoBackoff(), 1, (ConnectionError,)),
    )


class Changes:
    """`bell` is a client as `connect_bell` gives it; `clients` are those that are told of changes, while that
    `is_served`.
    """

    def __init__(self, redis: Redis, bell: Redis, is_served: Callable[[], bool] = lambda: True) -> None:
        self._redis = redis
        self._bell = bell
        self.is_served = is_served
        self._generation = ""
        self._rung = asyncio.Event()
        # the ring holds every line after `floor` up to `top`; before the first look that is none
        self._ring: list[Line] = []
        self._floor = self._top = END
        self.news = asyncio.Event()
        """Set when there is more, or the end has come; then another one takes its place."""
        self.closed = False
        self.clients: set[Cut] = set()
        _followers.read(self.clients.__len__)
        self._followed = asyncio.Event()

    @contextmanager
    def told_to(self, client: Cut) -> Iterator[None]:
        """There is one more client meanwhile."""
        self.clients.add(client)
        self._followed.set()
        try:
            yield
        finally:
            if not self.closed:  # at the end, whoever has not taken all of it is cut off
                self.clients.discard(client)
            if not self.clients:
                self._followed.clear()

    def close(self) -> None:
        """Clients are to end; who takes nothing any more is cut off."""
        self.closed = True
        self._tell()
        asyncio.get_running_loop().call_later(LAST_WORDS, self._cut)

    async def now(self) -> int:
        """The position up to which everything is applied. Raises Rebuilding or ReadModelUnavailable."""
        return (await self._page(END)).applied

    async def after(self, position: int) -> Lines:
        """The next lines, few enough to be sent at once. Raises Outdated, Rebuilding or ReadModelUnavailable."""
        if position < self._floor:
            page = await self._page(position, BATCH)
            if _is_gap(position, page):
                raise Outdated(page.floor + 1, page.applied)
            return Lines(page.lines, max(position, page.upto))
        first = bisect_right(self._ring, position, key=attrgetter("position"))
        lines = self._ring[first : first + BATCH]
        return Lines(lines, lines[-1].position if len(lines) == BATCH else max(position, self._top))

    async def follow(self) -> None:
        """Keep the ring while somebody needs it, as long as the process lives."""
        patience = Patience("following the changes")

        async def look_again_and_again() -> None:
            while True:
                if not self._followed.is_set():
                    await self._followed.wait()
                    self._ring.clear()
                    self._floor = self._top = END
                self._rung.clear()
                await self._look()
                patience.rewarded()
                await asyncio.sleep(PAUSE)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._rung.wait()

        await patience.persist(look_again_and_again)

    async def listen(self) -> None:
        """Hear the bell that the projector rings at changes, as long as the process lives."""
        patience = Patience("listening for changes")

        async def hear() -> None:
            await self._followed.wait()
            async with self._bell.pubsub() as messages:
                async with asyncio.timeout(SUBSCRIBED_WITHIN):
                    await messages.subscribe(views.CHANGED)
                while self._followed.is_set():
                    if await messages.get_message(ignore_subscribe_messages=True, timeout=PING_EVERY):
                        self._rung.set()
                    patience.rewarded()

        with suppress_instrumentation():
            await patience.persist(hear)

    async def _look(self) -> None:
        if self._top == END:
            self._floor = self._top = await self.now()
            self._tell()  # who has looked before may wait for what is below
        while True:
            page = await self._page(self._top, PAGE)
            if _is_gap(self._top, page):
                self._ring.clear()
                self._floor = page.floor
            self._ring += page.lines
            if len(self._ring) > 2 * RING:
                self._floor = self._ring[-RING - 1].position
                del self._ring[:-RING]
            if page.upto > self._top:
                self._top = page.upto
                self._tell()
            if page.upto >= page.applied:
                return

    async def _page(self, after: int, size: int = 1) -> _Page:
        """At most so many lines, and what they are part of, as of one moment. Raises Rebuilding or
        ReadModelUnavailable.
        """
        try:
            with suppress_instrumentation():  # a span for each look would tell nothing
                applied, kept, first, found = await self._read(after, size)
        except FAILURES as error:
            raise ReadModelUnavailable(type(error).__name__) from error
        lines = [_line(data) for data in found]
        shown = [line for line in lines if line.position <= applied]
        full = len(shown) == size
        floor = int(first[0][1]) - 1 if kept >= views.CHANGES_KEPT else 0
        return _Page(applied, floor, shown, shown[-1].position if full else applied)

    async def _read(self, after: int, size: int) -> tuple[int, int, list[tuple[bytes, float]], list[bytes]]:
        """Where the live generation is, how many lines it keeps, which is the first, and those that are asked for."""
        while True:
            generation = self._generation
            lines = views.key(generation, "changes")
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.get(views.LIVE)
                pipeline.get(views.key(generation, "applied"))
                pipeline.zcard(lines)
                pipeline.zrange(lines, 0, 0, withscores=True)
                pipeline.zrange(lines, f"({after}", "+inf", byscore=True, offset=0, num=size)
                live, applied, kept, first, found = await pipeline.execute()
            if live is None:
                raise Rebuilding("no generation is live")
            if live.decode() == generation:
                return int((applied or b"0").split()[0]), kept, first, found
            if not views.is_of_this_schema(live.decode()):
                raise Rebuilding("the live generation has another schema")
            self._generation = live.decode()

    def _tell(self) -> None:
        told, self.news = self.news, asyncio.Event()
        told.set()

    def _cut(self) -> None:
        for cut in self.clients:
            cut()


def _line(data: bytes) -> Line:
    notice = _decoder.decode(data)
    return Line(notice.position, notice, event(notice.position, "change", data))


def _is_gap(position: int, page: _Page) -> bool:
    """Whether lines between the position and the page are not kept any more."""
    return position < page.floor and position < page.applied
