"""What was answered, kept for a while: nobody is asked the same again and again, and for when nobody answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import structlog
from msgspec import Struct

from customerflow_shared.outside import meters
from customerflow_shared.outside.failures import OutsideError, TimedOut

log = structlog.get_logger()

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Keeping(Struct, frozen=True, kw_only=True):
    """Times are in seconds. An answer is fresh for `fresh_for`, the answer that there is no such thing for
    `unknown_for`; for `stale_for` more it is given if there is no newer one to be had. At most `largest` are kept,
    those that were asked for last.
    """

    fresh_for: float
    unknown_for: float
    stale_for: float
    largest: int


class Kept(NamedTuple, Generic[V]):
    """`value` is None if there is no such thing; `age` in seconds."""

    value: V | None
    age: float = 0.0
    is_stale: bool = False


class _Entry(NamedTuple, Generic[V]):
    value: V | None
    at: float


class Cache(Generic[K, V]):
    """However many ask for the same at the same time, it is loaded once, and to the end, also if all of them have gone.
    `load` raises OutsideError, and ends by itself; `name` is for metrics; `patience` is for `get_soon`, in seconds.
    `close` it in the end.
    """

    def __init__(
        self,
        name: str,
        keeping: Keeping,
        load: Callable[[K], Awaitable[V | None]],
        patience: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._keeping = keeping
        self._load = load
        self._patience = patience
        self._clock = clock
        self._prompt, self._judged = True, 0.0
        """Whether the one that was begun last, of those of which that is known, was there within the patience."""
        self._entries: dict[K, _Entry[V]] = {}  # the one used last at the end
        self._flights: dict[K, tuple[float, asyncio.Task[V | None]]] = {}
        for outcome in ("hit", "loaded", "stale", "failed"):
            meters.CACHED.begin(name, outcome)

    async def get(self, key: K) -> Kept[V]:
        """Raises OutsideError if nothing can be loaded and nothing was kept."""
        return await self._get(key, None)

    async def get_soon(self, key: K) -> Kept[V]:
        """For who can do without: waits no longer than the patience, and not at all if the last one to be loaded took
        longer or failed; it is loaded all the same. Raises OutsideError if then there is nothing.
        """
        return await self._get(key, self._patience if self._prompt else 0.0)

    async def _get(self, key: K, patience: float | None) -> Kept[V]:
        entry, now = self._entries.get(key), self._clock()
        if entry is not None and now - entry.at < self._fresh_for(entry):
            self._entries[key] = self._entries.pop(key)
            meters.CACHED.add(1, self._name, "hit")
            return Kept(entry.value, now - entry.at)
        try:
            kept = Kept(await self._loaded(key, patience))
        except OutsideError:
            entry, now = self._entries.get(key), self._clock()
            if entry is None or now - entry.at >= self._fresh_for(entry) + self._keeping.stale_for:
                meters.CACHED.add(1, self._name, "failed")
                raise
            meters.CACHED.add(1, self._name, "stale")
            return Kept(entry.value, now - entry.at, is_stale=True)
        meters.CACHED.add(1, self._name, "loaded")
        return kept

    async def close(self) -> None:
        flights = [task for _, task in self._flights.values()]
        for task in flights:
            task.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _fresh_for(self, entry: _Entry[V]) -> float:
        return self._keeping.unknown_for if entry.value is None else self._keeping.fresh_for

    async def _loaded(self, key: K, patience: float | None) -> V | None:
        if key not in self._flights:
            begun, task = asyncio.get_running_loop().time(), asyncio.create_task(self._fly(key))
            self._flights[key] = begun, task
            task.add_done_callback(partial(self._landed, key, begun))
        begun, task = self._flights[key]
        if patience != 0:
            await asyncio.wait([task], timeout=patience)
        if not task.done():
            if patience:
                self._judge(begun, False)
            raise TimedOut("it takes too long to wait for")
        if task.cancelled():
            raise TimedOut("it was interrupted")
        return task.result()

    async def _fly(self, key: K) -> V | None:
        value = await self._load(key)
        self._entries.pop(key, None)
        self._entries[key] = _Entry(value, self._clock())
        if len(self._entries) > self._keeping.largest:
            del self._entries[next(iter(self._entries))]
        return value

    def _landed(self, key: K, begun: float, task: asyncio.Task[V | None]) -> None:
        del self._flights[key]
        error = None if task.cancelled() else task.exception()
        took = asyncio.get_running_loop().time() - begun
        self._judge(begun, error is None and not task.cancelled() and took <= self._patience)
        if error is not None and not isinstance(error, OutsideError):
            log.error("look-up failed", cache=self._name, exc_info=error)

    def _judge(self, begun: float, prompt: bool) -> None:
        if begun >= self._judged:
            self._prompt, self._judged = prompt, begun
