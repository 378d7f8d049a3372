"""Personal data at rest: one data key per customer, wrapped by a master key; without its key a customer's history is
unreadable.

What is encrypted is the JSON of an event's personal fields, by AES-256-GCM with a fresh 96-bit nonce in front. The
associated data bind the ciphertext to its customer, its event and the event's name, so that no row can be passed off
as another.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from typing import Any, Protocol, cast
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from customerflow_shared.events import EVENTS, CustomerEvent, event_name, personal_fields, redacted_fields

from customerflow_command.customer.claims import Claim
from customerflow_command.upcasting import upcast

KEY_BYTES = 32
NONCE_BYTES = 12

_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")
_PERSONAL_FIELDS = {name: personal_fields(event) for name, event in EVENTS.items()}
_REDACTED_FIELDS = {name: redacted_fields(event) for name, event in EVENTS.items()}


class UnreadableEvent(Exception):
    """The stored event cannot be read: its key is unknown, or the row has been altered."""


class WrappedKey(msgspec.Struct, frozen=True):
    """A customer's data key as it is stored: under which master key, and the wrapped bytes."""

    master_key_id: str
    wrapped: bytes


class KeyProvider(Protocol):
    """Wraps and unwraps data keys. The master keys themselves never leave it."""

    def wrap(self, data_key: bytes) -> WrappedKey: ...

    def unwrap(self, key: WrappedKey) -> bytes:
        """Raises UnreadableEvent if the master key is unknown or does not fit."""
        ...


class MasterKeys:
    """Master keys as text, `k2=<base64>,k1=<base64>`: the first wraps, all unwrap, so they can be rotated."""

    def __init__(self, text: str) -> None:
        """Raises ValueError, without quoting the text, if it is not of that form."""
        self._keys: dict[str, bytes] = {}
        for entry in text.split(","):
            key_id, _, encoded = entry.strip().partition("=")
            if not _KEY_ID.fullmatch(key_id) or key_id in self._keys:
                raise ValueError("each master key needs a name of its own of 1 to 32 letters, digits, `.`, `_` or `-`")
            self._keys[key_id] = decode_key(encoded)
        self._current = next(iter(self._keys))

    def wrap(self, data_key: bytes) -> WrappedKey:
        return WrappedKey(self._current, aes_key_wrap(self._keys[self._current], data_key))

    def fingerprints(self) -> dict[str, bytes]:
        """Of each key, by what it is; a key cannot be found out from its fingerprint."""
        return {f"master key {key_id}": _fingerprint(key) for key_id, key in self._keys.items()}

    def unwrap(self, key: WrappedKey) -> bytes:
        try:
            return aes_key_unwrap(self._keys[key.master_key_id], key.wrapped)
        except (KeyError, InvalidUnwrap):
            raise UnreadableEvent(f"no master key {key.master_key_id} fits") from None


class Sealed(msgspec.Struct, frozen=True):
    """An event as it is stored: its form, the clear fields as JSON, the personal ones as ciphertext (None if it has
    none).
    """

    name: str
    schema_version: int
    data: str
    pii: bytes | None


def new_data_key() -> bytes:
    return os.urandom(KEY_BYTES)


def seal(event: CustomerEvent, data_key: bytes, customer_id: UUID, event_id: UUID) -> Sealed:
    name = event_name(type(event))
    fields: dict[str, Any] = msgspec.to_builtins(event)
    personal = {field: fields.pop(field) for field in _PERSONAL_FIELDS[name] & fields.keys()}
    del fields["type"]
    pii = None
    if personal:
        nonce = os.urandom(NONCE_BYTES)
        plain = msgspec.json.encode(personal)
        pii = nonce + AESGCM(data_key).encrypt(nonce, plain, _bound_to(customer_id, event_id, name))
    return Sealed(name, event.schema_version, msgspec.json.encode(fields).decode(), pii)


def unseal(sealed: Sealed, data_key: bytes | None, customer_id: UUID, event_id: UUID) -> CustomerEvent:
    """The event in its present form; redacted if the data key is destroyed (None).

    Raises UnreadableEvent if the row does not hold what `seal` wrote for this customer and event.
    """
    try:
        fields: dict[str, Any] = msgspec.json.decode(sealed.data)
        if sealed.pii is not None and data_key is not None:
            nonce, cipher = sealed.pii[:NONCE_BYTES], sealed.pii[NONCE_BYTES:]
            bound_to = _bound_to(customer_id, event_id, sealed.name)
            fields |= msgspec.json.decode(AESGCM(data_key).decrypt(nonce, cipher, bound_to))
        (name, version), fields = upcast((sealed.name, sealed.schema_version), fields)
        if version != EVENTS[name].schema_version:
            raise UnreadableEvent(f"{name} {version} is not a form that this program knows")
        if data_key is None:
            fields |= _REDACTED_FIELDS[name]
        # by its type: for the union of all of them msgspec would look through them anew each time
        return cast(CustomerEvent, msgspec.convert(fields, EVENTS[name]))
    except InvalidTag:
        raise UnreadableEvent("the ciphertext does not belong to this customer, event and key") from None
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        raise UnreadableEvent(f"{sealed.name[:64]} is not an event that this program knows") from None


class Pepper:
    """Makes HMACs of what must be found again but never read: claims, idempotency keys. Equal for equal values, and no
    value can be read or guessed from one without the pepper.
    """

    def __init__(self, text: str) -> None:
        """Raises ValueError, without quoting the text, unless it is the base64 of 32 bytes."""
        self._key = decode_key(text)

    def digest(self, kind: str, value: bytes) -> bytes:
        return hmac.digest(self._key, kind.encode() + b"|" + value, hashlib.sha256)

    def claim(self, claim: Claim) -> bytes:
        return self.digest(claim.kind, claim.normal_form.encode())

    def fingerprint(self) -> bytes:
        return _fingerprint(self._key)


def _fingerprint(secret: bytes) -> bytes:
    return hmac.digest(secret, b"customerflow fingerprint v1", hashlib.sha256)


def decode_key(encoded: str) -> bytes:
    """Raises ValueError, without quoting it, if the text is not the base64 of 32 bytes."""
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError("a key must be the base64 of 32 bytes")
    return key


def _bound_to(customer_id: UUID, event_id: UUID, name: str) -> bytes:
    return customer_id.bytes + event_id.bytes + name.encode()
