"""What bodies consist of, for the OpenAPI document. Nothing is decoded by these: the readers beside this file are
stricter, and tell every fault at once.
"""

from typing import Annotated, TypeAlias

from customerflow_shared.values import AddressRole, Attribute, ConsentState, CustomerType
from msgspec import UNSET, Meta, Struct, UnsetType

from customerflow_command.customer.limits import (
    MAX_ADDRESSES,
    MAX_ATTRIBUTES,
    MAX_EXTERNAL_IDS,
    MAX_TAGS,
    MAX_TAX_IDS,
)
from customerflow_command.inputs.consents import MAX_CONSENTS
from customerflow_command.inputs.emails import MAX_EMAIL
from customerflow_command.inputs.labels import MAX_EXTERNAL_ID
from customerflow_command.inputs.lifecycle import MAX_GRACE_DAYS, MAX_REASON
from customerflow_command.inputs.phones import MAX_EXTENSION, MAX_PHONE
from customerflow_command.inputs.profile import MAX_NAME
from customerflow_command.inputs.tax_ids import MAX_VALUE

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, examples=["Ana Souza"])]
Email: TypeAlias = Annotated[str, Meta(max_length=MAX_EMAIL, examples=["ana@example.com"])]
Number: TypeAlias = Annotated[str, Meta(max_length=MAX_PHONE, examples=["+5511999998888"])]
Extension: TypeAlias = Annotated[str, Meta(pattern="^[0-9]+$", max_length=MAX_EXTENSION)]
Country: TypeAlias = Annotated[
    str, Meta(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2, in capitals.", examples=["BR"])
]
Day: TypeAlias = Annotated[str, Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$", examples=["1990-04-17"])]
Moment: TypeAlias = Annotated[
    str, Meta(description="ISO 8601 with its offset from UTC.", examples=["2026-11-22T15:00:00.000Z"])
]
Locale: TypeAlias = Annotated[str, Meta(description="BCP 47.", examples=["pt-BR"])]
Timezone: TypeAlias = Annotated[str, Meta(description="IANA.", examples=["America/Sao_Paulo"])]
Slug: TypeAlias = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_.:-]{0,49}$", examples=["customer"])]
Token: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100, examples=["checkout"])]
Reason: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_REASON)]


class TaxIdBody(Struct, kw_only=True, rename="camel"):
    type: Annotated[str, Meta(description="`br_cpf`, `br_cnpj`, `eu_vat`, ...; `other` is not checked.")]
    value: Annotated[str, Meta(min_length=1, max_length=MAX_VALUE)]


class ExternalIdBody(Struct, kw_only=True, rename="camel"):
    source: Slug
    value: Annotated[str, Meta(min_length=1, max_length=MAX_EXTERNAL_ID)]


class _OptionalPartsOfAddress(Struct, kw_only=True, rename="camel"):
    label: str | None = None
    roles: list[AddressRole] | None = None
    postal_code: str | None = None
    number: str | None = None
    line2: str | None = None
    district: str | None = None
    city: str | None = None
    region: Annotated[str, Meta(description="The suffix of ISO 3166-2.", examples=["SP"])] | None = None
    recipient: str | None = None


class AddressBody(_OptionalPartsOfAddress, kw_only=True, rename="camel"):
    country: Country
    line1: Annotated[str, Meta(min_length=1, max_length=200)]


class AddressChangeBody(_OptionalPartsOfAddress, kw_only=True, rename="camel"):
    """A merge patch: what is absent stays, null removes."""

    country: Country | UnsetType = UNSET
    line1: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET


class DefaultAddressBody(Struct, kw_only=True, rename="camel"):
    address_id: str


class ConsentBody(Struct, kw_only=True, rename="camel"):
    state: ConsentState
    captured_at: Moment
    source: Token
    legal_basis: Slug | None = None
    opt_in_level: Slug | None = None
    policy_version: Token | None = None
    evidence_ref: Annotated[str, Meta(max_length=500)] | None = None
    expires_at: Moment | None = None


class RegisteredConsent(ConsentBody, kw_only=True, rename="camel"):
    purpose: Slug
    channel: Slug


class _OptionalParts(Struct, kw_only=True, rename="camel"):
    given_name: Name | None = None
    family_name: Name | None = None
    social_name: Name | None = None
    legal_name: Name | None = None
    trade_name: Name | None = None
    birth_date: Day | None = None
    locale: Locale | None = None
    timezone: Timezone | None = None
    lifecycle_stage: Slug | None = None
    email: Email | None = None
    phone: Number | None = None
    phone_country: Annotated[Country, Meta(description="Where a number without + is at home.")] | None = None
    phone_extension: Extension | None = None


class RegisterBody(_OptionalParts, kw_only=True, rename="camel"):
    """A new customer."""

    type: CustomerType
    name: Name
    tax_ids: Annotated[list[TaxIdBody], Meta(max_length=MAX_TAX_IDS)] | None = None
    addresses: Annotated[list[AddressBody], Meta(max_length=MAX_ADDRESSES)] | None = None
    consents: Annotated[list[RegisteredConsent], Meta(max_length=MAX_CONSENTS)] | None = None
    tags: Annotated[list[Slug], Meta(max_length=MAX_TAGS)] | None = None
    external_ids: Annotated[list[ExternalIdBody], Meta(max_length=MAX_EXTERNAL_IDS)] | None = None
    attributes: Annotated[dict[str, Attribute | None], Meta(max_length=MAX_ATTRIBUTES)] | None = None


class ChangeBody(_OptionalParts, kw_only=True, rename="camel"):
    """A merge patch: what is absent stays, null removes."""

    type: CustomerType | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    attributes: dict[str, Attribute | None] | None = None


class UpsertBody(ChangeBody, kw_only=True, rename="camel"):
    """A merge patch, or a new customer: then type and name must be given."""


class UpsertInBody(UpsertBody, kw_only=True, rename="camel"):
    external_id: ExternalIdBody


class EmailVerificationBody(Struct, kw_only=True, rename="camel"):
    value: Email
    method: Slug
    verified_at: Moment


class PhoneVerificationBody(Struct, kw_only=True, rename="camel"):
    value: Number
    phone_country: Country | None = None
    method: Slug
    verified_at: Moment


class ConfirmationBody(Struct, kw_only=True, rename="camel"):
    code: Annotated[str, Meta(min_length=1, max_length=20, examples=["428571"])]


class SuspensionBody(Struct, kw_only=True, rename="camel"):
    reason: Reason
    until: Moment | None = None


class ReasonBody(Struct, kw_only=True, rename="camel"):
    reason: Reason | None = None


class ErasureBody(Struct, kw_only=True, rename="camel"):
    request_ref: Token | None = None
    reason: Reason | None = None
    grace_days: Annotated[int, Meta(ge=0, le=MAX_GRACE_DAYS)] | None = None
