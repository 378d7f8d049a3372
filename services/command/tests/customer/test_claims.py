"""What only one customer may hold, and when two spellings are one value."""

import pytest
from customerflow_command.customer.claims import Claim, Uniqueness, claims, external_id_claim
from customerflow_shared.events import CustomerEmailChanged, CustomerEvent
from customerflow_shared.normal_forms import email_key
from customerflow_shared.values import Phone

from .sentences import ARCHIVED, ERASED, REGISTERED, erp, personal, registered, state, tax_id

EVERYTHING = registered(
    email="Ana@Example.com",
    phone=Phone(number="+5511999998888"),
    tax_ids=[tax_id(1), tax_id(2, "br_cnpj", "12ABC34501DE35"), tax_id(3, "other", "x")],
    external_ids=[erp(), personal()],
)
EMAIL = Claim("email", "ana@example.com")
PHONE = Claim("phone", "+5511999998888")
TAX_IDS = {Claim("tax-id:br_cpf", "39053344705"), Claim("tax-id:br_cnpj", "12ABC34501DE35")}
EXTERNAL_IDS = {Claim("external-id:erp", "10442"), Claim("external-id:crm", "ana@crm.example")}


def held(*given: CustomerEvent, unique: Uniqueness = Uniqueness()) -> frozenset[Claim]:  # noqa: B008  # frozen
    return claims(state(given), unique)


def test_unless_told_otherwise_all_is_unique_but_the_phone() -> None:
    assert held(EVERYTHING) == {EMAIL, *TAX_IDS, *EXTERNAL_IDS}


@pytest.mark.parametrize(
    ("unique", "expected"),
    [
        (Uniqueness(email=False, tax_id=False, phone=False), EXTERNAL_IDS),
        (Uniqueness(email=True, tax_id=False, phone=False), {*EXTERNAL_IDS, EMAIL}),
        (Uniqueness(email=False, tax_id=True, phone=False), {*EXTERNAL_IDS, *TAX_IDS}),
        (Uniqueness(email=False, tax_id=False, phone=True), {*EXTERNAL_IDS, PHONE}),
    ],
)
def test_what_is_unique_is_a_matter_of_policy_but_for_external_ids(unique: Uniqueness, expected: set[Claim]) -> None:
    assert held(EVERYTHING, unique=unique) == expected


def test_two_extensions_of_one_number_are_two_phones() -> None:
    phones = [Phone(number="+551133334444", extension=extension) for extension in (None, "1", "2")]
    only_phones = Uniqueness(email=False, tax_id=False, phone=True)
    assert [held(registered(phone=phone), unique=only_phones) for phone in phones] == [
        {Claim("phone", "+551133334444")},
        {Claim("phone", "+551133334444;ext=1")},
        {Claim("phone", "+551133334444;ext=2")},
    ]


def test_an_archived_customer_keeps_its_claims_so_that_restoring_cannot_conflict() -> None:
    assert held(EVERYTHING, ARCHIVED) == held(EVERYTHING) != frozenset()


def test_an_erased_customer_holds_nothing() -> None:
    assert held(EVERYTHING, ERASED, unique=Uniqueness(phone=True)) == frozenset()


def test_nobody_holds_anything_nor_does_a_customer_without_anything() -> None:
    everything = Uniqueness(phone=True)
    assert held(unique=everything) == frozenset()
    assert held(registered(), unique=everything) == frozenset()
    gone = CustomerEmailChanged(email=None, previous_email="ana@example.com")
    assert held(REGISTERED, gone, unique=everything) == frozenset()


def test_an_external_id_is_claimed_as_it_is() -> None:
    assert external_id_claim(erp("Ab c")) == Claim("external-id:erp", "Ab c")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ana@example.com", "ANA@Example.COM"),
        ("josé@example.com", "JOSÉ@example.com"),
        ("josé@example.com", "jose\u0301@example.com"),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
        ("ana@BÜCHER.example", "ana@bu\u0308cher.example"),
        ("ana@mail.bücher.example", "ana@mail.xn--bcher-kva.example"),
        ('"a@b"@example.com', '"A@B"@example.com'),
    ],
)
def test_two_spellings_of_one_address(one: str, other: str) -> None:
    assert email_key(one) == email_key(other)


def test_accents_and_dots_make_different_addresses() -> None:
    emails = [
        "jose@example.com",
        "josé@example.com",
        "jo.se@example.com",
        "jose+x@example.com",
        "jose@example.org",
        "jose@examplé.com",
        "jose@straße.example",
        "jose@strasse.example",
    ]
    assert len({email_key(email) for email in emails}) == len(emails)


def test_the_key_of_an_address_is_pinned_since_claims_are_made_of_it() -> None:
    assert email_key("José.Straße@Mail.Bücher.example") == "josé.strasse@mail.xn--bcher-kva.example"
    assert email_key('"a@b"@bücher.example') == '"a@b"@xn--bcher-kva.example'
