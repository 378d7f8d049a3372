"""A change states each thing that really changes, and what was there before."""

from datetime import date

import pytest
from customerflow_command.customer.commands import ChangeCustomer
from customerflow_command.customer.errors import LimitReached
from customerflow_shared.events import (
    CustomerAttributesChanged,
    CustomerEmailChanged,
    CustomerEmailVerified,
    CustomerPhoneChanged,
    CustomerPhoneVerified,
    CustomerProfileChanged,
    CustomerRegistered,
)
from customerflow_shared.values import Attribute, Issue, PersonalProfile, Phone, Profile

from .sentences import NOW, REGISTERED, code_sent, known, past, registered, when

PHONE = Phone(number="+5511999998888")
RENAMED = ChangeCustomer(personal=PersonalProfile(name="Ana Lima"))
WITH_ATTRIBUTES = CustomerRegistered(customer_type="person", name="Ana", attributes={"shoe": 38, "vip": True})


def test_a_new_name_is_told_with_the_one_before() -> None:
    assert when(RENAMED) == [
        CustomerProfileChanged(
            changed=("name",),
            personal=PersonalProfile(name="Ana Lima"),
            previous_personal=PersonalProfile(name="Ana Souza"),
        )
    ]


def test_of_the_profile_only_what_really_changes_is_told_by_its_path() -> None:
    given = CustomerRegistered(
        customer_type="person", name="Ana", locale="pt-BR", lifecycle_stage="lead", legal_name="Ana Souza"
    )
    command = ChangeCustomer(
        profile=Profile(type="company", locale="pt-BR", timezone="America/Sao_Paulo", lifecycle_stage=None),
        personal=PersonalProfile(
            name="Ana", given_name="Ana", legal_name=None, trade_name=None, birth_date=date(1990, 2, 28)
        ),
    )
    assert when(command, given=[given]) == [
        CustomerProfileChanged(
            changed=("type", "timezone", "lifecycleStage", "givenName", "legalName", "birthDate"),
            profile=Profile(type="company", timezone="America/Sao_Paulo", lifecycle_stage=None),
            previous_profile=Profile(type="person", lifecycle_stage="lead"),
            personal=PersonalProfile(given_name="Ana", legal_name=None, birth_date=date(1990, 2, 28)),
            previous_personal=PersonalProfile(legal_name="Ana Souza"),
        )
    ]


def test_a_changed_profile_is_what_the_customer_then_has() -> None:
    command = ChangeCustomer(
        profile=Profile(type="company", locale="en", lifecycle_stage=None),
        personal=PersonalProfile(name="Bakery", trade_name="Bakery & Co"),
    )
    given = CustomerRegistered(customer_type="person", name="Ana", lifecycle_stage="lead", social_name="Aninha")
    after = known([given, *when(command, given=[given])])
    assert (after.type, after.locale, after.lifecycle_stage) == ("company", "en", None)
    assert (after.name, after.trade_name, after.social_name) == ("Bakery", "Bakery & Co", "Aninha")


def test_one_change_states_each_thing_that_changed() -> None:
    command = ChangeCustomer(
        personal=PersonalProfile(name="Ana Lima"), email=None, phone=PHONE, attributes={"shoe": 38}
    )
    assert [type(event) for event in when(command)] == [
        CustomerProfileChanged,
        CustomerEmailChanged,
        CustomerPhoneChanged,
        CustomerAttributesChanged,
    ]


def test_what_is_not_mentioned_stays() -> None:
    assert when(ChangeCustomer(email="new@example.com")) == [
        CustomerEmailChanged(email="new@example.com", previous_email="ana@example.com")
    ]


@pytest.mark.parametrize(
    "command",
    [
        ChangeCustomer(),
        ChangeCustomer(profile=Profile(type="person", locale=None), personal=PersonalProfile(name="Ana Souza")),
        ChangeCustomer(email="ana@example.com", phone=None),
        ChangeCustomer(attributes=None),
        ChangeCustomer(attributes={}),
        ChangeCustomer(attributes={"shoe": None}),
    ],
)
def test_a_change_to_what_is_there_already_is_none(command: ChangeCustomer) -> None:
    assert when(command) == []


def test_what_is_odd_about_a_name_is_told_when_the_name_changes() -> None:
    odd = (Issue(path="name", code="odd"),)
    [renamed] = when(ChangeCustomer(personal=PersonalProfile(name="1234"), issues=odd))
    assert isinstance(renamed, CustomerProfileChanged)
    assert renamed.issues == odd


