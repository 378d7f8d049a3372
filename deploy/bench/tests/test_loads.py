"""Closed and open loops: what they count, and from when."""

import asyncio

import pytest
from customerflow_bench import loads


async def test_in_a_closed_loop_nobody_asks_before_it_is_answered() -> None:
    under_way, most = 0, 0

    async def do() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.002)
        under_way -= 1

    took = await loads.closed([do] * 4, warm_up=0.05, seconds=0.2)
    assert most == 4
    assert 100 < took.rate <= 4 / 0.002
    assert all(latency >= 0.0015 for latency in took.latencies)


async def test_what_warms_up_does_not_count() -> None:
    number = 0

    async def do() -> None:
        nonlocal number
        number += 1
        await asyncio.sleep(0.005)

    took = await loads.closed([do], warm_up=0.2, seconds=0.1)
    assert 5 <= len(took.latencies) <= 21
    assert number > len(took.latencies)


async def test_in_an_open_loop_arrivals_do_not_wait_for_answers() -> None:
    under_way, most, number = 0, 0, 0

    async def do() -> None:
        nonlocal under_way, most, number
        number += 1
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.1)
        under_way -= 1

    took = await loads.opened(do, rate=200, warm_up=0.1, seconds=0.3)
    assert number == 80
    assert len(took.latencies) in (60, 61)  # the one that is due at the very end of the warm-up may count
    assert most > 10


async def test_a_stall_counts_for_all_who_were_due_in_it() -> None:
    gate = asyncio.Lock()
    first = True

    async def do() -> None:
        nonlocal first
        async with gate:
            if first:
                first = False
                await asyncio.sleep(0.2)

    took = await loads.opened(do, rate=100, warm_up=0, seconds=0.4)
    assert len(took.latencies) == 40
    # due at 10, 20 ... 200 ms, answered at 210 ms: each waited what was left of the stall
    assert sum(latency > 0.1 for latency in took.latencies) in range(9, 14)
    assert max(took.latencies) >= 0.19


async def test_what_fails_is_not_counted_but_raised() -> None:
    async def do() -> None:
        raise ValueError

    with pytest.raises(ExceptionGroup):
        await loads.opened(do, rate=100, warm_up=0, seconds=0.1)
