"""Idempotency keys: a command that is sent again has no second effect, and gets the first answer again.

The answer is a row that is written with the events, in their transaction, so that either both are there or neither.
It holds no personal data: HMACs of the key and of what was asked, and the outcome, which has ids and times only. What
was refused changed nothing, so it is not kept, and may be tried again.
"""

from datetime import timedelta

import msgspec
from customerflow_shared import database
from customerflow_shared.problems import Problem
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command.customer.errors import CustomerError
from customerflow_command.mediator import Handler, Outcome, Request
from customerflow_command.personal import Pepper
from customerflow_command.unit import KeyTaken, Receipt, VersionTaken
from customerflow_command.unit_of_work import ValueTaken, VersionMismatch

KEPT = timedelta(days=7)
PURGED_AT_ONCE = 1000

_decoder = msgspec.json.Decoder(Outcome)


class KeyReused(Exception):
    """The key was given before, with something else to do."""


class KeyInFlight(Exception):
    """A command with this key is being carried out now."""


class Idempotency:
    """A policy of the mediator. Keys are remembered by hash, under which no one else's key can be found."""

    def __init__(self, engine: AsyncEngine, pepper: Pepper) -> None:
        self._engine = engine
        self._pepper = pepper
        self._in_flight: dict[bytes, bytes] = {}

    async def once(self, request: Request, handle: Handler) -> Outcome:
        """Raises KeyReused, KeyInFlight, or what the command raises."""
        if request.key is None:
            return await handle(request)
        receipt = Receipt(
            key_hash=self._pepper.digest("idempotency key", request.key.key.encode()),
            fingerprint=self._pepper.digest("idempotency payload", request.key.payload),
        )
        if receipt.key_hash in self._in_flight:
            if self._in_flight[receipt.key_hash] != receipt.fingerprint:
                raise KeyReused
            raise KeyInFlight
        self._in_flight[receipt.key_hash] = receipt.fingerprint
        try:
            return await self._once(msgspec.structs.replace(request, receipt=receipt), receipt, handle)
        finally:
            del self._in_flight[receipt.key_hash]

    async def _once(self, request: Request, receipt: Receipt, handle: Handler) -> Outcome:
        if known := await self._answer(receipt):
            return known
        try:
            return await handle(request)
        except (KeyTaken, VersionTaken, VersionMismatch, ValueTaken, CustomerError, Problem):
            # another process may have carried it out meanwhile: then this refusal is of its own doing
            if known := await self._answer(receipt):
                return known
            raise

    async def _answer(self, receipt: Receipt) -> Outcome | None:
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT fingerprint, outcome FROM cf_idempotency WHERE key_hash = %s", (receipt.key_hash,)
            )
        if not rows:
            return None
        fingerprint, outcome = rows[0]
        if fingerprint != receipt.fingerprint:
            raise KeyReused
        return msgspec.structs.replace(_decoder.decode(outcome), replayed=True)


async def purge(engine: AsyncEngine) -> int:
    """Forget keys that are past their time; how many. Those of erased customers are gone with their erasure."""
    purged = 0
    while True:
        async with database.session(engine) as session:
            gone = await session.run(
                "DELETE FROM cf_idempotency WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL %s SECOND LIMIT %s",
                (int(KEPT.total_seconds()), PURGED_AT_ONCE),
            )
            await session.commit()
        purged += gone
        if gone < PURGED_AT_ONCE:
            return purged
