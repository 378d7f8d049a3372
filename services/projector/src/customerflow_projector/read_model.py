"""The read model in Redis: documents that change only from version v to v + 1, in generations."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import msgspec
from customerflow_shared import telemetry, views
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from redis.asyncio import BlockingConnectionPool, Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

tracer = trace.get_tracer("customerflow.projector")

SCAN_PAGE = 500
LONG_AGO = datetime.fromtimestamp(0, UTC)

# KEYS: the customer. ARGV: the version it must have (0: none), what to store. Answers -1, or the version found instead.
_STORE = """
local version = string.match(redis.call('GETRANGE', KEYS[1], 0, 19), '^(%d+)[ \\n]')
version = tonumber(version or 0)
if version ~= tonumber(ARGV[1]) then return version end
redis.call('SET', KEYS[1], ARGV[2])
return -1
"""

# KEYS: the checkpoint. ARGV: a position, a run id. It only ever grows, and only in the process of that run id: one that
# was restarted may have lost what was applied before. Answers whether it is that process.
_ADVANCE = """
if string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') ~= ARGV[2] then return 0 end
if tonumber(redis.call('GET', KEYS[1]) or -1) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
"""

# KEYS: a lock. ARGV: its holder, milliseconds. Takes or renews it; answers whether it is held now.
_HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

# KEYS: the parked. ARGV: a customer, its entry. Removes the entry unless it has changed; answers whether it is gone.
_UNPARK = """
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if entry and entry ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
"""

# KEYS: a key. ARGV: the value with which it is deleted; with any other it stays.
_DELETE_IF = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"

# KEYS: the lock, live, building. ARGV: its holder, the new generation. Only the holder of the lock may switch, and only
# to what is still being built: one that was suspended may hold the lock again, but what it had built has been dropped.
_SWITCH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('GET', KEYS[3]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[3])
return 1
"""


class Parked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Why a customer's events are not applied for now. No content of an event is kept: a retry reads them again.

    `passed_over` is the newest version that has come meanwhile.
    """

    position: int
    version: int
    error: str
    attempts: int
    since: datetime
    attempted_at: datetime
    passed_over: int = 0


class Write(msgspec.Struct, frozen=True):
    """A document in place of the one with version `expected` (0: of none)."""

    customer_id: UUID
    expected: int
    stored: bytes


_parked_decoder = msgspec.json.Decoder(Parked)


def connect(url: str) -> Redis:
    """A client that gives up on a silent server after 5 seconds and does not repeat commands: what is repeated here
    is guarded by versions.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=16,
        timeout=5,
        socket_timeout=5,
        socket_connect_timeout=5,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
    )
    return Redis.from_pool(pool)  # which closes its connections with it


