"""What becomes of an event: one effect, in its customer's order, or a place behind the one that failed."""

import asyncio
import enum
import logging
import random
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar
from uuid import UUID

from customerflow_contract.cloud_event import CloudEvent, NotAnEvent, decode
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from customerflow_consumer.handlers import Handlers, TryLater
from customerflow_consumer.inbox import Entry, Inbox, Parked

log = logging.getLogger("customerflow_consumer")
tracer = trace.get_tracer("customerflow_consumer")
_w3c = TraceContextTextMapPropagator()

T = TypeVar("T")


class Outcome(enum.StrEnum):
    APPLIED = enum.auto()
    DUPLICATE = enum.auto()
    OVERTAKEN = enum.auto()
    """Left out: a later event of the customer has been handled."""
    PARKED = enum.auto()
    """It has failed too often."""
    KEPT = enum.auto()
    """It waits behind one that is parked."""
    UNHANDLED = enum.auto()
    """Of a type without a handler."""
    UNKNOWN = enum.auto()
    """Of a type that this release of the contract does not know."""
    REFUSED = enum.auto()
    """No event of the contract."""


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How often an event is handed to its handler before its customer is parked, and the pauses between, in seconds:
    each up to twice the one before, half of it by chance. A handler that takes longer than `limit` has failed.
    """

    attempts: int = 5
    first_pause: float = 0.1
    longest_pause: float = 30.0
    limit: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.first_pause, self.longest_pause) < 0 or self.limit <= 0:
            raise ValueError("At least one attempt; no negative times")

    def pause(self, number: int) -> float:
        """Before the attempt after the `number`-th one."""
        most = min(self.first_pause * 2 ** min(number - 1, 60), self.longest_pause)
        return random.uniform(most / 2, most)


class Failed(Exception):
    """A handler has raised `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Deliveries(Generic[T]):
    """Knows no broker. Whoever delivers gives one event of a customer after the other."""

    def __init__(
        self,
        handlers: Handlers[T],
        inbox: Inbox[T],
        retries: Retries,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._handlers = handlers
        self._inbox = inbox
        self._retries = retries
        self._sleep = sleep

    async def deliver(self, told: CloudEvent, body: bytes) -> Outcome:
        """Returns once what has become of it is committed. Without the inbox nothing can be: it waits for it, as long
        as it takes, and so for whatever a handler says is away. Raises only what `sleep` does.
        """
        if self._handlers.of(type(told.data)) is None:
            return Outcome.UNHANDLED
        failures = tries = 0
        last = ""
        while True:
            tries += 1
            try:
                return await self._received(told, body)
            except Failed as failed:
                failures += 1
                log.warning(
                    "attempt %d of %d failed: customer %s, event %s, %s",
                    *(failures, self._retries.attempts, told.subject, told.id, describe(failed.error)),
                    exc_info=failed.error if log.isEnabledFor(logging.DEBUG) else None,
                )
                try:
                    if failures >= self._retries.attempts:
                        return await self._park(told, body, failures, describe(failed.error))
                except Exception as error:
                    last = _tell_once("the inbox is away; trying again until it works", error, last)
            except TryLater as error:
                last = _tell_once(f"not now, trying again until it works: {error}", error, last)
            except Exception as error:
                last = _tell_once("the inbox is away; trying again until it works", error, last)
            await self._sleep(self._retries.pause(tries))

    async def retry(self, customer: UUID) -> bool:
        """Apply what waits, in order; False if one fails; each is tried once."""
        while True:
            waiting: Entry | None = None
            try:
                async with self._inbox.transaction(customer) as transaction:
                    waiting = await self._inbox.first_waiting(transaction, customer)
                    if waiting is None:
                        return True
                    highest = (await self._inbox.standing(transaction, waiting)).highest
                    await self._apply(transaction, decode(waiting.body or b""), waiting, highest)
            except (Failed, TryLater) as error:
                assert waiting is not None, "only a handler raises these"
                reason = describe(error.error if isinstance(error, Failed) else error)
                log.warning("customer %s stays parked: event %s, %s", customer, waiting.id, reason)
                async with self._inbox.transaction(customer) as transaction:
                    now = await self._inbox.first_waiting(transaction, customer)
                    if now is not None and now.id == waiting.id:
                        await self._inbox.write(transaction, replace(now, attempts=now.attempts + 1, reason=reason))
                return False

    async def retry_all(self) -> Sequence[Parked]:
        """Those that are still parked."""
        for parked in await self._inbox.parked():
            await self.retry(parked.customer)
        return await self._inbox.parked()

    async def discard(self, customer: UUID, reason: str) -> bool:
        """Leave out the event that has failed, and only this one: what waits behind it is applied as by `retry`. The
        reason stays in the inbox. Raises LookupError if the customer is not parked, ValueError without a reason.
        """
        if not reason.strip():
            raise ValueError("Say why")
        async with self._inbox.transaction(customer) as transaction:
            waiting = await self._inbox.first_waiting(transaction, customer)
            if waiting is None:
                raise LookupError(f"Customer {customer} is not parked")
            await self._inbox.write(transaction, replace(waiting, body=None, reason=f"discarded: {reason}"))
        log.warning("discarded: customer %s, event %s, %s", customer, waiting.id, reason)
        return await self.retry(customer)

    async def _received(self, told: CloudEvent, body: bytes) -> Outcome:
        entry = entry_of(told)
        async with self._inbox.transaction(entry.customer) as transaction:
            standing = await self._inbox.standing(transaction, entry)
            if standing.known:
                return Outcome.DUPLICATE
            if standing.parked:
                await self._inbox.write(transaction, replace(entry, body=body, reason="waits behind another event"))
                return Outcome.KEPT
            return await self._apply(transaction, told, entry, standing.highest)

    async def _park(self, told: CloudEvent, body: bytes, attempts: int, reason: str) -> Outcome:
        entry = entry_of(told)
        async with self._inbox.transaction(entry.customer) as transaction:
            if (await self._inbox.standing(transaction, entry)).known:
                return Outcome.DUPLICATE
            await self._inbox.write(transaction, replace(entry, body=body, attempts=attempts, reason=reason))
        log.error("parked: customer %s, event %s, %s", entry.customer, entry.id, reason)
        return Outcome.PARKED

    async def _apply(self, transaction: T, told: CloudEvent, entry: Entry, highest: int) -> Outcome:
        """Raises Failed, TryLater, or what the inbox does."""
        registered = self._handlers.of(type(told.data))
        if registered is None:  # while it waited, its handler was taken away
            await self._inbox.write(transaction, replace(entry, body=None))
            return Outcome.UNHANDLED
        if entry.sequence < highest and not registered.overtaken:
            log.warning("overtaken, so left out: customer %s, event %s", entry.customer, entry.id)
            await self._inbox.write(transaction, replace(entry, body=None, reason="overtaken"))
            return Outcome.OVERTAKEN
        await self._inbox.write(transaction, replace(entry, body=None, reason=""))
        with _span(told) as span:
            try:
                async with asyncio.timeout(self._retries.limit):
                    await registered.handle(told.data, told, transaction)
            except Exception as error:
                span.set_status(trace.StatusCode.ERROR, describe(error))
                if isinstance(error, TryLater):
                    raise
                raise Failed(error) from error
        return Outcome.APPLIED


def entry_of(told: CloudEvent) -> Entry:
    """Raises NotAnEvent if its sequence is no number that a database would take."""
    if not (told.sequence.isdecimal() and len(told.sequence) <= 20 and int(told.sequence) < 2**63):
        raise NotAnEvent("its sequence is no such number - at `$.sequence`")
    return Entry(id=told.id, customer=told.subject, sequence=int(told.sequence))


def describe(error: BaseException) -> str:
    """Its type and where it was raised, without its text, which may quote a customer's data."""
    if not (frames := traceback.extract_tb(error.__traceback__)):
        return type(error).__name__
    last = frames[-1]
    return f"{type(error).__name__} in {last.name} ({last.filename.rpartition('/')[2]}:{last.lineno})"


def _tell_once(what: str, error: Exception, last: str) -> str:
    told = f"{what}: {describe(error)}"
    if told != last:
        log.warning(told)
    return told


def _span(told: CloudEvent) -> AbstractContextManager[trace.Span]:
    """A child of the span in which the command was given."""
    carrier = {"traceparent": told.traceparent} if isinstance(told.traceparent, str) else {}
    return tracer.start_as_current_span(
        f"process {told.type}",
        _w3c.extract(carrier, contexts.Context()),
        kind=trace.SpanKind.CONSUMER,
        attributes={
            "messaging.system": "rabbitmq",
            "messaging.message.id": str(told.id),
            "customerflow.customer.id": str(told.subject),
        },
        record_exception=False,
        set_status_on_exception=False,
    )
