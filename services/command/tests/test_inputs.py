"""What a body may hold, and what each unfit one is told."""

from typing import Any

import pytest
from customerflow_command import inputs
from customerflow_command.customer import ChangeCustomer, RegisterCustomer
from customerflow_shared.problems import Problem
from msgspec import UNSET

VALID = {"type": "person", "name": "Ana Souza", "email": "ana@example.com"}


def faults(problem: Problem) -> dict[str, str]:
    return {fault.pointer: fault.code for fault in problem.errors}


def refused(body: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(Problem) as caught:
        inputs.register(body)
    assert caught.value.code == "invalid-fields"
    return faults(caught.value)


def test_a_registration_is_read() -> None:
    assert inputs.register(VALID) == RegisterCustomer(customer_type="person", name="Ana Souza", email="ana@example.com")


def test_surrounding_spaces_go_and_the_domain_is_lower_cased() -> None:
    command = inputs.register({"type": "person", "name": "  Ana ", "email": " Ana@EXAMPLE.com "})
    assert (command.name, command.email) == ("Ana", "Ana@example.com")


@pytest.mark.parametrize("name", ["Jos\u00e9", "\u0646\u06cc\u200c\u0645\u0627", "\U0001f600", "O\u2019Neill", "-"])
def test_names_of_any_script_are_taken_as_they_are(name: str) -> None:
    assert inputs.register({"type": "person", "name": name}).name == name


def test_a_name_is_composed_before_it_is_measured() -> None:
    assert inputs.register({"type": "person", "name": "Jose\u0301"}).name == "Jos\u00e9"
    assert len(inputs.register({"type": "person", "name": "e\u0301" * 200}).name) == 200


def test_the_address_is_optional() -> None:
    assert inputs.register({"type": "company", "name": "X"}).email is None
    assert inputs.register({"type": "company", "name": "X", "email": None}).email is None


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("type", None, "required"),
        ("type", "robot", "not-allowed"),
        ("type", 1, "type"),
        ("name", None, "required"),
        ("name", 7, "type"),
        ("name", ["Ana"], "type"),
        ("name", "", "blank"),
        ("name", "   ", "blank"),
        ("name", "\u200b", "blank"),
        ("name", "\u2060\ufeff", "blank"),
        ("name", "\u3164", "blank"),
        ("name", "\u2800 \u0301", "blank"),
        ("name", "Ana\u202eazuoS", "invalid-characters"),
        ("name", "\u2066Ana", "invalid-characters"),
        ("name", "Ana\u2028Souza", "invalid-characters"),
        ("name", "x" * 201, "too-long"),
        ("name", "Ana\x00", "invalid-characters"),
        ("name", "Ana\x85b", "invalid-characters"),
        ("name", "Ana\ud800", "invalid-characters"),
        ("email", "ana", "email-syntax"),
        ("email", "ana@localhost", "email-syntax"),
        ("email", "ana@[127.0.0.1]", "email-syntax"),
        ("email", '"a b"@example.com', "email-syntax"),
        ("email", "Ana <ana@example.com>", "email-syntax"),
        ("email", "a" * 65 + "@example.com", "email-syntax"),
        ("email", "a@" + "b" * 260 + ".com", "too-long"),
        ("email", {}, "type"),
    ],
)
def test_an_unfit_field_is_named_with_its_code(field: str, value: object, code: str) -> None:
    assert refused(VALID | {field: value}) == {f"#/{field}": code}


def test_all_faults_come_at_once() -> None:
    assert refused({"name": "", "email": "x", "id": "1", "shoe/size": 42}) == {
        "#/type": "required",
        "#/name": "blank",
        "#/email": "email-syntax",
        "#/id": "read-only-field",
        "#/shoe~1size": "unknown-field",
    }


def test_no_fault_repeats_a_value() -> None:
    with pytest.raises(Problem) as caught:
        inputs.register({"type": "person", "name": "x" * 201, "email": "secret-value"})
    assert b"secret-value" not in caught.value.document("/v1/customers")


def test_thousands_of_faults_are_cut_off() -> None:
    assert len(refused({f"field{number}": number for number in range(5000)})) <= inputs.MAX_FAULTS


def test_a_patch_leaves_alone_what_it_does_not_mention() -> None:
    assert inputs.change({}) == ChangeCustomer()
    assert inputs.change({"name": "Bia"}) == ChangeCustomer(name="Bia", email=UNSET)


def test_null_removes_the_address_but_not_the_name() -> None:
    assert inputs.change({"email": None}) == ChangeCustomer(email=None)
    with pytest.raises(Problem) as caught:
        inputs.change({"name": None, "type": "company", "status": "archived"})
    assert faults(caught.value) == {
        "#/name": "required",
        "#/type": "not-patchable",
        "#/status": "read-only-field",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b'"text"',
        b"null",
        b'{"name": "a", "name": "b"}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"name": NaN}',
        b'{"name": -Infinity}',
        b'{"name": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b"{} {}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_one_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        inputs.json_object(body)
    assert caught.value.code == "malformed-json"


def test_a_command_without_fields_takes_none() -> None:
    inputs.nothing({})
    with pytest.raises(Problem) as caught:
        inputs.nothing({"reason": "x"})
    assert faults(caught.value) == {"#/reason": "unknown-field"}
