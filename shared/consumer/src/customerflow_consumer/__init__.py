"""Listening to CustomerFlow: typed events, one effect each, in order per customer, and nothing lost."""

from customerflow_consumer.consumer import Consumer
from customerflow_consumer.deliveries import Outcome, Retries
from customerflow_consumer.handlers import Handlers, TryLater
from customerflow_consumer.inbox import Entry, Inbox, Parked, Standing
from customerflow_consumer.queues import subscribe
from customerflow_consumer.sqlite import SqliteInbox

__all__ = [
    "Consumer",
    "Entry",
    "Handlers",
    "Inbox",
    "Outcome",
    "Parked",
    "Retries",
    "SqliteInbox",
    "Standing",
    "TryLater",
    "subscribe",
]
