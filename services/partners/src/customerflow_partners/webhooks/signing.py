"""Standard Webhooks 1.0: what is signed, and with which secrets.

Secrets are kept nowhere. Each is derived from the master key, the webhook's id and a number, which rotation increases:
who reads the database can sign nothing.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

MIN_KEY = 32  # bytes

_PURPOSE = b"customerflow webhook secret 1\x00"
_CHECK = b"customerflow webhook key check 1\x00"


class Keys:
    """Of the master key, which must not be short: HMAC is a pseudo-random function only of what cannot be guessed."""

    def __init__(self, master: bytes) -> None:
        if len(master) < MIN_KEY:
            raise ValueError(f"the key must have at least {MIN_KEY} bytes")
        self._master = master

    def secret(self, webhook: UUID, number: int) -> bytes:
        """32 bytes."""
        return self._derived(_PURPOSE + webhook.bytes + number.to_bytes(8))

    def check_of(self, webhook: UUID) -> bytes:
        """16 bytes by which another master key is noticed."""
        return self._derived(_CHECK + webhook.bytes)[:16]

    def _derived(self, label: bytes) -> bytes:
        return hmac.digest(self._master, label, hashlib.sha256)


def shown(secret: bytes) -> str:
    """As the receiver is told it."""
    return "whsec_" + base64.b64encode(secret).decode()


def headers(secrets: Sequence[bytes], event: UUID, at: datetime, body: bytes) -> Mapping[str, str]:
    """One signature for each secret: the receiver needs to know one of them. The time is that of the attempt."""
    told = {"webhook-id": str(event), "webhook-timestamp": str(int(at.timestamp()))}
    signed = f"{told['webhook-id']}.{told['webhook-timestamp']}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in secrets)
    return {**told, "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures)}
