"""The read model in Redis: documents that change only from version v to v + 1, in generations.

With a document, and only with it, changes what follows from it: the customer's timeline, indexes, totals.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, cast
from uuid import UUID

import hiredis
import msgspec
from customerflow_shared import conventions, events, indexing, views
from customerflow_shared.events import Place, Recorded
from customerflow_shared.indexing import Lookups
from customerflow_shared.views import View
from msgspec import UNSET, UnsetType
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError, NoScriptError

from customerflow_projector.indexes import Command, commands_between

tracer = trace.get_tracer("customerflow.projector")

SYSTEM = "redis"

Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]

Words: TypeAlias = list[Any]
"""Of a command: what redis-py takes."""

STORED_AT_ONCE = 100  # customers
TAKEN_AT_ONCE = 5000  # positions, while Redis does nothing else
LONG_AGO = datetime.fromtimestamp(0, UTC)

# The part of a script that carries out commands, each behind the number of its words, from the second of ARGV on. A
# total that comes to 0 is removed.
CARRY_OUT = """
local at = 2
while at < #ARGV do
  local first, last = at + 1, at + tonumber(ARGV[at])
  local answer = redis.call(unpack(ARGV, first, last))
  if ARGV[first] == 'HINCRBY' and answer == 0 then redis.call('HDEL', ARGV[first + 1], ARGV[first + 2]) end
  at = last + 1
end
"""

# KEYS: the customer. ARGV: the version it must have (0: none), then commands. Carries them out and answers -1, or
# answers the version found instead.
_STORE = (
    """
local version = string.match(redis.call('GETRANGE', KEYS[1], 0, 19), '^(%d+)[ \\n]')
version = tonumber(version or 0)
if version ~= tonumber(ARGV[1]) then return version end
"""
    + CARRY_OUT
    + "return -1"
)

# KEYS: applied, handled, changes, live, then documents. ARGV: the generation, the channel, how many lines of changes
# are kept, how many positions are taken from `handled`; the version that each of the documents must have reached, else
# nothing is done, and 0 answered; then position, milliseconds and line (empty: none) of each event, by position.
# What is next moves `applied`, whose milliseconds are the latest of all before; what comes later waits in `handled`. Of
# that so many are taken at once; the others by later marks, for whoever follows the feed comes by all positions. A move
# of the live generation is told to who listens.
_MARK = """
for at = 5, #KEYS do
  local version = string.match(redis.call('GETRANGE', KEYS[at], 0, 19), '^(%d+)[ \\n]')
  if tonumber(version or 0) < tonumber(ARGV[at]) then return 0 end
end
local applied, latest = string.match(redis.call('GET', KEYS[1]) or '0 0', '^(%d+) (%d+)$')
applied, latest = tonumber(applied), tonumber(latest)
local before = applied
local function take(position, milliseconds)
  if position == applied + 1 then applied, latest = position, math.max(latest, milliseconds) end
  return position <= applied
end
for at = #KEYS + 1, #ARGV, 3 do
  local position = tonumber(ARGV[at])
  if position > applied then
    if ARGV[at + 2] ~= '' then redis.call('ZADD', KEYS[3], position, ARGV[at + 2]) end
    if not take(position, tonumber(ARGV[at + 1])) then
      redis.call('ZADD', KEYS[2], position, ARGV[at] .. ' ' .. ARGV[at + 1])
    end
  end
end
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[3]))
if applied == before then return 1 end
local waiting, left = redis.call('ZRANGE', KEYS[2], 0, 0)[1], tonumber(ARGV[4])
while waiting and left > 0 do
  left = left - 1
  local position, milliseconds = string.match(waiting, '^(%d+) (%d+)$')
  if not take(tonumber(position), tonumber(milliseconds)) then break end
  redis.call('ZREM', KEYS[2], waiting)
  waiting = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
