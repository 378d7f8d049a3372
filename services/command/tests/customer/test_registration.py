"""How a customer comes to be: registered, or named by an external id that nobody has yet."""

from collections.abc import Callable
from datetime import date

import pytest
from customerflow_command.customer.commands import (
    ChangeCustomer,
    RegisterCustomer,
    RequestEmailVerification,
    UpsertCustomer,
)
from customerflow_command.customer.errors import LimitReached, RegistrationIncomplete, TaxIdTypePresent
from customerflow_command.customer.state import Customer
from customerflow_shared.events import CustomerEmailChanged, CustomerEmailVerificationRequested, CustomerRegistered
from customerflow_shared.values import Issue, PersonalProfile, Phone, Profile

from .sentences import DAY, NOW, REGISTERED, address, consent, erp, known, number, personal, tax_id, when

VERIFICATION = RequestEmailVerification(verification_id=number(9), code_hash="hash", expires_at=NOW + DAY)
PHONE = Phone(number="+5511999998888", extension="12")
EVERYTHING = RegisterCustomer(
    customer_type="person",
    name="Ana Souza",
    profile=Profile(locale="pt-BR", timezone="America/Sao_Paulo", lifecycle_stage="lead"),
    personal=PersonalProfile(
        given_name="Ana",
        family_name="Souza",
        social_name="Aninha",
        legal_name="Ana Maria Souza",
        trade_name="Padaria da Ana",
        birth_date=date(1990, 2, 28),
    ),
    email="ana@example.com",
    phone=PHONE,
    tax_ids=(tax_id(1), tax_id(2, "other", "x"), tax_id(3, "other", "y")),
    addresses=(address(4), address(5, country="PT"), address(6)),
    consents=(consent(),),
    tags=("vip", "b2b"),
    external_ids=(erp(), personal()),
    attributes={"shoe": 38},
    issues=(Issue(path="name", code="odd"),),
)


def test_a_registration_states_all_that_was_given() -> None:
    assert when(EVERYTHING, given=[]) == [
        CustomerRegistered(
            customer_type="person",
            locale="pt-BR",
            timezone="America/Sao_Paulo",
            lifecycle_stage="lead",
            countries=("BR", "PT"),
            tags=("vip", "b2b"),
            external_ids=(erp(),),
            issues=(Issue(path="name", code="odd"),),
            name="Ana Souza",
            given_name="Ana",
            family_name="Souza",
            social_name="Aninha",
            legal_name="Ana Maria Souza",
            trade_name="Padaria da Ana",
            birth_date=date(1990, 2, 28),
            email="ana@example.com",
            phone=PHONE,
            tax_ids=(tax_id(1), tax_id(2, "other", "x"), tax_id(3, "other", "y")),
            addresses=(address(4), address(5, country="PT"), address(6)),
            consents=(consent(),),
            attributes={"shoe": 38},
            personal_external_ids=(personal(),),
        )
    ]


def test_a_customer_is_what_it_was_registered_as() -> None:
    assert known(when(EVERYTHING, given=[])) == Customer(
        type="person",
        name="Ana Souza",
        given_name="Ana",
        family_name="Souza",
        social_name="Aninha",
        legal_name="Ana Maria Souza",
        trade_name="Padaria da Ana",
        birth_date=date(1990, 2, 28),
        locale="pt-BR",
        timezone="America/Sao_Paulo",
        lifecycle_stage="lead",
        email="ana@example.com",
        phone=PHONE,
        tax_ids=(tax_id(1), tax_id(2, "other", "x"), tax_id(3, "other", "y")),
        addresses=(address(4), address(5, country="PT"), address(6)),
        consents=(consent(),),
        tags=("vip", "b2b"),
        external_ids=(erp(), personal()),
        attributes={"shoe": 38},
    )


def test_a_name_and_a_type_suffice() -> None:
    assert when(RegisterCustomer(customer_type="company", name="Padaria Central"), given=[]) == [
        CustomerRegistered(customer_type="company", name="Padaria Central")
    ]


def test_a_new_customer_is_active_and_nothing_of_it_is_verified() -> None:
    ana = known([REGISTERED])
    assert (ana.status, ana.email_verified, ana.phone_verified) == ("active", False, False)