class ReadModel:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._store = redis.register_script(_STORE)

    async def generations(self) -> tuple[str | None, str | None]:
        """The live generation, and the one being built."""
        live, building = await self._redis.mget(views.LIVE, views.BUILDING)
        return _text(live), _text(building)

    async def load(self, generation: str, customers: Sequence[UUID]) -> list[bytes | None]:
        if not customers:
            return []
        found = await self._redis.mget([views.customer_key(generation, one) for one in customers])
        return cast(list[bytes | None], found)  # a client without decode_responses gives bytes

    async def store(self, generation: str, writes: Sequence[Write]) -> list[bool]:
        """Which of the writes were made; the others found another version than they expected."""
        if not writes:
            return []
        try:
            return await self._store_all(generation, writes)
        except NoScriptError:
            # a restarted server has forgotten the script; what was stored before the error is not stored twice
            await self._redis.script_load(_STORE)
            return await self._store_all(generation, writes)

    async def _store_all(self, generation: str, writes: Sequence[Write]) -> list[bool]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for write in writes:
                pipeline.evalsha(
                    self._store.sha,
                    1,
                    views.customer_key(generation, write.customer_id),
                    str(write.expected),
                    write.stored,
                )
            # the instrumentation would name the span by all of its commands, a name for each size of a batch
            with telemetry.span(tracer, "store views"), suppress_instrumentation():
                answers = await pipeline.execute()
            return [answer == -1 for answer in answers]

    async def parked_among(self, generation: str, customers: Sequence[UUID]) -> Mapping[UUID, Parked]:
        if not customers:
            return {}
        found = await self._redis.hmget(views.parked_key(generation), [str(one) for one in customers])
        return {one: _entry(encoded) for one, encoded in zip(customers, found, strict=True) if encoded}

    async def park(self, generation: str, customer_id: UUID, entry: Parked) -> None:
        await self._redis.hset(views.parked_key(generation), str(customer_id), msgspec.json.encode(entry).decode())

    async def unpark(self, generation: str, customer_id: UUID, entry: Parked) -> bool:
        """False if the customer is parked with another entry than this."""
        key, encoded = views.parked_key(generation), msgspec.json.encode(entry).decode()
        return bool(await self._redis.eval(_UNPARK, 1, key, str(customer_id), encoded))

    async def parked(self, generation: str) -> Mapping[UUID, Parked]:
        found = await self._redis.hgetall(views.parked_key(generation))
        return {UUID(_text(key)): _entry(encoded) for key, encoded in found.items()}

    async def checkpoint(self, generation: str) -> int:
        """Every event up to this position is known to be applied (or its customer parked)."""
        return int(await self._redis.get(views.checkpoint_key(generation)) or 0)

    async def advance(self, generation: str, position: int, run_id: str) -> bool:
        """False, and nothing is done, if Redis is another process than the one to which the events were applied."""
        return bool(await self._redis.eval(_ADVANCE, 1, views.checkpoint_key(generation), str(position), run_id))

    async def run_id(self) -> str:
        """The identity of the Redis process, new at each start."""
        return str((await self._redis.info("server"))["run_id"])

    async def vouched(self) -> str | None:
        return _text(await self._redis.get(views.VOUCHED))

    async def vouch(self, run_id: str) -> None:
        """Say that this Redis process has everything: a customer that it does not know does not exist."""
        await self._redis.set(views.VOUCHED, run_id)

    async def hold(self, lock: str, holder: str, seconds: float) -> bool:
        return bool(await self._redis.eval(_HOLD, 1, lock, holder, str(int(seconds * 1000))))

    async def release(self, lock: str, holder: str) -> None:
        await self._redis.eval(_DELETE_IF, 1, lock, holder)

    async def begin(self, generation: str) -> None:
        """From now on live events go into this generation as well."""
        await self._redis.set(views.BUILDING, generation)

    async def give_up(self, generation: str) -> None:
        """No more live events go into it; nothing happens if it is not the one being built."""
        await self._redis.eval(_DELETE_IF, 1, views.BUILDING, generation)

    async def switch(self, generation: str, lock: str, holder: str) -> bool:
        """Let queries be answered from this generation; False if the lock has been lost, or another build begun."""
        return bool(await self._redis.eval(_SWITCH, 3, lock, views.LIVE, views.BUILDING, holder, generation))

    async def documents(self, generation: str) -> AsyncIterator[dict[UUID, bytes]]:
        """All documents of a generation, page by page; one that changes meanwhile may come twice."""
        prefix = views.customer_key(generation, "")
        async for page in self._keys(prefix + "*"):
            customers = [UUID(key.removeprefix(prefix)) for key in page]
            held = await self.load(generation, customers)
            yield {one: stored for one, stored in zip(customers, held, strict=True) if stored is not None}

    async def drop_all_but(self, *generations: str) -> None:
        """Remove what other generations have left behind."""
        keep = tuple(f"cf:{generation}:" for generation in generations)
        async for page in self._keys("cf:*:*"):
            stale = [key for key in page if not key.startswith(keep) and views.is_generation_key(key)]
            if stale:
                await self._redis.unlink(*stale)

    async def ping(self) -> None:
        await self._redis.ping()

    async def close(self) -> None:
        await self._redis.aclose()

    async def _keys(self, pattern: str) -> AsyncIterator[list[str]]:
        cursor = 0
        while True:
            cursor, keys = await self._redis.scan(cursor, match=pattern, count=SCAN_PAGE)
            if keys:
                yield [cast(bytes, key).decode() for key in keys]
            if cursor == 0:
                return


def version_of(stored: bytes | None) -> int:
    """As the script that stores sees it: 0 for none, and for what the projector has not written."""
    try:
        return views.split(stored)[0] if stored else 0
    except ValueError:
        return 0


def _entry(encoded: bytes | str) -> Parked:
    """One that cannot be read still parks its customer; the next retry writes it anew."""
    try:
        return _parked_decoder.decode(encoded)
    except ValueError:
        return Parked(
            position=0, version=0, error="unreadable", attempts=0, since=datetime.now(UTC), attempted_at=LONG_AGO
        )


def _text(value: bytes | str | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
