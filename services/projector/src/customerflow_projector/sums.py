"""What all customers together add up to: how many members each index has, how many customers each total.

What each customer adds is kept, for a customer that changes must be taken out of the sums as it went in: some 80 bytes
each, in memory, since a container's file system is read-only and its /tmp is small. No name and no HMAC is among it.
"""

import sqlite3
from collections import Counter
from typing import TypeAlias
from uuid import UUID

import msgspec

from customerflow_projector.indexes import Indexed

Place: TypeAlias = tuple[str, str]
"""An index by its name and "", or a total by its hash and its field."""


class Sums:
    def __init__(self) -> None:
        self._kept = sqlite3.connect(":memory:", isolation_level=None)
        self._kept.execute("PRAGMA journal_mode = OFF")
        self._kept.execute("CREATE TABLE kept (id BLOB PRIMARY KEY, version INT, added BLOB) WITHOUT ROWID")
        self._kept.execute("BEGIN")
        self._numbers: dict[Place, int] = {}
        self._places: list[Place] = []
        self._total: Counter[Place] = Counter()

    def put(self, customer_id: UUID, version: int, adds: Indexed | None) -> None:
        """In place of what the customer has added so far; None: there is no such customer."""
        row = self._row(customer_id)
        if row:
            for number, times in msgspec.msgpack.decode(row[1], type=dict[int, int]).items():
                self._total[self._places[number]] -= times
        added = Counter(self._number((name, "")) for name, _ in (*adds.members, *adds.fields)) if adds else Counter()
        added.update(map(self._number, adds.totals if adds else ()))
        for number, times in added.items():
            self._total[self._places[number]] += times
        if adds:
            kept = customer_id.bytes, version, msgspec.msgpack.encode(dict(added))
            self._kept.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", kept)
        else:
            self._kept.execute("DELETE FROM kept WHERE id = ?", (customer_id.bytes,))

    def version(self, customer_id: UUID) -> int:
        """That of the customer as it was put in; 0: there is none."""
        row = self._row(customer_id)
        return row[0] if row else 0

    def total(self) -> dict[Place, int]:
        return {place: times for place, times in self._total.items() if times}

    def close(self) -> None:
        self._kept.close()

    def _row(self, customer_id: UUID) -> tuple[int, bytes] | None:
        found: tuple[int, bytes] | None = self._kept.execute(
            "SELECT version, added FROM kept WHERE id = ?", (customer_id.bytes,)
        ).fetchone()
        return found

    def _number(self, place: Place) -> int:
        if place not in self._numbers:
            self._numbers[place] = len(self._places)
            self._places.append(place)
        return self._numbers[place]
