"""The wire form of every event, byte for byte: with all of its fields, and with as few as it can have.

A golden line is never changed, only added: these bytes are in somebody's database.
"""

from datetime import UTC, date, datetime
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
)
from customerflow_shared.values import (
    Address,
    Consent,
    ExternalId,
    Issue,
    PersonalProfile,
    Phone,
    Profile,
    TaxId,
)

MOMENT = datetime(2026, 11, 22, 15, 4, 5, 123_000, tzinfo=UTC)
LATER = datetime(2027, 11, 22, tzinfo=UTC)
ONE, TWO = UUID(int=1), UUID(int=2)
PHONE = Phone(number="+5511999998888", extension="12")
ADDRESS = Address(
    id=ONE,
    country="BR",
    line1="Av. Paulista",
    label="casa",
    roles=("billing", "shipping"),
    recipient="Ana",
    number="1578",
    line2="ap. 3",
    district="Bela Vista",
    city="São Paulo",
    region="SP",
    postal_code="01310-100",
)
BARE_ADDRESS = Address(id=TWO, country="PT", line1="Rua Nova 1")

GOLDEN: list[tuple[CustomerEvent, str]] = [
    (
        CustomerRegistered(customer_type="person", name="Ana", email="ana@example.com"),
        '{"type":"CustomerRegistered","customerType":"person","name":"Ana","email":"ana@example.com"}',
    ),
    (
        CustomerRegistered(customer_type="company", name="Ana"),
        '{"type":"CustomerRegistered","customerType":"company","name":"Ana"}',
    ),
    (
        CustomerRegistered(
            customer_type="person",
            locale="pt-BR",
            timezone="America/Sao_Paulo",
            lifecycle_stage="lead",
            countries=("BR", "PT"),
            tags=("vip",),
            external_ids=(ExternalId(source="erp", value="10442"),),
            issues=(Issue(path="name", code="name-unusual"),),
            name="Ana Souza",
            given_name="Ana",
            family_name="Souza",
            social_name="Aninha",
            legal_name="Ana Maria Souza",
            trade_name="Ana Doces",
            birth_date=date(1990, 2, 28),
            email="ana@example.com",
            phone=PHONE,
            tax_ids=(TaxId(id=ONE, type="br_cpf", value="39053344705"),),
            addresses=(ADDRESS, BARE_ADDRESS),
            consents=(
                Consent(
                    purpose="newsletter",
                    channel="email",
                    state="granted",
                    captured_at=MOMENT,
                    source="checkout",
                    evidence_ref="form 7",
                ),
            ),
            attributes={"shoe": 38, "size": 1.5, "vegan": True, "note": "x"},
            personal_external_ids=(ExternalId(source="crm", value="ana", personal=True),),
        ),
        '{"type":"CustomerRegistered","customerType":"person","locale":"pt-BR","timezone":"America/Sao_Paulo",'
        '"lifecycleStage":"lead","countries":["BR","PT"],"tags":["vip"],"externalIds":[{"source":"erp",'
        '"value":"10442"}],"issues":[{"path":"name","code":"name-unusual"}],"name":"Ana Souza",'
        '"givenName":"Ana","familyName":"Souza","socialName":"Aninha","legalName":"Ana Maria Souza",'
        '"tradeName":"Ana Doces","birthDate":"1990-02-28","email":"ana@example.com",'
        '"phone":{"number":"+5511999998888","extension":"12"},'
        '"taxIds":[{"id":"00000000-0000-0000-0000-000000000001","type":"br_cpf","value":"39053344705"}],'
        '"addresses":[{"id":"00000000-0000-0000-0000-000000000001","country":"BR","line1":"Av. Paulista",'
        '"label":"casa","roles":["billing","shipping"],"recipient":"Ana","number":"1578","line2":"ap. 3",'
        '"district":"Bela Vista","city":"São Paulo","region":"SP",'
        '"postalCode":"01310-100"},{"id":"00000000-0000-0000-0000-000000000002","country":"PT",'
        '"line1":"Rua Nova 1"}],"consents":[{"purpose":"newsletter","channel":"email","state":"granted",'
        '"capturedAt":"2026-11-22T15:04:05.123000Z","source":"checkout","evidenceRef":"form 7"}],'
        '"attributes":{"shoe":38,"size":1.5,"vegan":true,"note":"x"},"personalExternalIds":[{"source":"crm",'
        '"value":"ana","personal":true}]}',
    ),
    (
        CustomerProfileChanged(
            changed=("type", "locale", "name", "birthDate"),
            profile=Profile(type="company", locale=None),
            previous_profile=Profile(type="person", locale="pt-BR"),
            issues=(Issue(path="name", code="name-unusual"),),
            personal=PersonalProfile(name="Bia", birth_date=date(1990, 2, 28)),
            previous_personal=PersonalProfile(name="Ana"),
        ),
        '{"type":"CustomerProfileChanged","changed":["type","locale","name","birthDate"],'
        '"profile":{"type":"company","locale":null},"previousProfile":{"type":"person","locale":"pt-BR"},'
        '"issues":[{"path":"name","code":"name-unusual"}],"personal":{"name":"Bia","birthDate":"1990-02-28"},'
        '"previousPersonal":{"name":"Ana"}}',
    ),
    (
        CustomerProfileChanged(
            changed=("tradeName",),
            personal=PersonalProfile(trade_name=None),
            previous_personal=PersonalProfile(trade_name="Ana Doces"),
        ),
        '{"type":"CustomerProfileChanged","changed":["tradeName"],"personal":{"tradeName":null},'
        '"previousPersonal":{"tradeName":"Ana Doces"}}',
    ),
    (
        CustomerProfileChanged(
            changed=("timezone", "lifecycleStage"),
            profile=Profile(timezone="Europe/Lisbon", lifecycle_stage="customer"),
        ),
        '{"type":"CustomerProfileChanged","changed":["timezone","lifecycleStage"],'
        '"profile":{"timezone":"Europe/Lisbon","lifecycleStage":"customer"}}',
    ),
    (
        CustomerProfileChanged(changed=("name",)),
        '{"type":"CustomerProfileChanged","changed":["name"]}',
    ),
    (
        CustomerEmailChanged(email="bia@example.com", previous_email="ana@example.com"),
        '{"type":"CustomerEmailChanged","email":"bia@example.com","previousEmail":"ana@example.com"}',
    ),
    (
        CustomerEmailChanged(email=None, previous_email="ana@example.com"),
        '{"type":"CustomerEmailChanged","email":null,"previousEmail":"ana@example.com"}',
    ),
    (
        CustomerPhoneChanged(phone=PHONE, previous_phone=None),
        '{"type":"CustomerPhoneChanged","phone":{"number":"+5511999998888","extension":"12"},"previousPhone":null}',
    ),
    (
        CustomerPhoneChanged(phone=None, previous_phone=Phone(number="+5511999998888")),
        '{"type":"CustomerPhoneChanged","phone":null,"previousPhone":{"number":"+5511999998888"}}',
    ),
    (
        CustomerEmailVerified(method="code", verified_at=MOMENT),
        '{"type":"CustomerEmailVerified","method":"code","verifiedAt":"2026-11-22T15:04:05.123000Z"}',
    ),
    (
        CustomerPhoneVerified(method="sms", verified_at=MOMENT),
        '{"type":"CustomerPhoneVerified","method":"sms","verifiedAt":"2026-11-22T15:04:05.123000Z"}',
    ),
    (
        CustomerEmailVerificationRequested(
            verification_id=ONE, number=2, expires_at=LATER, retry_at=LATER, code_hash="5e88"
        ),
        '{"type":"CustomerEmailVerificationRequested","verificationId":"00000000-0000-0000-0000-000000000001",'
        '"number":2,"expiresAt":"2027-11-22T00:00:00Z","retryAt":"2027-11-22T00:00:00Z","codeHash":"5e88"}',
    ),
    (
        CustomerEmailVerificationFailed(verification_id=ONE),
        '{"type":"CustomerEmailVerificationFailed","verificationId":"00000000-0000-0000-0000-000000000001"}',
    ),
    (
        CustomerTaxIdAdded(tax_id_id=ONE, tax_id_type="br_cpf", value="39053344705"),
        '{"type":"CustomerTaxIdAdded","taxIdId":"00000000-0000-0000-0000-000000000001","taxIdType":"br_cpf",'
        '"value":"39053344705"}',
    ),
    (
        CustomerTaxIdRemoved(tax_id_id=ONE, tax_id_type="br_cpf", value="39053344705"),
        '{"type":"CustomerTaxIdRemoved","taxIdId":"00000000-0000-0000-0000-000000000001","taxIdType":"br_cpf",'
        '"value":"39053344705"}',
    ),
    (
        CustomerAddressAdded(
            address_id=ONE,
            roles=("billing", "shipping"),
            country="BR",
            region="SP",
            issues=(Issue(path=f"addresses/{ONE}/city", code="city-unknown"),),
            address=ADDRESS,
        ),
        '{"type":"CustomerAddressAdded","addressId":"00000000-0000-0000-0000-000000000001","roles":["billing",'
        '"shipping"],"country":"BR","region":"SP",'
        '"issues":[{"path":"addresses/00000000-0000-0000-0000-000000000001/city","code":"city-unknown"}],'
        '"address":{"id":"00000000-0000-0000-0000-000000000001","country":"BR","line1":"Av. Paulista",'
        '"label":"casa","roles":["billing","shipping"],"recipient":"Ana","number":"1578","line2":"ap. 3",'
        '"district":"Bela Vista","city":"São Paulo","region":"SP","postalCode":"01310-100"}}',
    ),
    (
        CustomerAddressAdded(address_id=TWO, roles=(), country="PT", region=None, address=BARE_ADDRESS),
        '{"type":"CustomerAddressAdded","addressId":"00000000-0000-0000-0000-000000000002","roles":[],'
        '"country":"PT","region":null,"address":{"id":"00000000-0000-0000-0000-000000000002","country":"PT",'
        '"line1":"Rua Nova 1"}}',
    ),
    (
        CustomerAddressChanged(
            address_id=TWO,
            changed=("roles",),
            roles=("residential",),
            country="PT",
            region="11",
            issues=(Issue(path=f"addresses/{TWO}/city", code="city-unknown"),),
            address=Address(id=TWO, country="PT", line1="Rua Nova 1", roles=("residential",)),
            previous_address=BARE_ADDRESS,
        ),
        '{"type":"CustomerAddressChanged","addressId":"00000000-0000-0000-0000-000000000002",'
        '"changed":["roles"],"roles":["residential"],"country":"PT","region":"11",'
        '"issues":[{"path":"addresses/00000000-0000-0000-0000-000000000002/city","code":"city-unknown"}],'
        '"address":{"id":"00000000-0000-0000-0000-000000000002","country":"PT","line1":"Rua Nova 1",'
        '"roles":["residential"]},"previousAddress":{"id":"00000000-0000-0000-0000-000000000002","country":"PT",'
        '"line1":"Rua Nova 1"}}',
    ),
    (
        CustomerAddressChanged(
            address_id=TWO, changed=(), roles=(), country="PT", region=None, address=None, previous_address=None
        ),
        '{"type":"CustomerAddressChanged","addressId":"00000000-0000-0000-0000-000000000002","changed":[],'
        '"roles":[],"country":"PT","region":null,"address":null,"previousAddress":null}',
    ),
    (
        CustomerAddressRemoved(address_id=TWO, address=BARE_ADDRESS),
        '{"type":"CustomerAddressRemoved","addressId":"00000000-0000-0000-0000-000000000002",'
        '"address":{"id":"00000000-0000-0000-0000-000000000002","country":"PT","line1":"Rua Nova 1"}}',
    ),
    (
        CustomerDefaultAddressSet(role="billing", address_id=ONE, previous_address_id=None),
        '{"type":"CustomerDefaultAddressSet","role":"billing",'
        '"addressId":"00000000-0000-0000-0000-000000000001","previousAddressId":null}',
    ),
    (
        CustomerDefaultAddressSet(role="shipping", address_id=ONE, previous_address_id=TWO),
        '{"type":"CustomerDefaultAddressSet","role":"shipping",'
        '"addressId":"00000000-0000-0000-0000-000000000001",'
        '"previousAddressId":"00000000-0000-0000-0000-000000000002"}',
    ),
    (
        CustomerConsentRecorded(
            purpose="newsletter",
            channel="email",
            state="granted",
            previous_state="pending",
            captured_at=MOMENT,
            source="checkout",
            legal_basis="consent",
            opt_in_level="double",
            policy_version="2026-1",
            expires_at=LATER,
            evidence_ref="form 7",
        ),
        '{"type":"CustomerConsentRecorded","purpose":"newsletter","channel":"email","state":"granted",'
        '"previousState":"pending","capturedAt":"2026-11-22T15:04:05.123000Z","source":"checkout",'
        '"legalBasis":"consent","optInLevel":"double","policyVersion":"2026-1",'
        '"expiresAt":"2027-11-22T00:00:00Z","evidenceRef":"form 7"}',
    ),
    (
        CustomerConsentRecorded(
            purpose="newsletter",
            channel="sms",
            state="withdrawn",
            previous_state=None,
            captured_at=MOMENT,
            source="shop",
        ),
        '{"type":"CustomerConsentRecorded","purpose":"newsletter","channel":"sms","state":"withdrawn",'
        '"previousState":null,"capturedAt":"2026-11-22T15:04:05.123000Z","source":"shop"}',
    ),
    (
        CustomerTagged(tag="vip"),
        '{"type":"CustomerTagged","tag":"vip"}',
    ),
    (
        CustomerUntagged(tag="vip"),
        '{"type":"CustomerUntagged","tag":"vip"}',
    ),
    (
        CustomerExternalIdLinked(source="erp", value="10442"),
        '{"type":"CustomerExternalIdLinked","source":"erp","value":"10442"}',
    ),
    (
        CustomerExternalIdLinked(source="crm", value=None, personal_value="ana"),
        '{"type":"CustomerExternalIdLinked","source":"crm","value":null,"personalValue":"ana"}',
    ),
    (
        CustomerExternalIdUnlinked(source="erp", value="10442"),
        '{"type":"CustomerExternalIdUnlinked","source":"erp","value":"10442"}',
    ),
    (
        CustomerExternalIdUnlinked(source="crm", value=None, personal_value="ana"),
        '{"type":"CustomerExternalIdUnlinked","source":"crm","value":null,"personalValue":"ana"}',
    ),
    (
        CustomerAttributesChanged(
            changed=("shoe", "vegan"), attributes={"shoe": 38}, previous_attributes={"vegan": True}
        ),
        '{"type":"CustomerAttributesChanged","changed":["shoe","vegan"],"attributes":{"shoe":38},'
        '"previousAttributes":{"vegan":true}}',
    ),
    (
        CustomerSuspended(until=LATER, reason="chargeback"),
        '{"type":"CustomerSuspended","until":"2027-11-22T00:00:00Z","reason":"chargeback"}',
    ),
    (
        CustomerSuspended(),
        '{"type":"CustomerSuspended"}',
    ),
    (
        CustomerReactivated(reason="paid"),
        '{"type":"CustomerReactivated","reason":"paid"}',
    ),
    (
        CustomerReactivated(),
        '{"type":"CustomerReactivated"}',
    ),
    (
        CustomerArchived(previous_status="suspended", reason="gone"),
        '{"type":"CustomerArchived","previousStatus":"suspended","reason":"gone"}',
    ),
    (
        CustomerArchived(),
        '{"type":"CustomerArchived"}',
    ),
    (
        CustomerRestored(status="suspended", reason="back"),
        '{"type":"CustomerRestored","status":"suspended","reason":"back"}',
    ),
    (
        CustomerRestored(),
        '{"type":"CustomerRestored"}',
    ),
    (
        CustomerLegalHoldPlaced(until=LATER, reason="tax audit"),
        '{"type":"CustomerLegalHoldPlaced","until":"2027-11-22T00:00:00Z","reason":"tax audit"}',
    ),
    (
        CustomerLegalHoldPlaced(),
        '{"type":"CustomerLegalHoldPlaced"}',
    ),
    (
        CustomerLegalHoldLifted(reason="audit is over"),
        '{"type":"CustomerLegalHoldLifted","reason":"audit is over"}',
    ),
    (
        CustomerLegalHoldLifted(),
        '{"type":"CustomerLegalHoldLifted"}',
    ),
    (
        CustomerErasureRequested(request_ref="LGPD-7", due_at=LATER, reason="asked by phone"),
        '{"type":"CustomerErasureRequested","requestRef":"LGPD-7","dueAt":"2027-11-22T00:00:00Z",'
        '"reason":"asked by phone"}',
    ),
    (
        CustomerErasureRequested(request_ref=None, due_at=LATER),
        '{"type":"CustomerErasureRequested","requestRef":null,"dueAt":"2027-11-22T00:00:00Z"}',
    ),
    (
        CustomerErasureCancelled(reason="changed her mind"),
        '{"type":"CustomerErasureCancelled","reason":"changed her mind"}',
    ),
    (
        CustomerErasureCancelled(),
        '{"type":"CustomerErasureCancelled"}',
    ),
    (
        CustomerErased(
            erased_at=MOMENT,
            reason_code="requested",
            request_ref="LGPD-7",
            keys_destroyed=1,
            external_ids=(ExternalId(source="erp", value="10442"),),
        ),
        '{"type":"CustomerErased","erasedAt":"2026-11-22T15:04:05.123000Z","reasonCode":"requested",'
        '"requestRef":"LGPD-7","keysDestroyed":1,"externalIds":[{"source":"erp","value":"10442"}]}',
    ),
    (
        CustomerErased(erased_at=MOMENT, reason_code="reapplied", request_ref=None, keys_destroyed=0),
        '{"type":"CustomerErased","erasedAt":"2026-11-22T15:04:05.123000Z","reasonCode":"reapplied",'
        '"requestRef":null,"keysDestroyed":0}',
    ),
]
