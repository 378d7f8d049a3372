"""What is kept of answers, by a clock of its own."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from customerflow_shared.outside import Cache, Keeping, TimedOut, Unreachable

KEEPING = Keeping(fresh_for=100, unknown_for=10, stale_for=1000, largest=3)


class Source:
    """Answers with how often it was asked, in capitals what it was asked; `x...` does not exist."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.now = 0.0
        self.broken = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, key: str) -> str | None:
        self.asked.append(key)
        await self.gate.wait()
        if self.broken:
            raise Unreachable
        return None if key.startswith("x") else f"{key}{len(self.asked)}"


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def cache(source: Source) -> AsyncIterator[Cache[str, str]]:
    made = Cache("it", KEEPING, source.load, lambda: source.now)
    yield made
    await made.close()


async def test_an_answer_is_given_again_until_its_time_is_over(cache: Cache[str, str], source: Source) -> None:
    assert (await cache.get("a")).value == "a1"
    source.now = 99.9
    assert await cache.get("a") == ("a1", 99.9, False)
    source.now = 100
    assert await cache.get("a") == ("a2", 0, False)


async def test_that_there_is_none_is_kept_for_a_time_of_its_own(cache: Cache[str, str], source: Source) -> None:
    for source.now in (0, 9.9):
        assert (await cache.get("x")).value is None
    assert source.asked == ["x"]
    source.now = 10
    await cache.get("x")
    assert source.asked == ["x", "x"]


async def test_what_is_old_is_given_if_there_is_nothing_newer_to_be_had(cache: Cache[str, str], source: Source) -> None:
    await cache.get("a")
    source.broken, source.now = True, 1099
    assert await cache.get("a") == ("a1", 1099, True)
    source.now = 1100
    with pytest.raises(Unreachable):
        await cache.get("a")


async def test_a_failure_is_not_kept(cache: Cache[str, str], source: Source) -> None:
    source.broken = True
    with pytest.raises(Unreachable):
        await cache.get("a")
    source.broken = False
    assert (await cache.get("a")).value == "a2"


async def test_those_who_ask_at_the_same_time_get_one_answer(cache: Cache[str, str], source: Source) -> None:
    source.gate.clear()
    asking = [asyncio.create_task(cache.get("a")) for _ in range(50)]
    await asyncio.sleep(0)
    source.gate.set()
    assert {kept.value for kept in await asyncio.gather(*asking)} == {"a1"}
    assert source.asked == ["a"]


async def test_it_is_loaded_to_the_end_though_those_who_asked_have_gone(cache: Cache[str, str], source: Source) -> None:
    source.gate.clear()
    asking = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    source.gate.set()
    await asyncio.sleep(0.01)
    assert (await cache.get("a")).value == "a1"
    assert source.asked == ["a"]


async def test_who_has_little_patience_goes_and_the_next_one_has_the_answer(
    cache: Cache[str, str], source: Source
) -> None:
    source.gate.clear()
    with pytest.raises(TimedOut):
        await cache.get("a", patience=0.01)
    source.gate.set()
    await asyncio.sleep(0.01)
    assert (await cache.get("a", patience=0.01)).value == "a1"


async def test_who_has_little_patience_does_not_begin_to_wait_while_others_wait_too_long(
    cache: Cache[str, str], source: Source
) -> None:
    source.gate.clear()
    with pytest.raises(TimedOut):
        await cache.get("a", patience=0.01)
    source.now += 0.01
    async with asyncio.timeout(0):  # not even a turn of the loop
        with pytest.raises(TimedOut):
            await cache.get("b", patience=0.01)
    assert source.asked == ["a"]
    source.gate.set()
    await asyncio.sleep(0.01)
    assert (await cache.get("b", patience=1)).value == "b2"


async def test_those_used_last_are_kept_and_no_more(cache: Cache[str, str], source: Source) -> None:
    for key in "abc":
        await cache.get(key)
    await cache.get("a")
    await cache.get("d")
    assert source.asked == ["a", "b", "c", "d"]
    for key in "acd":
        await cache.get(key)
    assert source.asked == ["a", "b", "c", "d"]
    await cache.get("b")
    assert source.asked[-1] == "b"


async def test_what_loads_is_ended_at_the_close(cache: Cache[str, str], source: Source) -> None:
    source.gate.clear()
    asking = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0.01)
    await cache.close()
    with pytest.raises(TimedOut):
        await asking