@pytest.mark.parametrize(
    ("limit", "at_most"),
    [
        (
            10,
            lambda n: RegisterCustomer(
                customer_type="person", name="Ana", tax_ids=tuple(tax_id(i, "other", str(i)) for i in range(n))
            ),
        ),
        (
            20,
            lambda n: RegisterCustomer(
                customer_type="person", name="Ana", addresses=tuple(address(i) for i in range(n))
            ),
        ),
        (
            100,
            lambda n: RegisterCustomer(
                customer_type="person", name="Ana", consents=tuple(consent(channel=f"c{i}") for i in range(n))
            ),
        ),
        (50, lambda n: RegisterCustomer(customer_type="person", name="Ana", tags=tuple(f"t{i}" for i in range(n)))),
        (
            20,
            lambda n: RegisterCustomer(
                customer_type="person", name="Ana", external_ids=tuple(erp(str(i)) for i in range(n))
            ),
        ),
        (50, lambda n: RegisterCustomer(customer_type="person", name="Ana", attributes={f"a{i}": i for i in range(n)})),
    ],
    ids=["tax ids", "addresses", "consents", "tags", "external ids", "attributes"],
)
def test_no_customer_is_registered_with_more_than_it_may_have(
    limit: int, at_most: Callable[[int], RegisterCustomer]
) -> None:
    assert when(at_most(limit), given=[])
    with pytest.raises(LimitReached) as refused:
        when(at_most(limit + 1), given=[])
    assert refused.value.limit == limit


def test_no_customer_is_registered_with_two_tax_ids_of_one_type() -> None:
    twice = (tax_id(1, value="39053344705"), tax_id(2, value="11144477735"))
    with pytest.raises(TaxIdTypePresent):
        when(RegisterCustomer(customer_type="person", name="Ana", tax_ids=twice), given=[])


def test_an_external_id_that_nobody_has_registers_a_customer_with_it() -> None:
    change = ChangeCustomer(
        profile=Profile(type="company", locale="pt-BR"),
        personal=PersonalProfile(name="Padaria Central", legal_name="Padaria Central Ltda."),
        email="oi@example.com",
        phone=PHONE,
        attributes={"employees": 4, "fax": None},
        issues=(Issue(path="name", code="odd"),),
    )
    assert when(UpsertCustomer(external_id=erp(), change=change), given=[]) == [
        CustomerRegistered(
            customer_type="company",
            name="Padaria Central",
            legal_name="Padaria Central Ltda.",
            locale="pt-BR",
            email="oi@example.com",
            phone=PHONE,
            external_ids=(erp(),),
            attributes={"employees": 4},
            issues=(Issue(path="name", code="odd"),),
        )
    ]


def test_a_personal_external_id_that_nobody_has_stays_out_of_the_clear_part() -> None:
    change = ChangeCustomer(profile=Profile(type="person"), personal=PersonalProfile(name="Ana"))
    assert when(UpsertCustomer(external_id=personal(), change=change), given=[]) == [
        CustomerRegistered(customer_type="person", name="Ana", personal_external_ids=(personal(),))
    ]


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (ChangeCustomer(), ("type", "name")),
        (ChangeCustomer(profile=Profile(type="person")), ("name",)),
        (ChangeCustomer(personal=PersonalProfile(name="Ana")), ("type",)),
    ],
)
def test_whoever_is_to_be_registered_so_needs_a_type_and_a_name(
    change: ChangeCustomer, missing: tuple[str, ...]
) -> None:
    with pytest.raises(RegistrationIncomplete) as refused:
        when(UpsertCustomer(external_id=erp(), change=change), given=[])
    assert refused.value.missing == missing


def test_removing_all_attributes_of_nobody_registers_it_without_any() -> None:
    change = ChangeCustomer(profile=Profile(type="person"), personal=PersonalProfile(name="Ana"), attributes=None)
    assert when(UpsertCustomer(external_id=erp(), change=change), given=[]) == [
        CustomerRegistered(customer_type="person", name="Ana", external_ids=(erp(),))
    ]


def test_an_external_id_that_somebody_has_changes_that_customer() -> None:
    change = ChangeCustomer(profile=Profile(type="person"), email="new@example.com")
    assert when(UpsertCustomer(external_id=erp(), change=change), given=[REGISTERED]) == [
        CustomerEmailChanged(email="new@example.com", previous_email="ana@example.com")
    ]


def test_a_registration_may_ask_to_verify_the_address_at_once() -> None:
    command = RegisterCustomer(
        customer_type="person", name="Ana Souza", email="ana@example.com", verification=VERIFICATION
    )
    registered, *further = when(command, given=[])
    assert registered == REGISTERED
    assert further == when(VERIFICATION)
    assert [type(event) for event in further] == [CustomerEmailVerificationRequested]


def test_without_an_address_there_is_none_to_verify() -> None:
    command = RegisterCustomer(customer_type="person", name="Ana Souza", verification=VERIFICATION)
    assert when(command, given=[]) == [CustomerRegistered(customer_type="person", name="Ana Souza")]
