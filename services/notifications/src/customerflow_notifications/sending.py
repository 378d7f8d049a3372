"""Sends what is pending, again and again until it has been sent, is of no use any more, or was refused."""

import asyncio
import random
import time
from collections.abc import Callable

import structlog
from customerflow_shared import metrics, telemetry
from customerflow_shared.outside import OutsideError
from customerflow_shared.patience import Patience
from opentelemetry import trace

from customerflow_notifications.pending import Message, Pending
from customerflow_notifications.services import Commands, NoProvider, Provider, Refused

log = structlog.get_logger()
tracer = trace.get_tracer("customerflow.notifications")

LOOKED_FOR_EVERY = 0.2  # seconds
AT_ONCE = 16
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

_ended = metrics.counter(
    "customerflow.notifications.messages",
    "{message}",
    "Messages by what has become of them: `sent`, `needless`, `expired` or `refused`; and `postponed` ones.",
    ["outcome"],
)
_took = metrics.histogram(
    "customerflow.notifications.duration",
    "s",
    "From an event to the sending of its message.",
    bounds=metrics.LONG_SECONDS,
)
_waiting = metrics.gauge("customerflow.notifications.pending", "{message}", "Messages that are still to be sent.")
for _outcome in ("sent", "needless", "expired", "refused", "postponed"):
    _ended.begin(_outcome)


class Sender:
    """Neither logs nor keeps an address or a code. A message that was sent just before a crash is sent again, with the
    same idempotency key.
    """

    def __init__(
        self,
        pending: Pending,
        commands: Commands,
        provider: Provider | None,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._pending = pending
        self._commands = commands
        self._provider = provider
        self._clock = clock
        self._chance = chance

    async def run(self) -> None:
        """For ever."""
        patience = Patience("sending")

        async def attempt() -> None:
            while True:
                if not await self.send_due():
                    await asyncio.sleep(LOOKED_FOR_EVERY)
                patience.rewarded()

        await patience.persist(attempt)

    async def send_due(self) -> int:
        """How many were due."""
        messages = await self._pending.due(self._clock(), AT_ONCE)
        _waiting.set(self._pending.count())
        await asyncio.gather(*map(self._handle, messages))
        return len(messages)

    async def _handle(self, message: Message) -> None:
        context = telemetry.context_of(message.traceparent)
        try:
            with telemetry.span(tracer, "deliver code", context=context, kind=trace.SpanKind.CONSUMER):
                outcome = await self._attempt(message)
        except Refused as refusal:
            log.error("message refused", event_id=message.event, exc_info=refusal)
            outcome = "refused"
        except Exception as failure:  # theirs, or one of ours, which must not keep the others from being sent
            log.warning("message not sent", event_id=message.event, attempts=message.attempts + 1, exc_info=failure)
            due_at = self._clock() + self._pause(message.attempts, failure)
            outcome = "postponed" if due_at < message.expires_at else "expired"
            if outcome == "postponed":
                await self._pending.postpone(message, due_at)
        if outcome != "postponed":
            await self._pending.remove(message)
        if outcome == "sent":
            _took.record(max(0.0, self._clock() - message.noted_at))
        if outcome == "expired":
            log.error("message given up, as its code has expired", event_id=message.event)
        _ended.add(1, outcome)

    async def _attempt(self, message: Message) -> str:
        """Raises OutsideError, Refused or NoProvider."""
        if self._clock() >= message.expires_at:
            return "expired"
        if self._provider is None:
            raise NoProvider("CF_EMAIL_PROVIDER_URL is not set")
        delivery = await self._commands.delivery(message.customer, message.verification)
        if delivery is None:
            return "needless"
        await self._provider.send(str(message.event), delivery)
        return "sent"

    def _pause(self, attempts: int, error: Exception) -> float:
        most = min(FIRST_PAUSE * 2.0 ** min(attempts, 60), LONGEST_PAUSE)
        least = error.retry_after if isinstance(error, OutsideError) else None
        return max(most * (1 + self._chance()) / 2, least or 0.0)
