"""The read model as a reader sees it: one live generation, how fresh it is, and whether anything may be missing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast
from uuid import UUID
from weakref import WeakSet

from customerflow_shared import conventions, views
from customerflow_shared.views import Stored
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError, RedisError

T = TypeVar("T")

SYSTEM = "redis"
MANY_WAIT = 32  # for a connection: some twentieth of a second's work, if all they want is lists
ATTEMPTS = 3
FIRST_PAUSE = 0.002  # seconds
LONGEST_PAUSE = 0.05

Question: TypeAlias = Callable[[str], Awaitable[list[Any]]]
"""Of a generation; see `ReadModel.ask`."""

FAILURES = (RedisError, OSError, TimeoutError)
"""What a client raises if Redis does not answer."""


class Rebuilding(Exception):
    """The read model is not complete: what it does not show may exist all the same."""


class ReadModelUnavailable(Exception):
    """Redis does not answer."""


class Vanished(Exception):
    """An index names a customer whose document is not there: the read is made anew."""


class Freshness(NamedTuple):
    """Every event up to the position is shown. So was all that there was at `as_of`, in milliseconds since 1970; 0 if
    that is not known.
    """

    position: int
    as_of: int


UNKNOWN = Freshness(0, 0)


class PositionNotReached(Exception):
    """The read model has not come as far as was asked for."""

    def __init__(self, freshness: Freshness) -> None:
        super().__init__(f"at {freshness.position}")
        self.freshness = freshness


class Found(NamedTuple, Generic[T]):
    value: T
    freshness: Freshness


class State(NamedTuple):
    """What is read in, before anything is read."""

    generation: str
    vouched: bytes | None
    freshness: Freshness

    def has(self, wanted: Freshness) -> bool:
        return self.freshness.position >= wanted.position and self.freshness.as_of >= wanted.as_of


class Pool(BlockingConnectionPool):
    """Counts its connections: while none is new, it is still the same process that answers. Whoever waits for one gets
    it in turn; redis-py gives it to whoever comes just then, so that some wait until they give up.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(redis_connect_func=self._connect, **options)
        self.connected = 0
        self._turn = asyncio.Lock()
        self.waiting = 0

    async def get_connection(self, *arguments: Any, **options: Any) -> Any:
        self.waiting += 1
        try:
            async with asyncio.timeout(self.timeout):
                await self._turn.acquire()
        except TimeoutError:
            raise ConnectionError("No connection available.") from None
        finally:
            self.waiting -= 1
        try:
            return await super().get_connection(*arguments, **options)  # type: ignore[no-untyped-call]  # redis-py's
        finally:
            self._turn.release()

    async def _connect(self, connection: AbstractConnection) -> None:
        self.connected += 1
        # in C, as redis-py's blocking client does; whatever class the URL asks for, so it is no subclass
        connection.pack_command = HiredisRespSerializer().pack  # type: ignore[assignment,method-assign]  # see above
        await connection.on_connect()


def connect(url: str) -> Redis:
    """A client that gives up after 2 seconds: a query has someone waiting."""
    pool = Pool.from_url(
        url,
        max_connections=8,
        timeout=2,
        socket_timeout=2,
        socket_connect_timeout=2,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1, (ConnectionError,)),
    )
    _pools.add(pool)
    return Redis.from_pool(pool)  # which closes its connections with it


_pools: WeakSet[Pool] = WeakSet()
conventions.CONNECTIONS.read(lambda: sum(len(pool._in_use_connections) for pool in _pools.copy()), SYSTEM, "used")
conventions.CONNECTIONS.read(lambda: sum(len(pool._available_connections) for pool in _pools.copy()), SYSTEM, "idle")
conventions.MOST_CONNECTIONS.read(lambda: sum(pool.max_connections for pool in _pools.copy()), SYSTEM)


