"""What tests do again and again: run something beside the test, wait, rebuild, look at the documents."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from customerflow_projector import generations
from customerflow_projector.apply import Applier
from customerflow_projector.read_model import ReadModel
from customerflow_projector.rebuild import Report, rebuild
from customerflow_shared import patience, views
from customerflow_shared.events import Place, Recorded
from redis.asyncio import Redis

from .builders import EventStore


@asynccontextmanager
async def running(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """It must still run when the test has come to its end."""
    task = asyncio.ensure_future(work())
    try:
        yield
        assert not task.done()
    finally:
        await patience.end(task, every=1)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


async def rebuilt(
    model: ReadModel, store: EventStore, *, force: bool = False, afresh: bool = False, keep_previous: float = 0
) -> Report:
    applier = Applier(model, store)
    return await rebuild(model, store, applier, force=force, afresh=afresh, keep_previous=keep_previous)


async def documents(model: ReadModel, generation: str | None = None) -> dict[UUID, bytes]:
    """Those of the generation; if none is named, of the live one."""
    if generation is None:
        generation = (await model.generations()).live
        assert generation is not None
    prefix = views.customer_key(generation, "")
    keys = [key async for page in generations.scan(model.redis, prefix + "*") for key in page]
    customers = [UUID(key.removeprefix(prefix)) for key in keys]
    held = await model.load(generation, customers)
    return {one: stored for one, stored in zip(customers, held, strict=True) if stored is not None}


async def handle(applier: Applier, generation: str, batch: Sequence[Recorded | Place]) -> None:
    """As the consumer does it."""
    await applier.apply(generation, batch)
    await applier._model.mark(generation, batch)


async def dump(redis: Redis, generation: str) -> dict[str, Any]:
    """All that the generation has, but how far the feed was followed and when that was looked at, and who is parked."""
    prefix = views.key(generation, "")
    left_out = {views.key(generation, name) for name in ("checkpoint", "checked", "parked")}
    keys = [key.decode() async for key in redis.scan_iter(prefix + "*")]
    return {key.removeprefix(prefix): await _content(redis, key) for key in keys if key not in left_out}


async def _content(redis: Redis, key: str) -> Any:
    match await redis.type(key):
        case b"string":
            return await redis.get(key)
        case b"list":
            return await redis.lrange(key, 0, -1)
        case b"hash":
            return await redis.hgetall(key)
        case b"zset":
            return await redis.zrange(key, 0, -1, withscores=True)
        case other:
            raise AssertionError(other)
