"""From a queue to the handlers: nothing is acknowledged before its transaction is committed."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from customerflow_contract.cloud_event import CloudEvent, NotAnEvent, UnknownType, decode

from customerflow_consumer.deliveries import Deliveries, Outcome, Retries, describe, entry_of
from customerflow_consumer.handlers import Handlers
from customerflow_consumer.inbox import Inbox, Parked
from customerflow_consumer.lanes import Lanes

log = logging.getLogger("customerflow_consumer")

T = TypeVar("T")

FIRST_PAUSE = 0.1  # seconds, between connections
LONGEST_PAUSE = 10.0
TYPES_TOLD = 100
_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class Stopping(Exception):
    """No pause is made any more: what waits for another attempt goes back to the queue."""


@dataclass(frozen=True)
class Delivered:
    told: CloudEvent
    message: AbstractIncomingMessage


class Consumer(Generic[T]):
    """`prefetch` bounds how many events are in hand, and so how many customers at the same time. `declare` is called on
    each new connection, before anything is consumed.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        handlers: Handlers[T],
        inbox: Inbox[T],
        *,
        prefetch: int = 64,
        retries: Retries = Retries(),  # noqa: B008 (it is frozen)
        declare: Callable[[AbstractChannel], Awaitable[None]] | None = None,
    ) -> None:
        self._url = url
        self._queue = queue
        self._inbox = inbox
        self._prefetch = prefetch
        self._declare = declare
        self._deliveries = Deliveries(handlers, inbox, retries, self._pause)
        self._stopped = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._types_told: set[str] = set()
        self.connected = False
        self.counts: Counter[Outcome] = Counter()

    async def run(self) -> None:
        """Until `stop`. Whatever happens to the connection, it begins again from the queue: what was not acknowledged
        is delivered again, and the inbox tells what has had its effect.
        """
        pause, last = FIRST_PAUSE, ""
        while not self._stopped.is_set():
            try:
                await self._consume()
                error: BaseException | None = None
            except asyncio.CancelledError as cancelled:
                # a library cancels what waits on a lost connection; that is not to be cancelled oneself
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                error = cancelled
            except Exception as raised:
                error = raised
            if self.connected:
                pause, last = FIRST_PAUSE, ""
                self.connected = False
            if self._stopped.is_set():
                return
            if (told := "connection or queue lost" if error is None else describe(error)) != last:
                log.warning("interrupted, beginning again: %s", told)
                last = told
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopped.wait()
            pause = min(pause * 2, LONGEST_PAUSE)

    def stop(self) -> None:
        """`run` returns when what is in hand is done and acknowledged; all else stays in the queue. May be called by a
        signal handler.
        """
        self._stopped.set()
        self._interrupted.set()

    async def parked(self) -> Sequence[Parked]:
        return await self._inbox.parked()

    async def retry(self, customer: UUID) -> bool:
        """Apply what waits, in order; False if the customer is still parked. Also while another process runs."""
        return await self._deliveries.retry(customer)

    async def retry_all(self) -> Sequence[Parked]:
        """Those that are still parked."""
        return await self._deliveries.retry_all()

    async def discard(self, customer: UUID, reason: str) -> bool:
        """Leave out the event that has failed, for ever, and go on with those behind it as `retry` does. Raises
        LookupError if the customer is not parked.
        """
        return await self._deliveries.discard(customer, reason)

    async def _consume(self) -> None:
        self._interrupted = asyncio.Event()
        if self._stopped.is_set():
            return
        async with _connected(self._url) as connection:
            channel = await connection.channel(publisher_confirms=False)
            lost = self._interrupted
            channel.close_callbacks.add(lambda *_: lost.set())
            # the broker cancels a consumer whose queue is deleted
            underlay = await channel.get_underlay_channel()
            underlay.on_consumer_cancel_callbacks.add(lambda _: lost.set())
            await channel.set_qos(prefetch_count=self._prefetch)
            if self._declare is not None:
                await self._declare(channel)
            queue = await channel.get_queue(self._queue, ensure=False)
            lanes = Lanes(self._deliver, lost)
            try:
                await queue.consume(partial(self._receive, lanes))
                self.connected = True
                log.info("consuming %s", self._queue)
                await lost.wait()
            finally:
                lost.set()
                # The consumer is not cancelled first: another one would become the active one at once, and be given
                # what comes after the messages that are not acknowledged here, before these.
                await lanes.close()
            if lanes.error is not None:
                raise lanes.error

    async def _receive(self, lanes: Lanes[Delivered], message: AbstractIncomingMessage) -> None:
        """Does not wait before the event is in its lane: deliveries come one by one, and so they are to stay."""
        try:
            told = decode(message.body)
            customer = entry_of(told).customer
        except NotAnEvent as error:
            self.counts[Outcome.REFUSED] += 1
            log.error("refused, as it is no event: %s", error)
            await _answer(message.reject(requeue=False))
        except UnknownType:
            self.counts[Outcome.UNKNOWN] += 1
            self._tell_of_type(message.routing_key or "")
            await _answer(message.ack())
        else:
            lanes.put(customer, Delivered(told, message))

    async def _deliver(self, delivered: Delivered) -> None:
        try:
            outcome = await self._deliveries.deliver(delivered.told, delivered.message.body)
        except Stopping:
            return
        self.counts[outcome] += 1
        if outcome is Outcome.UNHANDLED:
            self._tell_of_type(delivered.told.type)
        await _answer(delivered.message.ack())

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._interrupted.wait()
        if self._interrupted.is_set():
            raise Stopping

    def _tell_of_type(self, kind: str) -> None:
        """Once of each, and of no more than `TYPES_TOLD`."""
        if kind not in self._types_told and len(self._types_told) < TYPES_TOLD and _TYPE.fullmatch(kind):
            self._types_told.add(kind)
            log.warning("not handled, so acknowledged: events of type %s", kind)


async def _answer(answer: Awaitable[None]) -> None:
    """If the connection is lost the broker delivers it again."""
    try:
        await answer
    except (AMQPError, ChannelInvalidStateError, OSError) as error:
        log.info("not acknowledged, it will come again: %s", describe(error))


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AbstractConnection]:
    """Not one that re-establishes itself: it would go on with messages and channels that the broker has forgotten."""
    connection = await aio_pika.connect(
        url, timeout=5, heartbeat=30, client_properties={"connection_name": "customerflow-consumer"}
    )
    try:
        yield connection
    finally:
        # closing a connection whose peer has vanished must not hang the way out
        with suppress(Exception):
            async with asyncio.timeout(2):
                await connection.close()
