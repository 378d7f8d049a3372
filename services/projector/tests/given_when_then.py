"""The customer to whom things happen in the tests of projections, and how that is told."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from uuid import UUID

from customerflow_projector.projections import project
from customerflow_shared.events import (
    CustomerAddressAdded,
    CustomerAddressChanged,
    CustomerEmailVerified,
    CustomerErased,
    CustomerErasureRequested,
    CustomerEvent,
    CustomerPhoneVerified,
    CustomerRegistered,
    CustomerSuspended,
)
from customerflow_shared.values import Address, Consent, ExternalId, Issue, Phone, TaxId
from customerflow_shared.views import ConsentView, CustomerView, View
from msgspec.structs import replace

from .builders import ANA, recorded

ONE, TWO = UUID(int=1), UUID(int=2)
MOMENT = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
SHOWN = "2026-11-20T08:30:00.000Z"
PHONE = Phone(number="+5511999998888", extension="12")
TAX_ID = TaxId(id=ONE, type="br_cpf", value="39053344705")
HOME = Address(id=ONE, country="BR", line1="Av. Paulista", city="Sampa", roles=("billing", "shipping"))
WORK = Address(id=TWO, country="BR", line1="Rua Augusta")
NEWSLETTER = Consent(
    purpose="newsletter", channel="email", state="granted", captured_at=MOMENT, source="shop", evidence_ref="form 7"
)
SMS = replace(NEWSLETTER, channel="sms")
SHOWN_NEWSLETTER = ConsentView(
    purpose="newsletter", channel="email", state="granted", captured_at=SHOWN, source="shop", evidence_ref="form 7"
)
SHOWN_SMS = replace(SHOWN_NEWSLETTER, channel="sms")
IN_ERP = ExternalId(source="erp", value="10442")
IN_CRM = ExternalId(source="crm", value="ana", personal=True)
ODD_NAME = Issue(path="name", code="name-unusual")
ODD_CITY = Issue(path=f"addresses/{ONE}/city", code="city-unknown")

# a registration with something of everything
COMPLETE = CustomerRegistered(
    customer_type="person",
    name="Ana Souza",
    given_name="Ana",
    family_name="Souza",
    social_name="Aninha",
    legal_name="Ana Maria Souza",
    trade_name="Ana Doces",
    birth_date=date(1990, 2, 28),
    locale="pt-BR",
    timezone="America/Sao_Paulo",
    lifecycle_stage="lead",
    email="ana@example.com",
    phone=PHONE,
    tax_ids=(TAX_ID,),
    addresses=(HOME, WORK),
    consents=(NEWSLETTER, SMS),
    tags=("vip", "new"),
    external_ids=(IN_ERP,),
    personal_external_ids=(IN_CRM,),
    attributes={"shoe": 38, "vegan": True},
    issues=(ODD_NAME, ODD_CITY),
)
ACTIVE = CustomerView(
    id=ANA,
    version=1,
    type="person",
    name="Ana Souza",
    email="ana@example.com",
    status="active",
    created_at="2026-11-22T12:00:01.005Z",
    updated_at="2026-11-22T12:00:01.005Z",
)
SHOWN_COMPLETE = replace(
    ACTIVE,
    given_name="Ana",
    family_name="Souza",
    social_name="Aninha",
    legal_name="Ana Maria Souza",
    trade_name="Ana Doces",
    birth_date=date(1990, 2, 28),
    locale="pt-BR",
    timezone="America/Sao_Paulo",
    lifecycle_stage="lead",
    phone="+5511999998888",
    phone_extension="12",
    tax_ids=(TAX_ID,),
    addresses=(HOME, WORK),
    consents=(SHOWN_NEWSLETTER, SHOWN_SMS),
    tags=("vip", "new"),
    external_ids=(IN_ERP, IN_CRM),
    attributes={"shoe": 38, "vegan": True},
    data_quality=(ODD_NAME, ODD_CITY),
)

ADDED = CustomerAddressAdded(
    address_id=ONE, roles=HOME.roles, country="BR", region=None, issues=(ODD_CITY,), address=HOME
)
EMAIL_VERIFIED = CustomerEmailVerified(method="link", verified_at=MOMENT)
PHONE_VERIFIED = CustomerPhoneVerified(method="sms", verified_at=MOMENT)
SUSPENDED = CustomerSuspended(until=MOMENT, reason="chargeback")
ERASURE_REQUESTED = CustomerErasureRequested(request_ref="LGPD-7", due_at=MOMENT)
ERASED = CustomerErased(erased_at=MOMENT, reason_code="requested", request_ref="LGPD-7", keys_destroyed=1)


def when(event: CustomerEvent, *, given: Sequence[CustomerEvent]) -> View:
    before: View | None = None
    for version, past in enumerate(given, start=1):
        before = project(before, recorded(past, version))
    return project(before, recorded(event, len(given) + 1))


def then(version: int, **changes: object) -> CustomerView:
    """The complete customer at that version, with these changes."""
    return replace(SHOWN_COMPLETE, version=version, updated_at=f"2026-11-22T12:00:{version:02}.005Z", **changes)


def address_changed(address: Address, *issues: Issue) -> CustomerAddressChanged:
    return CustomerAddressChanged(
        address_id=address.id,
        changed=("city",),
        roles=address.roles,
        country=address.country,
        region=address.region,
        issues=issues,
        address=address,
        previous_address=None,
    )
