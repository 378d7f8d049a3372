"""Waiting: for a server that is away, without filling the log; for a task that is to end, without giving in."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from customerflow_shared import telemetry

log = structlog.get_logger()

FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 2.0


class Patience:
    """Pauses grow from failure to failure; only a failure of a new kind is logged."""

    def __init__(self, work: str) -> None:
        self._work = work
        self._pause = FIRST_PAUSE
        self._last = ""

    async def persist(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Make the attempt again and again, whatever it raises; only cancelling this very task ends it."""
        while True:
            try:
                await attempt()
            except asyncio.CancelledError as error:
                if is_cancelled():
                    raise
                await self.after(error)
            except Exception as error:
                await self.after(error)

    async def after(self, error: BaseException) -> None:
        description = telemetry.describe(error)
        if description != self._last:
            log.warning("interrupted; trying again until it works", work=self._work, exc_info=error)
        self._last = description
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def rewarded(self) -> None:
        """It works again."""
        self._pause, self._last = FIRST_PAUSE, ""


def is_cancelled() -> bool:
    """Whether a CancelledError means this very task: libraries cancel what waits on a lost connection, too."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def end(task: asyncio.Task[object], *, every: float) -> None:
    """Cancel the task until it is done, again after so many seconds each; being cancelled meanwhile does not leave it
    running.

    Once is not enough: libraries that use asyncio.wait_for may swallow a cancellation (Python 3.11).
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        task.cancel()
        try:
            await asyncio.wait([task], timeout=every)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
