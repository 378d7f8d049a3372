"""What can be asked of a customer. Values are in their normal form; ids and times come from outside."""

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from customerflow_shared.values import (
    Address,
    Attribute,
    Consent,
    CustomerType,
    DefaultRole,
    ExternalId,
    Issue,
    PersonalProfile,
    Phone,
    Profile,
    TaxId,
)
from msgspec import UNSET, Struct, UnsetType


class RequestEmailVerification(Struct, frozen=True, kw_only=True):
    verification_id: UUID
    code_hash: str
    expires_at: datetime


class RegisterCustomer(Struct, frozen=True, kw_only=True):
    """`profile` and `personal` have None or UNSET where nothing was given; `name` is always there. With a
    `verification` whoever has an e-mail address is sent a code at once.
    """

    customer_type: CustomerType
    name: str
    profile: Profile = Profile()
    personal: PersonalProfile = PersonalProfile()
    email: str | None = None
    phone: Phone | None = None
    tax_ids: tuple[TaxId, ...] = ()
    addresses: tuple[Address, ...] = ()
    consents: tuple[Consent, ...] = ()
    tags: tuple[str, ...] = ()
    external_ids: tuple[ExternalId, ...] = ()
    attributes: dict[str, Attribute] = {}
    issues: tuple[Issue, ...] = ()
    verification: RequestEmailVerification | None = None


class ChangeCustomer(Struct, frozen=True, kw_only=True):
    """What is UNSET stays, None removes; so does None for one of the `attributes`, or for all of them.

    `issues` are those of the values given.
    """

    profile: Profile = Profile()
    personal: PersonalProfile = PersonalProfile()
    email: str | UnsetType | None = UNSET
    phone: Phone | UnsetType | None = UNSET
    attributes: dict[str, Attribute | None] | UnsetType | None = UNSET
    issues: tuple[Issue, ...] = ()


class UpsertCustomer(Struct, frozen=True, kw_only=True):
    """Change the customer that has this external id, or register one with it."""

    external_id: ExternalId
    change: ChangeCustomer


class VerifyEmail(Struct, frozen=True, kw_only=True):
    """Somebody else has verified that `email` reaches the customer."""

    email: str
    method: str
    verified_at: datetime


class VerifyPhone(Struct, frozen=True, kw_only=True):
    phone: Phone
    method: str
    verified_at: datetime


class ConfirmEmail(Struct, frozen=True, kw_only=True):
    """`code_hash` is that of the code that was given, were it the one that was issued last."""

    code_hash: str


class AddTaxId(Struct, frozen=True, kw_only=True):
    tax_id: TaxId


class RemoveTaxId(Struct, frozen=True, kw_only=True):
    tax_id_id: UUID


class AddAddress(Struct, frozen=True, kw_only=True):
    address: Address
    issues: tuple[Issue, ...] = ()


class ChangeAddress(Struct, frozen=True, kw_only=True):
    """`address` is the whole of it, as it shall be."""

    address: Address
    issues: tuple[Issue, ...] = ()


class RemoveAddress(Struct, frozen=True, kw_only=True):
    address_id: UUID


class SetDefaultAddress(Struct, frozen=True, kw_only=True):
    role: DefaultRole
    address_id: UUID


class TagCustomer(Struct, frozen=True, kw_only=True):
    tag: str


class UntagCustomer(Struct, frozen=True, kw_only=True):
    tag: str


class LinkExternalId(Struct, frozen=True, kw_only=True):
    external_id: ExternalId


class UnlinkExternalId(Struct, frozen=True, kw_only=True):
    external_id: ExternalId


class RecordConsent(Struct, frozen=True, kw_only=True):
    consent: Consent


class SuspendCustomer(Struct, frozen=True, kw_only=True):
    reason: str
    until: datetime | None = None


class ReactivateCustomer(Struct, frozen=True, kw_only=True):
    reason: str | None = None


class ArchiveCustomer(Struct, frozen=True, kw_only=True):
    reason: str | None = None


class RestoreCustomer(Struct, frozen=True, kw_only=True):
    reason: str | None = None


class PlaceLegalHold(Struct, frozen=True, kw_only=True):
    reason: str
    until: datetime | None = None


class LiftLegalHold(Struct, frozen=True, kw_only=True):
    reason: str | None = None


class RequestErasure(Struct, frozen=True, kw_only=True):
    """Due at once if `due_at` is not in the future."""

    due_at: datetime
    request_ref: str | None = None
    reason: str | None = None


class CancelErasure(Struct, frozen=True, kw_only=True):
    reason: str | None = None


class DoWhatIsDue(Struct, frozen=True, kw_only=True):
    """Given by the system itself: an erasure whose time has come, a suspension that has ended."""


class ReapplyErasure(Struct, frozen=True, kw_only=True):
    """Erase a customer that a restored backup has brought back."""


Command: TypeAlias = (
    RegisterCustomer
    | UpsertCustomer
    | ChangeCustomer
    | VerifyEmail
    | VerifyPhone
    | RequestEmailVerification
    | ConfirmEmail
    | AddTaxId
    | RemoveTaxId
    | AddAddress
    | ChangeAddress
    | RemoveAddress
    | SetDefaultAddress
    | TagCustomer
    | UntagCustomer
    | LinkExternalId
    | UnlinkExternalId
    | RecordConsent
    | SuspendCustomer
    | ReactivateCustomer
    | ArchiveCustomer
    | RestoreCustomer
    | PlaceLegalHold
    | LiftLegalHold
    | RequestErasure
    | CancelErasure
    | DoWhatIsDue
    | ReapplyErasure
)