def test_what_is_odd_about_a_name_is_not_told_again_when_something_else_changes() -> None:
    command = ChangeCustomer(
        profile=Profile(locale="en"),
        personal=PersonalProfile(name="Ana Souza"),
        issues=(Issue(path="name", code="odd"),),
    )
    assert when(command) == [CustomerProfileChanged(changed=("locale",), profile=Profile(locale="en"))]


def test_a_new_address_is_not_verified_and_no_code_is_waiting_for_it() -> None:
    given = past(REGISTERED, CustomerEmailVerified(method="link", verified_at=NOW), code_sent())
    after = known([*given, *when(ChangeCustomer(email="new@example.com"), given=given)])
    assert (after.email, after.email_verified, after.verification) == ("new@example.com", False, None)


def test_another_spelling_of_an_address_is_a_change() -> None:
    assert when(ChangeCustomer(email="Ana@example.com")) == [
        CustomerEmailChanged(email="Ana@example.com", previous_email="ana@example.com")
    ]


def test_a_new_phone_is_not_verified() -> None:
    given = past(registered(phone=PHONE), CustomerPhoneVerified(method="sms", verified_at=NOW))
    assert known(given).phone_verified
    other = Phone(number="+5511999998888", extension="7")
    changed = when(ChangeCustomer(phone=other), given=given)
    assert changed == [CustomerPhoneChanged(phone=other, previous_phone=PHONE)]
    after = known([*given, *changed])
    assert (after.phone, after.phone_verified) == (other, False)


def test_a_phone_can_be_removed() -> None:
    assert when(ChangeCustomer(phone=None), given=[registered(phone=PHONE)]) == [
        CustomerPhoneChanged(phone=None, previous_phone=PHONE)
    ]


def test_of_attributes_only_those_that_change_are_told() -> None:
    command = ChangeCustomer(attributes={"shoe": 39, "vip": True, "since": "2020"})
    changed = when(command, given=[WITH_ATTRIBUTES])
    assert changed == [
        CustomerAttributesChanged(
            changed=("shoe", "since"), attributes={"shoe": 39, "since": "2020"}, previous_attributes={"shoe": 38}
        )
    ]
    assert known([WITH_ATTRIBUTES, *changed]).attributes == {"vip": True, "shoe": 39, "since": "2020"}


def test_null_removes_an_attribute() -> None:
    changed = when(ChangeCustomer(attributes={"shoe": None, "hat": None}), given=[WITH_ATTRIBUTES])
    assert changed == [CustomerAttributesChanged(changed=("shoe",), attributes={}, previous_attributes={"shoe": 38})]
    assert known([WITH_ATTRIBUTES, *changed]).attributes == {"vip": True}


def test_null_for_all_attributes_removes_them() -> None:
    changed = when(ChangeCustomer(attributes=None), given=[WITH_ATTRIBUTES])
    assert changed == [
        CustomerAttributesChanged(changed=("shoe", "vip"), attributes={}, previous_attributes={"shoe": 38, "vip": True})
    ]
    assert known([WITH_ATTRIBUTES, *changed]).attributes == {}


@pytest.mark.parametrize(("before", "after"), [(1, True), (0, False), (1, 1.0), (True, 1)])
def test_what_python_takes_for_equal_is_still_another_attribute(before: Attribute, after: Attribute) -> None:
    given = CustomerRegistered(customer_type="person", name="Ana", attributes={"a": before})
    [changed] = when(ChangeCustomer(attributes={"a": after}), given=[given])
    assert isinstance(changed, CustomerAttributesChanged)
    assert changed.attributes["a"] is after


def test_a_customer_has_at_most_fifty_attributes() -> None:
    fifty = {f"a{n}": n for n in range(50)}
    assert when(ChangeCustomer(attributes={**fifty})) != []
    given = CustomerRegistered(customer_type="person", name="Ana", attributes={**fifty})
    with pytest.raises(LimitReached) as refused:
        when(ChangeCustomer(attributes={"one": 1}), given=[given])
    assert refused.value.limit == 50


def test_a_full_set_of_attributes_takes_a_new_one_in_the_place_of_another() -> None:
    given = CustomerRegistered(customer_type="person", name="Ana", attributes={f"a{n}": n for n in range(50)})
    assert when(ChangeCustomer(attributes={"a0": None, "one": 1}), given=[given]) != []
