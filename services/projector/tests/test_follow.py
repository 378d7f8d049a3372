"""While one page of a generation is being stored, the next one is worked on."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from customerflow_projector.follow import _overlapping


async def numbers() -> AsyncIterator[int]:
    for number in range(5):
        yield number


async def test_the_next_is_worked_on_while_one_waits_and_each_comes_in_its_turn() -> None:
    begun: list[int] = []
    goes_on = [asyncio.Event() for _ in range(5)]

    async def work(number: int) -> None:
        begun.append(number)
        if number < 4:
            await goes_on[number].wait()

    overlapping = _overlapping(numbers(), work)
    first = asyncio.ensure_future(anext(overlapping))
    await asyncio.sleep(0.01)
    assert begun == [0, 1]  # and no more
    goes_on[1].set()
    await asyncio.sleep(0.01)
    assert not first.done()
    for event in goes_on:
        event.set()
    assert [await first, *[number async for number in overlapping]] == [0, 1, 2, 3, 4]
    assert begun == [0, 1, 2, 3, 4]


async def test_when_one_fails_the_next_is_not_left_running() -> None:
    ended: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.sleep(0.01 if number == 0 else 60)
            raise RuntimeError
        finally:
            ended.append(number)

    with pytest.raises(RuntimeError):
        await anext(_overlapping(numbers(), work))
    assert ended == [0, 1]
