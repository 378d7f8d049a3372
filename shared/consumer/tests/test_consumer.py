"""On a real broker: whatever is cut, killed or poisoned, each event has one effect, in its customer's order."""

import asyncio
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from customerflow_consumer import Consumer, Handlers, Outcome, Retries, subscribe
from customerflow_consumer.testing import deliveries
from customerflow_contract.cloud_event import CloudEvent, encode
from customerflow_contract.events import CustomerUpdatedV1

from .broker import Partner, partner, running, until, wired
from .events import ANA, BRUNO, POISON, Heard, as_heard, consent, counting, life, registered, unhandled, updated

QUICK = Retries(attempts=3, first_pause=0.01)
LIVES = [life(UUID(int=number), 25) for number in range(1, 21)]
INTERLEAVED = [event for told_together in zip(*LIVES, strict=True) for event in told_together]


@pytest.fixture
async def ours(cf_amqp_url: str) -> AsyncIterator[Partner]:
    async with partner(cf_amqp_url) as it:
        yield it


def complete(inbox: Heard, lives: list[list[CloudEvent]]) -> bool:
    return all(inbox.of(life[0].subject) == as_heard(life) for life in lives)


async def test_what_is_told_has_one_effect_in_order_and_is_acknowledged(cf_amqp_url: str, ours: Partner) -> None:
    told = deliveries(INTERLEAVED, random.Random(6))
    await ours.tell(told)
    with Heard() as inbox:
        consumer = Consumer(cf_amqp_url, ours.queue, counting(), inbox)
        async with running(consumer):
            await until(lambda: consumer.counts.total() == len(told))
        assert complete(inbox, LIVES)
        assert consumer.counts == {Outcome.APPLIED: len(INTERLEAVED), Outcome.DUPLICATE: len(told) - len(INTERLEAVED)}
        assert len(told) > len(INTERLEAVED)
        assert not consumer.connected
    await ours.settles(0)


async def test_a_connection_that_is_cut_again_and_again_changes_nothing(
    cf_amqp_url: str, ours: Partner, tmp_path: Path
) -> None:
    """Of what is in hand the acknowledgements are lost, so it comes again."""
    await ours.tell(INTERLEAVED)
    with Heard(tmp_path / "heard.db") as inbox:
        async with wired(cf_amqp_url) as wire:
            consumer = Consumer(wire.url, ours.queue, counting(), inbox)
            async with running(consumer):
                for count in range(60, 360, 60):
                    await until(lambda count=count: consumer.counts[Outcome.APPLIED] >= count)  # type: ignore[misc]
                    wire.cut()
                await until(lambda: complete(inbox, LIVES))
        assert wire.connections > 5
    await ours.settles(0)


async def test_a_queue_that_is_deleted_is_declared_and_consumed_again(cf_amqp_url: str, ours: Partner) -> None:
    with Heard() as inbox:
        consumer = Consumer(
            cf_amqp_url, ours.queue, counting(), inbox, declare=lambda channel: subscribe(channel, ours.queue, ["#"])
        )
        async with running(consumer):
            await until(lambda: consumer.connected)
            await ours.channel.queue_delete(ours.queue)

            async def there_again() -> bool:
                await ours.tell([registered(BRUNO)])
                return inbox.of(BRUNO) != []

            await until(there_again)
            await ours.tell(LIVES[0])
            await until(lambda: complete(inbox, LIVES[:1]))


async def test_a_poison_event_parks_one_customer_and_others_go_on(cf_amqp_url: str, ours: Partner) -> None:
    broken: dict[str, Exception] = {POISON: ValueError()}
    poisoned = [registered(ANA), updated(ANA, 2, POISON), *(updated(ANA, version) for version in range(3, 9))]
    with Heard() as inbox:
        consumer = Consumer(cf_amqp_url, ours.queue, counting(broken), inbox, retries=QUICK)
        async with running(consumer):
            await ours.tell(poisoned[:5])
            await ours.tell(INTERLEAVED[:100])
            await until(lambda: consumer.counts.total() == 105)
            assert consumer.counts[Outcome.APPLIED] == 101
            assert inbox.of(ANA) == as_heard(poisoned[:1])
            (parked,) = await consumer.parked()
            assert (parked.customer, parked.attempts, parked.waiting) == (ANA, 3, 4)
            assert not await consumer.retry(ANA)
            broken.clear()
            retried, _ = await asyncio.gather(consumer.retry_all(), ours.tell(poisoned[5:]))
            assert retried == []
            await until(lambda: inbox.of(ANA) == as_heard(poisoned))
    await ours.settles(0)


