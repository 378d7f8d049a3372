"""Snapshots: of a customer with a long history the state at some version, so that only what came after is folded.

They are taken off the command's path, and are nothing but a short cut: sealed with the customer's key like its events,
gone with its erasure, and passed over where they cannot be read or are of another form.
"""

import hashlib
import os
from typing import NamedTuple
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from customerflow_shared import database
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command.customer.state import Customer
from customerflow_command.personal import NONCE_BYTES, KeyProvider, UnreadableEvent, WrappedKey

RULES = 1  # grows when `evolve` makes another state of the same events
FORM = hashlib.sha256(msgspec.json.encode([RULES, msgspec.json.schema(Customer)])).hexdigest()[:16]

_decoder = msgspec.msgpack.Decoder(Customer)


class Snapshot(NamedTuple):
    state: Customer
    version: int
    key: WrappedKey


class Snapshots:
    def __init__(self, engine: AsyncEngine, keys: KeyProvider) -> None:
        self._engine = engine
        self._keys = keys

    async def find(self, customer_id: UUID) -> Snapshot | None:
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT s.version, s.sealed, k.master_key_id, k.wrapped FROM cf_snapshots s "
                "JOIN cf_customer_keys k ON k.customer_id = s.customer_id WHERE s.customer_id = %s AND s.form = %s",
                (customer_id.bytes, FORM),
            )
        for version, sealed, master_key_id, wrapped in rows:
            key = WrappedKey(master_key_id, wrapped)
            try:
                plain = AESGCM(self._keys.unwrap(key)).decrypt(
                    sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(customer_id, version)
                )
                return Snapshot(_decoder.decode(plain), version, key)
            except (InvalidTag, UnreadableEvent, ValueError, msgspec.MsgspecError):
                continue
        return None

    async def take(self, customer_id: UUID, snapshot: Snapshot) -> None:
        """Nothing happens if the customer's key is destroyed by now."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + AESGCM(self._keys.unwrap(snapshot.key)).encrypt(
            nonce, msgspec.msgpack.encode(snapshot.state), _bound_to(customer_id, snapshot.version)
        )
        async with database.session(self._engine) as session:
            await session.run(
                "REPLACE INTO cf_snapshots (customer_id, version, form, sealed) "
                "SELECT customer_id, %s, %s, %s FROM cf_customer_keys WHERE customer_id = %s",
                (snapshot.version, FORM, sealed, customer_id.bytes),
            )
            await session.commit()


def _bound_to(customer_id: UUID, version: int) -> bytes:
    return customer_id.bytes + f"snapshot {version} {FORM}".encode()
