"""The documents of the read model, and where they lie in Redis.

    cf:live                        the generation that answers queries; absent = nothing to answer from
    cf:building                    the generation being built beside it, if any
    cf:vouched                     run id of the Redis process whose contents the projector has vouched for
    cf:<generation>:customer:<id>  one customer: the version in decimal, a line feed, the document as it is served
    cf:<generation>:checkpoint     position up to which every event is known to be applied
    cf:<generation>:parked         hash: customer id -> why its events cannot be applied (no payload)

A generation is named `<schema>-<random>`; another `SCHEMA` than the live one's makes the projector build anew.
"""

import re
import secrets
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec

from customerflow_shared.events import CustomerType

SCHEMA = "1"
LIVE = "cf:live"
BUILDING = "cf:building"
VOUCHED = "cf:vouched"

CustomerStatus = Literal["active", "archived"]


class CustomerView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A customer as the query service shows it; times as `timestamp` gives them."""

    id: UUID
    version: int
    type: CustomerType
    name: str
    email: str | None
    status: CustomerStatus
    created_at: str
    updated_at: str


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC, always to the millisecond: such texts sort as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_generation() -> str:
    return f"{SCHEMA}-{secrets.token_hex(4)}"


def schema_of(generation: str) -> str:
    return generation.partition("-")[0]


def is_generation_key(key: str) -> bool:
    return re.match(r"cf:[0-9]+-[0-9a-f]{8}:", key) is not None


def customer_key(generation: str, customer_id: UUID | str) -> str:
    return f"cf:{generation}:customer:{customer_id}"


def checkpoint_key(generation: str) -> str:
    return f"cf:{generation}:checkpoint"


def parked_key(generation: str) -> str:
    return f"cf:{generation}:parked"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(CustomerView)


def pack(view: CustomerView) -> bytes:
    """The stored form: the version first, so that it can be compared and shown without parsing the document."""
    return b"%d\n%b" % (view.version, _encoder.encode(view))


def split(stored: bytes) -> tuple[int, bytes]:
    """The version and the document's bytes of a stored form."""
    version, _, document = stored.partition(b"\n")
    return int(version), document


def unpack(stored: bytes) -> CustomerView:
    return _decoder.decode(split(stored)[1])
