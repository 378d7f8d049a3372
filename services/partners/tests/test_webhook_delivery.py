"""From the broker to receivers: in order per customer, whatever a receiver does, and nothing lost."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from uuid import UUID

import aio_pika
import pytest
from customerflow_local.testing import Database
from customerflow_partners.webhooks import queues, schedule, serving, signing, worker
from customerflow_partners.webhooks.sending import Outgoing
from customerflow_partners.webhooks.serving import Limits
from customerflow_partners.webhooks.store import Counts, Reason, State

from .receiver import Forged, Received, Respond, hang, raw, receiving, status, taking, verified
from .webhook_world import MASTER, World, customers, until
from .webhook_world import world as worlds


@pytest.fixture
async def world(migrated: Database, cf_amqp_url: str) -> AsyncIterator[World]:
    async with worlds(migrated, cf_amqp_url) as made:
        yield made


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths of them."""
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(serving, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(serving, "IDLE_LOOK_EVERY", 0.2)
    monkeypatch.setattr(schedule, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(schedule, "DELAYS", (0.3, 0.5, 1))
    monkeypatch.setattr(schedule, "ATTEMPTS", 4)


async def test_events_are_delivered_in_order_per_customer_and_signed(world: World) -> None:
    async def sometimes_slow(_: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(random.random() * 0.02)
        await status(204)(_, writer)

    async with receiving() as receiver:
        receiver.respond = taking(sometimes_slow)
        one = await world.webhook(receiver.url)
        everybody = customers(10)
        async with world.worker():
            await world.tell(*random.choices(everybody, k=200))
            await until(lambda: world.everything(receiver.taken))
            assert len(receiver.seen) == 200
            assert world.in_order(receiver.seen)
            assert receiver.overlaps == 0
            assert 1 < receiver.most_at_once <= 8
        assert await world.backlog(one) == 0
        for seen in receiver.seen:
            verified(signing.shown(world.keys.secret(one.id, 1)), seen.headers, seen.body)
            assert seen.headers["webhook-id"] == seen.event["id"]
        found = await world.store.find(one.id)
        assert found.last_success_at is not None
        assert found.failing_since is None


async def test_only_what_is_asked_for_is_delivered(world: World) -> None:
    async with receiving() as receiver:
        await world.webhook(receiver.url, ["customer.erased.v1"])
        (ana,) = customers(1)
        async with world.worker():
            await world.tell(ana, key="customer.updated.v1")
            await world.tell(ana, key="customer.erased.v1")
            await until(lambda: len(receiver.seen) == 1)
            await asyncio.sleep(0.2)
        assert [one.event["type"] for one in receiver.seen] == ["io.customerflow.customer.erased.v1"]


@pytest.mark.parametrize("answer", [status(500), status(404), raw(b"rubbish"), raw(b""), status(302, "Location: /")])
async def test_what_fails_of_one_customer_holds_back_that_customer_only(world: World, answer: Respond) -> None:
    ana, *others = customers(6)
    poisoned = True

    async def respond(request: Received, writer: asyncio.StreamWriter) -> None:
        if poisoned and request.customer == str(ana) and request.number == 2:
            await answer(request, writer)
        else:
            await taking()(request, writer)

    async with receiving() as receiver:
        receiver.respond = respond
        one = await world.webhook(receiver.url)
        async with world.worker():
            await world.tell(*[ana, *others] * 4)
            await until(lambda: len([seen for seen in receiver.taken if seen.customer != str(ana)]) == 20)
            await until(lambda: _are(world, one.id, Counts(1, 3, 0)))
            assert await world.backlog(one) == 0
            assert len([seen for seen in receiver.taken if seen.customer == str(ana)]) == 1
            poisoned = False
            await until(lambda: world.everything(receiver.taken))
            assert world.in_order(receiver.taken)
            assert receiver.overlaps == 0
            await until(lambda: _are(world, one.id, Counts()))
            # nothing is held any more: what comes is delivered at once
            await world.tell(ana)
            await until(lambda: world.everything(receiver.taken))
            assert world.in_order(receiver.taken)


async def test_after_the_last_attempt_a_delivery_is_dead_and_the_ones_behind_it_go_on(world: World) -> None:
    (ana,) = customers(1)
    poisoned = True

    async def respond(request: Received, writer: asyncio.StreamWriter) -> None:
        if poisoned and request.number == 1:
            await status(422)(request, writer)
        else:
            await taking()(request, writer)

    async with receiving() as receiver:
        receiver.respond = respond
        one = await world.webhook(receiver.url)
        async with world.worker():
            await world.tell(ana, ana, ana)
            await until(lambda: len(receiver.taken) == 2)
            assert [seen.number for seen in receiver.seen] == [1] * schedule.ATTEMPTS + [2, 3]
            await until(lambda: _are(world, one.id, Counts(0, 0, 1)))
            (dead,) = await world.store.deliveries(one.id, "dead", 0, 10)
            assert (dead.event_id, dead.attempts, dead.last_status) == (world.sent[ana][0], 4, 422)
            poisoned = False
            assert await world.store.retry(one.id, dead.id, world.clock())
            await until(lambda: len(receiver.taken) == 3)
            await until(lambda: _are(world, one.id, Counts()))


async def _are(world: World, webhook: UUID, counts: Counts) -> bool:
    return (await world.store.counts()).get(webhook, Counts()) == counts


async def _paused(world: World, webhook: UUID) -> bool:
    return (await world.store.find(webhook)).failures > 0


async def test_a_webhook_that_nobody_answers_at_is_probed_and_its_queue_keeps_the_backlog(world: World) -> None:
    async with receiving() as gone:
        port = gone.port
    one = await world.webhook(gone.url)
    everybody = customers(20)
    async with world.worker():
        await world.tell(*everybody * 5)
        await until(lambda: _paused(world, one.id))
        await asyncio.sleep(1.0)
        assert await world.counts(one) == Counts()
        found = await world.store.find(one.id)
        assert found.last_error == "not-connected"
        assert found.failing_since is not None
        assert found.failures < 6, "it is probed ever more rarely"
        await until(lambda: _is(world.backlog(one), 100))
        async with receiving(port=port) as receiver:
            await until(lambda: world.everything(receiver.taken))
            assert len(receiver.seen) == 100
            assert world.in_order(receiver.seen)
            found = await world.store.find(one.id)
            assert (found.failures, found.failing_since, found.paused_until) == (0, None, None)


async def _is(number: Awaitable[int], expected: int) -> bool:
    return await number == expected


async def test_a_receiver_that_fails_for_everybody_fills_the_queue_and_not_the_table(world: World) -> None:
    async with receiving() as receiver:
        receiver.respond = status(500)
        one = await world.webhook(receiver.url)
        async with world.worker(Limits(concurrency=2)):
            await world.tell(*customers(100))
            await until(lambda: _paused(world, one.id))
            await asyncio.sleep(1.5)
            counts = await world.counts(one)
            assert 5 <= counts.held <= 15, "a few, and one for each probe"
            assert len(receiver.seen) <= 20
            receiver.respond = taking()
            await until(lambda: world.everything(receiver.taken))
            await until(lambda: _are(world, one.id, Counts()))
            assert len(receiver.taken) == 100


async def test_whoever_has_it_tried_again_need_not_wait_for_the_end_of_a_pause(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "FIRST_PAUSE", 600.0)
    async with receiving() as receiver:
        receiver.respond = status(500)
        one = await world.webhook(receiver.url)
        async with world.worker():
            await world.tell(*customers(10))
            await until(lambda: _paused(world, one.id))
            receiver.respond = taking()
            await asyncio.sleep(0.5)
            assert receiver.taken == []
            assert await world.store.retry_all(one.id, world.clock()) >= 5
            await until(lambda: world.everything(receiver.taken))


async def test_retry_after_is_honoured(world: World) -> None:
    async with receiving() as receiver:
        receiver.respond = status(429, "Retry-After: 1")
        one = await world.webhook(receiver.url)
        async with world.worker():
            await world.tell(*customers(3))
            await until(lambda: _paused(world, one.id))
            at_first = len(receiver.seen)
            assert at_first <= 3
            await asyncio.sleep(0.7)
            assert len(receiver.seen) == at_first
            assert await world.counts(one) == Counts()
            receiver.respond = taking()
            await until(lambda: world.everything(receiver.taken))


async def test_a_receiver_that_wants_nothing_more_is_disabled_at_once(world: World) -> None:
    async with receiving() as receiver:
        receiver.respond = status(410)
        one = await world.webhook(receiver.url)
        async with world.worker(Limits(concurrency=1)):
            await world.tell(*customers(3))
            await until(lambda: _disabled(world, one.id))
            found = await world.store.find(one.id)
            assert found.disabled_reason is Reason.GONE
            assert found.disabled_at is not None
            await asyncio.sleep(0.5)
            assert len(receiver.seen) == 1
            await until(lambda: _is(world.backlog(one), 3))
            await world.tell(*customers(1))
            receiver.respond = taking()
            await world.store.enable(one.id, world.clock())
            await until(lambda: world.everything(receiver.taken))
            assert len(receiver.taken) == 4


async def _disabled(world: World, webhook: UUID) -> bool:
    return (await world.store.find(webhook)).state is State.DISABLED


async def test_a_webhook_that_fails_for_days_is_disabled_and_says_so(world: World) -> None:
    async with receiving() as receiver:
        receiver.respond = status(503)
        one = await world.webhook(receiver.url)
        (ana,) = customers(1)
        async with world.worker(Limits(disable_after=timedelta(days=5))):
            await world.tell(ana)
            await until(lambda: _is_failing(world, one.id))
            world.clock.ahead += timedelta(days=4, hours=23)
            so_far = len(receiver.seen)
            await until(lambda: len(receiver.seen) > so_far)
            assert not await _disabled(world, one.id)
            world.clock.ahead += timedelta(hours=2)
            await until(lambda: _disabled(world, one.id))
            found = await world.store.find(one.id)
            assert found.disabled_reason is Reason.FAILING
            assert found.disabled_at is not None
            assert found.failing_since is not None
            assert timedelta(days=5) <= found.disabled_at - found.failing_since < timedelta(days=5, hours=2)
            so_far = len(receiver.seen)
            await world.tell(*customers(3))
            await asyncio.sleep(0.5)
            assert len(receiver.seen) == so_far


async def _is_failing(world: World, webhook: UUID) -> bool:
    return (await world.store.find(webhook)).failing_since is not None


async def test_one_success_begins_the_days_anew(world: World) -> None:
    ana, bruno, cecilia = customers(3)

    async def respond(request: Received, writer: asyncio.StreamWriter) -> None:
        await (status(500) if request.customer != str(bruno) else taking())(request, writer)

    async with receiving() as receiver:
        receiver.respond = respond
        one = await world.webhook(receiver.url)
        async with world.worker():
            await world.tell(ana)
            await until(lambda: _is_failing(world, one.id))
            world.clock.ahead += timedelta(days=4)
            await world.tell(bruno)
            await until(lambda: len(receiver.taken) == 1)
            world.clock.ahead += timedelta(days=4)
            await world.tell(cecilia)
            await until(lambda: any(seen.customer == str(cecilia) for seen in receiver.seen))
            await until(lambda: _is_failing(world, one.id))
            assert not await _disabled(world, one.id)


async def test_one_receiver_that_hangs_delays_no_other(world: World) -> None:
    async with receiving() as hanging, receiving() as receiver:
        hanging.respond = hang
        await world.webhook(hanging.url)
        await world.webhook(receiver.url)
        everybody = customers(30)
        async with world.worker(Limits(concurrency=2)):
            await world.tell(*everybody * 3)
            await until(lambda: world.everything(receiver.taken), seconds=5)
            assert len(hanging.seen) == 2, "and it is asked no more than so many times at once"
            hanging.respond = status(500)
            for task in [*hanging.tasks]:
                task.cancel()


async def test_rotated_secrets_sign_side_by_side_until_the_old_one_ends(world: World) -> None:
    (ana,) = customers(1)
    async with receiving() as receiver:
        one = await world.webhook(receiver.url)
        old, new = (signing.shown(world.keys.secret(one.id, number)) for number in (1, 2))
        async with world.worker():
            await world.tell(ana)
            await until(lambda: len(receiver.seen) == 1)
            until_when = world.clock() + timedelta(hours=24)
            await world.store.change(one.id, {"secret_number": 2, "old_secret_until": until_when})
            await asyncio.sleep(0.5)
            await world.tell(ana)
            await until(lambda: len(receiver.seen) == 2)
            world.clock.ahead += timedelta(hours=25)
            await world.tell(ana)
            await until(lambda: len(receiver.seen) == 3)
        first, both, last = receiver.seen
        verified(old, first.headers, first.body)
        verified(old, both.headers, both.body)
        verified(new, both.headers, both.body)
        ahead = int(last.headers["webhook-timestamp"])
        verified(new, last.headers, last.body, at=ahead)
        with pytest.raises(Forged):
            verified(old, last.headers, last.body, at=ahead)


async def test_a_webhook_whose_secrets_are_of_another_master_key_is_not_served(world: World) -> None:
    async with receiving() as receiver:
        one = await world.webhook(receiver.url)
        world.keys = signing.Keys(MASTER[::-1])
        async with world.worker():
            await world.tell(*customers(2))
            await asyncio.sleep(0.5)
        assert receiver.seen == []
        assert await world.backlog(one) == 2


async def test_a_private_address_that_is_not_allowed_gets_nothing(world: World) -> None:
    async with receiving() as receiver:
        one = await world.webhook(receiver.url.replace("http://", "https://"))
        world.outgoing = Outgoing()
        async with world.worker():
            await world.tell(*customers(2))
            await until(lambda: _paused(world, one.id))
        assert receiver.connections == 0
        assert (await world.store.find(one.id)).last_error == "address-not-public"
        assert await world.backlog(one) == 2


async def test_a_changed_url_and_changed_keys_are_followed(world: World) -> None:
    (ana,) = customers(1)
    async with receiving() as before, receiving() as after:
        one = await world.webhook(before.url, ["customer.updated.v1"])
        async with world.worker():
            await world.tell(ana)
            await until(lambda: len(before.seen) == 1)
            changes = {
                "url": after.url,
                "routing_keys": ("customer.erased.v1",),
                "stale_keys": ("customer.updated.v1",),
            }
            await world.store.change(one.id, changes)
            await until(lambda: _has_no_stale_keys(world, one.id))
            await world.tell(ana, key="customer.updated.v1")
            await world.tell(ana, key="customer.erased.v1")
            await until(lambda: len(after.seen) == 1)
            assert len(before.seen) == 1
            assert after.seen[0].event["type"] == "io.customerflow.customer.erased.v1"


async def _has_no_stale_keys(world: World, webhook: UUID) -> bool:
    return not (await world.store.find(webhook)).stale_keys


async def test_a_queue_that_is_lost_is_made_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "DECLARE_EVERY", 0.3)
    (ana,) = customers(1)
    async with receiving() as receiver:
        one = await world.webhook(receiver.url)
        async with world.worker():
            await world.tell(ana)
            await until(lambda: len(receiver.seen) == 1)
            await queues.delete(world.channel, one.id)
            await asyncio.sleep(1.0)
            await world.tell(ana)
            await until(lambda: len(receiver.seen) == 2)
            # a disabled one keeps its queue too
            await world.store.change(one.id, {"state": State.DISABLED})
            await asyncio.sleep(0.5)
            await queues.delete(world.channel, one.id)
            await asyncio.sleep(1.0)
            await world.tell(ana)
            await world.store.enable(one.id, world.clock())
            await until(lambda: len(receiver.seen) == 3)


async def test_a_deleted_webhook_is_gone_with_its_queue(world: World) -> None:
    async with receiving() as receiver:
        one = await world.webhook(receiver.url)
        async with world.worker():
            await world.tell(*customers(1))
            await until(lambda: len(receiver.seen) == 1)
            await world.store.change(one.id, {"state": State.DELETING})
            await until(lambda: _is_gone(world, one.id))
        probe = await world.connection.channel()
        with pytest.raises(Exception, match="NOT_FOUND"):
            await probe.declare_queue(queues.queue_of(one.id), passive=True)


async def _is_gone(world: World, webhook: UUID) -> bool:
    return webhook not in {row.id for row in await world.store.all()}


async def test_what_is_no_event_is_dropped_and_the_others_flow_on(world: World) -> None:
    async with receiving() as receiver:
        one = await world.webhook(receiver.url)
        for body in (
            b"",
            b"\xff",
            b"{}",
            b"[]",
            b'{"id":1,"subject":2,"type":3}',
            b'{"id":"x","subject":"y","type":""}',
        ):
            await world.channel.default_exchange.publish(aio_pika.Message(body), queues.queue_of(one.id))
        async with world.worker():
            await world.tell(*customers(3))
            await until(lambda: world.everything(receiver.taken))
        assert len(receiver.seen) == 3
        assert await world.backlog(one) == 0


async def test_two_workers_never_deliver_two_events_of_a_customer_at_once_and_one_takes_over(world: World) -> None:
    async def slow(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        await taking()(request, writer)

    async with receiving() as receiver, receiving() as second_receiver:
        receiver.respond = second_receiver.respond = slow
        await world.webhook(receiver.url)
        await world.webhook(second_receiver.url)
        everybody = customers(10)
        async with world.worker():
            async with world.worker():
                await world.tell(*random.choices(everybody, k=100))
                await until(lambda: world.everything(receiver.taken) and world.everything(second_receiver.taken))
                await world.tell(*random.choices(everybody, k=100))
                await asyncio.sleep(0.1)  # in the middle of it one goes
            await world.tell(*random.choices(everybody, k=100))
            await until(lambda: world.everything(receiver.taken) and world.everything(second_receiver.taken))
        for each in (receiver, second_receiver):
            assert each.overlaps == 0
            assert world.in_order(each.seen)
            assert len(each.seen) == 300, "whoever goes in good order repeats nothing"


async def test_a_lost_connection_to_the_broker_loses_nothing(world: World) -> None:
    async with receiving() as receiver:
        one = await world.webhook(receiver.url)
        everybody = customers(10)
        async with world.worker() as running:
            for _ in range(5):
                await world.tell(*random.choices(everybody, k=40))
                await asyncio.sleep(0.05)
                connection = running._connection
                assert connection is not None
                await connection.close()
                await asyncio.sleep(0.3)
            await until(lambda: world.everything(receiver.taken))
            assert world.in_order(receiver.seen)
            assert receiver.overlaps == 0
        assert await world.backlog(one) == 0


async def test_a_table_that_is_full_stops_what_comes_and_not_what_is_retried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST_HELD", 20)
    monkeypatch.setattr(schedule, "DELAYS", (0.3,) * 1000)
    ana, bruno = customers(2)
    broken = True

    async def respond(request: Received, writer: asyncio.StreamWriter) -> None:
        await (status(500) if broken and request.customer == str(ana) else taking())(request, writer)

    async with receiving() as receiver:
        receiver.respond = respond
        one = await world.webhook(receiver.url)
        async with world.worker():
            for _ in range(10):
                await world.tell(*[ana] * 40, bruno)
                await asyncio.sleep(0.1)
            await asyncio.sleep(1.0)
            held = (await world.counts(one)).held
            assert 20 <= held <= 20 + 2 * serving.PREFETCH
            assert await world.backlog(one) > 0
            broken = False
            await until(lambda: world.everything(receiver.taken))
            assert world.in_order(receiver.taken)
