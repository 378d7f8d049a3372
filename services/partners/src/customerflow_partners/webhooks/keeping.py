"""Webhooks as an operator sees them: created, shown, changed, tested, mended, deleted."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import AMQPError
from customerflow_contract.cloud_event import SOURCE, TYPE_PREFIX
from customerflow_shared import messaging
from customerflow_shared.database import utc_now
from customerflow_shared.ids import uuid7
from customerflow_shared.messaging import BrokerUnavailable
from customerflow_shared.views import timestamp, unless_none
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_partners.webhooks import addresses, queues, signing
from customerflow_partners.webhooks.sending import Delivered, Failed, Outgoing, Sender
from customerflow_partners.webhooks.store import Counts, Delivery, NoWebhook, Reason, State, Store, Webhook

log = structlog.get_logger()

BROKER_SECONDS = 10.0
OVERLAP = 24 * 3600  # seconds in which two secrets sign
PING = f"{TYPE_PREFIX}webhook.ping"


class Changed(Exception):
    """Somebody else has changed it at the same time."""


class NoDelivery(Exception):
    """The webhook has no such delivery."""


class Told(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is missing has not happened, or is not known. `messages` wait in the queue; `held` deliveries are of
    `heldCustomers`, `dead` ones are not tried again by themselves.
    """

    id: UUID
    url: str
    routing_keys: tuple[str, ...]
    description: str
    state: State
    queue: str
    created_at: str
    held_customers: int
    held: int
    dead: int
    messages: int | UnsetType = UNSET
    old_secret_until: str | UnsetType = UNSET
    disabled_reason: Reason | UnsetType = UNSET
    disabled_at: str | UnsetType = UNSET
    failing_since: str | UnsetType = UNSET
    paused_until: str | UnsetType = UNSET
    last_success_at: str | UnsetType = UNSET
    last_failure_at: str | UnsetType = UNSET
    last_status: int | UnsetType = UNSET
    last_error: str | UnsetType = UNSET


