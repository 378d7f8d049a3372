"""Domain events: what has happened to a customer, as frozen facts.

The class name of an event is its name on disk for ever, so the golden tests pin the wire form of each. A field marked
`Personal` is encrypted at rest; every other field is stored in clear. Adding a field with a default is safe in any
order of deployment; adding an event is safe once every reader knows it.
"""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from customerflow_shared.values import (
    Address,
    AddressRole,
    Attribute,
    Consent,
    ConsentState,
    CustomerType,
    DefaultRole,
    ExternalId,
    Issue,
    PersonalProfile,
    Phone,
    Profile,
    TaxId,
)

T = TypeVar("T")

_PERSONAL = msgspec.Meta(extra={"personal": True})
Personal: TypeAlias = Annotated[T, _PERSONAL]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True, rename="camel"):
    """A fact in the life of one customer.

    `schema_version` grows when the stored form changes in a way that a default does not cover; an upcaster then leads
    from the old form to the new one.
    """

    schema_version: ClassVar[int] = 1


class CustomerRegistered(Event, frozen=True, kw_only=True):
    """`countries` are those of the addresses, in clear, for they outlive an erasure."""

    customer_type: CustomerType
    locale: str | None = None
    timezone: str | None = None
    lifecycle_stage: str | None = None
    countries: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    external_ids: tuple[ExternalId, ...] = ()
    issues: tuple[Issue, ...] = ()
    name: Personal[str]
    given_name: Personal[str | None] = None
    family_name: Personal[str | None] = None
    social_name: Personal[str | None] = None
    legal_name: Personal[str | None] = None
    trade_name: Personal[str | None] = None
    birth_date: Personal[date | None] = None
    email: Personal[str | None] = None
    phone: Personal[Phone | None] = None
    tax_ids: Personal[tuple[TaxId, ...]] = ()
    addresses: Personal[tuple[Address, ...]] = ()
    consents: Personal[tuple[Consent, ...]] = ()
    attributes: Personal[dict[str, Attribute]] = {}
    personal_external_ids: Personal[tuple[ExternalId, ...]] = ()


class CustomerProfileChanged(Event, frozen=True, kw_only=True):
    """`changed` are the paths; what was UNSET before was absent."""

    changed: tuple[str, ...]
    profile: Profile = Profile()
    previous_profile: Profile = Profile()
    issues: tuple[Issue, ...] = ()
    personal: Personal[PersonalProfile] = PersonalProfile()
    previous_personal: Personal[PersonalProfile] = PersonalProfile()


class CustomerEmailChanged(Event, frozen=True, kw_only=True):
    """`None` means that there is, or was, no address."""

    email: Personal[str | None]
    previous_email: Personal[str | None]


class CustomerPhoneChanged(Event, frozen=True, kw_only=True):
    """`None` means that there is, or was, no number."""

    phone: Personal[Phone | None]
    previous_phone: Personal[Phone | None]


class CustomerEmailVerified(Event, frozen=True, kw_only=True):
    method: str
    verified_at: datetime


class CustomerPhoneVerified(Event, frozen=True, kw_only=True):
    method: str
    verified_at: datetime


class CustomerEmailVerificationRequested(Event, frozen=True, kw_only=True):
    """A code for the present address is to be delivered; only its hash is kept. It takes the place of one before.

    It is the `number`-th in a row for this address; before `retry_at` no other is issued.
    """

    verification_id: UUID
    number: int
    expires_at: datetime
    retry_at: datetime
    code_hash: Personal[str]


class CustomerEmailVerificationFailed(Event, frozen=True, kw_only=True):
    """A wrong code was given; after some of them no code is taken any more."""

    verification_id: UUID


class CustomerTaxIdAdded(Event, frozen=True, kw_only=True):
    tax_id_id: UUID
    tax_id_type: str
    value: Personal[str]


class CustomerTaxIdRemoved(Event, frozen=True, kw_only=True):
    tax_id_id: UUID
    tax_id_type: str
    value: Personal[str]


class CustomerAddressAdded(Event, frozen=True, kw_only=True):
    address_id: UUID
    roles: tuple[AddressRole, ...]
    country: str
    region: str | None
    issues: tuple[Issue, ...] = ()
    address: Personal[Address | None]


class CustomerAddressChanged(Event, frozen=True, kw_only=True):
    address_id: UUID
    changed: tuple[str, ...]
    roles: tuple[AddressRole, ...]
    country: str
    region: str | None
    issues: tuple[Issue, ...] = ()
    address: Personal[Address | None]
    previous_address: Personal[Address | None]


class CustomerAddressRemoved(Event, frozen=True, kw_only=True):
    """Where it was a default, there is none now."""

    address_id: UUID
    address: Personal[Address | None]


class CustomerDefaultAddressSet(Event, frozen=True, kw_only=True):
    role: DefaultRole
    address_id: UUID
    previous_address_id: UUID | None


class CustomerConsentRecorded(Event, frozen=True, kw_only=True):
    purpose: str
    channel: str
    state: ConsentState
    previous_state: ConsentState | None
    captured_at: datetime
    source: str
    legal_basis: str | None = None
    opt_in_level: str | None = None
    policy_version: str | None = None
    expires_at: datetime | None = None
    evidence_ref: Personal[str | None] = None


class CustomerTagged(Event, frozen=True, kw_only=True):
    tag: str


class CustomerUntagged(Event, frozen=True, kw_only=True):
    tag: str


