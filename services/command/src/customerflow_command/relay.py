"""The relay: from the outbox to RabbitMQ, at least once, in order per customer.

A command's pointers are deleted after the broker has confirmed its domain and its integration messages. Of one
customer no event is sent before the one before it is confirmed, so a lost connection can repeat events but never
overtake. A broker that is away is waited for without limit.

What is read is sent at once, while what was read before still waits for its confirms or for the deletion of its
pointers. So each step works on whatever has come together meanwhile: the batches are as large as the backlog.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby, islice
from typing import Any, NamedTuple, Self, TypeAlias, cast
from uuid import UUID

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import ChannelClosed, DeliveryError, PublishError
from customerflow_contract import cloud_event
from customerflow_contract.events import ROUTING_KEYS
from customerflow_shared import conventions, events, messaging, metrics, patience, telemetry
from customerflow_shared.database import DatabaseUnavailable
from customerflow_shared.events import Recorded
from customerflow_shared.patience import Patience
from opentelemetry import trace
from pamqp.commands import Basic
from pamqp.common import FieldTable

from customerflow_command import confirms
from customerflow_command.doorbell import Doorbell
from customerflow_command.outbox import BATCH, Lease, LeaseLost, Outbox
from customerflow_command.personal import UnreadableEvent
from customerflow_command.publishing import cloud_events, command_of
from customerflow_command.store import EventReader, EventRow

log = structlog.get_logger()
tracer = trace.get_tracer("customerflow.relay")

LOOK_EVERY = 0.25  # seconds, should the doorbell not ring
SETTLE_AFTER = 0.03  # seconds in which confirmed pointers come together, unless there is a backlog
FULL = 3  # batches under way, at which no more is read
PERSISTENT = 2
DECLARE_EVERY = 5.0  # seconds; what partners' queues take is not returned, though the log be gone
FINISH_SECONDS = 0.5  # in which what has been sent may still be confirmed at the end
PARKED_SECONDS = 60.0  # after which a parked customer's events are tried again

_waits = metrics.histogram(
    "customerflow.outbox.wait",
    "s",
    "From a command's commit to the broker's confirmation of all that it has said.",
    bounds=metrics.LONG_SECONDS,
)
_confirms = metrics.counter(
    "customerflow.relay.confirms",
    "{message}",
    "What the broker has answered to messages.",
    ["messaging.destination.name", "customerflow.outcome"],
)
_parkings = metrics.counter(
    "customerflow.outbox.parkings", "{customer}", "Customers that were parked, for an event of theirs cannot be read."
)
for _exchange in (messaging.DOMAIN, messaging.INTEGRATION):
    conventions.SENT.begin(_exchange)
    for _answer in ("confirmed", "returned", "refused", "unanswered"):
        _confirms.begin(_exchange, _answer)


class NotConfirmed(Exception):
    """The broker has refused, returned or not confirmed a message."""


class Step(NamedTuple):
    """What is sent of one customer at once: an event, and with a command's last what the command means to others.
    Once it is confirmed, the events at the positions of `completed` have been sent.
    """

    domain: confirms.Message
    public: list[confirms.Message]
    completed: list[int]


Steps: TypeAlias = Generator[Step, None, None]
Tell: TypeAlias = Callable[[Sequence[Recorded]], Sequence[cloud_event.CloudEvent]]
"""What the events of one command mean to others."""


def steps(commands: deque[Sequence[Recorded]], tell: Tell) -> Steps:
    """Of one customer's commands, those that are added meanwhile too; each step is asked for when the one before it is
    confirmed. What happened instead may be thrown in.
    """
    while commands:
        *first, last = command = commands.popleft()
        with _traced(last) as traceparent:
            for recorded in first:
                yield Step(_domain_message(recorded, traceparent), [], [])
            told = [_public_message(event, traceparent) for event in tell(command)]
            yield Step(_domain_message(last, traceparent), told, [recorded.position for recorded in command])
        _waits.record(max(0.0, time.time() - last.recorded_at.timestamp()))


@contextmanager
def _traced(last: Recorded) -> Iterator[str | None]:
    """The trace context for the messages of the command with that last event; spans only where its request is
    recorded, one of the wait in the outbox and one of the publishing. None is the current one, for many are open at the
    same time.
    """
    traceparent = last.metadata.traceparent
    if telemetry.is_dropped(traceparent):
        yield traceparent
        return
    if traceparent is not None:
        telemetry.past(tracer, "outbox", traceparent, int(last.recorded_at.timestamp() * 1e9))
    attributes = {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": messaging.DOMAIN,
        "messaging.message.id": str(last.event_id),
    }
    context = telemetry.context_of(traceparent)
    span = tracer.start_span(f"publish {messaging.DOMAIN}", context, trace.SpanKind.PRODUCER, attributes)
    try:
        yield telemetry.traceparent_of(span)
    except NotConfirmed as error:
        span.set_status(trace.Status(trace.StatusCode.ERROR, telemetry.describe(error)))
        raise
    finally:
        span.end()


def _domain_message(recorded: Recorded, traceparent: str | None) -> confirms.Message:
    customer_id = recorded.customer_id
    headers: FieldTable = {
        "customer-id": str(customer_id),
        "version": recorded.version,
        "position": recorded.position,
        "traceparent": traceparent,
    }
    properties = Basic.Properties(
        "application/json",
        headers=headers,
        delivery_mode=PERSISTENT,
        message_id=str(recorded.event_id),
        message_type=events.event_name(type(recorded.event)),
    )
    return confirms.Message(str(messaging.shard_of(customer_id)), properties, events.encode(recorded))


def _public_message(event: cloud_event.CloudEvent, traceparent: str | None) -> confirms.Message:
    properties = Basic.Properties(
        cloud_event.MEDIA_TYPE,
        headers={"traceparent": traceparent},
        delivery_mode=PERSISTENT,
        message_id=str(event.id),
    )
    return confirms.Message(ROUTING_KEYS[type(event.data)], properties, cloud_event.encode(event))


class Flow:
    """What has been read and is not settled yet, over one connection.

    Each exchange has a channel of its own: returned messages are matched by message id, and both carry the event's.
    """

    def __init__(
        self,
        outbox: Outbox,
        lease: Lease,
        doorbell: Doorbell,
        domain: confirms.Publisher,
        public: confirms.Publisher,
        tell: Tell = cloud_events,
    ) -> None:
        self.positions: set[int] = set()
        self._commands: dict[UUID, deque[Sequence[Recorded]]] = {}  # of each customer of whom something is sent
        self._outbox = outbox
        self._lease = lease
        self._doorbell = doorbell
        self._domain = domain
        self._public = public
        self._tell = tell
        self._confirmed: list[int] = []
        self.more_confirmed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    @classmethod
    async def open(
        cls, connection: AbstractConnection, outbox: Outbox, lease: Lease, doorbell: Doorbell, tell: Tell
    ) -> Self:
        async with asyncio.timeout(messaging.SETUP_SECONDS):
            domain = await connection.channel(publisher_confirms=True, on_return_raises=True)
            public = await connection.channel(publisher_confirms=True, on_return_raises=True)
            await messaging.declare(domain)
        return cls(
            outbox,
            lease,
            doorbell,
            await confirms.Publisher.open(domain, messaging.DOMAIN),
            await confirms.Publisher.open(public, messaging.INTEGRATION),
            tell,
        )

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Beside the reading of what comes next, which the doorbell wakes should the work fail."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def start_sending(self, lines: dict[UUID, Steps]) -> None:
        task = self.start(self.send(lines))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def finish(self) -> None:
        """Let what has been sent be confirmed, if nothing has failed: whoever goes on would send it again."""
        if self._sending and self._failure is None:
            await asyncio.wait(self._sending, timeout=FINISH_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        if failure is not None:
            self._failure = self._failure or failure
            self._doorbell.rung.set()

    def check(self) -> None:
        """Raises what any of the work has failed with."""
        if self._failure is not None:
            raise self._failure

    async def end(self) -> None:
        # not a TaskGroup: it cancels once, which a library may swallow
        everything = asyncio.gather(*self._tasks, return_exceptions=True)
        everything.add_done_callback(lambda done: done.exception())  # or asyncio would tell of it
        await patience.end(cast(asyncio.Task[object], everything), every=1)

    def take(self, batch: Iterable[Sequence[Recorded]]) -> dict[UUID, Steps]:
        """Lines of steps for `send`, one for each customer; a customer who has one already has it made longer."""
        lines: dict[UUID, Steps] = {}
        for command in batch:
            customer_id = command[0].customer_id
            self.positions.update(recorded.position for recorded in command)
            if customer_id not in self._commands:
                self._commands[customer_id] = deque()
                lines[customer_id] = steps(self._commands[customer_id], self._tell)
            self._commands[customer_id].append(command)
        return lines

    async def send(self, lines: dict[UUID, Steps]) -> None:
        """The first step of every line, then the second of every longer one, and so on."""
        while lines:
            wave: dict[UUID, Step] = {}
            for customer_id, line in lines.items():
                if step := next(line, None):
                    wave[customer_id] = step
                else:
                    del self._commands[customer_id]
            lines = {customer_id: lines[customer_id] for customer_id in wave}
            await self._send(wave, lines)

    async def settle(self) -> int:
        """Forget the pointers of all that has been confirmed meanwhile; returns how many."""
        self.more_confirmed.clear()
        settled, self._confirmed = self._confirmed, []
        await self._outbox.settle(settled, self._lease.token)
        self.positions.difference_update(settled)
        return len(settled)

    async def _send(self, wave: dict[UUID, Step], lines: dict[UUID, Steps]) -> None:
        """Raises NotConfirmed unless all of it is confirmed."""
        if not wave:
            return
        self._lease.require()
        domain = await _sent(self._domain, messaging.DOMAIN, [step.domain for step in wave.values()])
        everything = [message for step in wave.values() for message in step.public]
        public = await _sent(self._public, messaging.INTEGRATION, everything)
        await asyncio.wait([domain.over, public.over], timeout=messaging.PUBLISH_TIMEOUT)
        _count(messaging.DOMAIN, domain)
        _count(messaging.INTEGRATION, public)
        told, failure = iter(public.confirmations), None
        for (customer_id, step), confirmation in zip(wave.items(), domain.confirmations, strict=True):
            answers = zip(step.public, islice(told, len(step.public)), strict=True)
            doubtful = [
                (messaging.INTEGRATION, message, one.error or public.error)
                for message, one in answers
                if not one.confirmed
            ]
            if not confirmation.confirmed:
                doubtful.append((messaging.DOMAIN, step.domain, confirmation.error or domain.error))
            if not doubtful:
                self._confirmed += step.completed
                continue
            exchange, message, error = doubtful[-1]
            failure = NotConfirmed(_why(exchange, message.routing_key, error))
            with suppress(NotConfirmed):
                lines[customer_id].throw(failure)
        self.more_confirmed.set()
        if failure is not None:
            raise failure


async def _sent(publisher: confirms.Publisher, exchange: str, messages: Sequence[confirms.Message]) -> confirms.Sent:
    sent = await publisher.send(messages)
    if messages:
        conventions.SENT.add(len(messages), exchange)
        begun = time.perf_counter()

        def measure(over: asyncio.Future[None]) -> None:
            error = "" if over.cancelled() or over.exception() is None else type(over.exception()).__name__
            conventions.SEND_SECONDS.record(time.perf_counter() - begun, exchange, error)

        sent.over.add_done_callback(measure)
    return sent


def _count(exchange: str, sent: confirms.Sent) -> None:
    for answer, messages in Counter(map(_answered, sent.confirmations)).items():
        _confirms.add(messages, exchange, answer)


def _answered(one: confirms.Confirmation) -> str:
    if one.confirmed:
        return "confirmed"
    match one.error:
        case PublishError():
            return "returned"
        case DeliveryError():
            return "refused"
        case _:
            return "unanswered"


def _why(exchange: str, routing_key: str, error: BaseException | None) -> str:
    match error:
        case PublishError():
            return f"{exchange}: no queue takes {routing_key}"
        case DeliveryError():
            return f"{exchange}: a queue refuses {routing_key}; it may be full"
        case ChannelClosed():
            return str(error)
        case _:
            return f"{exchange}: no answer for {routing_key}, {type(error or TimeoutError()).__name__}"


class Relay:
    """One of possibly several, all connected; the holder of the lease sends, the others stand by.

    `check_keys` raises unless this process has the keys of this database: with others it would park every customer.
    `publishes` says whether the outbox is to be read; what has been read before is sent in any case.
    """

    def __init__(
        self,
        outbox: Outbox,
        lease: Lease,
        reader: EventReader,
        doorbell: Doorbell,
        amqp_url: str,
        check_keys: Callable[[], Awaitable[None]],
        tell: Tell = cloud_events,
        publishes: Callable[[], bool] = lambda: True,
    ) -> None:
        self._outbox = outbox
        self._lease = lease
        self._reader = reader
        self._doorbell = doorbell
        self._amqp_url = amqp_url
        self._check_keys = check_keys
        self._tell = tell
        self._publishes = publishes
        self._connection: AbstractConnection | None = None
        self._patience = Patience("relay")
        self._release_at = 0.0
        self._behind = False  # whether the outbox has more than what is being sent

    async def check(self) -> None:
        """Raises ConnectionError unless the broker can be reached."""
        if self._connection is None or not self._connection.connected.is_set():
            raise ConnectionError("not connected")

    async def run(self) -> None:
        await self._patience.persist(self._relay)

    async def _relay(self) -> None:
        """Raises whatever interrupts it. Only who has the keys and a connection to the broker seeks the lease."""
        await self._check_keys()
        async with messaging.connected(self._amqp_url, "relay") as self._connection:
            flow = await Flow.open(self._connection, self._outbox, self._lease, self._doorbell, self._tell)
            async with self._lease.sought(), self._outbox:
                flow.start(self._settle(flow))
                flow.start(_keep_declared(await self._connection.channel()))
                try:
                    await self._read(flow)
                finally:
                    try:
                        await flow.finish()
                    finally:
                        await flow.end()
                    with suppress(LeaseLost, DatabaseUnavailable):  # what is not forgotten is sent again
                        await flow.settle()

    async def _read(self, flow: Flow) -> None:
        while True:
            await self.check()
            self._doorbell.rung.clear()
            flow.check()
            if not self._lease.held:
                if flow.positions:
                    raise LeaseLost
                await self._lease.wait(LOOK_EVERY)
                continue
            if not self._publishes():
                self._behind = False
            elif len(flow.positions) < FULL * BATCH:
                rows = await self._outbox.first(flow.positions)
                if lines := flow.take(whole_commands(rows, await self._readable(rows))):
                    flow.start_sending(lines)
                self._behind = len(rows) == BATCH
                if self._behind:
                    continue
            await self._rest()

    async def _settle(self, flow: Flow) -> None:
        while True:
            await flow.more_confirmed.wait()
            if not self._behind:
                await asyncio.sleep(SETTLE_AFTER)
            if await flow.settle():  # or every refusal would be told of, and tried again at once
                self._patience.rewarded()
            if self._behind:
                self._doorbell.rung.set()

    async def _rest(self) -> None:
        """Until the doorbell rings, but not for long; a parked customer is given another try meanwhile."""
        now = asyncio.get_running_loop().time()
        if now >= self._release_at:
            await self._outbox.release_after(PARKED_SECONDS)
            self._release_at = now + PARKED_SECONDS / 4
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self._doorbell.rung.wait()

    async def _readable(self, rows: Sequence[EventRow]) -> list[Recorded]:
        """The events of the rows. A customer with one that cannot be read is parked from there on."""
        readable: list[Recorded] = []
        parked: set[UUID] = set()
        for row in rows:
            if row.customer in parked:
                continue
            try:
                readable.append(self._reader.read(row))
            except UnreadableEvent as error:
                await self._check_keys()
                parked.add(row.customer)
                await self._outbox.park(row.customer, row.position, str(error))
                _parkings.add(1)
                log.error("customer parked", customer_id=str(row.customer), position=row.position, reason=str(error))
        return readable


async def _keep_declared(channel: AbstractChannel) -> None:
    while True:
        await asyncio.sleep(DECLARE_EVERY)
        await messaging.declare(channel)


def commands(batch: Sequence[Recorded]) -> list[list[Recorded]]:
    """The events of each command."""
    return [list(group) for _, group in groupby(batch, command_of)]


def whole_commands(rows: Sequence[EventRow], readable: Sequence[Recorded]) -> list[list[Recorded]]:
    """But for the last of a full batch, which may go on behind it."""
    batch = commands(readable)
    if len(rows) == BATCH and len(batch) > 1:
        batch.pop()
    return batch
