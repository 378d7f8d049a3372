"""Publishing to one queue and no other: through the default exchange, confirmed, and returned if there is no queue."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, ChannelNotFoundEntity, DeliveryError, PublishError
from customerflow_contract.cloud_event import MEDIA_TYPE
from customerflow_shared import messaging, patience

from customerflow_partners.feed import Event

ROUTING_KEY = "customerflow-routing-key"
"""A header: by which key the event was published first, for here the key is the queue's name."""

# a quorum queue counts bodies; of a message that others have sent no more is known than that it is thin
LEAST_BYTES = 2048


class NoQueue(Exception):
    """The queue does not exist."""


class NotConfirmed(Exception):
    """The broker has not confirmed a message, or is away; what was sent may have arrived."""


class Publisher:
    """For one queue, over one connection."""

    def __init__(self, channel: AbstractChannel, queue: str) -> None:
        self._channel = channel
        self._queue = queue
        self._largest = LEAST_BYTES

    @classmethod
    async def open(cls, connection: AbstractConnection, queue: str) -> Self:
        # a message that is returned counts as failed only if it is asked for
        return cls(await connection.channel(publisher_confirms=True, on_return_raises=True), queue)

    async def room(self, arguments: Mapping[str, object], share: float) -> int:
        """How many messages it still takes until it is filled up to a share of the limits in its arguments: beyond them
        it would drop the oldest. Never less than one for an empty queue. Raises NoQueue, NotConfirmed.
        """
        with self._answered():
            declared = await self._channel.declare_queue(self._queue, passive=True, timeout=messaging.PUBLISH_TIMEOUT)
        ready = declared.declaration_result.message_count or 0
        limits = [
            limit // size
            for name, size in (("x-max-length", 1), ("x-max-length-bytes", self._largest))
            if isinstance(limit := arguments.get(name), int)
        ]
        return min(max(1, int(limit * share)) for limit in [*limits, 2**31]) - ready

    async def publish(self, events: Sequence[Event], headers: Mapping[str, str]) -> None:
        """All at the same time, so no two of one customer. Returns once all are confirmed.

        Raises NoQueue, NotConfirmed: then some may have arrived.
        """
        self._largest = max(self._largest, *(len(event.body) for event in events))
        sent = await asyncio.gather(*(self._publish(event, headers) for event in events), return_exceptions=True)
        failures = [one for one in sent if isinstance(one, BaseException)]
        for failure in sorted(failures, key=lambda one: not isinstance(one, NoQueue)):
            raise failure

    async def _publish(self, event: Event, headers: Mapping[str, str]) -> None:
        message = aio_pika.Message(
            event.body,
            content_type=MEDIA_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(event.id),
            headers={**headers, ROUTING_KEY: event.routing_key},
        )
        exchange = self._channel.default_exchange
        with self._answered():
            await exchange.publish(message, self._queue, mandatory=True, timeout=messaging.PUBLISH_TIMEOUT)

    @contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            yield
        except (PublishError, ChannelNotFoundEntity):
            raise NoQueue(f"the queue {self._queue} does not exist") from None
        except DeliveryError:
            raise NotConfirmed(f"the queue {self._queue} refuses a message") from None
        except (AMQPError, ChannelInvalidStateError, OSError, TimeoutError) as error:
            raise NotConfirmed(f"RabbitMQ does not answer: {type(error).__name__}") from None
        except asyncio.CancelledError:
            if patience.is_cancelled():
                raise
            raise NotConfirmed("RabbitMQ does not answer: the connection is lost") from None
