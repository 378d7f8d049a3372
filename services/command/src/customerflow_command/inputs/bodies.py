"""The bodies as OpenAPI shows them. Nothing is read with these: `inputs` is stricter, and tells more than one fault."""

from datetime import date, datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from customerflow_shared.inputs.bodies import SLUG, Body, Country, Email, ExternalIdBody, PhoneNumber, TaxIdBody
from customerflow_shared.values import AddressRole, ConsentState, CustomerType
from msgspec import UNSET, Meta, UnsetType

from customerflow_command.customer.limits import (
    MAX_ADDRESSES,
    MAX_ATTRIBUTES,
    MAX_CONSENTS,
    MAX_EXTERNAL_IDS,
    MAX_TAGS,
    MAX_TAX_IDS,
)
from customerflow_command.inputs.attributes import MAX_ATTRIBUTE, MAX_INTEGER, MAX_KEY
from customerflow_command.inputs.lifecycle import MAX_GRACE_DAYS, MAX_REASON
from customerflow_command.inputs.phones import MAX_EXTENSION
from customerflow_command.inputs.profile import MAX_LOCALE, MAX_NAME

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, examples=["Ana Souza"])]
Extension: TypeAlias = Annotated[str, Meta(pattern=f"^[0-9]{{1,{MAX_EXTENSION}}}$", examples=["12"])]
BirthDate: TypeAlias = Annotated[date, Meta(description="1900-01-01 until today.", examples=["1985-03-17"])]
Locale: TypeAlias = Annotated[str, Meta(max_length=MAX_LOCALE, description="BCP 47.", examples=["pt-BR"])]
TimeZone: TypeAlias = Annotated[str, Meta(description="Of the IANA database.", examples=["America/Sao_Paulo"])]
Stage: TypeAlias = Annotated[str, Meta(pattern=SLUG, examples=["lead"])]
Method: TypeAlias = Annotated[str, Meta(pattern=SLUG, examples=["double-opt-in"])]
Past: TypeAlias = Annotated[
    datetime, Meta(tz=True, description="Not in the future.", examples=["2026-11-22T15:00:00.000Z"])
]
Future: TypeAlias = Annotated[datetime, Meta(tz=True, examples=["2036-11-22T00:00:00.000Z"])]
Line: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, examples=["Av. Paulista"])]
Place: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100, examples=["Bela Vista"])]
City: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100, examples=["São Paulo"])]
Region: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=100, description="What ISO 3166-2 adds to the country.", examples=["SP"])
]
PostalCode: TypeAlias = Annotated[str, Meta(min_length=1, max_length=20, examples=["01310-100"])]
House: TypeAlias = Annotated[str, Meta(min_length=1, max_length=20, examples=["1578"])]
Label: TypeAlias = Annotated[str, Meta(min_length=1, max_length=50, examples=["casa"])]
Roles: TypeAlias = Annotated[list[AddressRole], Meta(max_length=3, examples=[["billing", "shipping"]])]
Tag: TypeAlias = Annotated[str, Meta(pattern=SLUG, examples=["vip"])]
Token: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100, examples=["checkout"])]
Reason: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_REASON, examples=["asked by phone"])]
Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_ATTRIBUTE, examples=["M"])]
Integer: TypeAlias = Annotated[int, Meta(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]
Key: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_KEY)]
Value: TypeAlias = Text | Integer | float | bool | None


class AddressBody(Body, kw_only=True):
    """What else is required depends on the country: most have cities and postal codes, some have regions."""

    country: Country
    line1: Line
    label: Label | None = None
    roles: Roles | None = None
    postal_code: PostalCode | None = None
    number: House | None = None
    line2: Line | None = None
    district: Place | None = None
    city: City | None = None
    region: Region | None = None
    recipient: Line | None = None


class AddressChangeBody(Body, kw_only=True):
    """A merge patch: what is absent stays, null removes. The address that results is checked as a whole."""

    country: Country | UnsetType = UNSET
    line1: Line | UnsetType = UNSET
    label: Label | UnsetType | None = UNSET
    roles: Roles | UnsetType | None = UNSET
    postal_code: PostalCode | UnsetType | None = UNSET
    number: House | UnsetType | None = UNSET
    line2: Line | UnsetType | None = UNSET
    district: Place | UnsetType | None = UNSET
    city: City | UnsetType | None = UNSET
    region: Region | UnsetType | None = UNSET
    recipient: Line | UnsetType | None = UNSET


class DefaultAddressBody(Body, kw_only=True):
    address_id: Annotated[UUID, Meta(examples=["0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11"])]


