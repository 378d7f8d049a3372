"""Connections to Redis are given out in turn."""

import asyncio
from typing import Any

from customerflow_query import read_model
from customerflow_query.read_model import Pool, ReadModel
from redis.asyncio import Redis


class Connected:
    """A connection that is always well."""

    def __init__(self, **_: Any) -> None:
        pass

    async def connect(self) -> None:
        pass

    async def can_read(self) -> bool:
        return False

    def should_reconnect(self) -> bool:
        return False

    async def re_auth(self) -> None:
        pass


async def test_whoever_waits_for_a_connection_gets_it_before_those_who_come_later() -> None:
    """64 ask again and again for one of 8, which each needs for a millisecond: 8 are a turn."""
    pool = Pool(connection_class=Connected, max_connections=8, timeout=5)
    times, over = [0] * 64, False

    async def ask(number: int) -> None:
        while not over:
            connection = await pool.get_connection()
            await asyncio.sleep(0.001)
            await pool.release(connection)
            times[number] += 1

    asking = [asyncio.create_task(ask(number)) for number in range(64)]
    await asyncio.sleep(0.5)
    over = True
    await asyncio.gather(*asking)
    assert max(times) > 5
    assert min(times) > max(times) / 2


async def test_a_pool_for_which_many_wait_says_so() -> None:
    pool = Pool(connection_class=Connected, max_connections=1, timeout=5)
    model = ReadModel(Redis(connection_pool=pool))
    held = await pool.get_connection()
    assert not model.is_crowded()
    waiting = [asyncio.create_task(pool.get_connection()) for _ in range(read_model.MANY_WAIT + 1)]
    await asyncio.sleep(0.01)
    assert model.is_crowded()
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert not model.is_crowded()
    await pool.release(held)
