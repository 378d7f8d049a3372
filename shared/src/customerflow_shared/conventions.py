"""What OpenTelemetry's semantic conventions name, and more than one program does: to ask a database, to send and to
take messages.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from opentelemetry.trace import SpanKind, Tracer, get_current_span

from customerflow_shared import metrics, telemetry

_asked = metrics.histogram(
    "db.client.operation.duration",
    "s",
    "From a question to the database's answer.",
    ["db.system.name", "db.operation.name", "db.collection.name", "error.type"],
)
CONNECTIONS: Final = metrics.gauge(
    "db.client.connection.count",
    "{connection}",
    "Connections of a pool, by what they do.",
    ["db.client.connection.pool.name", "db.client.connection.state"],
)
MOST_CONNECTIONS: Final = metrics.gauge(
    "db.client.connection.max",
    "{connection}",
    "Connections that a pool may have.",
    ["db.client.connection.pool.name"],
)
SENT: Final = metrics.counter(
    "messaging.client.sent.messages",
    "{message}",
    "Messages that were handed to the broker.",
    ["messaging.destination.name"],
    {"messaging.system": "rabbitmq", "messaging.operation.name": "publish"},
)
SEND_SECONDS: Final = metrics.histogram(
    "messaging.client.operation.duration",
    "s",
    "From the sending of messages together to the broker's answer to the last of them.",
    ["messaging.destination.name", "error.type"],
    {"messaging.system": "rabbitmq", "messaging.operation.name": "publish"},
)
CONSUMED: Final = metrics.counter(
    "messaging.client.consumed.messages",
    "{message}",
    "Messages that the broker has given, repetitions included.",
    ["messaging.destination.template"],
    {"messaging.system": "rabbitmq", "messaging.operation.name": "consume"},
)
PROCESS_SECONDS: Final = metrics.histogram(
    "messaging.process.duration",
    "s",
    "What messages that were taken together have taken together.",
    ["messaging.destination.template", "error.type"],
    {"messaging.system": "rabbitmq", "messaging.operation.name": "process"},
)


@contextmanager
def asking(tracer: Tracer, system: str, operation: str, collection: str = "", *, batch: int = 0) -> Iterator[None]:
    """Measure a question to a database, with a span in whatever traces it is asked for; `batch`: how many there are in
    one. It has no text, for that may hold anybody's values.
    """
    begun, error = perf_counter(), ""
    try:
        if not get_current_span().is_recording():
            yield
            return
        attributes: dict[str, str | int] = {"db.system.name": system, "db.operation.name": operation}
        if collection:
            attributes["db.collection.name"] = collection
        if batch:
            attributes["db.operation.batch.size"] = batch
        name = f"{operation} {collection}".rstrip()
        with telemetry.shared(tracer, name, kind=SpanKind.CLIENT, attributes=attributes):
            yield
    except BaseException as failure:
        error = type(failure).__name__
        raise
    finally:
        measure(perf_counter() - begun, system, operation, collection, error)


def measure(seconds: float, system: str, operation: str, collection: str = "", error: str = "") -> None:
    """Of a question that no trace is to show."""
    _asked.record(seconds, system, operation, collection, error)
