"""What is known of a customer, and how events change it."""

from datetime import date, datetime
from typing import assert_never
from uuid import UUID

from customerflow_shared.events import (
    CustomerAddressAdded,
    CustomerAddressChanged,
    CustomerAddressRemoved,
    CustomerArchived,
    CustomerAttributesChanged,
    CustomerConsentRecorded,
    CustomerDefaultAddressSet,
    CustomerEmailChanged,
    CustomerEmailVerificationFailed,
    CustomerEmailVerificationRequested,
    CustomerEmailVerified,
    CustomerErased,
    CustomerErasureCancelled,
    CustomerErasureRequested,
    CustomerEvent,
    CustomerExternalIdLinked,
    CustomerExternalIdUnlinked,
    CustomerLegalHoldLifted,
    CustomerLegalHoldPlaced,
    CustomerPhoneChanged,
    CustomerPhoneVerified,
    CustomerProfileChanged,
    CustomerReactivated,
    CustomerRegistered,
    CustomerRestored,
    CustomerSuspended,
    CustomerTagged,
    CustomerTaxIdAdded,
    CustomerTaxIdRemoved,
    CustomerUntagged,
    external_id_of,
)
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
    given_fields,
)
from msgspec import Struct
from msgspec.structs import replace

MAX_FAILURES = 5  # wrong codes, after which none is taken
OTHER_TAX_ID = "other"  # a type without rules: repeatable, and shared by customers


class Verification(Struct, frozen=True, kw_only=True):
    """The code that was issued last for the present e-mail address, the `number`-th in a row."""

    id: UUID
    number: int
    expires_at: datetime
    retry_at: datetime
    code_hash: str
    failures: int = 0


class Hold(Struct, frozen=True, kw_only=True):
    """A legal hold; `until` None: until it is lifted."""

    until: datetime | None = None


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
    hold: Hold | None = None
    erasure_due_at: datetime | None = None
    erasure_request_ref: str | None = None
    erased_at: datetime | None = None

    @property
    def status(self) -> CustomerStatus:
        if self.erased_at:
            return "erased"
        return "archived" if self.archived else "suspended" if self.suspended else "active"


NOBODY = Customer(type="person", name="")


