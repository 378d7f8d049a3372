"""Events as other systems hear them, and handlers to which an effect too many is visible."""

import sqlite3
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from customerflow_consumer import Handlers, SqliteInbox
from customerflow_consumer.testing import told
from customerflow_contract.cloud_event import CloudEvent
from customerflow_contract.events import (
    CustomerConsentChangedV1,
    CustomerErasureCancelledV1,
    CustomerRegisteredV1,
    CustomerUpdatedV1,
)

ANA, BRUNO, CECILIA = UUID(int=0xA00), UUID(int=0xB00), UUID(int=0xC00)
POISON = "poison"


def registered(customer: UUID, version: int = 1) -> CloudEvent:
    links: Any = {"self": f"/v1/customers/{customer}"}
    return told(
        CustomerRegisteredV1(
            customer_id=customer, version=version, type="person", status="active", external_ids=(), links=links
        )
    )


def consent(customer: UUID, version: int, state: Any = "granted", purpose: str = "marketing") -> CloudEvent:
    return told(
        CustomerConsentChangedV1(
            customer_id=customer,
            version=version,
            purpose=purpose,
            channel="email",
            state=state,
            captured_at="2026-11-23T12:00:00.000Z",
        )
    )


def updated(customer: UUID, version: int, *changed: str) -> CloudEvent:
    return told(CustomerUpdatedV1(customer_id=customer, version=version, changed=changed or ("name",)))


def unhandled(customer: UUID, version: int) -> CloudEvent:
    return told(CustomerErasureCancelledV1(customer_id=customer, version=version))


def life(customer: UUID, length: int) -> list[CloudEvent]:
    """A registration with two consents, which have its version, then updates; a version in three is not told."""
    first = [registered(customer), consent(customer, 1), consent(customer, 1, purpose="terms")]
    return first + [updated(customer, 2 + 3 * number) for number in range(length - len(first))]


SCHEMA = "CREATE TABLE IF NOT EXISTS heard (customer TEXT, what TEXT, times INTEGER, PRIMARY KEY (customer, what))"


class Heard(SqliteInbox):
    """Counts how often what was heard, and in which order."""

    def __init__(self, path: Any = ":memory:") -> None:
        super().__init__(path)
        self.connection.execute(SCHEMA)

    def of(self, customer: UUID) -> list[tuple[str, int]]:
        return self.connection.execute(
            "SELECT what, times FROM heard WHERE customer = ? ORDER BY rowid", (str(customer),)
        ).fetchall()

    def everything(self) -> object:
        return {
            customer: self.of(UUID(customer))
            for (customer,) in self.connection.execute("SELECT DISTINCT customer FROM heard ORDER BY customer")
        }


def as_heard(events: list[CloudEvent]) -> list[tuple[str, int]]:
    return [(str(event.id), 1) for event in events]


def counting(broken: Mapping[str, Exception] | None = None) -> Handlers[sqlite3.Connection]:
    """`broken` names what an update may be of that fails, for as long as it is in there."""
    handlers = Handlers[sqlite3.Connection]()

    async def count(event: object, told: CloudEvent, transaction: sqlite3.Connection) -> None:
        transaction.execute(
            "INSERT INTO heard VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
            (str(told.subject), str(told.id)),
        )

    async def count_update(event: CustomerUpdatedV1, told: CloudEvent, transaction: sqlite3.Connection) -> None:
        await count(event, told, transaction)
        for changed in event.changed:
            if broken and changed in broken:
                raise broken[changed]

    handlers.on(CustomerRegisteredV1)(count)
    handlers.on(CustomerConsentChangedV1)(count)
    handlers.on(CustomerUpdatedV1)(count_update)
    return handlers
