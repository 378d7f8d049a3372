"""E-mail addresses and phone numbers: one spelling for each, and no trap of a library left open."""

from typing import Any

import phonenumbers
import pytest
from customerflow_shared.inputs.emails import email
from customerflow_shared.inputs.fields import Unfit
from customerflow_shared.inputs.phones import e164
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from .refusals import code

LABELS = st.text("abzAZ019-_", min_size=0, max_size=70) | st.sampled_from(
    ["com", "de", "test", "local", "xn--mnchen-3ya"]
)
LOCALS = st.text("abzAZ019-_+.'\u00e9 @", max_size=70) | st.sampled_from(
    ["Postmaster", "postmaster", "abuse", "a" * 64]
)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("Ana@EXAMPLE.com", "Ana@example.com"),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
        ("ana@XN--MNCHEN-3YA.de", "ana@m\u00fcnchen.de"),
        ("ana+news@example.com", "ana+news@example.com"),
    ],
)
def test_an_address_has_one_spelling(written: str, normal: str) -> None:
    assert email(written) == normal
    assert email(normal) == normal


@given(LOCALS, st.lists(LABELS, min_size=1, max_size=5).map(".".join))
def test_an_address_whose_domain_is_remembered_is_as_the_library_has_it(local: str, domain: str) -> None:
    address = f"{local}@{domain}".strip()
    try:
        expected = validate_email(address, check_deliverability=False, strict=True).normalized
    except EmailNotValidError:
        expected = None
    for _ in range(2):
        try:
            found = email(address)
        except Unfit:
            found = None
        assert found == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("ana", "email-syntax"),
        ("ana@", "email-syntax"),
        ("@example.com", "email-syntax"),
        ("ana@b@example.com", "email-syntax"),
        ('"a b"@example.com', "email-syntax"),
        ("Ana <ana@example.com>", "email-syntax"),
        ("a" * 65 + "@example.com", "email-syntax"),
        ("ana@localhost", "email-domain"),
        ("ana@[127.0.0.1]", "email-domain"),
        ("ana@example.test", "email-domain"),
        ("ana@printer.local", "email-domain"),
        ("a@" + "b" * 260 + ".com", "too-long"),
        ("ana@example.com\nBcc: x", "invalid-characters"),
        (" ", "blank"),
        ({}, "type"),
    ],
)
def test_an_unfit_address_is_told_why(written: Any, expected: str) -> None:
    assert code(lambda: email(written)) == expected


@pytest.mark.parametrize(
    ("written", "region", "normal"),
    [
        ("(11) 99999-8888", "BR", "+5511999998888"),
        ("+55 11 99999-8888", None, "+5511999998888"),
        ("+55 11 99999\u20138888", "US", "+5511999998888"),
        ("\uff0b\uff15\uff15 11 99999 8888", None, "+5511999998888"),
        ("011 99999 8888", "BR", "+5511999998888"),
        ("+39 06 698 12345", None, "+390669812345"),
        ("020 7946 0958", "GB", "+442079460958"),
    ],
)
def test_a_number_has_one_spelling(written: str, region: str | None, normal: str) -> None:
    assert e164(region)(written) == normal


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_the_normal_form_of_a_number_is_its_own(region: str) -> None:
    example = phonenumbers.example_number(region)
    assert example is not None
    written = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    assert e164(None)(written) == written


@st.composite
def written_by_programs(draw: st.DrawFn) -> str:
    """Numbers in E.164, or nearly: some digits are others, and what is dialled at home may stand before them."""
    example = phonenumbers.example_number(draw(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS))))
    assert example is not None
    national = list(str(example.national_number))
    for place, digit in draw(st.dictionaries(st.integers(0, len(national) - 1), st.integers(0, 9), max_size=3)).items():
        national[place] = str(digit)
    prefix = draw(st.sampled_from(["", "", "0", "1", "8", "9", "15", "90", "044"]))
    return f"+{example.country_code}{prefix}{''.join(national)}"


@given(written_by_programs())
def test_a_number_as_programs_write_it_is_as_the_library_has_it(written: str) -> None:
    try:
        number = phonenumbers.parse(written)
    except phonenumbers.NumberParseException:
        number = phonenumbers.PhoneNumber()
    if phonenumbers.is_valid_number(number):
        assert e164(None)(written) == phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    else:
        assert code(lambda: e164(None)(written)) == "phone-invalid"


@pytest.mark.parametrize(
    ("written", "region", "expected"),
    [
        ("11 99999-8888", None, "phone-country-required"),
        ("0055 11 99999-8888", "BR", "phone-ambiguous-prefix"),
        ("0055 11 99999-8888", None, "phone-ambiguous-prefix"),
        ("(0) 0 55 11 99999-8888", "BR", "phone-ambiguous-prefix"),
        ("1-800-FLOWERS", "US", "phone-syntax"),
        ("+55 11 99999-8888 ext. 5", None, "phone-syntax"),
        ("+55 11 99999-8888;ext=5", None, "phone-syntax"),
        ("+\u0665\u0665 11 99999 8888", None, "phone-syntax"),
        ("+", None, "phone-syntax"),
        ("()", "BR", "phone-syntax"),
        ("55+11", "BR", "phone-syntax"),
        ("(11) 9999-888", "BR", "phone-invalid"),
        ("+55 11 8999-8888", None, "phone-invalid"),
        ("+999 123456789", None, "phone-invalid"),
        ("123", "AQ", "phone-invalid"),
        ("+1", None, "phone-invalid"),
        ("1" * 41, "BR", "too-long"),
        ("", "BR", "blank"),
        (5511999998888, "BR", "type"),
    ],
)
def test_an_unfit_number_is_told_why(written: Any, region: str | None, expected: str) -> None:
    assert code(lambda: e164(region)(written)) == expected
