"""The inbox in SQLite, beside the tables of whoever listens."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from customerflow_consumer.inbox import Entry, Parked, Standing

TABLE = """
CREATE TABLE IF NOT EXISTS customerflow_inbox (
    place INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, customer BLOB NOT NULL, sequence INTEGER NOT NULL,
    body BLOB, attempts INTEGER NOT NULL, reason TEXT NOT NULL, noted_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS customerflow_inbox_done ON customerflow_inbox (customer, sequence) WHERE body IS NULL;
CREATE INDEX IF NOT EXISTS customerflow_inbox_waiting ON customerflow_inbox (customer, place) WHERE body IS NOT NULL;
"""


class SqliteInbox:
    """SQLite has one writer, so there is one connection, and one transaction at a time. Its beginning and its commit
    may wait, for another process or for the disk, and do so in a thread; the statements between are short and run
    where the handler does. A handler that waits for something else holds up all customers, not only its own.
    """

    def __init__(self, path: str | Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")  # what is acknowledged outlives a power cut
        self.connection.executescript(TABLE)
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self, customer: UUID) -> AsyncIterator[sqlite3.Connection]:
        async with self._one_at_a_time:
            try:
                await self._execute("BEGIN IMMEDIATE")
                yield self.connection
                await self._execute("COMMIT")
            finally:
                self.connection.rollback()  # nothing, after the commit

    async def _execute(self, statement: str) -> None:
        """Lasts as long as the statement does, even if cancelled: nobody else may use the connection meanwhile."""
        executing = asyncio.create_task(asyncio.to_thread(self.connection.execute, statement))
        cancelled: asyncio.CancelledError | None = None
        while not executing.done():
            try:
                await asyncio.wait([executing])
            except asyncio.CancelledError as error:
                cancelled = error
        failure = executing.exception()
        if cancelled or failure:
            raise cancelled or failure  # type: ignore[misc]  # one of them is there

    async def standing(self, transaction: sqlite3.Connection, entry: Entry) -> Standing:
        known, parked, highest = transaction.execute(
            "SELECT EXISTS (SELECT 1 FROM customerflow_inbox WHERE id = :id),"
            " EXISTS (SELECT 1 FROM customerflow_inbox WHERE customer = :customer AND body IS NOT NULL),"
            " (SELECT coalesce(max(sequence), 0) FROM customerflow_inbox WHERE customer = :customer AND body IS NULL)",
            {"id": entry.id.bytes, "customer": entry.customer.bytes},
        ).fetchone()
        return Standing(bool(known), bool(parked), highest)

    async def write(self, transaction: sqlite3.Connection, entry: Entry) -> None:
        transaction.execute(
            "INSERT INTO customerflow_inbox (id, customer, sequence, body, attempts, reason) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id)"
            " DO UPDATE SET body = excluded.body, attempts = excluded.attempts, reason = excluded.reason",
            (entry.id.bytes, entry.customer.bytes, entry.sequence, entry.body, entry.attempts, entry.reason),
        )

    async def first_waiting(self, transaction: sqlite3.Connection, customer: UUID) -> Entry | None:
        row = transaction.execute(
            "SELECT id, sequence, body, attempts, reason FROM customerflow_inbox"
            " WHERE customer = ? AND body IS NOT NULL ORDER BY place LIMIT 1",
            (customer.bytes,),
        ).fetchone()
        if row is None:
            return None
        id_, sequence, body, attempts, reason = row
        return Entry(
            id=UUID(bytes=id_), customer=customer, sequence=sequence, body=body, attempts=attempts, reason=reason
        )

    async def parked(self) -> Sequence[Parked]:
        async with self._one_at_a_time:
            # the bare columns beside min() are those of its row: so SQLite promises
            rows = self.connection.execute(
                "SELECT customer, reason, attempts, count(*), min(place) AS first FROM customerflow_inbox"
                " WHERE body IS NOT NULL GROUP BY customer ORDER BY first"
            ).fetchall()
        return [Parked(UUID(bytes=customer), *rest) for customer, *rest, _ in rows]

    async def forget(self, older_than: timedelta) -> int:
        """Remove what was noted so long ago, but for each customer's last; returns how many. A duplicate of what is
        forgotten is told apart only by its sequence, so let it be older than any delivery can be.
        """
        async with self.transaction(UUID(int=0)) as transaction:
            return transaction.execute(
                "DELETE FROM customerflow_inbox WHERE body IS NULL AND noted_at < datetime('now', ?) AND sequence <"
                " (SELECT max(sequence) FROM customerflow_inbox AS other"
                " WHERE other.customer = customerflow_inbox.customer AND other.body IS NULL)",
                (f"-{older_than.total_seconds()} seconds",),
            ).rowcount

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
