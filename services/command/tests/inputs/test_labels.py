"""Tags, external ids, consents, attributes, and what becomes of a customer."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from customerflow_command import inputs
from customerflow_command.customer.commands import RequestErasure, SuspendCustomer
from customerflow_command.inputs.attributes import attribute
from customerflow_shared.inputs.fields import Unfit
from customerflow_shared.values import Consent, ExternalId

Refused = Callable[..., dict[str, str]]

GIVEN = {"state": "granted", "capturedAt": "2026-11-22T15:00:00Z", "source": "checkout"}


@pytest.mark.parametrize("tag", ["vip", "a", "0", "b2c:sao.paulo-1_x", "x" * 50])
def test_a_tag_is_taken_as_it_is(tag: str) -> None:
    assert inputs.tag(tag) == tag


@pytest.mark.parametrize("tag", ["", " ", "VIP", "-a", "a b", "\u00e9", "x" * 51, "a\nb", "\u0661x"])
def test_an_unfit_tag_is_refused(refused: Refused, tag: str) -> None:
    assert refused(inputs.tag, tag) == {"tag": "tag-format"}


@pytest.mark.parametrize("value", ["10442", "00Q5e0000abcDE", "A/B c", "12345678901", "5511999998888", "ana@home"])
def test_an_external_id_is_taken_byte_by_byte(context: inputs.Context, value: str) -> None:
    expected = ExternalId(source="erp", value=value)
    assert inputs.external_id("erp", value, context) == expected
    assert inputs.external_id_of({"source": "erp", "value": value}, context) == expected
    assert inputs.external_id_of({"source": "erp", "value": f" {value} "}, context) == expected


@pytest.mark.parametrize(
    "value",
    [
        "ana@example.com",
        "390.533.447-05",
        "39053344705",
        "11.222.333/0001-81",
        "12ABC34501DE35",
        "+55 11 99999-8888",
        "+5511999998888",
        "(11) 99999-8888",
        "ana\uff20example.com",
        "\uff0b55 11 99999-8888",
        "CPF 390.533.447-05",
        "tel:+5511999998888",
        "390 533 447 05",
        "of 11.222.333/0001-81, Ltda",
    ],
)
def test_an_external_id_that_says_who_somebody_is_is_refused(
    context: inputs.Context, refused: Refused, value: str
) -> None:
    assert refused(inputs.external_id, "erp", value, context) == {"value": "external-id-personal"}
    assert refused(inputs.external_id_of, {"source": "erp", "value": value}, context) == {
        "#/value": "external-id-personal"
    }
    body = {"type": "person", "name": "Ana", "externalIds": [{"source": "erp", "value": value}]}
    assert refused(inputs.register, body, context) == {"#/externalIds/0/value": "external-id-personal"}


def test_an_external_id_of_a_personal_source_belongs_into_a_body(context: inputs.Context, refused: Refused) -> None:
    assert inputs.external_id_of({"source": "passport", "value": "ana@example.com"}, context) == ExternalId(
        source="passport", value="ana@example.com", personal=True
    )
    assert refused(inputs.external_id, "passport", "X1", context) == {"source": "external-id-personal"}


@pytest.mark.parametrize(
    ("source", "value", "faults"),
    [
        ("ERP", "1", {"#/source": "format"}),
        ("erp", "", {"#/value": "blank"}),
        ("erp", "x" * 256, {"#/value": "too-long"}),
        ("erp", "a\x00", {"#/value": "invalid-characters"}),
        ("erp", 7, {"#/value": "type"}),
        (None, None, {"#/source": "required", "#/value": "required"}),
    ],
)
def test_an_unfit_external_id_is_told_why(
    context: inputs.Context, refused: Refused, source: Any, value: Any, faults: dict[str, str]
) -> None:
    assert refused(inputs.external_id_of, {"source": source, "value": value}, context) == faults


def test_a_consent_is_read_with_its_evidence(context: inputs.Context) -> None:
    body = GIVEN | {
        "legalBasis": "consent",
        "optInLevel": "double",
        "policyVersion": "2026-01",
        "evidenceRef": "form 4711, page 2",
        "expiresAt": "2028-11-22T00:00:00Z",
    }
    assert inputs.consent(body, context, "newsletter", "email").consent == Consent(
        purpose="newsletter",
        channel="email",
        state="granted",
        captured_at=datetime(2026, 11, 22, 15, tzinfo=UTC),
        source="checkout",
        legal_basis="consent",
        opt_in_level="double",
        policy_version="2026-01",
        evidence_ref="form 4711, page 2",
        expires_at=datetime(2028, 11, 22, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"state": "yes"}, {"#/state": "not-allowed"}),
        ({"capturedAt": "2026-11-22T16:00:00Z"}, {"#/capturedAt": "date-range"}),
        ({"capturedAt": "2026-11-22"}, {"#/capturedAt": "date-format"}),
        ({"source": "ana@example.com"}, {"#/source": "format"}),
        ({"legalBasis": "Art. 7"}, {"#/legalBasis": "format"}),
        ({"expiresAt": "2026-11-22T15:00:00Z"}, {"#/expiresAt": "date-range"}),
        ({"evidenceRef": "x" * 501}, {"#/evidenceRef": "too-long"}),
        ({"purpose": "newsletter"}, {"#/purpose": "unknown-field"}),
    ],
)
def test_an_unfit_consent_is_told_why(
    context: inputs.Context, refused: Refused, change: dict[str, Any], faults: dict[str, str]
) -> None:
    assert refused(inputs.consent, GIVEN | change, context, "newsletter", "email") == faults


def test_faults_of_the_path_come_with_those_of_the_body(context: inputs.Context, refused: Refused) -> None:
    assert refused(inputs.consent, GIVEN | {"state": None}, context, "News", "e mail") == {
        "purpose": "format",
        "channel": "format",
        "#/state": "required",
    }


def test_a_registration_takes_one_consent_for_each_purpose_and_channel(
    context: inputs.Context, refused: Refused
) -> None:
    asked = [GIVEN | {"purpose": "news", "channel": channel} for channel in ("email", "sms", "email")]
    body = {"type": "person", "name": "Ana", "consents": asked}
    assert refused(inputs.register, body, context) == {"#/consents/2": "duplicate"}


@pytest.mark.parametrize("value", ["M", True, False, 0, -1.5, 2**63 - 1, -(2**63), "x" * 500])
def test_an_attribute_is_a_text_a_number_or_a_boolean(value: Any) -> None:
    assert attribute(value) == value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "blank"),
        ("x" * 501, "too-long"),
        ("a\x00", "invalid-characters"),
        (2**63, "number-range"),
        (-(2**63) - 1, "number-range"),
        (float("inf"), "number-range"),
        ([], "type"),
        ({}, "type"),
    ],
)
def test_an_unfit_attribute_is_told_why(value: Any, code: str) -> None:
    with pytest.raises(Unfit) as caught:
        attribute(value)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"": 1}, {"#/attributes/": "blank"}),
        ({"a\nb": 1}, {"#/attributes/a\nb": "invalid-characters"}),
        ({"a": 1, " a": 2}, {"#/attributes/ a": "duplicate"}),
    ],
)
def test_an_unfit_key_is_told_why(
    context: inputs.Context, refused: Refused, given: dict[str, Any], faults: dict[str, str]
) -> None:
    assert refused(inputs.register, {"type": "person", "name": "Ana", "attributes": given}, context) == faults


def test_a_suspension_needs_a_reason_and_an_end_to_come(context: inputs.Context, refused: Refused) -> None:
    assert inputs.suspend({"reason": "fraud check"}, context) == SuspendCustomer(reason="fraud check")
    until = "2026-12-01T00:00:00Z"
    assert inputs.suspend({"reason": "x", "until": until}, context).until == datetime(2026, 12, 1, tzinfo=UTC)
    assert refused(inputs.suspend, {"until": "2026-11-22T15:00:00Z"}, context) == {
        "#/reason": "required",
        "#/until": "date-range",
    }


def test_a_reason_is_optional_and_alone(refused: Refused) -> None:
    assert inputs.reason({}) is None
    assert inputs.reason({"reason": " moved "}) == "moved"
    assert refused(inputs.reason, {"reason": "x" * 501, "until": 1}) == {
        "#/reason": "too-long",
        "#/until": "unknown-field",
    }


def test_an_erasure_is_due_after_its_days_of_grace(context: inputs.Context) -> None:
    assert inputs.erasure({}, context) == RequestErasure(due_at=context.now + timedelta(days=30))
    assert inputs.erasure({"graceDays": 0, "requestRef": "DSR-1/2026", "reason": "asked"}, context) == RequestErasure(
        due_at=context.now, request_ref="DSR-1/2026", reason="asked"
    )


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"graceDays": 31}, {"#/graceDays": "number-range"}),
        ({"graceDays": -1}, {"#/graceDays": "number-range"}),
        ({"graceDays": True}, {"#/graceDays": "type"}),
        ({"graceDays": 5.0}, {"#/graceDays": "type"}),
        ({"requestRef": "ana@example.com"}, {"#/requestRef": "format"}),
    ],
)
def test_an_unfit_erasure_is_told_why(
    context: inputs.Context, refused: Refused, body: dict[str, Any], faults: dict[str, str]
) -> None:
    assert refused(inputs.erasure, body, context) == faults


def test_a_command_without_fields_takes_none(refused: Refused) -> None:
    inputs.nothing({})
    assert refused(inputs.nothing, {"reason": "x"}) == {"#/reason": "unknown-field"}


@pytest.mark.parametrize("value", ["39053344705", "cpf:390.533.447-05", "ana-390.533.447-05"])
def test_a_tag_or_slug_that_says_who_somebody_is_is_refused(
    refused: Refused, context: inputs.Context, value: str
) -> None:
    assert refused(inputs.tag, value) == {"tag": "tag-format"}
    body = {"type": "person", "name": "Ana", "lifecycleStage": value, "tags": ["vip", value]}
    assert refused(inputs.register, body, context) == {"#/lifecycleStage": "format", "#/tags/1": "tag-format"}


def test_a_reference_that_says_who_somebody_is_is_refused(refused: Refused, context: inputs.Context) -> None:
    for value in ("Ana 390.533.447-05", "call +55 11 99999-8888", "CNPJ 11222333000181"):
        assert refused(inputs.erasure, {"requestRef": value}, context) == {"#/requestRef": "format"}