class CustomerExternalIdLinked(Event, frozen=True, kw_only=True):
    """Of a personal source the value stands in `personal_value`, else in `value`."""

    source: str
    value: str | None
    personal_value: Personal[str | None] = None


class CustomerExternalIdUnlinked(Event, frozen=True, kw_only=True):
    source: str
    value: str | None
    personal_value: Personal[str | None] = None


def external_id_of(event: CustomerExternalIdLinked | CustomerExternalIdUnlinked) -> tuple[ExternalId, ...]:
    """None, if it was personal and is redacted."""
    if event.value is not None:
        return (ExternalId(source=event.source, value=event.value),)
    if event.personal_value is not None:
        return (ExternalId(source=event.source, value=event.personal_value, personal=True),)
    return ()


class CustomerAttributesChanged(Event, frozen=True, kw_only=True):
    """`changed` are the keys, which are of the caller's making and may be personal too. A key that is not in
    `attributes` is gone, one not in `previous_attributes` is new.
    """

    changed: Personal[tuple[str, ...]]
    attributes: Personal[dict[str, Attribute]]
    previous_attributes: Personal[dict[str, Attribute]]


class CustomerSuspended(Event, frozen=True, kw_only=True):
    """`until` None: until somebody reactivates the customer."""

    until: datetime | None = None
    reason: Personal[str | None] = None


class CustomerReactivated(Event, frozen=True, kw_only=True):
    reason: Personal[str | None] = None


class CustomerArchived(Event, frozen=True, kw_only=True):
    previous_status: Literal["active", "suspended"] = "active"
    reason: Personal[str | None] = None


class CustomerRestored(Event, frozen=True, kw_only=True):
    """A customer that was suspended when it was archived is suspended again."""

    status: Literal["active", "suspended"] = "active"
    reason: Personal[str | None] = None


class CustomerLegalHoldPlaced(Event, frozen=True, kw_only=True):
    """The customer may not be erased before `until`; None: before the hold is lifted."""

    until: datetime | None = None
    reason: Personal[str | None] = None


class CustomerLegalHoldLifted(Event, frozen=True, kw_only=True):
    reason: Personal[str | None] = None


class CustomerErasureRequested(Event, frozen=True, kw_only=True):
    request_ref: str | None
    due_at: datetime
    reason: Personal[str | None] = None


class CustomerErasureCancelled(Event, frozen=True, kw_only=True):
    reason: Personal[str | None] = None


class CustomerErased(Event, frozen=True, kw_only=True):
    """The last event of a customer: its key is destroyed, and no personal field of any of its events can be read.

    `external_ids` are those of sources that are not personal, so that other systems find what they hold.
    """

    erased_at: datetime
    reason_code: Literal["requested", "reapplied"]
    request_ref: str | None
    keys_destroyed: int
    external_ids: tuple[ExternalId, ...] = ()


CustomerEvent: TypeAlias = (
    CustomerRegistered
    | CustomerProfileChanged
    | CustomerEmailChanged
    | CustomerPhoneChanged
    | CustomerEmailVerified
    | CustomerPhoneVerified
    | CustomerEmailVerificationRequested
    | CustomerEmailVerificationFailed
    | CustomerTaxIdAdded
    | CustomerTaxIdRemoved
    | CustomerAddressAdded
    | CustomerAddressChanged
    | CustomerAddressRemoved
    | CustomerDefaultAddressSet
    | CustomerConsentRecorded
    | CustomerTagged
    | CustomerUntagged
    | CustomerExternalIdLinked
    | CustomerExternalIdUnlinked
    | CustomerAttributesChanged
    | CustomerSuspended
    | CustomerReactivated
    | CustomerArchived
    | CustomerRestored
    | CustomerLegalHoldPlaced
    | CustomerLegalHoldLifted
    | CustomerErasureRequested
    | CustomerErasureCancelled
    | CustomerErased
)


class Actor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Who gave the command, as its sender says; `system` is this system itself."""

    type: Literal["anonymous", "user", "service", "system"] = "anonymous"
    id: str | None = None


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """How an event came about; never personal data.

    All events of one command share its `causation_id`; `traceparent` is the W3C trace context of the request. `flags`
    are the feature flags that the command was decided by, each with the variant that it saw.
    """

    causation_id: UUID
    correlation_id: UUID
    source: Literal["api", "system"] = "api"
    actor: Actor = Actor()
    traceparent: str | None = None
    flags: dict[str, str] = {}


class Recorded(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An event in its place: the `version`-th of its customer, at `position` among all.

    Versions count from 1 per customer, positions from 1 over all customers; both without gaps. `recorded_at` is UTC,
    to the millisecond. `redacted`: the customer's key is destroyed, and the personal fields are empty.
    """

    position: int
    customer_id: UUID
    version: int
    event_id: UUID
    schema_version: int = 1
    recorded_at: datetime
    redacted: bool = False
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


def redacted_fields(event: type[Event]) -> dict[str, Any]:
    """Wire names of the personal fields, each with what stands in its place once the customer's key is destroyed: None
    where the field may be None, else the empty value of its type.
    """
    hints = get_type_hints(event)
    return {
        field.encode_name: None if type(None) in get_args(hint) else (get_origin(hint) or hint)()
        for field in msgspec.structs.fields(event)
        if field.encode_name in personal_fields(event)
        for hint in [hints[field.name]]
    }


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
