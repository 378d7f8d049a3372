"""Connections to Redis are given out in turn."""

import asyncio
from typing import Any

from customerflow_query.read_model import Pool


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
