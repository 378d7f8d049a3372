"""E-mail addresses and phone numbers: one spelling for each, and no trap of a library left open."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import phonenumbers
import pytest
from customerflow_command import inputs
from customerflow_command.customer.commands import ChangeCustomer, VerifyEmail, VerifyPhone
from customerflow_command.customer.state import Customer
from customerflow_command.inputs.emails import email
from customerflow_command.inputs.fields import Unfit
from customerflow_command.inputs.phones import e164
from customerflow_shared.values import Phone
from msgspec import UNSET

Refused = Callable[..., dict[str, str]]

REACHABLE = Phone(number="+5511999998888", extension="12")
SILENT = Customer(type="person", name="Ana")
CALLED = Customer(type="person", name="Ana", phone=REACHABLE)


def code(read: Callable[[], object]) -> str:
    with pytest.raises(Unfit) as caught:
        read()
    return caught.value.code


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


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"phone": "11 99999-8888", "phoneCountry": "br"}, {"#/phoneCountry": "country-unknown"}),
        ({"phone": "+5511999998888", "phoneExtension": "x"}, {"#/phoneExtension": "phone-syntax"}),
        ({"phone": "+5511999998888", "phoneExtension": "1" * 12}, {"#/phoneExtension": "too-long"}),
        ({"phoneExtension": "12"}, {"#/phone": "required"}),
        ({"phone": None, "phoneExtension": "12"}, {"#/phone": "required"}),
    ],
)
def test_the_parts_of_a_phone_belong_together(
    context: inputs.Context, refused: Refused, body: dict[str, Any], faults: dict[str, str]
) -> None:
    assert refused(inputs.register, {"type": "person", "name": "Ana"} | body, context) == faults
    assert refused(inputs.change, body, context, SILENT) == faults
    assert refused(inputs.upsert, body, context, None) == faults


@pytest.mark.parametrize(
    ("body", "phone"),
    [
        ({}, UNSET),
        ({"phoneCountry": "BR"}, UNSET),
        ({"phone": None}, None),
        ({"phone": None, "phoneExtension": None}, None),
        ({"phoneExtension": "7"}, Phone(number="+5511999998888", extension="7")),
        ({"phoneExtension": None}, Phone(number="+5511999998888")),
        ({"phone": "+55 11 99999 8888"}, REACHABLE),
        ({"phone": "+55 11 99999 8888", "phoneExtension": None}, Phone(number="+5511999998888")),
        ({"phone": "11 99999 7777", "phoneCountry": "BR"}, Phone(number="+5511999997777")),
    ],
)
def test_an_extension_goes_with_its_number(context: inputs.Context, body: dict[str, Any], phone: object) -> None:
    assert inputs.change(body, context, CALLED) == ChangeCustomer(phone=phone)  # type: ignore[arg-type]  # any of three


def test_there_is_no_extension_to_remove_without_a_phone(context: inputs.Context) -> None:
    assert inputs.change({"phoneExtension": None}, context, SILENT) == ChangeCustomer()


def test_what_somebody_else_verified_is_read_in_its_normal_form(context: inputs.Context) -> None:
    when = {"method": "double-opt-in", "verifiedAt": "2026-11-22T12:00:00-03:00"}
    at = datetime(2026, 11, 22, 15, tzinfo=UTC)
    assert inputs.verify_email({"value": " Ana@EXAMPLE.com"} | when, context) == VerifyEmail(
        email="Ana@example.com", method="double-opt-in", verified_at=at
    )
    assert inputs.verify_phone({"value": "11 99999-8888", "phoneCountry": "BR"} | when, context) == VerifyPhone(
        phone=Phone(number="+5511999998888"), method="double-opt-in", verified_at=at
    )


def test_a_verification_needs_value_method_and_a_moment_that_has_come(
    context: inputs.Context, refused: Refused
) -> None:
    missing = {"#/value": "required", "#/method": "required", "#/verifiedAt": "required"}
    assert refused(inputs.verify_email, {}, context) == missing
    assert refused(inputs.verify_phone, {}, context) == missing
    body = {"value": "x", "phoneCountry": "BR", "method": "SMS", "verifiedAt": "2026-11-22T15:30:00Z"}
    assert refused(inputs.verify_phone, body, context) == {
        "#/value": "phone-syntax",
        "#/method": "format",
        "#/verifiedAt": "date-range",
    }


def test_a_confirmation_holds_a_code(refused: Refused) -> None:
    assert inputs.code({"code": " 123456 "}) == "123456"
    assert refused(inputs.code, {}) == {"#/code": "required"}
    assert refused(inputs.code, {"code": 123456}) == {"#/code": "type"}
