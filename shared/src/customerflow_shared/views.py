"""The documents of the read model, and where they lie in Redis.

    cf:live                        the generation that answers queries; absent = nothing to answer from
    cf:building                    the generation being built beside it, if any
    cf:previous                    the one that was live before, kept up to date for a while: the way back
    cf:vouched                     run id of the Redis process whose contents the projector has vouched for
    cf:changed                     channel: told whenever `applied` of the live generation has grown

Of each generation, below `cf:<generation>:`

    customer:<id>       one customer: the version in decimal (and " erased"), a line feed, the document
    timeline:<id>       list: the entries of the versions after the last block, oldest first
    blocks:<id>         list: blocks of `timeline.BLOCK` entries each
    order:created       sorted set: id by when it was registered (milliseconds)
    order:updated       sorted set: id by when it was changed last (milliseconds)
    order:name          sorted set, by bytes: folded name, NUL, id
    facet:<facet>       sorted set: id by when it was registered, of all who have the facet
    names               hash: id -> folded names, as `indexing.names` gives them
    words               sorted set, by bytes: word of a name, NUL, id
    lookup              sorted set, by bytes: HMAC of an address, number or id, then the customer's id
    lookup-key          fingerprint of the key of those HMACs
    counts              hash: total -> customers; none that is 0
    days                hash: day -> customers registered
    changes             sorted set: line of the change stream by position; the newest `CHANGES_KEPT`
    applied             position up to which every event is applied (or its customer parked), a space, when it was
                        recorded (milliseconds)
    handled             sorted set: positions beyond `applied` that are applied as well, `<position> <milliseconds>`
    checked             when all that the event store had was last seen to be applied (milliseconds)
    built               while it is built customer by customer: how far that is, as the projector has it
    checkpoint          position up to which the event feed has been followed
    parked              hash: customer id -> why its events cannot be applied (no payload)
    discarded           hash: customer id -> why a parked customer's events are given up, by whom (no payload)

A generation is named `<schema>-<random>`; another `SCHEMA` than the live one's makes the projector build anew.
"""

import re
import secrets
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from customerflow_shared.values import (
    Address,
    Attribute,
    ConsentState,
    CustomerType,
    DefaultRole,
    ExternalId,
    Issue,
    TaxId,
)

T = TypeVar("T")

SCHEMA = "3"
LIVE = "cf:live"
BUILDING = "cf:building"
PREVIOUS = "cf:previous"
VOUCHED = "cf:vouched"
CHANGED = "cf:changed"
CHANGES_KEPT = 100_000


class ConsentView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The newest record for one purpose and channel, as `values.Consent` has it."""

    purpose: str
    channel: str
    state: ConsentState
    captured_at: str
    source: str
    legal_basis: str | None = None
    opt_in_level: str | None = None
    policy_version: str | None = None
    evidence_ref: str | None = None
    expires_at: str | None = None


class LegalHold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A duty to keep the customer; without `until`, until it is lifted."""

    until: str | None = None


class Erasure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An erasure that is pending."""

    due_at: str
    request_ref: str | None = None


class CustomerView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A customer as the query service shows it; what it does not have is left out. Times as `timestamp` gives them."""

    id: UUID
    version: int
    type: CustomerType
    name: str
    status: Literal["active", "suspended", "archived"]
    suspended_until: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    social_name: str | None = None
    legal_name: str | None = None
    trade_name: str | None = None
    birth_date: date | None = None
    email: str | None = None
    email_verified_at: str | None = None
    phone: str | None = None
    phone_extension: str | None = None
    phone_verified_at: str | None = None
    locale: str | None = None
    timezone: str | None = None
    lifecycle_stage: str | None = None
    tax_ids: tuple[TaxId, ...] = ()
    addresses: tuple[Address, ...] = ()
    default_addresses: dict[DefaultRole, UUID] = {}
    consents: tuple[ConsentView, ...] = ()
    tags: tuple[str, ...] = ()
    external_ids: tuple[ExternalId, ...] = ()
    attributes: dict[str, Attribute] = {}
    data_quality: tuple[Issue, ...] = ()
    legal_hold: LegalHold | None = None
    erasure: Erasure | None = None
    created_at: str
    updated_at: str


class ErasedView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is left of an erased customer: that there was one."""

    id: UUID
    version: int
    status: Literal["erased"] = "erased"
    erased_at: str


View: TypeAlias = CustomerView | ErasedView


@lru_cache(maxsize=1024)  # of one event it is asked several times
def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC, always to the millisecond: such texts sort as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unless_none(value: T | None) -> T | UnsetType:
    """For a member that is left out if there is nothing to say."""
    return UNSET if value is None else value


def new_generation() -> str:
    return f"{SCHEMA}-{secrets.token_hex(4)}"


def schema_of(generation: str) -> str:
    return generation.partition("-")[0]


def is_of_this_schema(generation: str | None) -> bool:
    """What is of another is not written to: a release that does not know a field would drop it."""
    return generation is not None and schema_of(generation) == SCHEMA


def is_of_newer_schema(generation: str | None) -> bool:
    return generation is not None and int(schema_of(generation)) > int(SCHEMA)


def is_generation_key(key: str) -> bool:
    return re.match(r"cf:[0-9]+-[0-9a-f]{8}:", key) is not None


def key(generation: str, name: str) -> str:
    return f"cf:{generation}:{name}"


def customer_key(generation: str, customer_id: UUID | str) -> str:
    return f"cf:{generation}:customer:{customer_id}"


def timeline_key(generation: str, customer_id: UUID | str) -> str:
    return f"cf:{generation}:timeline:{customer_id}"


def blocks_key(generation: str, customer_id: UUID | str) -> str:
    return f"cf:{generation}:blocks:{customer_id}"


def facet_key(generation: str, facet: str) -> str:
    return f"cf:{generation}:facet:{facet}"


def checkpoint_key(generation: str) -> str:
    return f"cf:{generation}:checkpoint"


def parked_key(generation: str) -> str:
    return f"cf:{generation}:parked"


class Notice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A line of the change stream: that something happened to a customer. No personal data."""

    position: int
    customer_id: UUID
    version: int
    type: str
    recorded_at: str


class Stored(NamedTuple):
    version: int
    erased: bool
    document: bytes


_ERASED = b" erased"
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(CustomerView)
_erased_decoder = msgspec.json.Decoder(ErasedView)


def pack(view: View) -> bytes:
    """The stored form: version and kind first, so that they can be told without parsing the document."""
    return b"%d%b\n%b" % (view.version, _ERASED if isinstance(view, ErasedView) else b"", _encoder.encode(view))


def split(stored: bytes) -> Stored:
    """Raises ValueError for what `pack` has not written."""
    head, _, document = stored.partition(b"\n")
    version = head.removesuffix(_ERASED)
    return Stored(int(version), len(version) < len(head), document)


def unpack(stored: bytes) -> View:
    _, erased, document = split(stored)
    return _erased_decoder.decode(document) if erased else _decoder.decode(document)
