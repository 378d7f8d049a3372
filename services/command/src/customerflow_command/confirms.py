"""Publishing many messages in one write, each confirmed by the broker.

aio-pika publishes one message at a time, which costs a task, a lock, three futures and a system call each: more than
everything else that the relay does for an event. This writes to aiormq's channel, one layer below, and leaves to it
what comes back: confirms, returned messages, a closed channel.
"""

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, Self, cast

import aiormq
from aio_pika.abc import AbstractChannel
from aiormq.abc import ChannelFrame
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader


class Closed(aiormq.exceptions.ChannelInvalidStateError):
    """Nothing more can be sent; the text is what the broker says about it."""


class Message(NamedTuple):
    routing_key: str
    properties: Basic.Properties
    body: bytes


class Confirmation:
    """Of one message. It stands where aiormq keeps a future for each, and is told as one."""

    __slots__ = ("_answered", "_sent", "confirmed", "error")

    def __init__(self, sent: "Sent") -> None:
        self._sent = sent
        self._answered = False
        self.confirmed = False
        self.error: BaseException | None = None

    def done(self) -> bool:
        return self._answered

    def cancelled(self) -> bool:
        return False

    def set_result(self, _: object) -> None:
        self.confirmed = True
        self._answer()

    def set_exception(self, error: BaseException) -> None:
        self.error = error
        self._answer()

    def _answer(self) -> None:
        self._answered = True
        self._sent.answered()


class Sent:
    """Messages that were written together. `over` is done when the broker has answered to each, and fails when the
    channel is closed before.
    """

    def __init__(self, over: asyncio.Future[None], messages: int) -> None:
        self.over = over
        self.confirmations = [Confirmation(self) for _ in range(messages)]
        self._unanswered = messages
        self._conclude()

    @property
    def error(self) -> BaseException | None:
        """What the channel was closed by."""
        return self.over.exception() if self.over.done() and not self.over.cancelled() else None

    def answered(self) -> None:
        self._unanswered -= 1
        self._conclude()

    def _conclude(self) -> None:
        if not self._unanswered and not self.over.done():
            self.over.set_result(None)


def _why_closed(channel: aiormq.Channel) -> str:
    closing = channel.closing
    reason = closing.exception() if closing.done() and not closing.cancelled() else None
    return str(reason) if isinstance(reason, aiormq.exceptions.ChannelClosed) else "closed"


class Publisher:
    """Publishes to one exchange, on a channel that nobody else publishes on. A message that no queue takes counts as
    refused; it is known by its id, so no two on their way may share one.
    """

    def __init__(self, channel: aiormq.Channel, exchange: str) -> None:
        self._channel = channel
        self._in_turn = asyncio.Lock()
        self._method = cache(lambda routing_key: self._marshal(Basic.Publish(0, exchange, routing_key, mandatory=True)))

    @classmethod
    async def open(cls, channel: AbstractChannel, exchange: str) -> Self:
        """The channel must have been opened with confirms, and with `on_return_raises`."""
        return cls(cast(aiormq.Channel, await channel.get_underlay_channel()), exchange)

    async def send(self, messages: Sequence[Message]) -> Sent:
        """Write the messages, in this order. If it raises, or is cancelled, nothing is written."""
        channel = self._channel
        payload = b"".join(map(self._frames, messages))
        async with self._in_turn:
            if channel.is_closed:
                raise Closed(_why_closed(channel))
            if messages:
                await channel.write_queue.put(ChannelFrame(payload, should_close=False))
            # no answer can have come yet: nothing else has run since the message was put
            sent = Sent(channel.create_future(), len(messages))
            confirmations = cast(dict[int, Any], channel.confirmations)
            for message, confirmation in zip(messages, sent.confirmations, strict=True):
                channel.delivery_tag += 1
                confirmations[channel.delivery_tag] = confirmation
                channel.message_id_delivery_tag[cast(str, message.properties.message_id)] = channel.delivery_tag
        sent.over.add_done_callback(lambda _: self._forget(messages))
        return sent

    def _forget(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._channel.message_id_delivery_tag.pop(cast(str, message.properties.message_id), None)

    def _frames(self, message: Message) -> bytes:
        body, size = message.body, self._channel.max_content_size
        return b"".join(
            (
                self._method(message.routing_key),
                self._marshal(ContentHeader(0, len(body), message.properties)),
                *(self._marshal(ContentBody(body[at : at + size])) for at in range(0, len(body), size)),
            )
        )

    def _marshal(self, part: Any) -> bytes:
        return frame.marshal(part, self._channel.number)
