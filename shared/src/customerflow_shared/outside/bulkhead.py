"""So many at a time, so many that wait, and no more."""

import asyncio

from customerflow_shared.outside.failures import BulkheadFull


class Bulkhead:
    """Whoever has entered leaves."""

    def __init__(self, concurrent: int, queued: int) -> None:
        self._places = asyncio.Semaphore(concurrent)
        self._most = concurrent + queued
        self.inside = 0
        """Under way or waiting."""

    async def enter(self) -> None:
        """Raises BulkheadFull, at once."""
        if self.inside >= self._most:
            raise BulkheadFull("too many calls are under way")
        self.inside += 1
        try:
            await self._places.acquire()
        except BaseException:
            self.inside -= 1
            raise

    def leave(self) -> None:
        self.inside -= 1
        self._places.release()
