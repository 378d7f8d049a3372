"""What has happened to a customer, as it is told: who changed what, when, from what to what.

An entry holds every change that its event has made to the document, so the document of any version is the fold of the
entries up to it, and nothing but Redis is needed to look back. Paths are those of `values.Issue`: `name`,
`addresses/<id>`, `consents/<purpose>/<channel>`; the parts are escaped as in JSON Pointers. An item of a collection
is replaced where it stands, a new one comes last: so does the projection, and the order of things is the same.

The entries of an erased customer tell that something happened, when and by whom, and nothing of what it was.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec

from customerflow_shared.events import EVENTS
from customerflow_shared.views import CustomerView

BLOCK = 64  # entries
TYPES = frozenset(EVENTS)
"""Of entries: those of the events."""


class Change(msgspec.Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    """None: there was, or is, nothing."""

    path: str
    before: Any = None
    after: Any = None


class Who(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    type: str
    id: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An event, as it is shown. `occurred_at` is when it happened by those who reported it, `recorded_at` when it was
    written down; both as `views.timestamp` gives them. `redacted`: the customer is erased, and with it what changed.
    """

    version: int
    type: str
    occurred_at: str
    recorded_at: str
    actor: Who
    source: str
    correlation_id: str
    reason: str | None = None
    redacted: bool = False
    changes: tuple[Change, ...] = ()


Flat: TypeAlias = dict[str, Any]
"""A document by paths, each with its value; without what every event sets: id, version and times."""

_KEPT_APART = ("id", "version", "createdAt", "updatedAt")
_entry_encoder = msgspec.json.Encoder()
_entry_decoder = msgspec.json.Decoder(Entry)


def flat(view: CustomerView | None) -> Flat:
    return flat_of(_entry_encoder.encode(view)) if view else {}


def flat_of(document: bytes) -> Flat:
    """Of JSON, in its types: lists, as the changes of an entry have them once it was stored."""
    return dict(_paths(msgspec.json.decode(document)))


def _paths(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        match name, value:
            case ("taxIds" | "addresses", items):
                for item in items:
                    yield path(name, item["id"]), item
            case "externalIds", items:
                for item in items:
                    yield path(name, item["source"], item["value"]), item
            case "consents", items:
                for item in items:
                    yield path(name, item["purpose"], item["channel"]), item
            case "tags", items:
                for item in items:
                    yield path(name, item), item
            case ("attributes" | "defaultAddresses", items):
                for key, item in items.items():
                    yield path(name, key), item
            case _ if name not in _KEPT_APART:
                yield name, value


def document(content: Flat, customer_id: str, version: int, created_at: str, updated_at: str) -> CustomerView:
    """The inverse of `flat`. Raises msgspec.ValidationError for what is no customer's."""
    fields: dict[str, Any] = {
        "id": customer_id,
        "version": version,
        "createdAt": created_at,
        "updatedAt": updated_at,
    }
    for where, value in content.items():
        name, parted, rest = where.partition("/")
        if not parted:
            fields[name] = value
        elif name in ("attributes", "defaultAddresses"):
            fields.setdefault(name, {})[_unescaped(rest)] = value
        else:
            fields.setdefault(name, []).append(value)
    return msgspec.convert(fields, CustomerView)


def changes(before: Flat, after: Flat) -> tuple[Change, ...]:
    """What leads from one to the other: first what was there, then what is new."""
    gone_or_changed = (
        Change(path=where, before=value, after=after.get(where))
        for where, value in before.items()
        if where not in after or not _same(value, after[where])
    )
    new = (Change(path=where, after=value) for where, value in after.items() if where not in before)
    return (*gone_or_changed, *new)


def apply(content: Flat, made: Iterable[Change]) -> None:
    for change in made:
        if change.after is None:
            content.pop(change.path, None)
        else:
            content[change.path] = change.after


def path(*parts: str) -> str:
    return "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)


def encode(entry: Entry) -> bytes:
    return _entry_encoder.encode(entry)


def decode(stored: bytes) -> Entry:
    """Raises msgspec.DecodeError for what `encode` has not written."""
    return _entry_decoder.decode(stored)


def redacted(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, reason=None, redacted=True, changes=())


class Block(NamedTuple):
    """The entries of `BLOCK` versions, the first one after a multiple of it, and the document after the last; None for
    that of an erased customer.
    """

    entries: Sequence[msgspec.Raw]
    document: msgspec.Raw | None


class _Packed(msgspec.Struct, frozen=True):
    entries: tuple[msgspec.Raw, ...]
    document: msgspec.Raw


_NOTHING = msgspec.Raw(b"null")
_packed_decoder = msgspec.json.Decoder(_Packed)


def pack(entries: Sequence[bytes], after: bytes | None) -> bytes:
    """`BLOCK` entries compressed, with the document after them as JSON."""
    packed = _Packed(tuple(map(msgspec.Raw, entries)), _NOTHING if after is None else msgspec.Raw(after))
    return zlib.compress(_entry_encoder.encode(packed), 6)


def unpack(stored: bytes) -> Block:
    """Raises ValueError for what `pack` has not written."""
    try:
        packed = _packed_decoder.decode(zlib.decompress(stored))
    except (zlib.error, msgspec.DecodeError):
        raise ValueError("no block of a timeline") from None
    return Block(packed.entries, None if packed.document == _NOTHING else packed.document)


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _same(one: Any, other: Any) -> bool:
    """As JSON: 1, 1.0 and true are three values."""
    return type(one) is type(other) and bool(one == other)