end
redis.call('SET', KEYS[1], string.format('%d %d', applied, latest))
if redis.call('GET', KEYS[4]) == ARGV[1] then redis.call('PUBLISH', ARGV[2], applied) end
return 1
"""

# The beginning of a script that does nothing, and answers 0, unless Redis is still the process of that run id, first
# of ARGV: one that was restarted may have lost what was applied before.
_UNLESS_RESTARTED = "if string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') ~= ARGV[1] then return 0 end"

# KEYS: the checkpoint. ARGV: a run id, a position. It only ever grows.
_ADVANCE = (
    _UNLESS_RESTARTED
    + """
if tonumber(redis.call('GET', KEYS[1]) or -1) < tonumber(ARGV[2]) then redis.call('SET', KEYS[1], ARGV[2]) end
return 1
"""
)

# KEYS: built, changes. ARGV: a run id, how far the generation is built, how many lines of changes are kept; then
# position and line of each change.
_BUILT = (
    _UNLESS_RESTARTED
    + """
for at = 4, #ARGV, 2 do redis.call('ZADD', KEYS[2], ARGV[at], ARGV[at + 1]) end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[3]))
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
)

# KEYS: built, applied, handled, checkpoint. ARGV: a run id, the position up to which all is applied, the latest time
# when some of it was recorded.
_ALL_BUILT = (
    _UNLESS_RESTARTED
    + """
local applied, latest = string.match(redis.call('GET', KEYS[2]) or '0 0', '^(%d+) (%d+)$')
applied, latest = math.max(applied, ARGV[2]), math.max(latest, ARGV[3])
redis.call('SET', KEYS[2], string.format('%d %d', applied, latest))
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', applied)
redis.call('SET', KEYS[4], ARGV[2])
redis.call('DEL', KEYS[1])
return 1
"""
)

# KEYS: a lock. ARGV: its holder, milliseconds. Takes or renews it; answers whether it is held now.
_HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

# KEYS: the parked, the discarded. ARGV: a customer, its entry. Removes the entry unless it has changed, and with it
# what is said of it; answers whether it is gone.
_UNPARK = """
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if entry and entry ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
"""

# KEYS: the parked, the discarded. ARGV: a customer, its entry, what is to be said of it. Says it if the entry is still
# that one; answers whether it is.
_DISCARD = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
"""

# KEYS: a key. ARGV: the value with which it is deleted; with any other it stays.
_DELETE_IF = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class Parked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Why a customer's events are not applied for now. No content of an event is kept: a retry reads them again.

    `passed_over` is the newest version that has come meanwhile. What other releases have written is encoded again as
    they did it, for an entry is only removed if it is the one that was read.
    """

    position: int
    version: int
    error: str
    attempts: int
    since: Moment
    attempted_at: Moment
    passed_over: int = 0
    type: str | UnsetType = UNSET
    """Of the event, if it is known."""