def evolve(customer: Customer | None, event: CustomerEvent) -> Customer:
    """Never refuses: what has happened has happened. Of a redacted event the personal part is None or empty."""
    known = NOBODY if customer is None else customer
    match event:
        case CustomerRegistered():
            return registered(event)
        case CustomerProfileChanged():
            return replace(known, **given_fields(event.profile), **given_fields(event.personal))
        case CustomerEmailChanged():
            return replace(known, email=event.email, email_verified=False, verification=None)
        case CustomerPhoneChanged():
            return replace(known, phone=event.phone, phone_verified=False)
        case CustomerEmailVerified():
            return replace(known, email_verified=True, verification=None)
        case CustomerPhoneVerified():
            return replace(known, phone_verified=True)
        case CustomerEmailVerificationRequested():
            issued = Verification(
                id=event.verification_id,
                number=event.number,
                expires_at=event.expires_at,
                retry_at=event.retry_at,
                code_hash=event.code_hash,
            )
            return replace(known, verification=issued)
        case CustomerEmailVerificationFailed():
            tried = known.verification
            return replace(known, verification=tried and replace(tried, failures=tried.failures + 1))
        case CustomerTaxIdAdded():
            tax_id = TaxId(id=event.tax_id_id, type=event.tax_id_type, value=event.value)
            return replace(known, tax_ids=(*known.tax_ids, tax_id))
        case CustomerTaxIdRemoved():
            return replace(known, tax_ids=tuple(held for held in known.tax_ids if held.id != event.tax_id_id))
        case CustomerAddressAdded():
            return known if event.address is None else replace(known, addresses=(*known.addresses, event.address))
        case CustomerAddressChanged():
            changed = event.address
            addresses = tuple(changed if changed and one.id == changed.id else one for one in known.addresses)
            return replace(known, addresses=addresses)
        case CustomerAddressRemoved():
            return replace(
                known,
                addresses=tuple(one for one in known.addresses if one.id != event.address_id),
                default_addresses={r: id for r, id in known.default_addresses.items() if id != event.address_id},
            )
        case CustomerDefaultAddressSet():
            return replace(known, default_addresses={**known.default_addresses, event.role: event.address_id})
        case CustomerConsentRecorded():
            return replace(known, consents=(*_other_consents(known, event), _consent(event)))
        case CustomerTagged():
            return replace(known, tags=(*known.tags, event.tag))
        case CustomerUntagged():
            return replace(known, tags=tuple(tag for tag in known.tags if tag != event.tag))
        case CustomerExternalIdLinked():
            return replace(known, external_ids=(*known.external_ids, *external_id_of(event)))
        case CustomerExternalIdUnlinked():
            gone = external_id_of(event)
            return replace(known, external_ids=tuple(one for one in known.external_ids if one not in gone))
        case CustomerAttributesChanged():
            kept = {key: value for key, value in known.attributes.items() if key not in event.changed}
            return replace(known, attributes={**kept, **event.attributes})
        case CustomerSuspended():
            return replace(known, suspended=True, suspended_until=event.until)
        case CustomerReactivated():
            return replace(known, suspended=False, suspended_until=None)
        case CustomerArchived():
            return replace(known, archived=True)
        case CustomerRestored():
            return replace(known, archived=False)
        case CustomerLegalHoldPlaced():
            return replace(known, hold=Hold(until=event.until))
        case CustomerLegalHoldLifted():
            return replace(known, hold=None)
        case CustomerErasureRequested():
            return replace(known, erasure_due_at=event.due_at, erasure_request_ref=event.request_ref)
        case CustomerErasureCancelled():
            return replace(known, erasure_due_at=None, erasure_request_ref=None)
        case CustomerErased():
            return replace(NOBODY, type=known.type, erased_at=event.erased_at)
        case _:
            assert_never(event)


def registered(event: CustomerRegistered) -> Customer:
    return Customer(
        type=event.customer_type,
        name=event.name,
        given_name=event.given_name,
        family_name=event.family_name,
        social_name=event.social_name,
        legal_name=event.legal_name,
        trade_name=event.trade_name,
        birth_date=event.birth_date,
        locale=event.locale,
        timezone=event.timezone,
        lifecycle_stage=event.lifecycle_stage,
        email=event.email,
        phone=event.phone,
        tax_ids=event.tax_ids,
        addresses=event.addresses,
        consents=event.consents,
        tags=event.tags,
        external_ids=event.external_ids + event.personal_external_ids,
        attributes=event.attributes,
    )


def _consent(event: CustomerConsentRecorded) -> Consent:
    return Consent(**{name: getattr(event, name) for name in Consent.__struct_fields__})


def _other_consents(customer: Customer, event: CustomerConsentRecorded) -> tuple[Consent, ...]:
    of_event = (event.purpose, event.channel)
    return tuple(held for held in customer.consents if (held.purpose, held.channel) != of_event)


def due(customer: Customer) -> datetime | None:
    """The next moment at which something falls due by itself."""
    return min(filter(None, (erasure_falls_due(customer), suspension_ends(customer))), default=None)


def erasure_falls_due(customer: Customer) -> datetime | None:
    """While a customer is held its erasure waits."""
    if customer.erasure_due_at is None or customer.hold is None:
        return customer.erasure_due_at
    return customer.hold.until and max(customer.erasure_due_at, customer.hold.until)


def suspension_ends(customer: Customer) -> datetime | None:
    """While a customer is archived its suspension waits, to end, if its time has passed, once it is restored."""
    return None if customer.archived else customer.suspended_until