class Secret(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Told once. `oldUntil`: the one before signs beside it until then."""

    secret: str
    old_until: str | UnsetType = UNSET

    def __repr__(self) -> str:
        return "Secret()"


class Created(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    webhook: Told
    secret: str

    def __repr__(self) -> str:
        return f"Created(webhook={self.webhook!r})"


class Pinged(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of a test event, and after how many milliseconds."""

    delivered: bool
    milliseconds: int
    status: int | UnsetType = UNSET
    error: str | UnsetType = UNSET


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, or of what is there what is to change."""

    url: str | UnsetType = UNSET
    routing_keys: tuple[str, ...] | UnsetType = UNSET
    description: str | UnsetType = UNSET


class Webhooks:
    """All may raise DatabaseUnavailable; those that say so BrokerUnavailable."""

    def __init__(self, engine: AsyncEngine, amqp_url: str, keys: signing.Keys, outgoing: Outgoing) -> None:
        self._store = Store(engine)
        self._amqp_url = amqp_url
        self._keys = keys
        self._outgoing = outgoing

    async def create(self, wish: Wish) -> Created:
        """When it returns, what happens from now on comes into its queue. Raises AddressRefused, BrokerUnavailable."""
        url, keys = wish.url or "", wish.routing_keys or ()
        await self._outgoing.addresses(addresses.target(url))
        identifier = uuid7()
        one = Webhook(
            id=identifier,
            url=url,
            routing_keys=keys,
            description=wish.description or "",
            state=State.CREATING,
            key_check=self._keys.check_of(identifier),
            created_at=utc_now(),
        )
        # should this be interrupted, a worker clears it away
        await self._store.add(one)
        try:
            async with self._channel() as channel:
                await queues.declare(channel, one.id, keys)
        except BrokerUnavailable:
            with suppress(NoWebhook):
                await self._store.change(one.id, {"state": State.DELETING})
            raise
        await self._store.change(one.id, {"state": State.ACTIVE})
        log.info("webhook created", webhook=str(one.id))
        created = _told(msgspec.structs.replace(one, state=State.ACTIVE), Counts(), 0)
        return Created(webhook=created, secret=self._secret(one.id, 1))

    async def listed(self) -> list[Told]:
        """By age; without what waits in their queues."""
        counts = await self._store.counts()
        return [_told(one, counts.get(one.id, Counts())) for one in await self._store.all()]

    async def show(self, webhook: UUID) -> Told:
        """Raises NoWebhook. If the broker does not answer, what waits in the queue is not told."""
        one = await self._store.find(webhook)
        counts = (await self._store.counts(webhook)).get(webhook, Counts())
        waiting: int | UnsetType = UNSET
        with suppress(BrokerUnavailable):
            async with self._channel() as channel:
                waiting = await queues.waiting(channel, webhook)
        return _told(one, counts, waiting)

    async def change(self, webhook: UUID, wish: Wish) -> Told:
        """A worker begins anew with it, and binds its queue, within seconds. Raises NoWebhook, AddressRefused,
        Changed.
        """
        one = await self._store.find(webhook)
        changes: dict[str, Any] = {}
        if wish.url is not UNSET and wish.url != one.url:
            await self._outgoing.addresses(addresses.target(wish.url))
            changes["url"] = wish.url
        if wish.routing_keys is not UNSET and wish.routing_keys != one.routing_keys:
            changes["routing_keys"] = wish.routing_keys
            stale = {*one.stale_keys, *one.routing_keys} - {*wish.routing_keys}
            changes["stale_keys"] = tuple(sorted(stale))
        if wish.description is not UNSET and wish.description != one.description:
            changes["description"] = wish.description
        if changes and not await self._store.change(webhook, changes, expected=one.revision):
            raise Changed
        return await self.show(webhook)

    async def enable(self, webhook: UUID) -> Told:
        """It goes on with what its queue still holds; what is held is tried at once. Raises NoWebhook."""
        await self._store.enable(webhook, utc_now())
        return await self.show(webhook)

    async def disable(self, webhook: UUID) -> Told:
        """Nothing is sent any more; its queue goes on, within its limits. Raises NoWebhook."""
        one = await self._store.find(webhook)
        if one.state is not State.DISABLED:
            state = {"state": State.DISABLED, "disabled_reason": Reason.ASKED, "disabled_at": utc_now()}
            await self._store.change(webhook, state)
        return await self.show(webhook)

    async def rotate(self, webhook: UUID, overlap: int = OVERLAP) -> Secret:
        """The one before signs for so many seconds more; one that did so until now no longer does. Raises NoWebhook,
        Changed.
        """
        one = await self._store.find(webhook)
        # with another master key the old secret cannot be made any more
        known = one.key_check == self._keys.check_of(webhook)
        until = utc_now() + timedelta(seconds=overlap) if overlap and known else None
        number = one.secret_number + 1
        changes = {"secret_number": number, "old_secret_until": until, "key_check": self._keys.check_of(webhook)}
        if not await self._store.change(webhook, changes, expected=one.revision):
            raise Changed
        return Secret(secret=self._secret(webhook, number), old_until=UNSET if until is None else timestamp(until))

    async def delete(self, webhook: UUID) -> None:
        """A worker deletes its queue and its deliveries. Raises NoWebhook."""
        one = await self._store.find(webhook)
        if one.state is not State.DELETING:
            await self._store.change(webhook, {"state": State.DELETING})

    async def ping(self, webhook: UUID) -> Pinged:
        """A test event, once, whatever the webhook's state; nothing is remembered of it. Raises NoWebhook."""
        one, now = await self._store.find(webhook), utc_now()
        event = uuid7()
        body = msgspec.json.encode(
            {
                "specversion": "1.0",
                "id": event,
                "type": PING,
                "source": SOURCE,
                "subject": webhook,
                "time": timestamp(now),
                "datacontenttype": "application/json",
                "data": {"webhookId": webhook},
            }
        )
        secrets = [self._keys.secret(webhook, number) for number in one.secret_numbers(now)]
        began = time.monotonic()
        sender = Sender(self._outgoing, one.url, 1)
        try:
            outcome = await sender.send(body, signing.headers(secrets, event, now, body), utc_now)
        finally:
            await sender.close()
        return Pinged(
            delivered=isinstance(outcome, Delivered),
            milliseconds=round((time.monotonic() - began) * 1000),
            status=unless_none(outcome.status),
            error=outcome.error if isinstance(outcome, Failed) else UNSET,
        )

    async def deliveries(self, webhook: UUID, state: str, after: int, limit: int) -> Sequence[Delivery]:
        """Oldest first. Raises NoWebhook."""
        await self._store.find(webhook)
        return await self._store.deliveries(webhook, state, after, limit)

    async def retry(self, webhook: UUID, delivery: int) -> None:
        """Raises NoWebhook, NoDelivery."""
        await self._store.find(webhook)
        if not await self._store.retry(webhook, delivery, utc_now()):
            raise NoDelivery

    async def retry_all(self, webhook: UUID) -> int:
        """How many deliveries, held and dead. Raises NoWebhook."""
        await self._store.find(webhook)
        return await self._store.retry_all(webhook, utc_now())

    async def discard(self, webhook: UUID, delivery: int, reason: str) -> Delivery:
        """It is not delivered, ever; the log keeps the reason. Raises NoWebhook, NoDelivery."""
        await self._store.find(webhook)
        if (found := await self._store.discard(webhook, delivery)) is None:
            raise NoDelivery
        log.warning(
            "delivery discarded",
            webhook=str(webhook),
            event_id=str(found.event_id),
            customer_id=str(found.customer_id),
            reason=reason,
        )
        return found

    def _secret(self, webhook: UUID, number: int) -> str:
        return signing.shown(self._keys.secret(webhook, number))

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        """Raises BrokerUnavailable."""
        try:
            # less than the time after which a worker clears away what has not been created whole
            async with asyncio.timeout(BROKER_SECONDS), messaging.connected(self._amqp_url, "partners") as connection:
                yield await connection.channel(publisher_confirms=False)
        except (AMQPError, OSError, TimeoutError) as error:
            log.warning("the broker does not answer, or refuses", kind=type(error).__name__)
            raise BrokerUnavailable from None


def _told(one: Webhook, counts: Counts, messages: int | UnsetType = UNSET) -> Told:
    known = {name: _shown(value) for name in _OPTIONAL if (value := getattr(one, name)) is not None}
    return Told(
        id=one.id,
        url=one.url,
        routing_keys=one.routing_keys,
        description=one.description,
        state=one.state,
        queue=queues.queue_of(one.id),
        created_at=timestamp(one.created_at),
        held_customers=counts.customers,
        held=counts.held,
        dead=counts.dead,
        messages=messages,
        **known,
    )


def _shown(value: Any) -> Any:
    return timestamp(value) if isinstance(value, datetime) else value


_OPTIONAL = (
    "old_secret_until",
    "disabled_reason",
    "disabled_at",
    "failing_since",
    "paused_until",
    "last_success_at",
    "last_failure_at",
    "last_status",
    "last_error",
)
