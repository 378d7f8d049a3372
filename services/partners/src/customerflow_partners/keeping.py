"""Subscriptions, created, shown and removed; all that is known of them is at the broker.

What is shown was so some seconds ago: RabbitMQ counts every five seconds.
"""

import asyncio
import secrets
import time
from collections import Counter
from datetime import UTC, datetime

import msgspec
import structlog
from customerflow_shared.views import timestamp, unless_none
from msgspec import UNSET, UnsetType

from customerflow_partners import ages
from customerflow_partners.management import DeadLetter, Management, Numbers, Snapshot
from customerflow_partners.subscriptions import (
    Found,
    Limits,
    Wish,
    asked_for,
    creation,
    dead_of,
    faults,
    is_ours,
    queue_of,
    removal,
    user_of,
)

log = structlog.get_logger()

LOOKED_AT = 100  # dead letters
_UNKNOWN = Numbers(None, None, None)


class NotSubscribed(Exception):
    """There is no subscription of this name."""


class Incomplete(Exception):
    """Parts of the subscription are missing or have been changed."""

    def __init__(self, told: list[str]) -> None:
        super().__init__("The subscription is incomplete: " + "; ".join(told))
        self.faults = told


class HasMessages(Exception):
    """How many messages would be lost; None: it is not known yet."""

    def __init__(self, messages: int | None, dead_letters: int | None) -> None:
        super().__init__(
            f"Messages would be lost: {_told(messages)} in the queue, {_told(dead_letters)} in the dead-letter queue"
        )
        self.messages = messages
        self.dead_letters = dead_letters


class Overtaken(Exception):
    """Somebody else has set another password at the same time; look at the subscription, and rotate its credentials."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Told once. Nobody keeps the password, RabbitMQ but its hash."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


class Subscription(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`faults` say why it cannot be used as it is; there are none if it is complete. Numbers that RabbitMQ has not
    counted yet are missing; `messages` are those that wait and those that are being handled.
    """

    name: str
    queue: str
    dead_letter_queue: str
    user: str
    faults: list[str]
    routing_keys: tuple[str, ...] | UnsetType = UNSET
    limits: Limits | UnsetType = UNSET
    messages: int | UnsetType = UNSET
    unacknowledged: int | UnsetType = UNSET
    consumers: int | UnsetType = UNSET
    dead_letters: int | UnsetType = UNSET


class Oldest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """For how many seconds the oldest message has been in the queue, by what came in and what is left."""

    at_least: int
    at_most: int | UnsetType = UNSET


