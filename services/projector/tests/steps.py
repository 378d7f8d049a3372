"""What tests do again and again: run something beside the test, wait, rebuild, look at the documents."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from customerflow_projector.apply import Applier
from customerflow_projector.read_model import ReadModel
from customerflow_projector.rebuild import Report, rebuild

from .builders import EventStore


@asynccontextmanager
async def running(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """It must still run when the test has come to its end."""
    task = asyncio.ensure_future(work())
    try:
        yield
        assert not task.done()
    finally:
        # libraries that use asyncio.wait_for may swallow a cancellation (Python 3.11): insist
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=1)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


async def rebuilt(model: ReadModel, store: EventStore, *, force: bool = False) -> Report:
    return await rebuild(model, store, Applier(model, store), lambda *_: None, force=force)


async def documents(model: ReadModel, generation: str | None = None) -> dict[UUID, bytes]:
    """Those of the generation; if none is named, of the live one."""
    if generation is None:
        generation = (await model.generations()).live
        assert generation is not None
    return {one: stored async for page in model.documents(generation) for one, stored in page.items()}