class ConsentBody(Body, kw_only=True):
    """What somebody said, when and where; what it was about is in the path."""

    state: ConsentState
    captured_at: Past
    source: Token
    legal_basis: Annotated[str, Meta(pattern=SLUG, examples=["consent"])] | None = None
    opt_in_level: Annotated[str, Meta(pattern=SLUG, examples=["double"])] | None = None
    policy_version: Annotated[str, Meta(min_length=1, max_length=100, examples=["2026-01"])] | None = None
    evidence_ref: Annotated[str, Meta(min_length=1, max_length=500, examples=["form 4711, page 2"])] | None = None
    expires_at: Future | None = None


class ConsentOfRegistration(ConsentBody, kw_only=True):
    """A consent that was given with the registration."""

    purpose: Annotated[str, Meta(pattern=SLUG, examples=["newsletter"])]
    channel: Annotated[str, Meta(pattern=SLUG, examples=["email"])]


class RegisterBody(Body, kw_only=True):
    """A new customer; null is as good as absent."""

    type: CustomerType
    name: Name
    given_name: Name | None = None
    family_name: Name | None = None
    social_name: Name | None = None
    legal_name: Name | None = None
    trade_name: Name | None = None
    email: Email | None = None
    phone: PhoneNumber | None = None
    phone_country: Country | None = None
    phone_extension: Extension | None = None
    birth_date: BirthDate | None = None
    locale: Locale | None = None
    timezone: TimeZone | None = None
    lifecycle_stage: Stage | None = None
    tax_ids: Annotated[list[TaxIdBody], Meta(max_length=MAX_TAX_IDS)] | None = None
    addresses: Annotated[list[AddressBody], Meta(max_length=MAX_ADDRESSES)] | None = None
    consents: Annotated[list[ConsentOfRegistration], Meta(max_length=MAX_CONSENTS)] | None = None
    tags: Annotated[list[Tag], Meta(max_length=MAX_TAGS)] | None = None
    external_ids: Annotated[list[ExternalIdBody], Meta(max_length=MAX_EXTERNAL_IDS)] | None = None
    attributes: Annotated[dict[Key, Value], Meta(max_length=MAX_ATTRIBUTES)] | None = None


class ChangeBody(Body, kw_only=True):
    """A merge patch: what is absent stays, null removes. Collections have routes of their own."""

    type: CustomerType | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    given_name: Name | UnsetType | None = UNSET
    family_name: Name | UnsetType | None = UNSET
    social_name: Name | UnsetType | None = UNSET
    legal_name: Name | UnsetType | None = UNSET
    trade_name: Name | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    phone: PhoneNumber | UnsetType | None = UNSET
    phone_country: Country | UnsetType | None = UNSET
    phone_extension: Extension | UnsetType | None = UNSET
    birth_date: BirthDate | UnsetType | None = UNSET
    locale: Locale | UnsetType | None = UNSET
    timezone: TimeZone | UnsetType | None = UNSET
    lifecycle_stage: Stage | UnsetType | None = UNSET
    attributes: Annotated[dict[Key, Value], Meta(max_length=2 * MAX_ATTRIBUTES)] | UnsetType | None = UNSET


class UpsertBody(ChangeBody, kw_only=True):
    """A merge patch of the customer, or, with `type` and `name`, a new one."""


class UpsertInBody(ChangeBody, kw_only=True):
    """The same with the external id, which does not fit into a path."""

    external_id: ExternalIdBody


class EmailVerificationBody(Body, kw_only=True):
    """Somebody else has verified the address; it must be the present one."""

    value: Email
    method: Method
    verified_at: Past


class PhoneVerificationBody(Body, kw_only=True):
    """Somebody else has verified the number; it must be the present one."""

    value: PhoneNumber
    phone_country: Country | None = None
    method: Method
    verified_at: Past


class ConfirmationBody(Body, kw_only=True):
    code: Annotated[str, Meta(min_length=1, max_length=20, examples=["123456"])]


class SuspensionBody(Body, kw_only=True):
    reason: Reason
    until: Future | None = None


class LegalHoldBody(Body, kw_only=True):
    reason: Reason
    until: Future | None = None


class ReasonBody(Body, kw_only=True):
    reason: Reason | None = None


class ErasureBody(Body, kw_only=True):
    """`requestRef` outlives the customer: nothing personal belongs into it."""

    request_ref: Annotated[str, Meta(min_length=1, max_length=100, examples=["DSR-2026/17"])] | None = None
    reason: Reason | None = None
    grace_days: Annotated[int, Meta(ge=0, le=MAX_GRACE_DAYS, examples=[30])] | None = None
