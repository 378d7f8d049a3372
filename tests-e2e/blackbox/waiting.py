"""Waiting for what must become true, never for a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(attempt: Callable[[], Awaitable[T]], within: float, every: float = 0.05) -> T:
    """Try until no assertion fails; after `within` seconds the last failure is the result."""
    deadline = time.monotonic() + within
    while True:
        try:
            return await attempt()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(every)
