"""A phone and its extension, and what somebody else has verified."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from customerflow_command import inputs
from customerflow_command.customer.commands import ChangeCustomer, VerifyEmail, VerifyPhone
from customerflow_command.customer.state import Customer
from customerflow_shared.values import Phone
from msgspec import UNSET

Refused = Callable[..., dict[str, str]]

REACHABLE = Phone(number="+5511999998888", extension="12")
SILENT = Customer(type="person", name="Ana")
CALLED = Customer(type="person", name="Ana", phone=REACHABLE)


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
