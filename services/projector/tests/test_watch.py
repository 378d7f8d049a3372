"""What waits for the projection is measured beside it, and not told while it is not known."""

from functools import partial

import pytest
from customerflow_projector import watch
from customerflow_projector.read_model import Parked, ReadModel
from customerflow_shared import messaging, views
from redis.asyncio import Redis

from . import broker
from .builders import ANA, BRUNO, LONG_AGO, renamings
from .steps import running, until

GENERATION = f"{views.SCHEMA}-00000001"
SHARD = messaging.shard_of(ANA)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY", 0.05)


async def test_messages_that_wait_are_counted_by_shard_also_after_a_queue_was_gone(cf_amqp_url: str) -> None:
    async with broker.connected(cf_amqp_url) as queues:
        await queues.publish(renamings(ANA, 3))

        async def three() -> bool:
            return watch._queued.value(SHARD) == 3

        async def unknown() -> bool:
            return watch._queued.value(SHARD) is None

        async with running(partial(watch.queues, cf_amqp_url, "one")):
            await until(three)
            assert sum(watch._queued.value(shard) or 0 for shard in range(messaging.SHARDS)) == 3
            await queues.delete_queue(SHARD)
            await until(unknown)
            await messaging.declare(queues.channel)
            await queues.publish(renamings(ANA, 3))
            await until(three)
        assert watch._queued.value(SHARD) is None


async def test_parked_customers_of_the_live_read_model_are_counted(model: ReadModel, redis: Redis) -> None:
    async def told(expected: int | None) -> bool:
        return watch._parked.value() == expected

    entry = Parked(position=1, version=1, error="it is broken", attempts=1, since=LONG_AGO, attempted_at=LONG_AGO)
    async with running(partial(watch.parked, model)):
        await until(partial(told, None))  # there is no read model yet
        await redis.set(views.LIVE, GENERATION)
        await until(partial(told, 0))
        for customer_id in (ANA, BRUNO):
            await model.park(GENERATION, customer_id, entry)
        await until(partial(told, 2))
        await model.unpark(GENERATION, ANA, entry)
        await until(partial(told, 1))
