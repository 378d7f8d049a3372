"""One webhook, served by one worker: from its queue to its URL, in order per customer.

A message is acknowledged after its delivery, or once it is held as a row. What fails of one customer holds back that
customer only. If the webhook fails as a whole nothing is taken from the queue any more, which has limits, but for one
probe now and then.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from time import perf_counter
from typing import NamedTuple
from uuid import UUID

import msgspec
import structlog
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel as RawChannel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import AMQPError, ChannelInvalidStateError
from customerflow_shared import conventions, patience, telemetry
from customerflow_shared.patience import Patience

from customerflow_partners.webhooks import measures, queues, schedule, signing
from customerflow_partners.webhooks.addresses import AddressRefused
from customerflow_partners.webhooks.sending import ATTEMPT_SECONDS, Delivered, Failed, Gone, Outcome, Outgoing, Sender
from customerflow_partners.webhooks.store import Event, Held, LeaseLost, Reason, Served, Webhook

log = structlog.get_logger()

PREFETCH = 64
LOOK_EVERY = 1.0  # seconds, at what is due
IDLE_LOOK_EVERY = 5.0  # seconds, while nothing is held: an operator may have something tried again
BROKEN_AFTER = 5  # customers in a row with whom it fails: then it is the webhook
MOST_HELD = 10_000  # deliveries of one webhook; beyond them its queue holds what comes
NOTED_EVERY = 10.0  # seconds, a success
DUE_AT_ONCE = 50  # customers

Clock = Callable[[], datetime]


class Limits(NamedTuple):
    """Attempts at a time to one webhook, and how long it may fail without any success."""

    concurrency: int = 8
    disable_after: timedelta = timedelta(days=5)


class Lease(NamedTuple):
    """`left` says for how many seconds more nobody else can serve the webhook."""

    token: int
    left: Callable[[], float]


class _Envelope(msgspec.Struct):
    """As much of a CloudEvent as is needed to deliver it, of whichever type."""

    id: UUID
    subject: UUID
    type: str


class _Over(Exception):
    """Nothing more is begun."""


_decoder = msgspec.json.Decoder(_Envelope)


def read(body: bytes) -> Event:
    """Raises msgspec.DecodeError."""
    told = _decoder.decode(body)
    return Event(told.id, told.subject, told.type[:100], body)


class Serving:
    """`run` returns when it has been asked to stop, when the webhook has been disabled, or when the lease is lost."""

    def __init__(
        self,
        webhook: Webhook,
        lease: Lease,
        served: Served,
        outgoing: Outgoing,
        keys: signing.Keys,
        limits: Limits,
        now: Clock,
    ) -> None:
        self.webhook = webhook
        self.served = served
        self.lease = lease
        self.limits = limits
        self.now = now
        self._outgoing = outgoing
        self._keys = keys
        self._failures = webhook.failures
        self._paused_until = webhook.paused_until
        self._stopping = asyncio.Event()
        self._session: _Session | None = None
        self._patience = Patience(f"webhook {webhook.id}")
        self.log = log.bind(webhook=str(webhook.id))

    def stop(self) -> None:
        """Attempts that have begun are finished."""
        self._stopping.set()
        if self._session is not None:
            self._session.over.set()

    async def run(self, connection: AbstractConnection) -> None:
        if self._keys.check_of(self.webhook.id) != self.webhook.key_check:
            self.log.error("not served: its secrets were made with another master key")
            await self._stopping.wait()
            return
        try:
            sender = Sender(self._outgoing, self.webhook.url, self.limits.concurrency)
        except AddressRefused as error:
            self.log.error("not served: its URL is refused", rule=error.rule)
            await self._stopping.wait()
            return
        consuming = True
        try:
            while not self._stopping.is_set() and connection.connected.is_set():
                if self._paused_until is not None and self.now() < self._paused_until:
                    await self._rest(min((self._paused_until - self.now()).total_seconds(), LOOK_EVERY))
                    continue
                self._session = session = _Session(self, sender, probing=self._failures > 0, consuming=consuming)
                if self._stopping.is_set():
                    return
                await session.run(connection)
                if session.disabled:
                    return
                consuming = not session.full
                await self._after(session)
        except LeaseLost:
            self.log.info("left to others: it has been changed, or taken over")
        finally:
            await sender.close()

    def signed(self, event: Event) -> dict[str, str]:
        secrets = [self._keys.secret(self.webhook.id, one) for one in self.webhook.secret_numbers(self.now())]
        return dict(signing.headers(secrets, event.id, self.now(), event.body))

    async def _after(self, session: "_Session") -> None:
        if session.succeeded:
            self._patience.rewarded()
            if self._failures:
                self.log.info("webhook works again")
            self._failures, self._paused_until = 0, None
        if session.failure is not None:
            self._failures += 1
            self._paused_until = self.now() + schedule.pause(self._failures, session.failure.wait)
            told = self.log.warning if self._failures == 1 else self.log.debug
            told("webhook paused", **_told(session.failure), until=self._paused_until.isoformat())
            await self.served.paused(self._failures, self._paused_until)
        elif session.error is not None:
            await self._patience.after(session.error)
        elif not session.succeeded:
            await self._rest(0.2)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


class _Session:
    """Over one channel, until something happens after which it is begun anew.

    `probing`: the webhook has failed, and one attempt decides whether it works again.
    """

    def __init__(self, serving: Serving, sender: Sender, *, probing: bool, consuming: bool) -> None:
        self.over = asyncio.Event()
        self.succeeded = False
        self.disabled = False
        self.full = not consuming
        self.failure: Failed | None = None
        self.error: BaseException | None = None
        self._serving = serving
        self._served = serving.served
        self._now = serving.now
        self._sender = sender
        self._probing = probing
        self._gate = asyncio.Semaphore(1 if probing else serving.limits.concurrency)
        self._held = set[UUID]()
        self._retrying = set[UUID]()
        self._lanes: dict[UUID, deque[tuple[Event, int] | None]] = {}  # None: what is held of the customer
        self._tasks = set[asyncio.Task[None]]()
        self._failing = set[UUID]()  # customers since the last success
        self._troubled = probing or serving.webhook.failing_since is not None
        self._noted_at = 0.0
        self._raw: RawChannel

    async def run(self, connection: AbstractConnection) -> None:
        """Raises LeaseLost; whatever else interrupts it is its `error`."""
        try:
            await self._run(connection)
        except asyncio.CancelledError as error:
            if patience.is_cancelled():
                raise
            self._fail(error)
        except Exception as error:
            self._fail(error)
        if isinstance(self.error, LeaseLost):
            raise self.error

    async def _run(self, connection: AbstractConnection) -> None:
        webhook = self._serving.webhook
        self._held = await self._served.begin(webhook.revision)
        channel = await connection.channel(publisher_confirms=False)
        look: asyncio.Task[None] | None = None
        try:
            channel.close_callbacks.add(lambda *_: self.over.set())
            self._raw = await channel.get_underlay_channel()
            # the broker cancels a consumer whose queue is deleted
            self._raw.on_consumer_cancel_callbacks.add(lambda _: self.over.set())
            # The same for a probe: what is given back goes behind what was given back before, so order holds only if
            # all of it is taken each time.
            await channel.set_qos(prefetch_count=PREFETCH)
            await queues.declare(channel, webhook.id, webhook.routing_keys)
            look = asyncio.create_task(self._look())
            if not self.full:
                await self._raw.basic_consume(queues.queue_of(webhook.id), self._receive)
            await self.over.wait()
        finally:
            self.over.set()
            try:
                if look is not None:
                    await look
                # The consumer is not cancelled first: another one would become the active one at once, and be given
                # what comes after the messages that are not acknowledged here, before these.
                await self._finish()
            finally:
                with suppress(Exception):
                    async with asyncio.timeout(2):
                        await channel.close()

    async def _finish(self) -> None:
        """What has begun is ended; unless this is cancelled."""
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
                await asyncio.sleep(0)  # for the callbacks
        finally:
            for task in self._tasks:
                task.cancel()

    async def _look(self) -> None:
        while not self.over.is_set():
            try:
                customers, held = await self._served.due(self._now(), 1 if self._probing else DUE_AT_ONCE)
            except Exception as error:
                self._fail(error)
                return
            for customer in customers:
                if customer not in self._retrying:
                    self._retrying.add(customer)
                    self._put(customer, None)
            if (held >= MOST_HELD) if not self.full else (held < 0.9 * MOST_HELD):
                self.full = not self.full
                self.over.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY if self._held else IDLE_LOOK_EVERY):
                    await self.over.wait()

    async def _receive(self, message: DeliveredMessage) -> None:
        """Does not wait before the event is in its lane: deliveries come one by one, and so they are to stay."""
        tag = message.delivery_tag
        assert tag is not None, "only an answer that there is no message has none"
        conventions.CONSUMED.add(1, measures.QUEUES)
        try:
            event = read(message.body)
        except msgspec.DecodeError:
            self._serving.log.error("message dropped: it is no event", routing_key=message.routing_key)
            await self._acknowledge(tag)
        else:
            self._put(event.customer, (event, tag))

    def _put(self, customer: UUID, work: tuple[Event, int] | None) -> None:
        if self.over.is_set():
            return
        if (lane := self._lanes.get(customer)) is not None:
            lane.append(work)
            return
        self._lanes[customer] = deque([work])
        task = asyncio.create_task(self._work(customer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, customer: UUID) -> None:
        """One thing after another. If one is not done the lane stays, so that nothing can overtake it."""
        lane = self._lanes[customer]
        try:
            while lane:
                if self.over.is_set():
                    return
                work = lane.popleft()
                if work is None:
                    await self._retry(customer)
                    self._retrying.discard(customer)
                else:
                    await self._deliver(*work)
        except _Over:
            return
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error)
            return
        del self._lanes[customer]

    async def _deliver(self, event: Event, tag: int) -> None:
        if event.customer in self._held:
            await self._served.hold(event, self._now())
        elif (failure := await self._attempt(event)) is not None:
            await self._served.hold(event, self._now(), failure, self._next(1))
            self._held.add(event.customer)
            self._tell(event, failure, 1)
        await self._acknowledge(tag)

    async def _retry(self, customer: UUID) -> None:
        """What is held of a customer, as far as it can be delivered, and is due."""
        self._held.add(customer)
        while (held := await self._served.first(customer)) is not None:
            if held.due is not None and held.due > self._now():
                return
            failure = await self._attempt(held.event)
            if failure is None:
                await self._served.forget(held.id)
            elif not await self._postpone(held, failure):
                return
        self._held.discard(customer)

    async def _postpone(self, held: Held, failure: Failed) -> bool:
        """Whether it is dead, so that what is behind it may go on."""
        due = self._next(held.attempts + 1)
        await self._served.postpone(held, self._now(), failure, due)
        self._tell(held.event, failure, held.attempts + 1)
        return due is None

    def _next(self, attempts: int) -> datetime | None:
        delay = schedule.after_attempts(attempts)
        return None if delay is None else self._now() + delay

    async def _attempt(self, event: Event) -> Failed | None:
        """None: it is delivered. Raises _Over if the failure is none of this event."""
        async with self._gate:
            if self.over.is_set():
                raise _Over
            if self._serving.lease.left() < ATTEMPT_SECONDS:
                self.over.set()
                raise _Over
            begun = perf_counter()
            outcome = await self._sender.send(event.body, self._serving.signed(event), self._now)
            measures.attempted(outcome, perf_counter() - begun, probing=self._probing)
            await self._judge(event.customer, outcome)
        match outcome:
            case Delivered():
                return None
            case Failed(whole=False):
                return outcome
            case _:
                raise _Over

    async def _judge(self, customer: UUID, outcome: Outcome) -> None:
        """What an outcome says about the webhook."""
        match outcome:
            case Delivered(status):
                self.succeeded = True
                self._failing.clear()
                at = asyncio.get_running_loop().time()
                if self._troubled or at - self._noted_at >= NOTED_EVERY:
                    self._troubled, self._noted_at = False, at
                    await self._served.succeeded(self._now(), status)
                if self._probing:
                    self.over.set()
            case Gone():
                await self._disable(Reason.GONE)
            case Failed():
                self._troubled = True
                self._failing.add(customer)
                since = await self._served.failed(self._now(), outcome)
                if self._now() - since >= self._serving.limits.disable_after:
                    await self._disable(Reason.FAILING)
                elif outcome.whole or self._probing or len(self._failing) >= BROKEN_AFTER:
                    self.failure = self.failure or outcome
                    self.over.set()

    async def _disable(self, reason: Reason) -> None:
        self.over.set()
        if not self.disabled:
            self.disabled = True
            await self._served.disable(reason, self._now())
            self._serving.log.error("webhook disabled", reason=str(reason))

    async def _acknowledge(self, tag: int) -> None:
        try:
            await self._raw.basic_ack(tag)
        except (AMQPError, ChannelInvalidStateError, OSError) as error:
            self._serving.log.info("not acknowledged, it will come again", error=telemetry.describe(error))
            self.over.set()

    def _fail(self, error: BaseException) -> None:
        self.error = self.error or error
        self.over.set()

    def _tell(self, event: Event, failure: Failed, attempts: int) -> None:
        dead = attempts >= schedule.ATTEMPTS
        measures.put_off(dead=dead)
        self._serving.log.warning(
            "delivery dead" if dead else "customer held",
            customer_id=str(event.customer),
            event_id=str(event.id),
            attempts=attempts,
            **_told(failure),
        )


def _told(failure: Failed) -> dict[str, object]:
    return {"error": failure.error} | ({} if failure.status is None else {"status": failure.status})
