"""The unit of work: load the customer, check what the client expects, decide, write.

A customer out of the cache may be stale, so nothing but a write is decided on it: the unique index checks that. Every
refusal, and every answer that nothing changes, comes from a fresh look.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import reduce
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
from customerflow_shared import telemetry
from customerflow_shared.events import CustomerErased, CustomerEvent, Metadata, Recorded
from customerflow_shared.ids import uuid7
from customerflow_shared.problems import Problem
from customerflow_shared.values import ExternalId

from customerflow_command.commit import GroupCommit
from customerflow_command.customer.claims import Claim, Uniqueness, changed_claims, external_id_claim
from customerflow_command.customer.commands import (
    Command,
    RegisterCustomer,
    RequestEmailVerification,
    RequestErasure,
    UpsertCustomer,
)
from customerflow_command.customer.decide import decide, refusal, resource
from customerflow_command.customer.errors import CustomerError, CustomerIsErased, CustomerNotFound
from customerflow_command.customer.state import Customer, due, evolve
from customerflow_command.mediator import Outcome, Request
from customerflow_command.personal import KeyProvider, Pepper, new_data_key, seal
from customerflow_command.store import Known, Store
from customerflow_command.unit import ClaimTaken, HashedClaim, Unit, VersionTaken


class PreconditionRequired(Exception):
    """The request must say which version it starts from."""


class VersionMismatch(Exception):
    """The customer does not have a version that the client expects."""

    def __init__(self, current: int) -> None:
        super().__init__(f"the current version is {current}")
        self.current = current


class ValueTaken(Exception):
    """Other customers hold values of the command that must be unique."""

    def __init__(self, command: Command, claims: Sequence[Claim]) -> None:
        super().__init__(", ".join(claim.kind for claim in claims))
        self.command = command
        self.claims = claims


class UnitOfWork:
    def __init__(
        self,
        store: Store,
        commit: GroupCommit,
        keys: KeyProvider,
        pepper: Pepper,
        unique: Uniqueness,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._commit = commit
        self._keys = keys
        self._pepper = pepper
        self._unique = unique
        self._now = now
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, request: Request) -> Outcome:
        if isinstance(request.target, ExternalId):
            holder = await self._store.holder(self._hashed(external_id_claim(request.target)))
            if holder is None:
                return await self._begin(uuid7(), request)
            return await self._in_turn(holder, request)
        if request.command is RegisterCustomer:
            return await self._begin(request.target, request)
        return await self._in_turn(request.target, request)

    async def _begin(self, customer_id: UUID, request: Request) -> Outcome:
        """There is no customer yet."""
        if request.precondition.given:
            raise VersionMismatch(0)
        command, now = request.read(None), self._now()
        return await self._write(request, customer_id, Known(), command, decide(None, command, now), now)

    async def _in_turn(self, customer_id: UUID, request: Request) -> Outcome:
        # commands on one customer would only lose races against one another
        async with self._turns.setdefault(customer_id, asyncio.Lock()):
            return await self._change(customer_id, request)

    async def _change(self, customer_id: UUID, request: Request) -> Outcome:
        known = await self._store.load(customer_id)
        now = self._moment(known)
        try:
            command, events = self._decide(request, known, now)
        except (CustomerError, PreconditionRequired, VersionMismatch, VersionTaken, Problem):
            events = []
        if not events:
            known = await self._store.load(customer_id, fresh=True)
            now = self._moment(known)
            command, events = self._decide(request, known, now)
        return await self._write(request, customer_id, known, command, events, now)

    def _moment(self, known: Known) -> datetime:
        """Now, but not before what is on record: the times of one customer never run back, whoever's clock is late."""
        now = self._now()
        return now if known.recorded_at is None else max(now, known.recorded_at)

    def _decide(self, request: Request, known: Known, now: datetime) -> tuple[Command, list[CustomerEvent]]:
        if isinstance(request.target, ExternalId) and not _has(known.state, request.target):
            raise VersionTaken  # it was unlinked, or the customer erased, meanwhile
        customer = require(known)
        if request.needs_precondition and not request.precondition.given:
            raise PreconditionRequired
        if request.precondition.versions is not None and known.version not in request.precondition.versions:
            raise VersionMismatch(known.version)
        command = request.read(customer)
        return command, decide(customer, command, now)

    async def _write(
        self,
        request: Request,
        customer_id: UUID,
        known: Known,
        command: Command,
        events: Sequence[CustomerEvent],
        now: datetime,
    ) -> Outcome:
        after = reduce(evolve, events, known.state)
        assert after is not None  # a customer that is, or has just been registered
        outcome = _outcome(customer_id, known, command, events, after)
        if not events and request.receipt is None:
            return outcome
        data_key = new_data_key() if known.key is None else self._keys.unwrap(known.key)
        key = known.key or self._keys.wrap(data_key)
        recorded = self._record(request, customer_id, known.version, events, now)
        taken, released = changed_claims(known.state, after, self._unique)
        take = {self._hashed(claim): claim for claim in taken}
        erases = any(isinstance(event, CustomerErased) for event in events)
        due_before, due_at = known.state and due(known.state), due(after)
        unit = Unit(
            customer_id=customer_id,
            events=[(one, seal(one.event, data_key, one.customer_id, one.event_id)) for one in recorded],
            take=frozenset(take),
            release=frozenset(map(self._hashed, released)),
            new_key=key if known.state is None else None,
            erase=erases,
            due_at=msgspec.UNSET if due_at == due_before else due_at,
            receipt=request.receipt,
            outcome=msgspec.json.encode(outcome).decode(),
        )
        try:
            position = await self._commit.write(unit)
        except ClaimTaken as error:
            self._store.cache.doubt(customer_id)
            claimed = [take[claim] for claim in error.claims]
            if isinstance(command, UpsertCustomer) and external_id_claim(command.external_id) in claimed:
                raise VersionTaken from None  # somebody else has just registered it
            raise ValueTaken(command, claimed) from None
        except BaseException:
            # whatever happened, what is remembered may be out of date
            self._store.cache.doubt(customer_id)
            raise
        self._store.remember(
            customer_id, Known(after, outcome.version, None if erases else key, now), before=known.version
        )
        return msgspec.structs.replace(outcome, position=position)

    def _record(
        self, request: Request, customer_id: UUID, version: int, events: Sequence[CustomerEvent], now: datetime
    ) -> list[Recorded]:
        metadata = Metadata(
            causation_id=uuid7(),
            correlation_id=request.correlation_id,
            source="system" if request.actor.type == "system" else "api",
            actor=request.actor,
            traceparent=telemetry.current_traceparent(),
            flags={choice.flag: choice.variant for choice in request.choices},
        )
        return [
            Recorded(
                position=0,
                customer_id=customer_id,
                version=number,
                event_id=uuid7(),
                schema_version=event.schema_version,
                recorded_at=now,
                metadata=metadata,
                event=event,
            )
            for number, event in enumerate(events, start=version + 1)
        ]

    def _hashed(self, claim: Claim) -> HashedClaim:
        return HashedClaim(claim.kind, self._pepper.claim(claim))


def require(known: Known) -> Customer:
    """Raises CustomerNotFound or CustomerIsErased."""
    if known.state is None:
        raise CustomerNotFound
    if known.state.erased_at:
        raise CustomerIsErased(known.state.erased_at)
    return known.state


def _has(customer: Customer | None, external_id: ExternalId) -> bool:
    wanted = (external_id.source, external_id.value)
    return customer is not None and wanted in [(one.source, one.value) for one in customer.external_ids]


def _outcome(
    customer_id: UUID, known: Known, command: Command, events: Sequence[CustomerEvent], after: Customer
) -> Outcome:
    named = resource(command, after)
    due_at = None
    if isinstance(command, RequestErasure):
        due_at = after.erasure_due_at
    elif isinstance(command, RequestEmailVerification) and after.verification:
        due_at = after.verification.expires_at
    return Outcome(
        id=customer_id,
        version=known.version + len(events),
        created=known.state is None or (named is not None and bool(events)),
        resource=named,
        due_at=due_at,
        refusal=refusal(events),
    )
