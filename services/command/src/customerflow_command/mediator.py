"""One way in for every command: through a visible list of policies to the unit of work."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import reduce
from typing import TypeAlias
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
from customerflow_shared import telemetry
from customerflow_shared.events import CustomerEvent, Metadata, Recorded
from customerflow_shared.ids import uuid7
from opentelemetry import trace

from customerflow_command.commit import GroupCommit, HashedClaim, Unit, VersionTaken
from customerflow_command.customer import (
    Claim,
    Command,
    Customer,
    CustomerError,
    CustomerNotFound,
    RegisterCustomer,
    claims,
    decide,
    evolve,
)
from customerflow_command.personal import ClaimHasher, KeyProvider, new_data_key, seal
from customerflow_command.store import Known, Store

tracer = trace.get_tracer("customerflow.command")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A command on its way. `expected` are the versions that the client takes the customer to have; None: any."""

    customer_id: UUID
    command: Command
    expected: frozenset[int] | None = None
    correlation_id: UUID


class Outcome(msgspec.Struct, frozen=True):
    """The version at which the command has taken effect."""

    id: UUID
    version: int


class VersionMismatch(Exception):
    """The customer does not have a version that the client expects."""

    def __init__(self, current: int) -> None:
        super().__init__(f"the current version is {current}")
        self.current = current


class DeadlineExceeded(Exception):
    """The command took too long. Whether it takes effect is not known."""


Handler: TypeAlias = Callable[[Request], Awaitable[Outcome]]
Policy: TypeAlias = Callable[[Request, Handler], Awaitable[Outcome]]


def mediator(handler: Handler, policies: Sequence[Policy]) -> Handler:
    """`send`: the handler inside the policies, the first one outermost."""
    return reduce(_inside, reversed(policies), handler)


def _inside(handler: Handler, policy: Policy) -> Handler:
    async def handle(request: Request) -> Outcome:
        return await policy(request, handler)

    return handle


async def traced(request: Request, handle: Handler) -> Outcome:
    with telemetry.span(tracer, type(request.command).__name__) as span:
        outcome = await handle(request)
        span.set_attribute("customerflow.version", outcome.version)
        return outcome


def within(seconds: float) -> Policy:
    async def with_deadline(request: Request, handle: Handler) -> Outcome:
        try:
            async with asyncio.timeout(seconds):
                return await handle(request)
        except TimeoutError:
            raise DeadlineExceeded from None

    return with_deadline


def retrying_lost_races(times: int) -> Policy:
    """Decide again on the newer state. With an expected version the second look says so; without one the command
    simply follows.
    """

    async def with_retries(request: Request, handle: Handler) -> Outcome:
        for _ in range(times):
            try:
                return await handle(request)
            except VersionTaken:
                continue
        return await handle(request)

    return with_retries


class UnitOfWork:
    """Load, decide, write. A customer out of the cache may be stale, so nothing but a write is decided on it: the
    unique index checks that.
    """

    def __init__(
        self,
        store: Store,
        commit: GroupCommit,
        keys: KeyProvider,
        hash_claim: ClaimHasher,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._commit = commit
        self._keys = keys
        self._hash_claim = hash_claim
        self._now = now
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, request: Request) -> Outcome:
        if isinstance(request.command, RegisterCustomer):
            return await self._write(request, Known(), decide(None, request.command))
        # commands on one customer would only lose races against one another
        async with self._turns.setdefault(request.customer_id, asyncio.Lock()):
            return await self._change(request)

    async def _change(self, request: Request) -> Outcome:
        known = await self._store.load(request.customer_id)
        try:
            events = self._decide(request, known)
        except (CustomerError, VersionMismatch):
            events = []
        if not events:
            known = await self._store.load(request.customer_id, fresh=True)
            events = self._decide(request, known)
        if not events:
            return Outcome(request.customer_id, known.version)
        return await self._write(request, known, events)

    def _decide(self, request: Request, known: Known) -> list[CustomerEvent]:
        require(known, request.expected)
        return decide(known.state, request.command)

    async def _write(self, request: Request, known: Known, events: Sequence[CustomerEvent]) -> Outcome:
        data_key = new_data_key() if known.key is None else self._keys.unwrap(known.key)
        key = known.key or self._keys.wrap(data_key)
        recorded = self._record(request, known.version, events)
        after = reduce(evolve, events, known.state)
        held, holds = self._hashes(claims(known.state)), self._hashes(claims(after))
        unit = Unit(
            customer_id=request.customer_id,
            events=[(one, seal(one.event, data_key, one.customer_id, one.event_id)) for one in recorded],
            take=holds - held,
            release=held - holds,
            new_key=key if known.key is None else None,
        )
        try:
            await self._commit.write(unit)
        except BaseException:
            # whatever happened, what is remembered may be out of date
            self._store.cache.forget(request.customer_id)
            raise
        version = known.version + len(events)
        self._store.cache.put(request.customer_id, Known(after, version, key))
        return Outcome(request.customer_id, version)

    def _record(self, request: Request, version: int, events: Sequence[CustomerEvent]) -> list[Recorded]:
        now = self._now()
        metadata = Metadata(
            causation_id=uuid7(),
            correlation_id=request.correlation_id,
            traceparent=telemetry.current_traceparent(),
        )
        return [
            Recorded(
                position=0,
                customer_id=request.customer_id,
                version=number,
                event_id=uuid7(),
                recorded_at=now,
                metadata=metadata,
                event=event,
            )
            for number, event in enumerate(events, start=version + 1)
        ]

    def _hashes(self, held: frozenset[Claim]) -> frozenset[HashedClaim]:
        return frozenset(HashedClaim(claim.kind, self._hash_claim(claim)) for claim in held)


def require(known: Known, expected: frozenset[int] | None) -> Customer:
    """Raises CustomerNotFound or VersionMismatch."""
    if known.state is None:
        raise CustomerNotFound
    if expected is not None and known.version not in expected:
        raise VersionMismatch(known.version)
    return known.state
