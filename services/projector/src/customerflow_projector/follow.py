"""Bringing a generation to the head of the event feed: a new one by customers, else by positions from where it is."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar
from uuid import UUID

from customerflow_projector.apply import Applier
from customerflow_projector.feed import Feed, FeedBehind
from customerflow_projector.read_model import Built, ReadModel

NOBODY = UUID(int=0)
T = TypeVar("T")


class RedisRestarted(Exception):
    """Redis is another process than the one to which the events were applied; it may have lost some of them."""


class GivenUp(Exception):
    """The generation has been given up meanwhile, by a rebuild, an emptied Redis or its time: begin again."""


async def follow(
    model: ReadModel, feed: Feed, applier: Applier, generation: str, run_id: str
) -> AsyncGenerator[tuple[int, int], None]:
    """Apply whatever comes after the checkpoint, moving it page by page. Tells where it is, at the beginning and after
    each page, and where the head of the feed is.

    Raises FeedUnavailable, FeedBehind, RedisRestarted, GivenUp, or what Redis raises; the next call goes on where this
    one was.
    """
    # in this order: whoever else follows may move the checkpoint beyond a head that was asked for before
    position = await model.checkpoint(generation)
    head = await feed.head()
    if head < position:
        raise FeedBehind(f"the head of the event store is {head}, position {position} has been seen")
    yield position, head
    if head > position:
        async with aclosing(_fetched_ahead(feed.after(position))) as fetched:
            async for newest, page in fetched:
                await applier.apply(generation, page)
                position = page[-1].position
                if not await model.advance(generation, position, run_id):
                    raise RedisRestarted
                if generation not in await model.generations():
                    raise GivenUp
                yield position, max(newest, position)


async def build(
    model: ReadModel, feed: Feed, applier: Applier, generation: str, run_id: str
) -> AsyncGenerator[tuple[int, int], None]:
    """Fill a generation up to where the head of the feed is at the beginning, or was when it was begun: customer by
    customer, so that each is written once. What happens meanwhile is left to `follow`. Tells how many events are
    applied, and how many there are.

    Raises as `follow` does; the next call goes on where this one was.
    """
    built = await model.built(generation)
    if built is None:
        if await model.checkpoint(generation):
            return
        built = Built(NOBODY, 0, await feed.head(), 0)
    yield built.events, built.head
    async with (
        aclosing(_fetched_ahead(feed.by_customer(built.customer))) as fetched,
        aclosing(_overlapping(fetched, lambda found: applier.apply_unmarked(generation, found[1]))) as applied,
    ):
        async for _, page in applied:
            if (now := await model.build(generation, built, page, run_id)) is None:
                raise RedisRestarted
            built = now
            if generation not in await model.generations():
                raise GivenUp
            yield min(built.events, built.head), built.head  # the newest page may have more than there was
    if not await model.all_built(generation, built, run_id):
        raise RedisRestarted


async def _fetched_ahead(pages: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """The same pages; while one is worked on, the next one is fetched."""
    coming = asyncio.ensure_future(_next(pages))
    try:
        while (page := await coming) is not None:
            coming = asyncio.ensure_future(_next(pages))
            yield page
    finally:
        coming.cancel()
        await asyncio.wait([coming])


async def _overlapping(
    pages: AsyncIterator[T], work: Callable[[T], Coroutine[Any, Any, None]]
) -> AsyncGenerator[T, None]:
    """The same pages, in order, each when its work is done; while one waits for an answer, the next is worked on."""
    under_way: deque[tuple[T, asyncio.Task[None]]] = deque()

    async def first() -> T:
        page, task = under_way[0]
        await task
        under_way.popleft()
        return page

    try:
        async for page in pages:
            under_way.append((page, asyncio.create_task(work(page))))
            if len(under_way) == 2:
                yield await first()
        while under_way:
            yield await first()
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)


async def _next(pages: AsyncIterator[T]) -> T | None:
    return await anext(pages, None)
