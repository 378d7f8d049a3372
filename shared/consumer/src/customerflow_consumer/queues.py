"""A queue of one's own, for whoever may declare one; others are given theirs."""

from collections.abc import Iterable

from aio_pika.abc import AbstractChannel

EXCHANGE = "customerflow.integration"
LIMIT = 1_000_000_000  # bytes
REFUSED_LIMIT = 10_000  # messages


async def subscribe(channel: AbstractChannel, queue: str, routing_keys: Iterable[str]) -> None:
    """Create the queue if it is missing, and bind it; what is not wanted any more stays bound. Raises if CustomerFlow
    has not declared its exchange yet.

    One consumer of it is active at a time, or no order would hold; further ones stand by. When it is full it drops what
    is oldest, for refusing would stop CustomerFlow. What is refused or dropped goes to the queue `<queue>.refused`.
    """
    refused = f"{queue}.refused"
    await channel.declare_queue(
        refused,
        durable=True,
        arguments={"x-queue-type": "quorum", "x-max-length": REFUSED_LIMIT, "x-overflow": "drop-head"},
    )
    declared = await channel.declare_queue(
        queue,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-single-active-consumer": True,
            "x-max-length-bytes": LIMIT,
            "x-overflow": "drop-head",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": refused,
            # it comes back whenever its consumer dies, and that is no fault of the message; RabbitMQ 4 would say 20
            "x-delivery-limit": 1000,
        },
    )
    for routing_key in routing_keys:
        await declared.bind(EXCHANGE, routing_key)
