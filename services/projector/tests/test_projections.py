"""What each event does to a customer's document, as given / when / then."""

import pytest
from customerflow_projector.projections import HistoryBroken, project
from customerflow_shared.events import (
    CustomerAddressRemoved,
    CustomerArchived,
    CustomerAttributesChanged,
    CustomerConsentRecorded,
    CustomerDefaultAddressSet,
    CustomerEmailChanged,
    CustomerEmailVerificationFailed,
    CustomerEmailVerificationRequested,
    CustomerErasureCancelled,
    CustomerEvent,
    CustomerExternalIdLinked,
    CustomerExternalIdUnlinked,
    CustomerLegalHoldLifted,
    CustomerLegalHoldPlaced,
    CustomerPhoneChanged,
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
from customerflow_shared.values import ExternalId, Issue, PersonalProfile, Phone, Profile, TaxId
from customerflow_shared.views import ErasedView, Erasure, LegalHold
from msgspec.structs import asdict, replace

from .builders import ANA, EMAIL_REMOVED, REGISTERED, RENAMED, recorded
from .given_when_then import (
    ACTIVE,
    ADDED,
    COMPLETE,
    EMAIL_VERIFIED,
    ERASED,
    ERASURE_REQUESTED,
    HOME,
    IN_CRM,
    IN_ERP,
    MOMENT,
    NEWSLETTER,
    ODD_CITY,
    ODD_NAME,
    ONE,
    PHONE,
    PHONE_VERIFIED,
    SHOWN,
    SHOWN_COMPLETE,
    SHOWN_NEWSLETTER,
    SHOWN_SMS,
    SUSPENDED,
    TAX_ID,
    TWO,
    WORK,
    address_changed,
    then,
    when,
)


def test_a_registration_begins_the_document() -> None:
    assert when(REGISTERED, given=[]) == ACTIVE


def test_a_registration_shows_all_that_came_with_it() -> None:
    assert when(COMPLETE, given=[]) == SHOWN_COMPLETE


def test_a_company_without_an_address_is_shown_so() -> None:
    company = CustomerRegistered(customer_type="company", name="Padaria Lima Ltda.")
    assert when(company, given=[]) == replace(ACTIVE, type="company", name="Padaria Lima Ltda.", email=None)


# profile


def test_of_a_profile_what_is_given_replaces_what_was_and_none_removes_it() -> None:
    changed = CustomerProfileChanged(
        changed=("type", "locale", "socialName", "birthDate"),
        profile=Profile(type="company", locale=None),
        personal=PersonalProfile(social_name="Nina", birth_date=None),
    )
    shown = when(changed, given=[COMPLETE])
    assert shown == then(2, type="company", locale=None, social_name="Nina", birth_date=None)


def test_what_was_odd_about_a_value_goes_with_it() -> None:
    assert when(RENAMED, given=[COMPLETE]) == then(2, name="Ana Lima", data_quality=(ODD_CITY,))


def test_what_is_odd_about_a_new_value_is_shown() -> None:
    odd = CustomerProfileChanged(changed=("name",), personal=PersonalProfile(name="123"), issues=(ODD_NAME,))
    assert when(odd, given=[COMPLETE]) == then(2, name="123", data_quality=(ODD_CITY, ODD_NAME))


def test_what_is_odd_about_a_name_is_not_odd_about_one_that_begins_alike() -> None:
    odd = replace(COMPLETE, issues=(Issue(path="nameSuffix", code="odd"), Issue(path="name/first", code="odd")))
    shown = when(RENAMED, given=[odd])
    assert shown == then(2, name="Ana Lima", data_quality=(Issue(path="nameSuffix", code="odd"),))


def test_new_attributes_replace_those_of_the_same_names() -> None:
    changed = CustomerAttributesChanged(
        changed=("vegan", "size"), attributes={"size": 1.5}, previous_attributes={"vegan": True}
    )
    odd = replace(COMPLETE, issues=(Issue(path="attributes/vegan", code="odd"), ODD_NAME))
    shown = when(changed, given=[odd])
    assert shown == then(2, attributes={"shoe": 38, "size": 1.5}, data_quality=(ODD_NAME,))


# contact


def test_a_new_address_is_not_verified() -> None:
    changed = CustomerEmailChanged(email="lima@example.com", previous_email="ana@example.com")
    assert when(changed, given=[COMPLETE, EMAIL_VERIFIED]) == then(3, email="lima@example.com")


def test_an_address_can_go() -> None:
    assert when(EMAIL_REMOVED, given=[COMPLETE, EMAIL_VERIFIED]) == then(3, email=None)


def test_a_new_number_is_not_verified() -> None:
    changed = CustomerPhoneChanged(phone=Phone(number="+5511988887777"), previous_phone=PHONE)
    shown = when(changed, given=[COMPLETE, PHONE_VERIFIED])
    assert shown == then(3, phone="+5511988887777", phone_extension=None)


def test_a_number_can_go() -> None:
    removed = CustomerPhoneChanged(phone=None, previous_phone=PHONE)
    assert when(removed, given=[COMPLETE, PHONE_VERIFIED]) == then(3, phone=None, phone_extension=None)


def test_what_was_odd_about_contacts_goes_with_them() -> None:
    odd = replace(COMPLETE, issues=(Issue(path="email", code="odd"), Issue(path="phone", code="odd")))
    without_email = when(EMAIL_REMOVED, given=[odd])
    assert without_email == then(2, email=None, data_quality=(Issue(path="phone", code="odd"),))
    changed = CustomerPhoneChanged(phone=PHONE, previous_phone=None)
    assert when(changed, given=[odd]) == then(2, data_quality=(Issue(path="email", code="odd"),))


def test_verifications_say_when() -> None:
    assert when(EMAIL_VERIFIED, given=[COMPLETE]) == then(2, email_verified_at=SHOWN)
    assert when(PHONE_VERIFIED, given=[COMPLETE]) == then(2, phone_verified_at=SHOWN)


@pytest.mark.parametrize(
    "event",
    [
        CustomerEmailVerificationRequested(
            verification_id=ONE, number=1, expires_at=MOMENT, retry_at=MOMENT, code_hash="5e88"
        ),
        CustomerEmailVerificationFailed(verification_id=ONE),
    ],
)
def test_of_a_code_under_way_only_the_version_is_seen(event: CustomerEvent) -> None:
    assert when(event, given=[COMPLETE]) == then(2)


# tax ids, addresses


def test_tax_ids_come_and_go_with_what_was_odd_about_them() -> None:
    added = CustomerTaxIdAdded(tax_id_id=TWO, tax_id_type="other", value="7")
    assert when(added, given=[COMPLETE]) == then(2, tax_ids=(TAX_ID, TaxId(id=TWO, type="other", value="7")))
    removed = CustomerTaxIdRemoved(tax_id_id=ONE, tax_id_type="br_cpf", value="39053344705")
    odd = replace(COMPLETE, issues=(Issue(path=f"taxIds/{ONE}", code="odd"), ODD_CITY))
    assert when(removed, given=[odd]) == then(2, tax_ids=(), data_quality=(ODD_CITY,))


def test_an_address_is_added_with_what_is_odd_about_it() -> None:
    bare = replace(COMPLETE, addresses=(), issues=(ODD_NAME,))
    assert when(ADDED, given=[bare]) == then(2, addresses=(HOME,), data_quality=(ODD_NAME, ODD_CITY))


def test_a_changed_address_stays_in_its_place() -> None:
    moved = replace(HOME, city="São Paulo")
    shown = when(address_changed(moved), given=[COMPLETE])
    assert shown == then(2, addresses=(moved, WORK), data_quality=(ODD_NAME,))


def test_what_is_still_odd_about_an_address_is_shown_once() -> None:
    moved = replace(HOME, line2="ap. 3")
    shown = when(address_changed(moved, ODD_CITY), given=[COMPLETE])
    assert shown == then(2, addresses=(moved, WORK))


def test_a_removed_address_is_no_default_any_more() -> None:
    given: list[CustomerEvent] = [
        COMPLETE,
        CustomerDefaultAddressSet(role="billing", address_id=ONE, previous_address_id=None),
        CustomerDefaultAddressSet(role="shipping", address_id=TWO, previous_address_id=None),
    ]
    shown = when(CustomerAddressRemoved(address_id=ONE, address=HOME), given=given)
    assert shown == then(4, addresses=(WORK,), default_addresses={"shipping": TWO}, data_quality=(ODD_NAME,))


def test_a_role_has_one_default() -> None:
    first = CustomerDefaultAddressSet(role="billing", address_id=ONE, previous_address_id=None)
    second = CustomerDefaultAddressSet(role="billing", address_id=TWO, previous_address_id=ONE)
    assert when(first, given=[COMPLETE]) == then(2, default_addresses={"billing": ONE})
    assert when(second, given=[COMPLETE, first]) == then(3, default_addresses={"billing": TWO})


# labels, consents


def test_tags_come_and_go() -> None:
    assert when(CustomerTagged(tag="old"), given=[COMPLETE]) == then(2, tags=("vip", "new", "old"))
    assert when(CustomerUntagged(tag="vip"), given=[COMPLETE]) == then(2, tags=("new",))


def test_external_ids_come_and_go() -> None:
    linked = CustomerExternalIdLinked(source="shop", value="a")
    shown = when(linked, given=[COMPLETE])
    assert shown == then(2, external_ids=(IN_ERP, IN_CRM, ExternalId(source="shop", value="a")))
    unlinked = CustomerExternalIdUnlinked(source="erp", value="10442")
    assert when(unlinked, given=[COMPLETE]) == then(2, external_ids=(IN_CRM,))


def test_personal_external_ids_are_marked() -> None:
    linked = CustomerExternalIdLinked(source="crm", value=None, personal_value="bia")
    shown = when(linked, given=[COMPLETE])
    assert shown == then(2, external_ids=(IN_ERP, IN_CRM, ExternalId(source="crm", value="bia", personal=True)))
    unlinked = CustomerExternalIdUnlinked(source="crm", value=None, personal_value="ana")
    assert when(unlinked, given=[COMPLETE]) == then(2, external_ids=(IN_ERP,))


def test_of_each_purpose_and_channel_the_newest_consent_is_shown() -> None:
    withdrawn = replace(NEWSLETTER, state="withdrawn", source="call", evidence_ref=None, expires_at=MOMENT)
    event = CustomerConsentRecorded(**asdict(withdrawn), previous_state="granted")
    shown = replace(SHOWN_NEWSLETTER, state="withdrawn", source="call", evidence_ref=None, expires_at=SHOWN)
    assert when(event, given=[COMPLETE]) == then(2, consents=(shown, SHOWN_SMS))


# status, erasure


def test_a_suspension_is_shown_with_its_end_until_it_is_over() -> None:
    assert when(SUSPENDED, given=[COMPLETE]) == then(2, status="suspended", suspended_until=SHOWN)
    assert when(CustomerSuspended(), given=[COMPLETE]) == then(2, status="suspended")
    assert when(CustomerReactivated(), given=[COMPLETE, SUSPENDED]) == then(3)


def test_an_archived_customer_stays_to_be_read() -> None:
    assert when(CustomerArchived(), given=[COMPLETE]) == then(2, status="archived")


def test_a_restored_customer_is_as_before() -> None:
    assert when(CustomerRestored(), given=[COMPLETE, CustomerArchived()]) == then(3)
    archived = CustomerArchived(previous_status="suspended")
    restored = when(CustomerRestored(status="suspended"), given=[COMPLETE, SUSPENDED, archived])
    assert restored == then(4, status="suspended", suspended_until=SHOWN)


def test_a_suspension_does_not_outlive_a_restoration_to_active() -> None:
    archived = CustomerArchived(previous_status="suspended")
    assert when(CustomerRestored(), given=[COMPLETE, SUSPENDED, archived]) == then(4)


def test_a_legal_hold_is_shown_with_its_end() -> None:
    assert when(CustomerLegalHoldPlaced(until=MOMENT), given=[COMPLETE]) == then(2, legal_hold=LegalHold(until=SHOWN))
    assert when(CustomerLegalHoldPlaced(), given=[COMPLETE]) == then(2, legal_hold=LegalHold())
    assert when(CustomerLegalHoldLifted(), given=[COMPLETE, CustomerLegalHoldPlaced()]) == then(3)


def test_a_pending_erasure_is_shown_until_it_is_cancelled() -> None:
    shown = when(ERASURE_REQUESTED, given=[COMPLETE])
    assert shown == then(2, erasure=Erasure(due_at=SHOWN, request_ref="LGPD-7"))
    assert when(CustomerErasureCancelled(), given=[COMPLETE, ERASURE_REQUESTED]) == then(3)


def test_of_an_erased_customer_nothing_is_left_but_that_there_was_one() -> None:
    assert when(ERASED, given=[COMPLETE, ERASURE_REQUESTED]) == ErasedView(id=ANA, version=3, erased_at=SHOWN)


# order


@pytest.mark.parametrize("event", [RENAMED, EMAIL_REMOVED, CustomerArchived(), ADDED, ERASED])
def test_a_history_begins_with_a_registration(event: CustomerEvent) -> None:
    with pytest.raises(HistoryBroken, match="not a registration"):
        when(event, given=[])


def test_a_customer_is_registered_once() -> None:
    with pytest.raises(HistoryBroken, match="registered already"):
        when(COMPLETE, given=[REGISTERED])


@pytest.mark.parametrize("event", [RENAMED, REGISTERED, CustomerTagged(tag="vip"), ERASED])
def test_nothing_follows_an_erasure(event: CustomerEvent) -> None:
    with pytest.raises(HistoryBroken, match="erased"):
        when(event, given=[REGISTERED, ERASED])


@pytest.mark.parametrize("version", [0, 1, 3])
def test_only_the_next_event_can_be_projected(version: int) -> None:
    with pytest.raises(HistoryBroken, match=f"version {version} does not follow 1"):
        project(ACTIVE, recorded(RENAMED, version))