async def test_while_one_customer_is_tried_again_others_do_not_wait(cf_amqp_url: str, ours: Partner) -> None:
    slow = Retries(attempts=50, first_pause=60, longest_pause=60)
    with Heard() as inbox:
        consumer = Consumer(cf_amqp_url, ours.queue, counting({POISON: ValueError()}), inbox, retries=slow)
        async with running(consumer):
            await ours.tell([updated(ANA, 1, POISON), updated(ANA, 2)])
            await ours.tell(INTERLEAVED[:40])
            await until(lambda: consumer.counts[Outcome.APPLIED] == 40, within=5)
    await ours.settles(2)  # what was tried goes back to the queue


async def test_of_what_is_no_event_the_sender_may_look_at_what_was_refused(
    cf_amqp_url: str, ours: Partner, caplog: pytest.LogCaptureFixture
) -> None:
    body = encode(updated(ANA, 1)).replace(b'"name"', b"Ana Souza")
    endless = encode(updated(ANA, 2)).replace(f"{2:020d}".encode(), b"9" * 20)
    with Heard() as inbox:
        consumer = Consumer(cf_amqp_url, ours.queue, counting(), inbox)
        async with running(consumer):
            for bad in (body, b"", endless):
                await ours.tell_body(bad, "customer.updated.v1")
            await ours.tell([registered(ANA)])
            await until(lambda: consumer.counts.total() == 4)
            assert (consumer.counts[Outcome.REFUSED], consumer.counts[Outcome.APPLIED]) == (3, 1)

        async def all_refused() -> bool:
            return await ours.waiting(f"{ours.queue}.refused") == 3

        await until(all_refused)
    assert [await ours.refused() for _ in range(3)] == [body, b"", endless]
    assert "Ana Souza" not in caplog.text
    assert caplog.text.count("refused, as it is no event") == 3


async def test_a_type_that_is_not_known_is_said_once_and_holds_nobody_up(
    cf_amqp_url: str, ours: Partner, caplog: pytest.LogCaptureFixture
) -> None:
    newer = encode(updated(ANA, 1)).replace(b"customer.updated.v1", b"customer.updated.v2")
    with Heard() as inbox:
        consumer = Consumer(cf_amqp_url, ours.queue, counting(), inbox)
        async with running(consumer):
            for _ in range(3):
                await ours.tell_body(newer, "customer.updated.v2")
                await ours.tell([unhandled(ANA, 1)])
            await ours.tell([registered(ANA)])
            await until(lambda: consumer.counts.total() == 7)
        assert (consumer.counts[Outcome.UNKNOWN], consumer.counts[Outcome.UNHANDLED]) == (3, 3)
    assert caplog.text.count("events of type customer.updated.v2") == 1
    assert caplog.text.count("events of type io.customerflow.customer.erasure_cancelled.v1") == 1
    await ours.settles(0)


async def test_stopping_finishes_what_is_in_hand_and_leaves_the_rest(cf_amqp_url: str, ours: Partner) -> None:
    handlers, begun = Handlers[sqlite3.Connection](), asyncio.Event()

    @handlers.on(CustomerUpdatedV1)
    async def _(event: CustomerUpdatedV1, told: CloudEvent, transaction: sqlite3.Connection) -> None:
        begun.set()
        await asyncio.sleep(0.5)
        transaction.execute("INSERT INTO heard VALUES (?, ?, 1)", (str(told.subject), str(told.id)))

    events = [updated(ANA, version) for version in range(1, 4)]
    await ours.tell(events)
    with Heard() as inbox:
        async with running(Consumer(cf_amqp_url, ours.queue, handlers, inbox)):
            await begun.wait()
        assert inbox.of(ANA) == as_heard(events[:1])
        await ours.settles(2)  # one is acknowledged
        async with running(Consumer(cf_amqp_url, ours.queue, handlers, inbox)):
            await until(lambda: inbox.of(ANA) == as_heard(events))


async def test_stopping_at_any_moment_loses_nothing(cf_amqp_url: str, ours: Partner, tmp_path: Path) -> None:
    chance = random.Random(6)
    await ours.tell(INTERLEAVED)
    rounds = 0
    with Heard(tmp_path / "heard.db") as inbox:
        while not complete(inbox, LIVES):
            consumer = Consumer(cf_amqp_url, ours.queue, counting(), inbox)
            async with running(consumer):
                await until(lambda consumer=consumer: consumer.connected)  # type: ignore[misc]
                await asyncio.sleep(chance.random() / 4)
            assert consumer.counts[Outcome.DUPLICATE] == 0, "all that was done was acknowledged"
            rounds += 1
    assert rounds > 1
    await ours.settles(0)


