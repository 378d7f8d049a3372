"""One after another in a lane, lanes beside one another; what is broken goes no further."""

import asyncio

import pytest
from customerflow_consumer.lanes import Lanes


async def test_a_lane_is_worked_off_in_order_beside_the_others() -> None:
    begun, release = list[str](), {name: asyncio.Event() for name in ("a1", "a2", "b1")}

    async def work(item: str) -> None:
        begun.append(item)
        await release[item].wait()

    lanes = Lanes(work, asyncio.Event())
    for item in release:
        lanes.put(item[0], item)
    await asyncio.sleep(0.01)
    assert begun == ["a1", "b1"]
    release["a1"].set()
    await asyncio.sleep(0.01)
    assert begun == ["a1", "b1", "a2"]
    for event in release.values():
        event.set()
    await lanes.close()


async def test_closing_finishes_what_is_in_hand_and_drops_what_waits() -> None:
    done, release = list[int](), asyncio.Event()

    async def work(item: int) -> None:
        await release.wait()
        done.append(item)

    lanes = Lanes(work, asyncio.Event())
    for item in (1, 2):
        lanes.put("a", item)
    await asyncio.sleep(0)
    closing = asyncio.create_task(lanes.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    lanes.put("b", 3)
    release.set()
    await closing
    assert done == [1]


@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError()])
async def test_nothing_overtakes_what_was_not_done(error: BaseException) -> None:
    done, broken = list[str](), asyncio.Event()

    async def work(item: str) -> None:
        if item == "a1":
            raise error
        done.append(item)

    lanes = Lanes(work, broken)
    for item in ("a1", "a2", "b1"):
        lanes.put(item[0], item)
    await broken.wait()
    lanes.put("a", "a3")
    await asyncio.sleep(0.01)
    assert (done, lanes.error) == (["b1"], error)
    await lanes.close()
