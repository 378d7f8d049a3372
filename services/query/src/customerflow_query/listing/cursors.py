"""Where a page ended, in the hands of the client, who can neither read nor change it.

A cursor is a synthetic IV (as in RFC 5297): the HMAC of what it says is both its seal and what the stream is made
from that hides it. Equal places give equal cursors and nothing else is told, however often a key is used; a name in a
cursor is as safe from a log as the key is.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec
from customerflow_shared.problems import Problem

P = TypeVar("P")

LIFE = 24 * 60 * 60  # seconds
SEAL = 16  # bytes
LONGEST = 1024  # characters; ours are shorter


class Cursors(Generic[P]):
    """`purpose` tells the cursors of one kind of list from those of another; `place` is what one points to."""

    def __init__(self, key: bytes, purpose: str, place: type[P], now: Callable[[], float] = time.time) -> None:
        self._sealing = hmac.digest(key, f"customerflow cursors v1, seal: {purpose}".encode(), hashlib.sha256)
        self._hiding = hmac.digest(key, f"customerflow cursors v1, hide: {purpose}".encode(), hashlib.sha256)
        self._decoder = msgspec.msgpack.Decoder(tuple[int, bytes, place])  # type: ignore[valid-type]  # made at run time
        self._now = now

    def made(self, bound: bytes, place: P) -> str:
        """`bound` stands for the list to which the place belongs."""
        plain = msgspec.msgpack.encode((int(self._now()) + LIFE, bound, place))
        seal = self._seal(plain)
        return _text(seal + self._hidden(seal, plain))

    def read(self, cursor: str, bound: bytes) -> P:
        """Raises Problem `cursor-invalid` or `cursor-mismatch`."""
        raw = _raw(cursor)
        seal = raw[:SEAL]
        plain = self._hidden(seal, raw[SEAL:])
        if not hmac.compare_digest(seal, self._seal(plain)):
            raise _invalid()
        expires, given, place = self._decoder.decode(plain)
        if expires <= self._now():
            raise _invalid()
        if given != bound:
            raise Problem("cursor-mismatch", "The cursor was given for other filters or another sort.")
        return place

    def _seal(self, plain: bytes) -> bytes:
        return hmac.digest(self._sealing, plain, hashlib.sha256)[:SEAL]

    def _hidden(self, seal: bytes, text: bytes) -> bytes:
        """To hide and to show is the same."""
        stream = hashlib.shake_256(self._hiding + seal).digest(len(text))
        return bytes(one ^ other for one, other in zip(text, stream, strict=True))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(cursor: str) -> bytes:
    if len(cursor) > LONGEST:
        raise _invalid()
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (ValueError, binascii.Error):
        raise _invalid() from None
    if len(raw) <= SEAL or _text(raw) != cursor:  # of all spellings that decode to it only ours
        raise _invalid()
    return raw


def _invalid() -> Problem:
    return Problem("cursor-invalid", "The cursor was not given by this service, or has expired.")
