"""What one command writes, all or nothing, and the races that it can lose."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from uuid import UUID

import msgspec
from customerflow_shared.events import Recorded
from opentelemetry import trace

from customerflow_command.personal import Sealed, WrappedKey


class VersionTaken(Exception):
    """Another command has written this version of the customer first."""


class ClaimTaken(Exception):
    """Another customer holds a value that must be unique."""

    def __init__(self, claims: Sequence["HashedClaim"]) -> None:
        super().__init__(", ".join(claim.kind for claim in claims))
        self.claims = claims


class KeyTaken(Exception):
    """Another process has carried out a command with the same idempotency key first."""


class HashedClaim(msgspec.Struct, frozen=True, order=True):
    kind: str
    key_hash: bytes


class Receipt(msgspec.Struct, frozen=True):
    """Under which idempotency key the command came, and a fingerprint of what was asked."""

    key_hash: bytes
    fingerprint: bytes


@dataclass(eq=False)
class Unit:
    """What one command writes, all or nothing.

    `events` are without their positions, which the transaction gives; there may be none if there is a `receipt`, whose
    `outcome` is kept. Of the claims to `take` some may be `left_over`: the customer holds them already. An erasure
    deletes the customer's key and all that was claimed or answered for it. `due_at` is UNSET if it stays as it is.
    `written` tells the position of the last event, None if there is none; it is cancelled if nobody waits any more.
    """

    customer_id: UUID
    events: Sequence[tuple[Recorded, Sealed]]
    take: frozenset[HashedClaim] = frozenset()
    left_over: frozenset[HashedClaim] = frozenset()
    release: frozenset[HashedClaim] = frozenset()
    new_key: WrappedKey | None = None
    erase: bool = False
    due_at: datetime | msgspec.UnsetType | None = msgspec.UNSET
    receipt: Receipt | None = None
    outcome: str = ""
    span: trace.SpanContext = trace.INVALID_SPAN_CONTEXT
    written: asyncio.Future[int | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def first_version(self) -> int:
        """0 if nothing is to be recorded."""
        return self.events[0][0].version if self.events else 0

    @cached_property
    def touches(self) -> frozenset[object]:
        """Two units that share any of these may not be in one transaction."""
        key = [self.receipt.key_hash] if self.receipt else []
        return frozenset([self.customer_id, *self.take, *self.release, *key])

    def size(self) -> int:
        return sum(len(sealed.data) + len(sealed.pii or b"") + 200 for _, sealed in self.events)

    def fail(self, error: Exception) -> None:
        if not self.written.done():
            self.written.set_exception(error)

    def succeed(self, position: int | None) -> None:
        if not self.written.done():
            self.written.set_result(position)