class DeadLetters(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The oldest ones, without their content; `reasons` counts only these."""

    reasons: dict[str, int]
    oldest: list[DeadLetter]


class Inspection(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`connectedSince` is when the first of the partner's present connections was made."""

    subscription: Subscription
    oldest: Oldest | UnsetType = UNSET
    connections: int
    connected_since: str | UnsetType = UNSET
    dead: DeadLetters


class Created(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """With credentials if nobody could have had any before."""

    subscription: Subscription
    credentials: Credentials | UnsetType = UNSET


class Subscriptions:
    """All may raise what `Management` does."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._one_at_a_time = asyncio.Lock()

    async def create(self, wish: Wish) -> tuple[Created, bool]:
        """And whether anything was missing. Raises Conflict, Overtaken, Refused."""
        async with self._one_at_a_time:
            found = (await self._management.snapshot()).found.get(wish.name, Found())
            steps = creation(wish, found)
            credentials = _new(wish.name)
            for step in steps:
                await self._management.perform(step, credentials.password)
            if steps:
                log.info("subscribed", subscription=wish.name, routing_keys=wish.routing_keys)
            usable = found.user is not None and found.user.permission is not None
            if not usable:
                await self._check(credentials)
            subscription = await self._one(wish.name)
        return Created(subscription=subscription, credentials=UNSET if usable else credentials), bool(steps)

    async def rotate(self, name: str) -> Credentials:
        """Connections that were made with the old password stay open. Raises NotSubscribed, Incomplete, Overtaken,
        Refused.
        """
        async with self._one_at_a_time:
            if told := (await self._one(name)).faults:
                raise Incomplete(told)
            credentials = _new(name)
            await self._management.set_password(credentials.user, credentials.password)
            await self._check(credentials)
            log.info("credentials rotated", subscription=name)
        return credentials

    async def listed(self) -> list[Subscription]:
        """By name; what is incomplete among them."""
        snapshot = await self._management.snapshot()
        return [_shown(name, snapshot) for name, found in sorted(snapshot.found.items()) if is_ours(found)]

    async def inspect(self, name: str) -> Inspection:
        """Raises NotSubscribed."""
        subscription = await self._one(name)
        since = await self._management.connected_since(subscription.user)
        letters = await self._management.dead_letters(subscription.dead_letter_queue, LOOKED_AT)
        return Inspection(
            subscription=subscription,
            oldest=await self._oldest(subscription),
            connections=len(since),
            connected_since=timestamp(datetime.fromtimestamp(since[0], UTC)) if since else UNSET,
            dead=DeadLetters(reasons=dict(Counter(one.reason or "unknown" for one in letters)), oldest=letters),
        )

    async def remove(self, name: str, *, force: bool) -> None:
        """Raises NotSubscribed, HasMessages, Refused."""
        async with self._one_at_a_time:
            snapshot = await self._management.snapshot()
            found = _ours(name, snapshot)
            if not force:
                _check_empty(name, found, snapshot)
            for step in removal(name, found):
                await self._management.perform(step, "")
            log.info("subscription removed", subscription=name)

    async def _one(self, name: str) -> Subscription:
        snapshot = await self._management.snapshot()
        _ours(name, snapshot)
        return _shown(name, snapshot)

    async def _check(self, credentials: Credentials) -> None:
        if not await self._management.has_password(credentials.user, credentials.password):
            raise Overtaken

    async def _oldest(self, subscription: Subscription) -> Oldest | UnsetType:
        history = await self._management.history(subscription.queue)
        age = ages.of_oldest(*history, subscription.messages or 0, time.time())
        if age is None:
            return UNSET
        return Oldest(at_least=int(age.at_least), at_most=UNSET if age.at_most is None else int(age.at_most))


def _new(name: str) -> Credentials:
    return Credentials(user=user_of(name), password=secrets.token_urlsafe(32))


def _ours(name: str, snapshot: Snapshot) -> Found:
    found = snapshot.found.get(name, Found())
    if not is_ours(found):
        raise NotSubscribed
    return found


def _shown(name: str, snapshot: Snapshot) -> Subscription:
    found = snapshot.found[name]
    wish = asked_for(name, found.queue) if found.queue else None
    numbers = snapshot.numbers.get(queue_of(name), _UNKNOWN)
    dead = snapshot.numbers.get(dead_of(name), _UNKNOWN)
    return Subscription(
        name=name,
        queue=queue_of(name),
        dead_letter_queue=dead_of(name),
        user=user_of(name),
        faults=faults(name, found),
        routing_keys=wish.routing_keys if wish else UNSET,
        limits=wish.limits if wish else UNSET,
        messages=unless_none(_all(numbers)),
        unacknowledged=unless_none(numbers.unacknowledged),
        consumers=unless_none(numbers.consumers),
        dead_letters=unless_none(_all(dead)),
    )


def _check_empty(name: str, found: Found, snapshot: Snapshot) -> None:
    """What is not known counts as something."""
    messages = _all(snapshot.numbers.get(queue_of(name), _UNKNOWN)) if found.queue else 0
    dead = _all(snapshot.numbers.get(dead_of(name), _UNKNOWN)) if found.dead else 0
    if (messages, dead) != (0, 0):
        raise HasMessages(messages, dead)


def _all(numbers: Numbers) -> int | None:
    if numbers.ready is None or numbers.unacknowledged is None:
        return None
    return numbers.ready + numbers.unacknowledged


def _told(number: int | None) -> str:
    return "an unknown number" if number is None else str(number)
