"""Waiting for a server that is away, for as long as it takes and without filling the log."""

import asyncio

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

    async def after(self, error: BaseException) -> None:
        description = telemetry.describe(error)
        if description != self._last:
            log.warning("interrupted; trying again until it works", work=self._work, error=description)
        self._last = description
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def rewarded(self) -> None:
        """It works again."""
        self._pause, self._last = FIRST_PAUSE, ""
