"""The change stream tells what the feed tells, live."""

import asyncio
import random
from datetime import datetime

import pytest
from blackbox.customers import Customers, Json
from blackbox.feed import Feed
from blackbox.questions import position_of
from blackbox.sink import Sink
from blackbox.stream import Stream
from blackbox.system import System
from blackbox.waiting import eventually


def to_the_millisecond(time: str) -> str:
    return datetime.fromisoformat(time).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def test_the_stream_tells_every_change_once_and_in_order(
    system: System, customers: Customers, feed: Feed
) -> None:
    before, chance = await feed.head(), random.Random(6)
    end = before + 6 * 8 * 5
    steady, hasty = Stream(system, before), Stream(system, before)

    async def work() -> None:
        for _ in range(8):
            customer = await customers.register()
            for number in range(4):
                customer = await customers.patch(customer, name=f"Name {number}")

    working = asyncio.gather(*(work() for _ in range(6)))
    following = asyncio.create_task(steady.until(end))
    told: list[Json] = []
    while not told or told[-1]["position"] < end:
        told += await hasty.until(min(end, (hasty.last or 0) + chance.randint(1, 30)))
    await working
    recorded = [
        {
            "position": one.position,
            "customerId": one.customer_id,
            "version": one.version,
            "type": one.event["type"],
            "recordedAt": to_the_millisecond(one.recorded_at),
        }
        for one in await feed.read(before)
        if one.position <= end  # what the system does by itself, such as an erasure that is due, comes besides
    ]
    assert told == await following == recorded
    assert steady.resets == hasty.resets == 0


async def test_the_stream_tells_only_what_it_is_asked_for_and_from_now_on(
    system: System, customers: Customers, feed: Feed
) -> None:
    mine, other = await customers.register(), await customers.register()
    await customers.read(other)
    stream = Stream(system, parameters={"customerId": mine.id, "type": "CustomerTagged"})
    following = asyncio.create_task(stream.first())
    while stream.last is None:
        await asyncio.sleep(0.01)
    await customers.patch(mine, name="Another")
    await customers.tag(other, "vip")
    position = position_of(await customers.send("PUT", f"{mine.path}/tags/vip"))
    change = await asyncio.wait_for(following, 10)
    assert (change["position"], change["customerId"], change["version"]) == (position, mine.id, 3)


async def test_the_span_of_a_stream_does_not_wait_for_its_end(system: System, sink: Sink) -> None:
    if system.stack is None:
        pytest.skip("a given system reports elsewhere")
    stream = Stream(system)
    following = asyncio.create_task(stream.first())

    async def reported() -> None:
        assert "GET /v1/changes" in {span.name for span in sink.spans() if span.service == "customerflow-query"}

    await eventually(reported, within=20, every=0.5)
    assert not following.done()
    following.cancel()