async def test_who_stands_by_takes_over_in_order(cf_amqp_url: str, ours: Partner) -> None:
    """It would not, if the one that stops cancelled its consumer before it has let go of what it was given."""
    handlers = Handlers[sqlite3.Connection]()

    @handlers.on(CustomerUpdatedV1)
    async def _(event: CustomerUpdatedV1, told: CloudEvent, transaction: sqlite3.Connection) -> None:
        await asyncio.sleep(0.05)
        transaction.execute("INSERT INTO heard VALUES (?, ?, 1)", (str(told.subject), str(told.id)))

    events = [updated(ANA, version) for version in range(1, 31)]
    with Heard() as inbox:
        first, second = (Consumer(cf_amqp_url, ours.queue, handlers, inbox, prefetch=8) for _ in range(2))
        async with running(first):
            await until(lambda: first.connected)
            async with running(second):
                await until(lambda: second.connected)
                await ours.tell(events)
                await until(lambda: first.counts.total() == 3)
                first.stop()
                await until(lambda: inbox.of(ANA) == as_heard(events))
        assert second.counts[Outcome.OVERTAKEN] == 0
    await ours.settles(0)


async def test_without_a_broker_it_goes_on_trying_and_can_be_stopped(
    cf_amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "customerflow_consumer")
    with Heard() as inbox:
        async with running(consumer := Consumer(cf_amqp_url, "there-is-none", counting(), inbox)):
            await asyncio.sleep(1)
            assert not consumer.connected
        (said,) = ours_said(caplog)
        assert said.startswith("interrupted, beginning again: ChannelNotFoundEntity in ")


def ours_said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "customerflow_consumer"]


PROCESS = """
import asyncio, os, signal, sys
from aio_pika.message import IncomingMessage
from customerflow_consumer import Consumer
from events import Heard, counting

url, queue, path, kill_at = sys.argv[1:]
left = int(kill_at)
acknowledge = IncomingMessage.ack

async def die(message, multiple=False):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    await acknowledge(message, multiple)

IncomingMessage.ack = die

async def main():
    consumer = Consumer(url, queue, counting(), Heard(path))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.stop)
    await consumer.run()

asyncio.run(main())
"""


async def test_a_process_that_is_killed_between_commit_and_acknowledgement_has_had_one_effect(
    cf_amqp_url: str, ours: Partner, tmp_path: Path
) -> None:
    path = tmp_path / "heard.db"
    await ours.tell(INTERLEAVED)

    async def killed(at: int) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROCESS, cf_amqp_url, ours.queue, str(path), str(at), cwd=Path(__file__).parent
        )
        async with asyncio.timeout(30):
            return await process.wait()

    for at in (1, 7, 20):
        assert await killed(at) == -signal.SIGKILL
    with Heard(path) as inbox:
        noted = inbox.connection.execute("SELECT count(*) FROM customerflow_inbox").fetchone()[0]
        assert noted > 25, "more than was acknowledged"
        consumer = Consumer(cf_amqp_url, ours.queue, counting(), inbox)
        async with running(consumer):
            await until(lambda: complete(inbox, LIVES))
        assert consumer.counts[Outcome.DUPLICATE] > 0
    await ours.settles(0)


async def test_another_process_retries_while_the_consumer_runs(cf_amqp_url: str, ours: Partner, tmp_path: Path) -> None:
    """What is told meanwhile waits behind what is being retried, or comes after it."""
    path, broken = tmp_path / "heard.db", {POISON: ValueError()}
    events = [updated(ANA, 1, POISON), *(updated(ANA, version) for version in range(2, 60))]
    with Heard(path) as inbox, Heard(path) as operators:
        consumer = Consumer(cf_amqp_url, ours.queue, counting(broken), inbox, retries=QUICK)
        async with running(consumer):
            await ours.tell(events[:30])
            await until(lambda: consumer.counts.total() == 30)
            telling = asyncio.create_task(ours.tell(events[30:]))
            mended = Consumer(cf_amqp_url, ours.queue, counting(), operators)
            assert await mended.retry(ANA)
            await telling
            await until(lambda: inbox.of(ANA) == as_heard(events))
        assert await mended.parked() == []


def test_the_kit_needs_nothing_else_of_customerflow() -> None:
    """In a process of its own, as the tests have imported all there is."""
    script = (
        "import sys, customerflow_consumer, customerflow_consumer.testing;"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'customerflow_shared', 'litestar', 'structlog'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == ""


async def test_consents_of_a_registration_arrive_with_it(cf_amqp_url: str, ours: Partner) -> None:
    events = [registered(ANA), consent(ANA, 1), consent(ANA, 1, purpose="terms")]
    with Heard() as inbox:
        async with running(Consumer(cf_amqp_url, ours.queue, counting(), inbox, prefetch=1)):
            await ours.tell(events)
            await until(lambda: inbox.of(ANA) == as_heard(events))
