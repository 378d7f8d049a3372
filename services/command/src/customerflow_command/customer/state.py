"""What is known of a customer, and how events change it."""

import hashlib
from datetime import date, datetime
from uuid import UUID

from customerflow_shared.values import (
    Address,
    Attribute,
    Consent,
    CustomerStatus,
    CustomerType,
    DefaultRole,
    ExternalId,
    Phone,
    TaxId,
)
from msgspec import Struct

MAX_FAILURES = 5  # wrong codes, after which none is taken


class Verification(Struct, frozen=True, kw_only=True):
    """A code that was issued for the present e-mail address."""

    id: UUID
    expires_at: datetime
    code_hash: str
    failures: int = 0


class Customer(Struct, frozen=True, kw_only=True):
    """As much of a customer as the rules read, and what events tell as the previous values."""

    type: CustomerType
    name: str
    given_name: str | None = None
    family_name: str | None = None
    social_name: str | None = None
    legal_name: str | None = None
    trade_name: str | None = None
    birth_date: date | None = None
    locale: str | None = None
    timezone: str | None = None
    lifecycle_stage: str | None = None
    email: str | None = None
    email_verified: bool = False
    verification: Verification | None = None
    phone: Phone | None = None
    phone_verified: bool = False
    tax_ids: tuple[TaxId, ...] = ()
    addresses: tuple[Address, ...] = ()
    default_addresses: dict[DefaultRole, UUID] = {}
    consents: tuple[Consent, ...] = ()
    tags: tuple[str, ...] = ()
    external_ids: tuple[ExternalId, ...] = ()
    attributes: dict[str, Attribute] = {}
    suspended: bool = False
    suspended_until: datetime | None = None
    archived: bool = False
    erasure_due_at: datetime | None = None
    erasure_request_ref: str | None = None
    erased_at: datetime | None = None

    @property
    def status(self) -> CustomerStatus:
        if self.erased_at:
            return "erased"
        return "archived" if self.archived else "suspended" if self.suspended else "active"


def code_hash(verification_id: UUID, code: str) -> str:
    """What is kept of a verification code."""
    return hashlib.sha256(verification_id.bytes + code.encode()).hexdigest()
