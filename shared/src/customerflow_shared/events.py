"""Domain events: what has happened to a customer, as frozen facts.

The class name of an event is its name on disk for ever, so the golden tests pin the wire form of each. A field marked
`Personal` is encrypted at rest; every other field is stored in clear. Adding a field with a default is safe in any
order of deployment; adding an event is safe once every reader knows it.
"""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias, TypeVar, get_args, get_type_hints
from uuid import UUID

import msgspec

T = TypeVar("T")

_PERSONAL = msgspec.Meta(extra={"personal": True})
Personal: TypeAlias = Annotated[T, _PERSONAL]

CustomerType = Literal["person", "company"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, rename="camel"):
    """A fact in the life of one customer."""


class CustomerRegistered(Event, frozen=True, kw_only=True):
    customer_type: CustomerType
    name: Personal[str]
    email: Personal[str | None] = None


class CustomerRenamed(Event, frozen=True, kw_only=True):
    name: Personal[str]
    previous_name: Personal[str]


class CustomerEmailChanged(Event, frozen=True, kw_only=True):
    """`None` means that there is, or was, no address."""

    email: Personal[str | None]
    previous_email: Personal[str | None]


class CustomerArchived(Event, frozen=True, kw_only=True):
    pass


class CustomerRestored(Event, frozen=True, kw_only=True):
    pass


CustomerEvent: TypeAlias = (
    CustomerRegistered | CustomerRenamed | CustomerEmailChanged | CustomerArchived | CustomerRestored
)


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """How an event came about; never personal data.

    All events of one command share its `causation_id`; `traceparent` is the W3C trace context of the request.
    """

    causation_id: UUID
    correlation_id: UUID
    source: str = "api"
    traceparent: str | None = None


class Recorded(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An event in its place: the `version`-th of its customer, at `position` among all.

    Versions count from 1 per customer, positions from 1 over all customers; both without gaps. `recorded_at` is UTC,
    to the millisecond.
    """

    position: int
    customer_id: UUID
    version: int
    event_id: UUID
    schema_version: int = 1
    recorded_at: datetime
    metadata: Metadata
    event: CustomerEvent


class Place(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where an event stands, read from one whose content this program does not know."""

    position: int
    customer_id: UUID
    version: int


def event_name(event: type[Event]) -> str:
    """The name of an event on disk and on the wire."""
    return event.__name__


def personal_fields(event: type[Event]) -> frozenset[str]:
    """Wire names of the fields that are encrypted at rest."""
    hints = get_type_hints(event, include_extras=True)
    return frozenset(
        field.encode_name
        for field in msgspec.structs.fields(event)
        if _PERSONAL in getattr(hints[field.name], "__metadata__", ())
    )


EVENTS: dict[str, type[Event]] = {event_name(event): event for event in get_args(CustomerEvent)}

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Recorded)
_place_decoder = msgspec.json.Decoder(Place)


def encode(recorded: Recorded | Place) -> bytes:
    """One recorded event as a line of JSON: a message body, and a line of the event feed."""
    return _encoder.encode(recorded)


def decode(line: bytes) -> Recorded | Place:
    """The event, or its place if it is one that this program does not know.

    Raises msgspec.DecodeError for anything else.
    """
    try:
        try:
            return _decoder.decode(line)
        except msgspec.ValidationError:
            return _place_decoder.decode(line)
    except (UnicodeDecodeError, RecursionError):
        raise msgspec.DecodeError("no text, or nested too deeply") from None
