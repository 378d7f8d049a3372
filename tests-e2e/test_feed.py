"""Positions are gapless and visible in order: a reader that keeps the last one misses nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from blackbox.customers import Customers
from blackbox.feed import Feed, Recorded
from blackbox.fold import fold
from blackbox.system import System

WRITERS = 16
SECONDS = 10.0


async def keep_writing(customers: Customers, until: float) -> int:
    """Register and change customers one after another; the number of events that must have been recorded."""
    events = 0
    while time.monotonic() < until:
        customer = await customers.register()
        customer = await customers.patch(customer, name="First", email=None)
        customer = await customers.archive(customer)
        customer = await customers.restore(customer)
        events += customer.version
    return events


async def follow(feed: Feed, after: int, done: Callable[[], bool]) -> list[Recorded]:
    """Ask for what is new, again and again, until a question asked after `done` finds nothing."""
    seen: list[Recorded] = []
    while True:
        last_round = done()
        new = [recorded async for recorded in feed.page(after)]
        seen += new
        if new:
            after = new[-1].position
        elif last_round:
            return seen
        await asyncio.sleep(0.002)


async def test_a_reader_beside_many_writers_misses_nothing(system: System, customers: Customers, feed: Feed) -> None:
    before = await feed.head()
    until = time.monotonic() + SECONDS
    writers = asyncio.gather(*(keep_writing(customers, until) for _ in range(WRITERS)))

    readers: list[Awaitable[list[Recorded]]] = []
    feeds = [Feed(system, url) for url in system.commands]
    for one in feeds:
        readers.append(follow(one, before, writers.done))
    told = await asyncio.gather(*readers)
    written = sum(await writers)
    for one in feeds:
        await one.client.aclose()

    for seen in told:
        assert [recorded.position for recorded in seen] == list(range(before + 1, before + written + 1))
        fold(seen)  # which refuses versions that are not contiguous
    assert await feed.head() == before + written


async def test_every_event_has_an_id_of_its_own(feed: Feed) -> None:
    ids = [recorded.event_id for recorded in await feed.read()]
    assert len(set(ids)) == len(ids)


async def test_a_reader_that_has_everything_is_told_so_with_an_empty_answer(feed: Feed) -> None:
    assert [recorded async for recorded in feed.page(await feed.head())] == []
