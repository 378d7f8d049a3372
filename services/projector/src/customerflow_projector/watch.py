"""What waits for the projection, measured beside it: messages in the queues of the shards, and customers that are
parked.
"""

import asyncio

from customerflow_shared import messaging, metrics
from customerflow_shared.patience import Patience

from customerflow_projector.read_model import ReadModel

EVERY = 5.0  # seconds

_queued = metrics.gauge(
    "customerflow.queue.backlog",
    "{message}",
    "Messages in a shard's queue that no projector has been given yet.",
    ["customerflow.shard"],
)
_parked = metrics.gauge(
    "customerflow.projection.parked", "{customer}", "Customers of the live read model whose events cannot be applied."
)


async def queues(amqp_url: str, replica: str) -> None:
    """Until cancelled, on a connection of its own: to ask for a queue that is gone closes a channel."""
    patience = Patience("queue watch")

    async def watch() -> None:
        try:
            async with messaging.connected(amqp_url, f"projector {replica} watch") as connection:
                channel = await (await connection.channel()).get_underlay_channel()
                while True:
                    for shard in range(messaging.SHARDS):
                        declared = await channel.queue_declare(messaging.shard_queue(shard), passive=True)
                        _queued.set(declared.message_count, shard)
                    patience.rewarded()
                    await asyncio.sleep(EVERY)
        finally:
            for shard in range(messaging.SHARDS):
                _queued.set(None, shard)

    await patience.persist(watch)


async def parked(model: ReadModel) -> None:
    """Until cancelled."""
    patience = Patience("parked watch")

    async def watch() -> None:
        try:
            _parked.set(await model.number_parked())
        except BaseException:
            _parked.set(None)
            raise
        patience.rewarded()
        await asyncio.sleep(EVERY)

    await patience.persist(watch)
