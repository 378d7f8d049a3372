"""From an integration event to a message that is to be sent."""

import sqlite3
from collections.abc import Callable
from datetime import datetime

from customerflow_consumer import Handlers
from customerflow_contract.cloud_event import CloudEvent
from customerflow_contract.events import CustomerEmailVerificationRequestedV1

from customerflow_notifications.pending import Message, Pending


def handlers(pending: Pending, clock: Callable[[], float]) -> Handlers[sqlite3.Connection]:
    made = Handlers[sqlite3.Connection]()

    # one that comes late may be of a code that was replaced: the command service is asked before each attempt
    @made.on(CustomerEmailVerificationRequestedV1, overtaken=True)
    async def requested(
        event: CustomerEmailVerificationRequestedV1, told: CloudEvent, transaction: sqlite3.Connection
    ) -> None:
        now = clock()
        message = Message(
            event=told.id,
            customer=event.customer_id,
            verification=event.verification_id,
            traceparent=told.traceparent if isinstance(told.traceparent, str) else None,
            noted_at=now,
            expires_at=datetime.fromisoformat(event.expires_at).timestamp(),
            due_at=now,
        )
        pending.add(transaction, message)

    return made
