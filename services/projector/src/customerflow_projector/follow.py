"""Bringing a generation to the head of the event feed, from wherever it is."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

from customerflow_projector.apply import Applier
from customerflow_projector.feed import Feed, FeedBehind
from customerflow_projector.read_model import ReadModel

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
                await model.mark(generation, page)
                position = page[-1].position
                if not await model.advance(generation, position, run_id):
                    raise RedisRestarted
                if generation not in await model.generations():
                    raise GivenUp
                yield position, max(newest, position)


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


async def _next(pages: AsyncIterator[T]) -> T | None:
    return await anext(pages, None)
