"""Who may be sent marketing e-mail: a service that listens to CustomerFlow, complete.

    python marketing_list.py run                       until SIGTERM or SIGINT
    python marketing_list.py show                      the customers on the list
    python marketing_list.py parked                    those whose events could not be handled, and why
    python marketing_list.py retry                     handle them now; also while it runs
    python marketing_list.py discard CUSTOMER REASON   leave out the event that failed

AMQP_URL says where CustomerFlow's broker is (only `run` needs it), MARKETING_DB in which file the list is kept
(marketing.db), MARKETING_QUEUE which queue is consumed (marketing-list). The queue is declared, so events wait in it
while nothing runs; not so one that CustomerFlow's operator has made, customerflow.partner.<name>: its account may only
read. Install shared/contract and shared/consumer first.
"""

import argparse
import asyncio
import logging
import os
import signal
import sqlite3
from uuid import UUID

from customerflow_consumer import Consumer, Handlers, SqliteInbox, subscribe
from customerflow_contract.cloud_event import CloudEvent
from customerflow_contract.events import (
    CustomerConsentChangedV1,
    CustomerErasedV1,
    CustomerErasureCancelledV1,
    CustomerErasureRequestedV1,
    CustomerRegisteredV1,
    CustomerStatusChangedV1,
    IntegrationEventV1,
)

# What is known of a customer, each with the version it is from: what comes late never undoes what is newer, so that
# what was missed can be caught up on in any order. Of an erased customer only this is left.
TABLES = """
CREATE TABLE IF NOT EXISTS facts (
    customer TEXT, name TEXT, value TEXT, version INTEGER, PRIMARY KEY (customer, name)
);
CREATE VIEW IF NOT EXISTS marketing_list AS
    SELECT customer FROM facts GROUP BY customer HAVING
        max(name = 'consent' AND value = 'granted')
        AND max(name = 'status' AND value = 'active')
        AND NOT max(name = 'erasure' AND value != 'cancelled');
"""

GIVEN = "customerflow.partner."

handlers = Handlers[sqlite3.Connection]()


@handlers.on(CustomerRegisteredV1, overtaken=True)
async def registered(event: CustomerRegisteredV1, told: CloudEvent, transaction: sqlite3.Connection) -> None:
    know(transaction, event, "status", event.status)


@handlers.on(CustomerStatusChangedV1, overtaken=True)
async def status_changed(event: CustomerStatusChangedV1, told: CloudEvent, transaction: sqlite3.Connection) -> None:
    know(transaction, event, "status", event.current)


@handlers.on(CustomerConsentChangedV1, overtaken=True)
async def consent_changed(event: CustomerConsentChangedV1, told: CloudEvent, transaction: sqlite3.Connection) -> None:
    if (event.purpose, event.channel) == ("marketing", "email"):
        know(transaction, event, "consent", event.state)


@handlers.on(CustomerErasureRequestedV1, overtaken=True)
async def erasure_requested(
    event: CustomerErasureRequestedV1, told: CloudEvent, transaction: sqlite3.Connection
) -> None:
    know(transaction, event, "erasure", "requested")


@handlers.on(CustomerErasureCancelledV1, overtaken=True)
async def erasure_cancelled(
    event: CustomerErasureCancelledV1, told: CloudEvent, transaction: sqlite3.Connection
) -> None:
    know(transaction, event, "erasure", "cancelled")


@handlers.on(CustomerErasedV1, overtaken=True)
async def erased(event: CustomerErasedV1, told: CloudEvent, transaction: sqlite3.Connection) -> None:
    transaction.execute("DELETE FROM facts WHERE customer = ?", (str(event.customer_id),))
    know(transaction, event, "erasure", "erased")


def know(transaction: sqlite3.Connection, event: IntegrationEventV1, name: str, value: str) -> None:
    transaction.execute(
        "INSERT INTO facts SELECT :customer, :name, :value, :version"
        " WHERE NOT EXISTS (SELECT 1 FROM facts WHERE customer = :customer AND value = 'erased')"
        " ON CONFLICT DO UPDATE SET value = excluded.value, version = excluded.version"
        " WHERE excluded.version >= version",
        {"customer": str(event.customer_id), "name": name, "value": value, "version": event.version},
    )


def opened(path: str) -> SqliteInbox:
    """The inbox is in the same file as the list: an event is noted and has its effect in one transaction."""
    inbox = SqliteInbox(path)
    inbox.connection.executescript(TABLES)
    return inbox


def on_the_list(inbox: SqliteInbox) -> list[str]:
    return [customer for (customer,) in inbox.connection.execute("SELECT customer FROM marketing_list ORDER BY 1")]


async def run(consumer: Consumer[sqlite3.Connection]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, consumer.stop)
    await consumer.run()


async def main() -> None:
    parser = argparse.ArgumentParser(description="Who may be sent marketing e-mail")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("run", "show", "parked", "retry"):
        commands.add_parser(command)
    discard = commands.add_parser("discard")
    discard.add_argument("customer", type=UUID)
    discard.add_argument("reason")
    given = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # tells every lost connection with its whole traceback
    url = os.environ["AMQP_URL"] if given.command == "run" else ""
    queue = os.environ.get("MARKETING_QUEUE", "marketing-list")
    with opened(os.environ.get("MARKETING_DB", "marketing.db")) as inbox:
        consumer = Consumer(
            url,
            queue,
            handlers,
            inbox,
            declare=None
            if queue.startswith(GIVEN)
            else lambda channel: subscribe(channel, queue, handlers.routing_keys),
        )
        match given.command:
            case "run":
                await run(consumer)
            case "show":
                print(*on_the_list(inbox), sep="\n")
            case "retry":
                await consumer.retry_all()
            case "discard":
                await consumer.discard(given.customer, given.reason)
        if given.command in ("parked", "retry", "discard"):
            for parked in await consumer.parked():
                print(f"{parked.customer}: {parked.reason}, {parked.attempts} attempts, {parked.waiting} waiting")


if __name__ == "__main__":
    asyncio.run(main())
