"""What a consumer remembers: which events have had their effect, and those that wait because one before them failed.

It is one table beside the consumer's own, for an event is noted in the transaction of what its handler changes: then
its effect is there exactly once, however often it is delivered and wherever the process dies.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

T = TypeVar("T")
"""A transaction, as the store's own library has it: handlers make their changes with it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row. `body` is there while the event waits to be applied. `sequence` is below 2**63."""

    id: UUID
    customer: UUID
    sequence: int
    body: bytes | None = None
    attempts: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Standing:
    """Where an event meets its customer: whether it is noted itself, whether any event of the customer waits, and the
    highest sequence of those that do not (0 if there is none).
    """

    known: bool
    parked: bool
    highest: int


@dataclass(frozen=True)
class Parked:
    """A customer whose first waiting event has failed, why and how often; `waiting` counts the later ones too."""

    customer: UUID
    reason: str
    attempts: int
    waiting: int


class Inbox(Protocol[T]):
    """Each method but the first is one statement; `SqliteInbox` is an example of all of it."""

    def transaction(self, customer: UUID) -> AbstractAsyncContextManager[T]:
        """Commits at the end, rolls back if anything is raised. Two transactions of one customer exclude each other, as
        by a lock on the customer that ends with the transaction.
        """
        ...

    async def standing(self, transaction: T, entry: Entry) -> Standing: ...

    async def write(self, transaction: T, entry: Entry) -> None:
        """Insert it, or replace the one of the same id, which keeps its place."""
        ...

    async def first_waiting(self, transaction: T, customer: UUID) -> Entry | None:
        """Of the customer's entries with a body, the one that was inserted first."""
        ...

    async def parked(self) -> Sequence[Parked]:
        """The first waiting entry of each customer that has one, the oldest first."""
        ...
