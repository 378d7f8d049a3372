"""Every event, and the message that tells other systems of it. What is personal in an event is called Secret."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
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
)
from customerflow_shared.values import Address, Consent, ExternalId, PersonalProfile, Phone, TaxId

ID = "00000000-0000-0000-0000-000000000001"
TWO = UUID(int=2)
MOMENT = datetime(2026, 11, 22, 15, tzinfo=UTC)
SHOWN = "2026-11-22T15:00:00.000Z"
ADDRESS = Address(id=TWO, country="BR", line1="Secret", city="Secret")
PHONE = Phone(number="+5511900000000")
IN_ERP = ExternalId(source="erp", value="10442")
IN_CRM = ExternalId(source="crm", value="Secret", personal=True)
CONSENT = Consent(
    purpose="newsletter", channel="email", state="granted", captured_at=MOMENT, source="shop", evidence_ref="Secret"
)
COMPLETE = CustomerRegistered(
    customer_type="company",
    countries=("BR", "PT"),
    external_ids=(IN_ERP,),
    name="Secret",
    given_name="Secret",
    family_name="Secret",
    social_name="Secret",
    legal_name="Secret",
    trade_name="Secret",
    birth_date=date(1990, 2, 28),
    email="secret@example.com",
    phone=PHONE,
    tax_ids=(TaxId(id=TWO, type="br_cpf", value="Secret"),),
    addresses=(ADDRESS,),
    attributes={"Secret": "Secret"},
    personal_external_ids=(IN_CRM,),
)
REGISTERED = {"type": "company", "status": "active", "links": {"self": f"/v1/customers/{ID}"}}
RENAMED = CustomerProfileChanged(
    changed=("name", "locale"),
    personal=PersonalProfile(name="Secret"),
    previous_personal=PersonalProfile(name="Secret"),
)
EMAIL_CHANGED = CustomerEmailChanged(email="secret@example.com", previous_email="secret@example.com")
ERASURE_REQUESTED = CustomerErasureRequested(request_ref="LGPD-7", due_at=MOMENT, reason="Secret")
ERASED = CustomerErased(
    erased_at=MOMENT, reason_code="requested", request_ref="LGPD-7", keys_destroyed=1, external_ids=(IN_ERP, IN_CRM)
)
CODE_REQUESTED = CustomerEmailVerificationRequested(
    verification_id=TWO, number=1, expires_at=MOMENT, retry_at=MOMENT, code_hash="Secret"
)
NOTHING = CustomerEmailVerificationFailed(verification_id=TWO)

# every event, the message that tells it, and what that says besides the customer's id and version
TOLD: list[tuple[CustomerEvent, str, dict[str, Any]]] = [
    (
        COMPLETE,
        "customer.registered.v1",
        REGISTERED | {"externalIds": [{"source": "erp", "value": "10442"}], "country": "BR"},
    ),
    (
        CustomerRegistered(customer_type="company", name="Secret"),
        "customer.registered.v1",
        REGISTERED | {"externalIds": []},
    ),
    (RENAMED, "customer.updated.v1", {"changed": ["name", "locale"]}),
    (EMAIL_CHANGED, "customer.updated.v1", {"changed": ["email"]}),
    (CustomerPhoneChanged(phone=PHONE, previous_phone=PHONE), "customer.updated.v1", {"changed": ["phone"]}),
    (CustomerEmailVerified(method="x", verified_at=MOMENT), "customer.updated.v1", {"changed": ["emailVerified"]}),
    (CustomerPhoneVerified(method="x", verified_at=MOMENT), "customer.updated.v1", {"changed": ["phoneVerified"]}),
    (
        CODE_REQUESTED,
        "customer.email_verification_requested.v1",
        {
            "verificationId": str(TWO),
            "expiresAt": SHOWN,
            "links": {"delivery": f"/internal/customers/{ID}/email/verifications/{TWO}"},
        },
    ),
    (
        CustomerTaxIdAdded(tax_id_id=TWO, tax_id_type="br_cpf", value="Secret"),
        "customer.updated.v1",
        {"changed": ["taxIds"]},
    ),
    (
        CustomerTaxIdRemoved(tax_id_id=TWO, tax_id_type="br_cpf", value="Secret"),
        "customer.updated.v1",
        {"changed": ["taxIds"]},
    ),
    (
        CustomerAddressAdded(address_id=TWO, roles=(), country="BR", region="SP", address=ADDRESS),
        "customer.updated.v1",
        {"changed": ["addresses"]},
    ),
    (
        CustomerAddressChanged(
            address_id=TWO,
            changed=("city",),
            roles=(),
            country="BR",
            region="SP",
            address=ADDRESS,
            previous_address=ADDRESS,
        ),
        "customer.updated.v1",
        {"changed": ["addresses"]},
    ),
    (CustomerAddressRemoved(address_id=TWO, address=ADDRESS), "customer.updated.v1", {"changed": ["addresses"]}),
    (
        CustomerDefaultAddressSet(role="billing", address_id=TWO, previous_address_id=None),
        "customer.updated.v1",
        {"changed": ["defaultAddresses"]},
    ),
    (
        CustomerConsentRecorded(**msgspec.structs.asdict(CONSENT), previous_state="pending"),
        "customer.consent_changed.v1",
        {"purpose": "newsletter", "channel": "email", "state": "granted", "capturedAt": SHOWN},
    ),
    (CustomerTagged(tag="vip"), "customer.updated.v1", {"changed": ["tags"]}),
    (CustomerUntagged(tag="vip"), "customer.updated.v1", {"changed": ["tags"]}),
    (CustomerExternalIdLinked(source="erp", value="10442"), "customer.updated.v1", {"changed": ["externalIds"]}),
    (
        CustomerExternalIdLinked(source="crm", value=None, personal_value="Secret"),
        "customer.updated.v1",
        {"changed": ["externalIds"]},
    ),
    (
        CustomerExternalIdUnlinked(source="crm", value=None, personal_value="Secret"),
        "customer.updated.v1",
        {"changed": ["externalIds"]},
    ),
    (
        CustomerAttributesChanged(
            changed=("Secret",), attributes={"Secret": "Secret"}, previous_attributes={"Secret": 1}
        ),
        "customer.updated.v1",
        {"changed": ["attributes"]},
    ),
    (
        CustomerSuspended(until=MOMENT, reason="Secret"),
        "customer.status_changed.v1",
        {"from": "active", "to": "suspended"},
    ),
    (CustomerReactivated(reason="Secret"), "customer.status_changed.v1", {"from": "suspended", "to": "active"}),
    (CustomerArchived(reason="Secret"), "customer.status_changed.v1", {"from": "active", "to": "archived"}),
    (
        CustomerArchived(previous_status="suspended"),
        "customer.status_changed.v1",
        {"from": "suspended", "to": "archived"},
    ),
    (CustomerRestored(reason="Secret"), "customer.status_changed.v1", {"from": "archived", "to": "active"}),
    (CustomerRestored(status="suspended"), "customer.status_changed.v1", {"from": "archived", "to": "suspended"}),
    (CustomerLegalHoldPlaced(reason="Secret"), "customer.updated.v1", {"changed": ["legalHold"]}),
    (CustomerLegalHoldLifted(reason="Secret"), "customer.updated.v1", {"changed": ["legalHold"]}),
    (ERASURE_REQUESTED, "customer.erasure_requested.v1", {"dueAt": SHOWN, "requestRef": "LGPD-7"}),
    (
        CustomerErasureRequested(request_ref=None, due_at=MOMENT),
        "customer.erasure_requested.v1",
        {"dueAt": SHOWN},
    ),
    (CustomerErasureCancelled(reason="Secret"), "customer.erasure_cancelled.v1", {}),
    (
        ERASED,
        "customer.erased.v1",
        {"erasedAt": SHOWN, "externalIds": [{"source": "erp", "value": "10442"}]},
    ),
]
