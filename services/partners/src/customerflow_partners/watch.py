"""What waits for partners, measured beside it: in the queues of subscriptions and of webhooks, by one question to the
broker however many there are, and in the database.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from customerflow_shared import database, metrics
from customerflow_shared.metrics import Gauge
from customerflow_shared.patience import Patience
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_partners.management import Length, Management
from customerflow_partners.subscriptions import named_by_queue
from customerflow_partners.webhooks.queues import PREFIX
from customerflow_partners.webhooks.store import State

EVERY = 10.0  # seconds; RabbitMQ counts every five

_SUBSCRIPTION = ["customerflow.subscription"]
_backlog = metrics.gauge(
    "customerflow.partner.queue.backlog",
    "{message}",
    "Messages in a subscription's queue, those that the partner has taken and not acknowledged included.",
    _SUBSCRIPTION,
)
_fullness = metrics.gauge(
    "customerflow.partner.queue.fullness",
    "{share}",
    "How much of its limits, in messages or in bytes, a subscription's queue has used: at 1 the oldest are dropped.",
    _SUBSCRIPTION,
)
_consumers = metrics.gauge(
    "customerflow.partner.queue.consumers", "{consumer}", "Who reads a subscription's queue.", _SUBSCRIPTION
)
_dead_letters = metrics.gauge(
    "customerflow.partner.queue.dead_letters",
    "{message}",
    "Messages that a partner has refused, or that were dropped or too old, and that nobody has dealt with.",
    _SUBSCRIPTION,
)
_waiting = metrics.gauge(
    "customerflow.webhook.backlog", "{message}", "Messages in the queues of webhooks, of all of them together."
)
_webhooks = metrics.gauge(
    "customerflow.webhooks",
    "{webhook}",
    "Webhooks by state: creating, active, failing, deleting, or disabled, and then why: asked, gone or failing.",
    ["customerflow.webhook.state", "customerflow.reason"],
)
_failing_for = metrics.gauge(
    "customerflow.webhook.failing.age",
    "s",
    "For how long the webhook fails that has done so the longest; 0: none does.",
)
_pending = metrics.gauge(
    "customerflow.webhook.pending",
    "{delivery}",
    "Deliveries that have failed and are tried again, or wait behind such a one; without those of disabled webhooks.",
)
_oldest = metrics.gauge(
    "customerflow.webhook.pending.oldest.age", "s", "How long the first of the pending deliveries has waited; 0: none."
)
_dead = metrics.gauge("customerflow.webhook.dead", "{delivery}", "Deliveries that are not tried again by themselves.")

_OF_QUEUES = (_backlog, _fullness, _consumers, _dead_letters, _waiting)
_OF_WEBHOOKS = (_webhooks, _failing_for, _pending, _oldest, _dead)


async def queues(management: Management) -> None:
    """Until cancelled."""

    async def look() -> None:
        _tell(await management.lengths())

    await _watch("partners' queues watch", look, _OF_QUEUES)


async def webhooks(engine: AsyncEngine) -> None:
    """Until cancelled."""
    await _watch("webhooks watch", lambda: _look(engine), _OF_WEBHOOKS)


async def _watch(name: str, look: Callable[[], Awaitable[None]], gauges: tuple[Gauge, ...]) -> None:
    """While nobody answers nothing is told: what was so before may be so no more."""
    patience = Patience(name)

    async def again() -> None:
        try:
            await look()
        except BaseException:
            for gauge in gauges:
                gauge.only({})
            raise
        patience.rewarded()
        await asyncio.sleep(EVERY)

    await patience.persist(again)


def _tell(lengths: Mapping[str, Length]) -> None:
    """By the full names of the queues."""
    queues, dead = dict[str, Length](), dict[str, Length]()
    for queue, length in lengths.items():
        if whose := named_by_queue(queue):
            name, is_dead = whose
            (dead if is_dead else queues)[name] = length
    _backlog.only({(name,): length.messages for name, length in queues.items()})
    _fullness.only({(name,): length.share for name, length in queues.items()})
    _consumers.only({(name,): length.consumers for name, length in queues.items()})
    _dead_letters.only({(name,): length.messages for name, length in dead.items()})
    _waiting.set(sum(length.messages or 0 for queue, length in lengths.items() if queue.startswith(PREFIX)))


async def _look(engine: AsyncEngine) -> None:
    async with database.session(engine) as session:
        states = await session.rows(
            "SELECT state, COALESCE(disabled_reason, ''), failing_since IS NOT NULL, COUNT(*), "
            "MAX(TIMESTAMPDIFF(MICROSECOND, failing_since, UTC_TIMESTAMP(6))) FROM cf_webhooks GROUP BY 1, 2, 3"
        )
        # counted by the index alone; who came first has the smallest id
        pending = await session.rows(
            "SELECT found.number, TIMESTAMPDIFF(MICROSECOND, first.held_at, UTC_TIMESTAMP(6)) FROM "
            "(SELECT COUNT(*) AS number, MIN(id) AS id FROM cf_webhook_deliveries WHERE state = 'held' "
            "AND webhook_id IN (SELECT id FROM cf_webhooks WHERE state = 'active')) AS found "
            "LEFT JOIN cf_webhook_deliveries AS first ON first.id = found.id"
        )
        dead = await session.rows("SELECT COUNT(*) FROM cf_webhook_deliveries WHERE state = 'dead'")
    found: dict[tuple[str | int, ...], float | None] = {(str(State.ACTIVE), ""): 0, ("failing", ""): 0}
    longest = 0.0
    for state, reason, fails, number, since in states:
        if state == State.ACTIVE and fails:
            state, longest = "failing", max(longest, since / 1e6)
        found[state, reason] = (found.get((state, reason)) or 0) + number
    _webhooks.only(found)
    _failing_for.set(longest)
    ((number, age),) = pending
    _pending.set(number)
    _oldest.set(max(0.0, (age or 0) / 1e6))
    _dead.set(dead[0][0])
