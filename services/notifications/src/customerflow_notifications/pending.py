"""Which messages are still to be sent: a table beside the inbox, so that an event is noted and has its message in one
transaction. It holds ids and times, nothing personal: address and code are fetched for each attempt.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from customerflow_consumer import SqliteInbox

TABLE = """
CREATE TABLE IF NOT EXISTS pending (
    event BLOB PRIMARY KEY, customer BLOB NOT NULL, verification BLOB NOT NULL, traceparent TEXT,
    noted_at REAL NOT NULL, expires_at REAL NOT NULL, due_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS pending_due ON pending (due_at);
"""
_NOBODY = UUID(int=0)


@dataclass(frozen=True, kw_only=True)
class Message:
    """Times are those of the clock on the wall, in seconds. `attempts` have failed."""

    event: UUID
    customer: UUID
    verification: UUID
    traceparent: str | None = None
    noted_at: float
    expires_at: float
    due_at: float
    attempts: int = 0


class Pending:
    def __init__(self, inbox: SqliteInbox) -> None:
        self._inbox = inbox
        inbox.connection.executescript(TABLE)

    def add(self, transaction: sqlite3.Connection, message: Message) -> None:
        transaction.execute(
            "INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                message.event.bytes,
                message.customer.bytes,
                message.verification.bytes,
                message.traceparent,
                message.noted_at,
                message.expires_at,
                message.due_at,
                message.attempts,
            ),
        )

    async def due(self, now: float, at_most: int) -> Sequence[Message]:
        """Those that have waited longest."""
        async with self._inbox.transaction(_NOBODY) as transaction:
            rows = transaction.execute(
                "SELECT event, customer, verification, traceparent, noted_at, expires_at, due_at, attempts FROM pending"
                " WHERE due_at <= ? ORDER BY due_at LIMIT ?",
                (now, at_most),
            ).fetchall()
        return [
            Message(
                event=UUID(bytes=event),
                customer=UUID(bytes=customer),
                verification=UUID(bytes=verification),
                traceparent=traceparent,
                noted_at=noted_at,
                expires_at=expires_at,
                due_at=due_at,
                attempts=attempts,
            )
            for event, customer, verification, traceparent, noted_at, expires_at, due_at, attempts in rows
        ]

    async def postpone(self, message: Message, due_at: float) -> None:
        async with self._inbox.transaction(message.customer) as transaction:
            transaction.execute(
                "UPDATE pending SET due_at = ?, attempts = attempts + 1 WHERE event = ?", (due_at, message.event.bytes)
            )

    async def remove(self, message: Message) -> None:
        async with self._inbox.transaction(message.customer) as transaction:
            transaction.execute("DELETE FROM pending WHERE event = ?", (message.event.bytes,))

    def count(self) -> int:
        return int(self._inbox.connection.execute("SELECT count(*) FROM pending").fetchone()[0])