class Discarded(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """That a parked customer's events are given up, why, when and by whom.

    It is kept beside the entry, which others write again at any time, releases before this one among them; and it
    counts for the entry that is parked `since` then, through all its retries, but for no later one.
    """

    reason: str
    at: Moment
    by: str
    since: Moment


class Standing(NamedTuple):
    """How it stands with a parked customer; `discarded` is None if its events are still to be applied."""

    parked: Parked
    discarded: Discarded | None


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """A document in place of the one with version `expected` (0: of none), which is `before`; None if that one cannot
    be read.

    `blocks` and `entries` are added to what is `kept` of the timeline.
    """

    expected: int
    before: View | None
    after: View
    entries: Sequence[bytes]
    blocks: Sequence[bytes] = ()
    kept: Literal["all", "blocks", "nothing"] = "all"


class Generations(NamedTuple):
    """Each None if there is none."""

    live: str | None
    building: str | None
    previous: str | None


class Stored(NamedTuple):
    """Of each write whether it was made: else the document had another version than was expected. `marked`: all that
    was to be said once they are made has been said.
    """

    made: Sequence[bool]
    marked: bool


class Built(NamedTuple):
    """How far a generation is built, customer by customer: all up to this one, with so many events, of those up to the
    position `head`; and the latest time (milliseconds) when one of them was recorded.
    """

    customer: UUID
    events: int
    head: int
    latest: int


class Look(NamedTuple):
    """What is asked for before events are applied: which generations there are, and of one of them who of the customers
    is parked, and all their documents.
    """

    generations: Generations
    parked: Mapping[UUID, Parked]
    documents: Mapping[UUID, bytes | None]


class Overtaken(Exception):
    """The document has another version by now."""


_parked_decoder = msgspec.json.Decoder(Parked)
_discarded_decoder = msgspec.json.Decoder(Discarded)


class _Connection(Connection):
    """Packs commands in C, as redis-py does outside of asyncio, and those of many words without looking at each."""

    def pack_command(self, *args: Any) -> list[bytes]:
        if args[0] == "EVALSHA":
            return [hiredis.pack_command(args)]
        return cast(list[bytes], _packer.pack(*args))


_packer = HiredisRespSerializer()


def connect(url: str) -> Redis:
    """A client that gives up on a silent server after 5 seconds. What was asked on a connection that is cut is asked
    again: whatever it is may be done twice.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        connection_class=_Connection,  # unless the URL asks for TLS
        max_connections=16,
        timeout=5,
        socket_timeout=5,
        socket_connect_timeout=5,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2, (ConnectionError,)),
    )
    conventions.CONNECTIONS.read(lambda: len(pool._in_use_connections), SYSTEM, "used")
    conventions.CONNECTIONS.read(lambda: len(pool._available_connections), SYSTEM, "idle")
    conventions.MOST_CONNECTIONS.read(lambda: pool.max_connections, SYSTEM)
    return Redis.from_pool(pool)  # which closes its connections with it


class ReadModel:
    def __init__(self, redis: Redis, lookups: Lookups) -> None:
        self.redis = redis
        self._lookups = lookups
        self._store = redis.register_script(_STORE)
        self._mark = redis.register_script(_MARK)
        self._known_as_ours: set[str] = set()

    async def generations(self) -> Generations:
        return Generations(*map(_text, await self.redis.mget(views.LIVE, views.BUILDING, views.PREVIOUS)))

    async def is_ours(self, generation: str | None) -> bool:
        """Of this schema, and with look-ups made by our key. What is not is not written to, and is to be built anew."""
        if generation is None or not views.is_of_this_schema(generation):
            return False
        if generation not in self._known_as_ours:  # which it stays: the key is said once, when it is begun
            fingerprint = _text(await self.redis.get(views.key(generation, "lookup-key")))
            if fingerprint != self._lookups.fingerprint():
                return False
            self._known_as_ours.add(generation)
        return True

    async def load(self, generation: str, customers: Sequence[UUID]) -> list[bytes | None]:
        if not customers:
            return []
        with conventions.asking(tracer, SYSTEM, "MGET", "views", batch=len(customers)), suppress_instrumentation():
            found = await self.redis.mget([views.customer_key(generation, one) for one in customers])
        return cast(list[bytes | None], found)  # a client without decode_responses gives bytes

    async def look(self, generation: str | None, customers: Collection[UUID]) -> Look:
        async with self.redis.pipeline(transaction=False) as pipeline:
            pipeline.mget(views.LIVE, views.BUILDING, views.PREVIOUS)
            if generation and customers:
                pipeline.hmget(views.parked_key(generation), [str(one) for one in customers])
                pipeline.mget([views.customer_key(generation, one) for one in customers])
            with conventions.asking(tracer, SYSTEM, "MGET", "views", batch=len(customers)), suppress_instrumentation():
                names, *found = await pipeline.execute()
        parked, documents = found or ([None] * len(customers), [None] * len(customers))
        entries = {one: _entry(entry) for one, entry in zip(customers, parked, strict=True) if entry}
        return Look(Generations(*map(_text, names)), entries, dict(zip(customers, documents, strict=True)))

    async def timeline(self, generation: str, customer_id: UUID) -> tuple[list[bytes], list[bytes]]:
        """The blocks, and the entries after them."""
        async with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.lrange(views.blocks_key(generation, customer_id), 0, -1)
            pipeline.lrange(views.timeline_key(generation, customer_id), 0, -1)
            blocks, entries = await pipeline.execute()
            return blocks, entries

    async def entries(self, generation: str, customer_id: UUID, version: int) -> list[bytes]:
        """Those after the last block, at that version of the document. Raises Overtaken."""
        async with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.get(views.customer_key(generation, customer_id))
            pipeline.lrange(views.timeline_key(generation, customer_id), 0, -1)
            stored, entries = await pipeline.execute()
        if version_of(stored) != version:
            raise Overtaken
        return cast(list[bytes], entries)

    async def store(self, generation: str, writes: Sequence[Write]) -> Sequence[bool]:
        """Which of the writes were made; the others found another version than they expected."""
        return (await self.store_and_mark(generation, writes, ())).made

    async def store_and_mark(
        self, generation: str, writes: Sequence[Write], handled: Sequence[Recorded | Place]
    ) -> Stored:
        """The `handled` are marked with the last write, if all are made; they may have been made by another."""
        made: list[bool] = []
        for start in range(0, len(writes), STORED_AT_ONCE):
            some = writes[start : start + STORED_AT_ONCE]
            last = start + STORED_AT_ONCE >= len(writes)
            marking = self._marking(generation, handled, some) if last and handled and all(made) else None
            try:
                stored = await self._store_all(generation, some, marking)
            except NoScriptError:
                # a restarted server has forgotten the scripts; what was stored before the error is not stored twice
                await self._load_scripts()
                stored = await self._store_all(generation, some, marking)
            made += stored.made
        return Stored(made, bool(writes) and stored.marked)

    async def _store_all(self, generation: str, writes: Sequence[Write], marking: Words | None) -> Stored:
        async with self.redis.pipeline(transaction=False) as pipeline:
            for write in writes:
                commands: list[str | bytes | float] = []
                for name, key, *rest in self._commands(write):
                    commands += (2 + len(rest), name, views.key(generation, str(key)), *rest)
                key = views.customer_key(generation, write.after.id)
                pipeline.evalsha(self._store.sha, 1, key, write.expected, *commands)
            if marking:
                pipeline.evalsha(self._mark.sha, *marking)
            # the instrumentation would name the span by all of its commands, a name for each size of a batch
            with (
                conventions.asking(tracer, SYSTEM, "EVALSHA", "views", batch=len(writes)),
                suppress_instrumentation(),
            ):
                answers = await pipeline.execute()
            made = [answer == -1 for answer in answers[: len(writes)]]
            return Stored(made, answers[-1] == 1 if marking else False)

    async def _load_scripts(self) -> None:
        for script in (_STORE, _MARK):
            await self.redis.script_load(script)

    def _commands(self, write: Write) -> Iterator[Command]:
        """The document first: if Redis failed at one of the others, nothing would be done twice."""
        timeline, blocks = f"timeline:{write.after.id}", f"blocks:{write.after.id}"
        yield "SET", f"customer:{write.after.id}", views.pack(write.after)
        if write.kept != "all":
            yield "DEL", timeline
        if write.kept == "nothing":
            yield "DEL", blocks
        if write.blocks:
            yield "RPUSH", blocks, *write.blocks
        if write.entries:
            yield "RPUSH", timeline, *write.entries
        # of a document that could not be read nobody knows what it had put into the indexes: `verify` finds it
        yield from commands_between(write.before, write.after, self._lookups)

    async def mark(self, generation: str, handled: Sequence[Recorded | Place]) -> None:
        """Say of events that they are applied, or their customers parked. An event whose content is not known has no
        time and no line among the changes.
        """
        if not handled:
            return
        marking = self._marking(generation, handled)
        try:
            await self._mark_all(marking)
        except NoScriptError:
            await self._load_scripts()
            await self._mark_all(marking)

    async def _mark_all(self, marking: Words) -> None:
        with conventions.asking(tracer, SYSTEM, "EVALSHA", "marks"), suppress_instrumentation():
            await self.redis.evalsha(self._mark.sha, *marking)

    def _marking(self, generation: str, handled: Sequence[Recorded | Place], once: Sequence[Write] = ()) -> Words:
        """The words of a mark that is made only once these writes are."""
        keys = [views.key(generation, name) for name in ("applied", "handled", "changes")]
        keys += [views.LIVE, *(views.customer_key(generation, write.after.id) for write in once)]
        words: Words = [len(keys), *keys, generation, views.CHANGED, views.CHANGES_KEPT, TAKEN_AT_ONCE]
        words += [write.after.version for write in once]
        for event in sorted(handled, key=lambda event: event.position):
            words += (event.position, *_told(event))
        return words

    async def applied(self, generation: str) -> tuple[int, int]:
        """The position up to which all is applied, and the latest time (milliseconds) when some of it was recorded."""
        found = _text(await self.redis.get(views.key(generation, "applied"))) or "0 0"
        position, _, milliseconds = found.partition(" ")
        return int(position), int(milliseconds)

    async def saw_everything(self, generation: str, milliseconds: int) -> None:
        """Say that at this time all that the event store had was applied."""
        await self.redis.set(views.key(generation, "checked"), milliseconds)

    async def park(self, generation: str, customer_id: UUID, entry: Parked) -> None:
        await self.redis.hset(views.parked_key(generation), str(customer_id), msgspec.json.encode(entry).decode())

    async def unpark(self, generation: str, customer_id: UUID, entry: Parked) -> bool:
        """False if the customer is parked with another entry than this."""
        encoded = msgspec.json.encode(entry).decode()
        return bool(await self.redis.eval(_UNPARK, 2, *_parked_keys(generation), str(customer_id), encoded))

    async def number_parked(self) -> int | None:
        """In the live generation; None if there is none."""
        live = (await self.generations()).live
        return int(await self.redis.hlen(views.parked_key(live))) if live else None

    async def parked(self, generation: str) -> Mapping[UUID, Parked]:
        found = await self.redis.hgetall(views.parked_key(generation))
        return {UUID(_text(key)): _entry(encoded) for key, encoded in found.items()}

    async def standings(self, generation: str) -> Mapping[UUID, Standing]:
        """Of all who are parked."""
        async with self.redis.pipeline(transaction=True) as pipeline:
            for key in _parked_keys(generation):
                pipeline.hgetall(key)
            parked, discarded = await pipeline.execute()
        return {UUID(_text(one)): _standing(entry, discarded.get(one)) for one, entry in parked.items()}

    async def standing(self, generation: str, customer_id: UUID) -> Standing | None:
        """None if the customer is not parked."""
        async with self.redis.pipeline(transaction=True) as pipeline:
            for key in _parked_keys(generation):
                pipeline.hget(key, str(customer_id))
            parked, discarded = await pipeline.execute()
        return _standing(parked, discarded) if parked else None

    async def discard(self, generation: str, customer_id: UUID, *, reason: str, by: str) -> Standing | None:
        """Give a parked customer's events up; None, and nothing is done, if it is not parked."""
        keys, one = _parked_keys(generation), str(customer_id)
        while encoded := await self.redis.hget(keys[0], one):
            entry = _entry(encoded)
            said = Discarded(reason=reason, at=datetime.now(UTC), by=by, since=entry.since)
            if await self.redis.eval(_DISCARD, 2, *keys, one, encoded, msgspec.json.encode(said).decode()):
                return Standing(entry, said)
        return None

    async def checkpoint(self, generation: str) -> int:
        """Every event up to this position is known to be applied (or its customer parked)."""
        return int(await self.redis.get(views.checkpoint_key(generation)) or 0)

    async def advance(self, generation: str, position: int, run_id: str) -> bool:
        """False, and nothing is done, if Redis is another process than the one to which the events were applied."""
        return bool(await self.redis.eval(_ADVANCE, 1, views.checkpoint_key(generation), run_id, str(position)))

    async def built(self, generation: str) -> Built | None:
        """None if it has not been begun, or is no longer built so."""
        if (found := _text(await self.redis.get(views.key(generation, "built")))) is None:
            return None
        customer, *numbers = found.split()
        return Built(UUID(customer), *map(int, numbers))

    async def build(self, generation: str, built: Built, page: Sequence[Recorded | Place], run_id: str) -> Built | None:
        """Say that these customers, too, are built; how far it is now. None, and nothing is done, if Redis is another
        process than the one to which they were applied.
        """
        told = [(event.position, *_told(event)) for event in page]
        latest = max(built.latest, *(milliseconds for _, milliseconds, _ in told))
        now = Built(page[-1].customer_id, built.events + len(page), built.head, latest)
        words: Words = [run_id, " ".join(map(str, now)), views.CHANGES_KEPT]
        for position, _, line in told:
            if line and built.head - views.CHANGES_KEPT < position <= built.head:
                words += (position, line)
        keys = [views.key(generation, name) for name in ("built", "changes")]
        return now if await self.redis.eval(_BUILT, len(keys), *keys, *words) else None

    async def all_built(self, generation: str, built: Built, run_id: str) -> bool:
        """Say that all events up to the head are applied; from there on it can be followed. False as in `advance`."""
        keys = [views.key(generation, name) for name in ("built", "applied", "handled", "checkpoint")]
        return bool(await self.redis.eval(_ALL_BUILT, len(keys), *keys, run_id, str(built.head), str(built.latest)))

    async def run_id(self) -> str:
        """The identity of the Redis process, new at each start."""
        return str((await self.redis.info("server"))["run_id"])

    async def vouched(self) -> str | None:
        return _text(await self.redis.get(views.VOUCHED))

    async def vouch(self, run_id: str) -> None:
        """Say that this Redis process has everything: a customer that it does not know does not exist."""
        await self.redis.set(views.VOUCHED, run_id)

    async def hold(self, lock: str, holder: str, seconds: float) -> bool:
        return bool(await self.redis.eval(_HOLD, 1, lock, holder, str(int(seconds * 1000))))

    async def release(self, lock: str, holder: str) -> None:
        await self.redis.eval(_DELETE_IF, 1, lock, holder)

    async def begin(self, generation: str) -> None:
        """From now on live events go into this generation as well."""
        fingerprint = self._lookups.fingerprint()
        await self.redis.mset({views.key(generation, "lookup-key"): fingerprint, views.BUILDING: generation})

    async def ping(self) -> None:
        await self.redis.ping()


def version_of(stored: bytes | None) -> int:
    """As the script that stores sees it: 0 for none, and for what the projector has not written."""
    try:
        return views.split(stored)[0] if stored else 0
    except ValueError:
        return 0


def _parked_keys(generation: str) -> tuple[str, str]:
    return views.parked_key(generation), views.key(generation, "discarded")


def _entry(encoded: bytes | str) -> Parked:
    """One that cannot be read still parks its customer; the next retry writes it anew."""
    try:
        return _parked_decoder.decode(encoded)
    except ValueError:
        return Parked(position=0, version=0, error="unreadable", attempts=0, since=LONG_AGO, attempted_at=LONG_AGO)


def _standing(encoded: bytes | str, said: bytes | str | None) -> Standing:
    """What is said of a customer may be left over from an earlier time, or be unreadable: it is not given up then."""
    entry = _entry(encoded)
    try:
        discarded = _discarded_decoder.decode(said) if said else None
    except ValueError:
        discarded = None
    return Standing(entry, discarded if discarded and discarded.since == entry.since else None)


def _told(event: Recorded | Place) -> tuple[int, bytes]:
    """Milliseconds, and the line among the changes."""
    if isinstance(event, Place):
        return 0, b""
    recorded_at = views.timestamp(event.recorded_at)
    notice = views.Notice(
        position=event.position,
        customer_id=event.customer_id,
        version=event.version,
        type=events.event_name(type(event.event)),
        recorded_at=recorded_at,
    )
    return indexing.milliseconds(recorded_at), msgspec.json.encode(notice)


def _text(value: bytes | str | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
