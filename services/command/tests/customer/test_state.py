"""Folding never refuses, whatever has become of the events and in whatever order they come."""

from collections.abc import Sequence
from typing import get_args

import msgspec
import pytest
from customerflow_command.customer.claims import Uniqueness, claims
from customerflow_command.customer.state import Customer, due
from customerflow_shared.events import (
    CustomerAddressAdded,
    CustomerAddressChanged,
    CustomerAddressRemoved,
    CustomerAttributesChanged,
    CustomerConsentRecorded,
    CustomerDefaultAddressSet,
    CustomerEmailChanged,
    CustomerEmailVerified,
    CustomerErasureCancelled,
    CustomerEvent,
    CustomerExternalIdLinked,
    CustomerExternalIdUnlinked,
    CustomerLegalHoldLifted,
    CustomerLegalHoldPlaced,
    CustomerPhoneChanged,
    CustomerPhoneVerified,
    CustomerProfileChanged,
    CustomerReactivated,
    CustomerRestored,
    CustomerTagged,
    CustomerTaxIdAdded,
    CustomerTaxIdRemoved,
    CustomerUntagged,
    redacted_fields,
)
from customerflow_shared.values import PersonalProfile, Phone, Profile
from hypothesis import given as holds_for
from hypothesis import strategies as some

from .sentences import (
    ARCHIVED,
    DAY,
    ERASED,
    ERASURE_REQUESTED,
    NOW,
    SUSPENDED,
    address,
    code_sent,
    consent,
    erp,
    known,
    number,
    personal,
    registered,
    state,
    tax_id,
    wrong_code_given,
)

REGISTERED = registered(
    email="ana@example.com",
    phone=Phone(number="+5511999998888"),
    tax_ids=[tax_id(1)],
    addresses=[address(2)],
    consents=[consent()],
    external_ids=[erp(), personal()],
)
HISTORY: Sequence[CustomerEvent] = [
    REGISTERED,
    CustomerProfileChanged(
        changed=("locale", "name"), profile=Profile(locale="en"), personal=PersonalProfile(name="Ana Lima")
    ),
    CustomerEmailChanged(email="new@example.com", previous_email="ana@example.com"),
    CustomerPhoneChanged(phone=None, previous_phone=Phone(number="+5511999998888")),
    code_sent(),
    wrong_code_given(),
    CustomerEmailVerified(method="code", verified_at=NOW),
    CustomerPhoneVerified(method="sms", verified_at=NOW),
    CustomerTaxIdAdded(tax_id_id=number(5), tax_id_type="pt_nif", value="501964843"),
    CustomerTaxIdRemoved(tax_id_id=number(1), tax_id_type="br_cpf", value="39053344705"),
    CustomerAddressAdded(address_id=number(6), roles=(), country="BR", region="SP", address=address(6)),
    CustomerAddressChanged(
        address_id=number(6),
        changed=("line1",),
        roles=(),
        country="BR",
        region="SP",
        address=address(6, "Rua Augusta"),
        previous_address=address(6),
    ),
    CustomerDefaultAddressSet(role="billing", address_id=number(2), previous_address_id=None),
    CustomerAddressRemoved(address_id=number(2), address=address(2)),
    CustomerConsentRecorded(
        purpose="newsletter",
        channel="email",
        state="withdrawn",
        previous_state="granted",
        captured_at=NOW,
        source="form",
        evidence_ref="form 7",
    ),
    CustomerTagged(tag="vip"),
    CustomerUntagged(tag="vip"),
    CustomerExternalIdLinked(source="crm", value=None, personal_value="b@crm.example"),
    CustomerExternalIdUnlinked(source="erp", value="10442"),
    CustomerAttributesChanged(changed=("shoe",), attributes={"shoe": 38}, previous_attributes={}),
    SUSPENDED,
    CustomerReactivated(),
    ARCHIVED,
    CustomerRestored(),
    CustomerLegalHoldPlaced(),
    CustomerLegalHoldLifted(),
    ERASURE_REQUESTED,
    CustomerErasureCancelled(),
    ERASED,
]
IN_ANY_ORDER = some.lists(some.sampled_from(HISTORY), min_size=1, max_size=40)


def redacted(event: CustomerEvent) -> CustomerEvent:
    """As it is read once the customer's key is destroyed."""
    return msgspec.convert({**msgspec.to_builtins(event), **redacted_fields(type(event))}, type(event))


def test_no_event_is_missing_here() -> None:
    assert {type(event) for event in HISTORY} == set(get_args(CustomerEvent))


@holds_for(IN_ANY_ORDER)
def test_events_fold_in_any_order(history: list[CustomerEvent]) -> None:
    customer = known(history)
    assert customer.status in ("active", "suspended", "archived", "erased")
    claims(customer, Uniqueness(phone=True))
    due(customer)


@holds_for(IN_ANY_ORDER)
def test_redacted_events_fold_to_a_customer_without_anything_personal(history: list[CustomerEvent]) -> None:
    told = str(known([redacted(event) for event in history]))
    for secret in (
        "Ana",
        "ana@",
        "new@",
        "b@crm",
        "+55",
        "39053344705",
        "501964843",
        "Rua",
        "Paulista",
        "form 7",
        "38",
    ):
        assert secret not in told


def test_a_redacted_history_folds_to_the_same_erased_customer() -> None:
    assert known([redacted(event) for event in HISTORY]) == known(HISTORY)


@pytest.mark.parametrize("event", HISTORY, ids=lambda event: type(event).__name__)
def test_an_event_of_nobody_is_taken_too(event: CustomerEvent) -> None:
    assert isinstance(state([event]), Customer)


def test_whoever_registers_anew_begins_anew() -> None:
    assert known([REGISTERED, SUSPENDED, ARCHIVED, REGISTERED]) == known([REGISTERED])


def test_a_redacted_address_or_external_id_is_none() -> None:
    added = CustomerAddressAdded(address_id=number(6), roles=(), country="BR", region=None, address=None)
    linked = CustomerExternalIdLinked(source="crm", value=None)
    assert known([REGISTERED, added, linked]) == known([REGISTERED])


def test_a_wrong_code_for_none_is_nothing() -> None:
    assert known([REGISTERED, wrong_code_given()]) == known([REGISTERED])


def test_an_address_that_is_not_there_changes_none() -> None:
    changed = next(event for event in HISTORY if isinstance(event, CustomerAddressChanged))
    assert known([REGISTERED, changed, redacted(changed)]) == known([REGISTERED])


def test_a_suspension_without_end_is_not_due_and_one_with_an_end_is() -> None:
    assert due(known([REGISTERED, SUSPENDED])) is None
    until = msgspec.structs.replace(SUSPENDED, until=NOW + DAY)
    assert due(known([REGISTERED, until])) == NOW + DAY
