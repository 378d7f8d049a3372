"""What is kept of answers, by a clock of its own."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from customerflow_shared.outside import Cache, Keeping, TimedOut, Unreachable

PATIENCE = 0.05
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
    made = Cache("it", KEEPING, source.load, PATIENCE, lambda: source.now)
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
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimedOut):
        await cache.get_soon("a")
    assert PATIENCE <= asyncio.get_running_loop().time() - began < PATIENCE + 0.2
    source.gate.set()
    await asyncio.sleep(0.01)
    assert (await cache.get_soon("a")).value == "a1"


async def test_nobody_with_little_patience_waits_until_one_is_loaded_in_time(
    cache: Cache[str, str], source: Source
) -> None:
    async def at_once(key: str) -> None:
        async with asyncio.timeout(0):  # not even a turn of the loop
            with pytest.raises(TimedOut):
                await cache.get_soon(key)

    source.gate.clear()
    with pytest.raises(TimedOut):
        await cache.get_soon("a")
    for key in "bcd":
        await at_once(key)
    source.gate.set()
    await asyncio.sleep(0.01)
    assert sorted(source.asked) == ["a", "b", "c", "d"]  # all of them, though nobody has waited
    assert (await cache.get_soon("e")).value == "e5"


@pytest.mark.parametrize("failure", ["breaks", "takes long"])
async def test_who_can_wait_also_finds_out_that_nobody_should(
    cache: Cache[str, str], source: Source, failure: str
) -> None:
    assert (await cache.get_soon("a")).value == "a1"
    if failure == "breaks":
        source.broken = True
        with pytest.raises(Unreachable):
            await cache.get("b")
    else:
        source.gate.clear()
        asking = asyncio.create_task(cache.get("b"))
        await asyncio.sleep(PATIENCE * 1.5)
        source.gate.set()
        await asking
    with pytest.raises(TimedOut):
        await cache.get_soon("c")
    source.broken = False
    await cache.get("d")
    assert (await cache.get_soon("e")).value is not None


async def test_who_has_little_patience_is_given_what_is_old(cache: Cache[str, str], source: Source) -> None:
    await cache.get("a")
    source.now = 150
    source.gate.clear()
    assert await cache.get_soon("a") == ("a1", 150, True)


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
