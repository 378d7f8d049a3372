"""Webhooks and their held deliveries, in a real database."""

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from customerflow_local.testing import Database
from customerflow_partners.webhooks.sending import Failed
from customerflow_partners.webhooks.store import (
    Event,
    LeaseLost,
    NoWebhook,
    Reason,
    Served,
    State,
    Store,
    Webhook,
)
from customerflow_shared import database
from customerflow_shared.ids import uuid7
from customerflow_shared.views import timestamp
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

NOW = datetime(2026, 11, 22, 15, 4, 5, 123_000, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
ANA, BRUNO = uuid7(), uuid7()
REFUSED = Failed("status", 500)


@pytest.fixture
async def engine(migrated: Database) -> AsyncIterator[AsyncEngine]:
    engine = database.open_engine(migrated.url)
    yield engine
    await engine.dispose()


@pytest.fixture
def store(engine: AsyncEngine) -> Store:
    return Store(engine)


def webhook(**changes: Any) -> Webhook:
    one = Webhook(
        id=uuid7(),
        url="https://example.com/hook?a=%20b&c='\"\\",
        routing_keys=("customer.#", "customer.erased.v1"),
        description="Ana's — 🎉 'quoted' %s",
        state=State.ACTIVE,
        key_check=secrets.token_bytes(16),
        created_at=NOW,
    )
    return replace(one, **changes)


def event(customer: UUID) -> Event:
    return Event(uuid7(), customer, "io.customerflow.customer.updated.v1", b'{"a":"\\u00e9%\x00\xff"}')


async def served(store: Store, engine: AsyncEngine, one: Webhook | None = None, holder: str = "w1") -> Served:
    one = one or webhook()
    await store.add(one)
    assert await store.take(one.id, holder)
    return Served(engine, one.id, (await store.renew(holder))[one.id])


async def test_a_webhook_is_kept_as_it_is(store: Store) -> None:
    every = webhook(
        old_secret_until=LATER,
        secret_number=2,
        disabled_reason=Reason.FAILING,
        disabled_at=NOW,
        failing_since=NOW,
        paused_until=LATER,
        last_success_at=NOW,
        last_failure_at=NOW,
        last_status=503,
        last_error="status",
        stale_keys=("customer.merged.v1",),
    )
    for one in (webhook(), every):
        await store.add(one)
        assert await store.find(one.id) == one
        assert one in await store.all()
    with pytest.raises(NoWebhook):
        await store.find(uuid7())


def test_the_old_secret_signs_beside_the_new_one_for_its_time() -> None:
    assert webhook().secret_numbers(NOW) == [1]
    rotated = webhook(secret_number=2, old_secret_until=LATER)
    assert rotated.secret_numbers(NOW) == [2, 1]
    assert rotated.secret_numbers(LATER) == [2]


async def test_a_change_is_a_new_revision(store: Store) -> None:
    one = webhook()
    await store.add(one)
    await store.change(one.id, {"url": "https://example.org/", "routing_keys": ("customer.*.v1",)})
    found = await store.find(one.id)
    assert (found.url, found.routing_keys, found.revision) == ("https://example.org/", ("customer.*.v1",), 2)
    with pytest.raises(NoWebhook):
        await store.change(uuid7(), {"url": ""})
    await store.change(one.id, {"state": State.DELETING})
    with pytest.raises(NoWebhook):
        await store.change(one.id, {"state": State.ACTIVE})


async def test_stale_keys_are_forgotten_only_if_nothing_has_changed_since(store: Store) -> None:
    one = webhook(stale_keys=("customer.merged.v1",))
    await store.add(one)
    await store.change(one.id, {"stale_keys": ("customer.merged.v1", "customer.erased.v1")})
    await store.unbound(one)
    assert (await store.find(one.id)).stale_keys == ("customer.merged.v1", "customer.erased.v1")
    await store.unbound(await store.find(one.id))
    assert (await store.find(one.id)).stale_keys == ()


async def test_one_worker_serves_a_webhook_at_a_time_and_another_takes_over_what_is_free(
    store: Store, engine: AsyncEngine
) -> None:
    one = webhook()
    await store.add(one)
    assert await store.take(one.id, "w1")
    assert not await store.take(one.id, "w2")
    token = (await store.renew("w1"))[one.id]
    assert one.id not in await store.renew("w2")
    await store.give_back(one.id, token)
    assert await store.take(one.id, "w2")
    assert (await store.renew("w2"))[one.id] == token + 1
    await store.give_back(one.id, token)  # too late: it is another's
    assert not await store.take(one.id, "w1")
    async with database.session(engine) as session:
        await session.run("UPDATE cf_webhooks SET lease_until = UTC_TIMESTAMP(6) WHERE id = %s", (one.id.bytes,))
        await session.commit()
    assert await store.take(one.id, "w1")
    assert one.id not in await store.renew("w2")


async def test_one_that_is_being_created_is_nobodys(store: Store) -> None:
    one = webhook(state=State.CREATING)
    await store.add(one)
    assert not await store.take(one.id, "w1")


@pytest.mark.parametrize("state", [State.DISABLED, State.DELETING])
async def test_only_an_active_webhook_is_served_though_somebody_keeps_its_queue(
    store: Store, engine: AsyncEngine, state: State
) -> None:
    mine = await served(store, engine, webhook(state=state))
    with pytest.raises(LeaseLost):
        await mine.begin(1)


async def test_one_that_has_been_changed_is_begun_anew(store: Store, engine: AsyncEngine) -> None:
    one = webhook()
    mine = await served(store, engine, one)
    assert await mine.begin(1) == set()
    await store.change(one.id, {"url": "https://example.org/"})
    with pytest.raises(LeaseLost):
        await mine.begin(1)
    assert await mine.begin(2) == set()


async def test_what_waits_of_a_customer_comes_back_in_order_and_whole(store: Store, engine: AsyncEngine) -> None:
    mine = await served(store, engine)
    first, second, other = event(ANA), event(ANA), event(BRUNO)
    await mine.hold(first, NOW, REFUSED, LATER)
    await mine.hold(second, NOW)
    await mine.hold(other, NOW, REFUSED, LATER + timedelta(seconds=1))
    assert await mine.begin(1) == {ANA, BRUNO}
    assert await mine.due(NOW, 10) == ([], 3)
    assert await mine.due(LATER, 10) == ([ANA], 3)
    assert await mine.due(LATER + timedelta(hours=1), 1) == ([ANA], 3)
    held = await mine.first(ANA)
    assert held is not None
    assert (held.event, held.attempts, held.due) == (first, 1, LATER)
    await mine.forget(held.id)
    held = await mine.first(ANA)
    assert held is not None
    assert (held.event, held.attempts, held.due) == (second, 0, None)
    # nobody has tried it yet, so it is its turn at once, also if whoever delivered the one before has died since
    assert await mine.due(NOW, 10) == ([ANA], 2)
    await mine.forget(held.id)
    assert await mine.first(ANA) is None
    assert await mine.begin(1) == {BRUNO}


async def test_what_comes_again_is_held_once(store: Store, engine: AsyncEngine) -> None:
    mine = await served(store, engine)
    first, second = event(ANA), event(ANA)
    await mine.hold(first, NOW, REFUSED, LATER)
    await mine.hold(second, NOW)
    await mine.hold(first, LATER)
    await mine.hold(second, LATER, REFUSED, LATER)
    held = await mine.first(ANA)
    assert held is not None
    assert (held.event, held.attempts, held.due) == (first, 1, LATER)
    assert (await mine.due(NOW, 10))[1] == 2


async def test_a_failure_postpones_and_the_last_one_buries(store: Store, engine: AsyncEngine) -> None:
    one = webhook()
    mine = await served(store, engine, one)
    first, second = event(ANA), event(ANA)
    await mine.hold(first, NOW, REFUSED, NOW)
    await mine.hold(second, NOW)
    held = await mine.first(ANA)
    assert held is not None
    await mine.postpone(held, NOW, Failed("timeout"), LATER)
    (told, _) = await store.deliveries(one.id, "held", 0, 10)
    assert (told.attempts, told.next_attempt_at) == (2, timestamp(LATER))
    assert (told.last_error, told.last_status) == ("timeout", None)
    held = await mine.first(ANA)
    assert held is not None
    await mine.postpone(held, LATER, REFUSED, None)
    (dead,) = await store.deliveries(one.id, "dead", 0, 10)
    assert (dead.event_id, dead.attempts, dead.next_attempt_at, dead.last_status) == (first.id, 3, None, 500)
    assert (await store.counts())[one.id] == (1, 1, 1)
    assert (await store.counts(one.id)) == {one.id: (1, 1, 1)}
    assert (await store.counts(uuid7())) == {}
    behind = await mine.first(ANA)
    assert behind is not None
    assert behind.event == second


async def test_what_is_dead_may_be_tried_again_or_be_discarded(store: Store, engine: AsyncEngine) -> None:
    one = webhook()
    mine = await served(store, engine, one)
    events = [event(customer) for customer in (ANA, BRUNO, uuid7())]
    for each in events:
        await mine.hold(each, NOW, REFUSED, NOW)
        held = await mine.first(each.customer)
        assert held is not None
        await mine.postpone(held, NOW, REFUSED, None)
    first, second, third = await store.deliveries(one.id, "dead", 0, 10)
    assert await store.deliveries(one.id, "dead", first.id, 1) == [second]
    assert await store.retry(one.id, first.id, LATER)
    held = await mine.first(ANA)
    assert held is not None
    assert (held.event, held.attempts, held.due) == (events[0], 0, LATER)
    assert await store.discard(one.id, second.id) == second
    assert await store.discard(one.id, second.id) is None
    assert not await store.retry(one.id, second.id, LATER)
    assert not await store.retry(uuid7(), third.id, LATER)
    assert await store.retry_all(one.id, LATER) == 2
    assert await store.deliveries(one.id, "dead", 0, 10) == []
    assert (await mine.due(LATER, 10))[0] == [ANA, events[2].customer]
    # what was dead and is delivered once more, by a replay, is held again if it fails again
    held = await mine.first(ANA)
    assert held is not None
    await mine.postpone(held, NOW, REFUSED, None)
    await mine.hold(events[0], NOW, REFUSED, LATER)
    again = await mine.first(ANA)
    assert again is not None
    assert (again.event, again.attempts) == (events[0], 1)


async def test_whoever_is_taken_over_writes_nothing_more(store: Store, engine: AsyncEngine) -> None:
    one = webhook()
    mine = await served(store, engine, one)
    await mine.hold(event(ANA), NOW, REFUSED, LATER)
    held = await mine.first(ANA)
    assert held is not None
    token = (await store.renew("w1"))[one.id]
    await store.give_back(one.id, token)
    assert await store.take(one.id, "w2")
    before = await store.find(one.id), await store.deliveries(one.id, "held", 0, 10)
    for write in (
        mine.begin(1),
        mine.hold(event(BRUNO), NOW),
        mine.forget(held.id),
        mine.postpone(held, NOW, REFUSED, None),
        mine.failed(NOW, REFUSED),
    ):
        with pytest.raises(LeaseLost):
            await write
    await mine.succeeded(NOW, 204)
    await mine.paused(3, LATER)
    await mine.disable(Reason.GONE, NOW)
    assert (await store.find(one.id), await store.deliveries(one.id, "held", 0, 10)) == before


async def test_since_when_a_webhook_fails_is_remembered_until_its_next_success(
    store: Store, engine: AsyncEngine
) -> None:
    one = webhook()
    mine = await served(store, engine, one)
    assert await mine.failed(NOW, Failed("timeout")) == NOW
    assert await mine.failed(LATER, REFUSED) == NOW
    await mine.paused(2, LATER)
    found = await store.find(one.id)
    assert (found.failing_since, found.last_failure_at, found.last_error, found.last_status) == (
        NOW,
        LATER,
        "status",
        500,
    )
    assert (found.failures, found.paused_until, found.revision) == (2, LATER, 1)
    await mine.succeeded(LATER, 204)
    found = await store.find(one.id)
    assert (found.failing_since, found.failures, found.paused_until) == (None, 0, None)
    assert (found.last_success_at, found.last_status, found.last_error) == (LATER, 204, None)


async def test_a_webhook_is_disabled_with_its_reason_and_enabled_as_if_it_had_never_failed(
    store: Store, engine: AsyncEngine
) -> None:
    one = webhook()
    mine = await served(store, engine, one)
    await mine.hold(event(ANA), NOW, REFUSED, LATER + timedelta(days=1))
    await mine.failed(NOW, REFUSED)
    await mine.disable(Reason.FAILING, LATER)
    found = await store.find(one.id)
    assert (found.state, found.disabled_reason, found.disabled_at) == (State.DISABLED, Reason.FAILING, LATER)
    await store.enable(one.id, LATER)
    found = await store.find(one.id)
    assert (found.state, found.disabled_reason, found.disabled_at) == (State.ACTIVE, None, None)
    assert (found.failing_since, found.failures, found.paused_until, found.revision) == (None, 0, None, 3)
    assert await mine.due(LATER, 10) == ([ANA], 1)
    await store.enable(one.id, LATER)  # it is already
    with pytest.raises(NoWebhook):
        await store.enable(uuid7(), LATER)


async def test_what_is_deleted_is_gone_with_its_deliveries(store: Store, engine: AsyncEngine) -> None:
    one = webhook()
    mine = await served(store, engine, one)
    await mine.hold(event(ANA), NOW)
    await store.delete(one.id)
    await store.delete(one.id)
    with pytest.raises(NoWebhook):
        await store.find(one.id)
    assert one.id not in await store.counts()
    with pytest.raises(LeaseLost):
        await mine.hold(event(ANA), NOW)
