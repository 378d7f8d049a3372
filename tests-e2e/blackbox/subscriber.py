"""A subscriber as any team could write it: pika, which is blocking, and JSON. It uses nothing of CustomerFlow's."""

import logging
import threading
import time
from contextlib import closing
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import pika
from pika.exceptions import AMQPError

from blackbox.account import Delivery

EXCHANGE: Final = "customerflow.integration"
LOG: Final = "customerflow.integration.log"
DURABLE: Final = {"x-queue-type": "quorum"}
AGAIN_AFTER: Final = 0.2  # seconds, when the broker is away

logging.getLogger("pika").setLevel(logging.CRITICAL)  # it tells at length that a broker is away, which is known here

Arguments: TypeAlias = dict[str, Any]


class Subscriber:
    """Consumes one queue in a thread of its own, each message acknowledged once it is noted. When the broker is away,
    it connects again until it works.
    """

    def __init__(self, url: str, queue: str, consume: Arguments | None = None) -> None:
        self.deliveries: list[Delivery] = []
        self.connections = 0
        self.error: BaseException | None = None
        self._url = url
        self._queue = queue
        self._consume = consume
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=queue, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        """What it was given and has not acknowledged, the queue has again."""
        self._stopped.set()
        self._thread.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self.error is not None and error is None:
            raise self.error

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._take()
            except (AMQPError, OSError):
                time.sleep(AGAIN_AFTER)
            except BaseException as error:
                self.error = error
                return

    def _take(self) -> None:
        with closing(connected(self._url)) as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=500)
            self.connections += 1
            for method, properties, body in channel.consume(
                self._queue, inactivity_timeout=0.1, arguments=self._consume
            ):
                if method is not None:
                    headers = properties.headers or {}
                    self.deliveries.append(
                        Delivery(
                            time.time(),
                            body,
                            properties.message_id,
                            method.routing_key,
                            properties.content_type,
                            method.redelivered,
                            headers.get("x-stream-offset"),
                        )
                    )
                    channel.basic_ack(method.delivery_tag)
                if self._stopped.is_set():
                    return


def connected(url: str) -> Any:
    return pika.BlockingConnection(pika.URLParameters(url))


def subscribe(url: str, queue: str, arguments: Arguments, routing_key: str = "#") -> None:
    """An empty durable queue, bound to what CustomerFlow tells."""
    with closing(connected(url)) as connection:
        channel = connection.channel()
        channel.queue_delete(queue)
        channel.queue_declare(queue, durable=True, arguments=arguments)
        channel.queue_bind(queue, EXCHANGE, routing_key)


def unsubscribe(url: str, queue: str) -> None:
    with closing(connected(url)) as connection:
        connection.channel().queue_delete(queue)


def depth(url: str, queue: str) -> int:
    """How many messages wait in it."""
    with closing(connected(url)) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).method.message_count)


def read_log(url: str, start: int | datetime, *, quiet: float = 2.0, within: float = 120.0) -> list[Delivery]:
    """What the log has from an offset or a time on, until nothing more has come for `quiet` seconds. A time finds the
    chunk that it falls into, so a little before it comes too.
    """
    with Subscriber(url, LOG, {"x-stream-offset": start}) as reader:
        deadline, heard, since = time.monotonic() + within, 0, time.monotonic()
        while time.monotonic() < min(deadline, since + quiet):
            time.sleep(0.1)
            if len(reader.deliveries) > heard:
                heard, since = len(reader.deliveries), time.monotonic()
    return reader.deliveries


def log_end(url: str) -> int:
    """The offset that the next message in the log will have."""
    with Subscriber(url, LOG, {"x-stream-offset": "last"}) as reader:
        time.sleep(1.5)
    return 1 + max((one.offset for one in reader.deliveries if one.offset is not None), default=-1)