class ReadModel:
    """`redis` is a client as `connect` gives it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._pool = cast(Pool, redis.connection_pool)
        self._generation = ""
        self._compared: tuple[int, bytes | None] = (-1, None)

    async def read(
        self, look: Callable[[str], Awaitable[T]], *, position: int = 0, since: int = 0, wait: float = 1.0
    ) -> Found[T]:
        """What `look` finds in the live generation, which is asked for before and after it. As `attempt`."""

        async def framed(reading: Reading) -> T:
            await reading.ask(self._state_of)
            value = await look(reading.generation)
            await reading.ask(self._state_of)
            return value

        return await self.attempt(framed, position=position, since=since, wait=wait)

    async def attempt(
        self, look: "Callable[[Reading], Awaitable[T]]", *, position: int = 0, since: int = 0, wait: float = 1.0
    ) -> Found[T]:
        """What `look` finds by its questions in the live generation, once that has come to the position, and is known
        to have all that there was at `since`, in milliseconds since 1970.

        A look that meets the end of its generation, or another process, is made anew. Raises PositionNotReached,
        Rebuilding or ReadModelUnavailable.
        """
        deadline = asyncio.get_running_loop().time() + wait
        try:
            for _ in range(ATTEMPTS):
                reading = Reading(self, Freshness(position, since), deadline)
                try:
                    value = await look(reading)
                except Vanished:
                    continue
                if await self.is_vouched_for(reading.state):
                    return Found(value, reading.state.freshness)
        except FAILURES as error:
            raise ReadModelUnavailable(type(error).__name__) from error
        raise Rebuilding("the read model changed again and again, or has been restarted")

    async def documents(self, generation: str, customers: Sequence[UUID]) -> list[Stored]:
        """Raises Vanished if one of them is not there."""
        if not customers:
            return []
        return whole(await self.redis.mget([views.customer_key(generation, one) for one in customers]))

    async def state(self) -> State:
        """Raises Rebuilding if no generation of this schema is live."""
        return (await self.ask(self._state_of))[0]

    async def fetch(self, keys: Callable[[str], Sequence[str]]) -> tuple[State, list[bytes | None]]:
        """What lies at these keys of the live generation. Raises as `state` does."""
        return await self.ask(lambda generation: self.redis.mget(*state_keys(generation), *keys(generation)))

    async def ask(self, question: Question) -> tuple[State, list[Any]]:
        """What is answered in the live generation. An answer begins with what lies at `state_keys`: so which generation
        is live is asked for in the same command. Raises as `state` does.
        """
        while True:
            generation = self._generation
            # a client without decode_responses gives bytes
            live, vouched, applied, checked, *found = await question(generation)
            if live is None:
                raise Rebuilding("no generation is live")
            if live.decode() == generation:
                return State(generation, vouched, _freshness(applied, checked)), found
            if not views.is_of_this_schema(live.decode()):
                raise Rebuilding("the live generation has another schema")
            self._generation = live.decode()

    async def is_vouched_for(self, state: State) -> bool:
        """Whether the process that the projector had vouched for is the one that runs: one that was restarted may
        have lost customers.
        """
        # counted first: one that is made while the process tells its name may lead to another
        seen = (self._pool.connected, state.vouched)
        if seen != self._compared:
            run_id = (await self.redis.info("server"))["run_id"]
            if state.vouched is None or state.vouched.decode() != run_id:
                return False
            self._compared = seen
        return True

    def is_crowded(self) -> bool:
        """Whether so many wait for a connection that fewer should ask at a time."""
        return self._pool.waiting >= MANY_WAIT

    async def check(self) -> None:
        """Raises Rebuilding or RedisError unless there is something to answer from."""
        await self.state()

    async def reach(self, wanted: Freshness, deadline: float) -> None:
        """Wait until everything that is wanted is shown. Raises PositionNotReached."""
        clock, pause = asyncio.get_running_loop().time, FIRST_PAUSE
        while not (state := await self.state()).has(wanted):
            if clock() + pause > deadline:
                raise PositionNotReached(state.freshness)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def _state_of(self, generation: str) -> Awaitable[list[Any]]:
        return cast(Awaitable[list[Any]], self.redis.mget(*state_keys(generation)))


class Reading:
    """One attempt to find something: all its questions are answered by the same generation in the same process."""

    def __init__(self, model: ReadModel, wanted: Freshness, deadline: float) -> None:
        self._model = model
        self._wanted = wanted
        self._deadline = deadline
        self._state: State | None = None

    @property
    def state(self) -> State:
        """As it was when the first question was answered."""
        assert self._state is not None  # a look asks something
        return self._state

    @property
    def generation(self) -> str:
        return self.state.generation

    async def ask(self, question: Question) -> list[Any]:
        """Raises Vanished if it is answered by another generation or process than the first question was."""
        state, found = await self._model.ask(question)
        while self._state is None:
            if state.has(self._wanted):
                self._state = state
            else:
                await self._model.reach(self._wanted, self._deadline)
                state, found = await self._model.ask(question)
        if state[:2] != self._state[:2]:
            raise Vanished("what was asked before")
        return found

    async def documents(self, customers: Sequence[UUID]) -> list[Stored]:
        """Raises Vanished if one of them is not there."""

        def stored(generation: str) -> Awaitable[list[Any]]:
            keys = (views.customer_key(generation, one) for one in customers)
            return cast(Awaitable[list[Any]], self._model.redis.mget(*state_keys(generation), *keys))

        return whole(await self.ask(stored)) if customers else []


STATE_KEYS = 4


def state_keys(generation: str) -> tuple[str, ...]:
    """Of what the answer to every question begins with."""
    return views.LIVE, views.VOUCHED, views.key(generation, "applied"), views.key(generation, "checked")


def whole(found: Sequence[Any]) -> list[Stored]:
    """Raises Vanished if one is not there."""
    if not all(found):
        raise Vanished("a document")
    return [views.split(stored) for stored in found]


def _freshness(applied: bytes | None, checked: bytes | None) -> Freshness:
    position, _, recorded = (applied or b"0 0").partition(b" ")
    return Freshness(int(position), max(int(recorded or 0), int(checked or 0)))
