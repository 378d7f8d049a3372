"""The values of which a customer consists, in their normal form, as events and documents share them."""

from datetime import date, datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

CustomerType = Literal["person", "company"]
CustomerStatus = Literal["active", "suspended", "archived", "erased"]
AddressRole = Literal["billing", "shipping", "residential"]
DefaultRole = Literal["billing", "shipping"]
ConsentState = Literal["granted", "withdrawn", "pending"]
Attribute: TypeAlias = str | int | float | bool


class Value(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What is absent is left out; the order of collections is that in which things came."""


class Profile(Value, frozen=True, kw_only=True):
    """The plain fields that may be kept in clear. As part of a change: what is UNSET stays, None removes."""

    type: CustomerType | UnsetType = UNSET
    locale: str | UnsetType | None = UNSET
    timezone: str | UnsetType | None = UNSET
    lifecycle_stage: str | UnsetType | None = UNSET


class PersonalProfile(Value, frozen=True, kw_only=True):
    """The plain fields that are personal; UNSET and None as in `Profile`."""

    name: str | UnsetType = UNSET
    given_name: str | UnsetType | None = UNSET
    family_name: str | UnsetType | None = UNSET
    social_name: str | UnsetType | None = UNSET
    legal_name: str | UnsetType | None = UNSET
    trade_name: str | UnsetType | None = UNSET
    birth_date: date | UnsetType | None = UNSET


def given_fields(fields: Profile | PersonalProfile) -> dict[str, Any]:
    """What is not UNSET, by the name that state and documents give it too."""
    named = {name: getattr(fields, name) for name in fields.__struct_fields__}
    return {name: value for name, value in named.items() if value is not UNSET}


class Phone(Value, frozen=True, kw_only=True):
    """`number` is E.164, `extension` digits."""

    number: str
    extension: str | None = None


class TaxId(Value, frozen=True, kw_only=True):
    """`value` is the compact form that its type prescribes, without punctuation."""

    id: UUID
    type: str
    value: str


class Address(Value, frozen=True, kw_only=True):
    """`country` is ISO 3166-1 alpha-2, `region` the suffix of ISO 3166-2 where the country has regions.

    `line2` is the complement, `district` the neighbourhood.
    """

    id: UUID
    country: str
    line1: str
    label: str | None = None
    roles: tuple[AddressRole, ...] = ()
    recipient: str | None = None
    number: str | None = None
    line2: str | None = None
    district: str | None = None
    city: str | None = None
    region: str | None = None
    postal_code: str | None = None


class Consent(Value, frozen=True, kw_only=True):
    """The newest record for one purpose and channel. Never asked = no record."""

    purpose: str
    channel: str
    state: ConsentState
    captured_at: datetime
    source: str
    legal_basis: str | None = None
    opt_in_level: str | None = None
    policy_version: str | None = None
    evidence_ref: str | None = None
    expires_at: datetime | None = None


class ExternalId(Value, frozen=True, kw_only=True):
    """The customer's name in another system, compared byte by byte. A `personal` one is told to nobody."""

    source: str
    value: str
    personal: bool = False


class Issue(Value, frozen=True, kw_only=True):
    """Something odd about the data that is no error; `path` as `name` or `addresses/<id>/city`."""

    path: str
    code: str
