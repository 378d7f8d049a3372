"""What has happened to a customer, as it is told: who changed what, when, from what to what.

An entry holds every change that its event has made to the document, so the document of any version is the fold of the
entries up to it, and nothing but Redis is needed to look back. Paths are those of `values.Issue`: `name`,
`addresses/<id>`, `consents/<purpose>/<channel>`; the parts are escaped as in JSON Pointers. An item of a collection
is replaced where it stands, a new one comes last: so does the projection, and the order of things is the same.

The entries of an erased customer tell that something happened, when and by whom, and nothing of what it was.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import FieldInfo

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
_KEYED = ("attributes", "defaultAddresses")
_entry_encoder = msgspec.json.Encoder()
_entry_decoder = msgspec.json.Decoder(Entry)


def flat(view: CustomerView | None) -> Flat:
    return flat_of(_entry_encoder.encode(view)) if view else {}


def flat_of(document: bytes) -> Flat:
    """Of JSON, in its types: lists, as the changes of an entry have them once it was stored."""
    found: Flat = {}
    for name, value in msgspec.json.decode(document).items():
        if parts_of := _PARTS.get(name):
            found |= {path(name, *parts_of(item)): item for item in value}
        elif name in _KEYED:
            found |= {path(name, key): item for key, item in value.items()}
        elif name not in _KEPT_APART:
            found[name] = value
    return found


_PARTS: Mapping[str, Callable[[Any], tuple[str, ...]]] = {
    "taxIds": lambda item: (item["id"],),
    "addresses": lambda item: (item["id"],),
    "externalIds": lambda item: (item["source"], item["value"]),
    "consents": lambda item: (item["purpose"], item["channel"]),
    "tags": lambda item: (item,),
}
"""How the items of a list are told apart."""


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
        elif name in _KEYED:
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


def changes_between(before: CustomerView | None, after: CustomerView) -> tuple[Change, ...]:
    """Those of their contents. Of what both share nothing is told, so it is not even looked at: an event leaves most of
    a document as it was.
    """
    if before is None:
        return changes({}, flat(after))
    own = [field for field in _FIELDS if getattr(before, field.name) is not getattr(after, field.name)]
    return changes(_flat_fields(before, own), _flat_fields(after, own))


def _flat_fields(view: CustomerView, fields: Iterable[FieldInfo]) -> Flat:
    """As `flat`, without the others."""
    values = {field.encode_name: getattr(view, field.name) for field in fields}
    return flat_of(_entry_encoder.encode({name: value for name, value in values.items() if value not in _LEFT_OUT}))


_FIELDS = [field for field in msgspec.structs.fields(CustomerView) if field.encode_name not in _KEPT_APART]
_LEFT_OUT: tuple[object, ...] = (None, (), {})
"""The defaults of all fields that have one."""


def apply(content: Flat, made: Iterable[Change]) -> None:
    for change in made:
        if change.after is None:
            content.pop(change.path, None)
        else:
            content[change.path] = change.after


def path(*parts: str) -> str:
    plain = "/".join(parts)
    if "~" not in plain and plain.count("/") == len(parts) - 1:
        return plain
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
