"""One thing of a kind after another, those of different kinds at the same time."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

M = TypeVar("M")


class Lanes(Generic[M]):
    """`broken` is set if the work raises: that lane goes no further, and `error` says why."""

    def __init__(self, work: Callable[[M], Awaitable[None]], broken: asyncio.Event) -> None:
        self._work = work
        self._broken = broken
        self._waiting: dict[Hashable, deque[M]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.error: BaseException | None = None

    def put(self, lane: Hashable, item: M) -> None:
        """Does nothing once they are closed."""
        if self._closed:
            return
        if (waiting := self._waiting.get(lane)) is not None:
            waiting.append(item)
            return
        self._waiting[lane] = deque([item])
        task = asyncio.create_task(self._run(lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, lane: Hashable) -> None:
        waiting = self._waiting[lane]
        try:
            while waiting:
                await self._work(waiting.popleft())
        except (Exception, asyncio.CancelledError) as error:
            # the lane stays, and takes what comes: nothing may overtake what was not done
            self.error = error
            self._broken.set()
        else:
            del self._waiting[lane]

    async def close(self) -> None:
        """Drop what waits, and return when what is in hand is done."""
        self._closed = True
        for waiting in self._waiting.values():
            waiting.clear()
        while self._tasks:
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)  # for the callbacks
