"""Which generation answers, and which did before; what nobody needs any more is removed.

Of a generation that has been given up nothing is ever used again, so whatever is neither live, nor being built, nor the
way back may be removed at any time.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

from customerflow_shared import patience, views
from redis.asyncio import Redis
from redis.exceptions import RedisError

from customerflow_projector.read_model import ReadModel

LOCK = "cf:rebuild"
LOCK_SECONDS = 15.0
SCAN_PAGE = 1000

# KEYS: the lock, live, where the next generation stands (building or previous), previous, `applied` of the next and of
# the live one. ARGV: the lock's holder, the next generation, the live one (empty: none), milliseconds for which the
# live one stays the way back (0: it does not), whether the next one may know less. Only the holder of the lock may
# switch, and only what it has seen: one that was suspended may hold the lock again, but the generations are others.
# Answers 1, also if it comes a second time, its answer having been lost; 0: something is not as it was seen; -1: the
# next one has yet to catch up.
_SWITCH = """
local function position(key) return tonumber(string.match(redis.call('GET', key) or '0', '^%d+')) end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('GET', KEYS[2]) == ARGV[2] then return 1 end
if redis.call('GET', KEYS[3]) ~= ARGV[2] or (redis.call('GET', KEYS[2]) or '') ~= ARGV[3] then return 0 end
if ARGV[5] == '0' and position(KEYS[5]) < position(KEYS[6]) then return -1 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[3], KEYS[4])
if ARGV[4] ~= '0' then redis.call('SET', KEYS[4], ARGV[3], 'PX', ARGV[4]) end
redis.call('PUBLISH', ARGV[6], position(KEYS[5]))
return 1
"""


class RebuildRunning(Exception):
    """Another process is rebuilding the read model, or going back. If it was killed, its lock ends within 15 s."""


class Moved(Exception):
    """The rebuild's lock was lost, and another process may have begun; it can be tried again."""


class Behind(Exception):
    """The other generation does not catch up with the live one; it has not been switched to."""


@asynccontextmanager
async def locked(model: ReadModel) -> AsyncIterator[str]:
    """Who holds the lock of all that builds and switches. Raises RebuildRunning."""
    holder = secrets.token_hex(8)
    if not await model.hold(LOCK, holder, LOCK_SECONDS):
        raise RebuildRunning

    async def keep() -> None:
        while True:
            await asyncio.sleep(LOCK_SECONDS / 5)
            with suppress(RedisError, OSError):  # the next time may be soon enough
                if not await model.hold(LOCK, holder, LOCK_SECONDS):
                    return

    keeper = asyncio.create_task(keep())
    try:
        yield holder
    finally:
        await patience.end(keeper, every=0.1)
        with suppress(RedisError, OSError):  # what ended the work is the thing to tell
            await model.release(LOCK, holder)


async def switch(
    model: ReadModel,
    source: str,
    generation: str,
    live: str | None,
    *,
    holder: str,
    keep: float = 0,
    may_know_less: bool = False,
) -> None:
    """Let queries be answered from the generation that stands in `source`; what was live stays the way back for so many
    seconds. Raises Moved or Behind.
    """
    applied = [views.key(one, "applied") for one in (generation, live or "none")]
    keys = [LOCK, views.LIVE, source, views.PREVIOUS, *applied]
    milliseconds = int(keep * 1000) if live else 0
    words: list[str | int] = [holder, generation, live or "", milliseconds, int(may_know_less), views.CHANGED]
    answer = await model.redis.eval(_SWITCH, len(keys), *keys, *words)
    if answer == 0:
        raise Moved
    if answer == -1:
        raise Behind


async def sweep(model: ReadModel) -> int:
    """Remove what other generations have left behind, page by page; how many keys."""
    removed = 0
    async for page in scan(model.redis, "cf:*:*"):
        # asked after the page is known: a generation that has keys has been named before
        needed = tuple(f"cf:{one}:" for one in await model.generations() if one)
        stale = [key for key in page if views.is_generation_key(key) and not key.startswith(needed)]
        if stale:
            removed += await model.redis.unlink(*stale)
    return removed


async def scan(redis: Redis, pattern: str) -> AsyncIterator[list[str]]:
    """The keys, in pages; one that is there all the time comes at least once."""
    cursor = 0
    while True:
        cursor, keys = await redis.scan(cursor, match=pattern, count=SCAN_PAGE)
        if keys:
            yield [cast(bytes, key).decode() for key in keys]
        if cursor == 0:
            return
