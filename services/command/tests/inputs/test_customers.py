"""A whole customer, from a body to a command: what is taken, what is trimmed, and what each unfit field is told."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from customerflow_command import inputs
from customerflow_command.customer.commands import ChangeCustomer, RegisterCustomer
from customerflow_command.customer.state import Customer
from customerflow_shared.inputs.fields import MAX_FAULTS
from customerflow_shared.problems import Problem
from customerflow_shared.values import Consent, ExternalId, Issue, PersonalProfile, Phone, Profile
from msgspec import UNSET

Refused = Callable[..., dict[str, str]]

VALID = {"type": "person", "name": "Ana Souza", "email": "ana@example.com"}
ANA = Customer(type="person", name="Ana Souza", email="ana@example.com")


def test_a_registration_is_read(context: inputs.Context) -> None:
    assert inputs.register(VALID, context) == RegisterCustomer(
        customer_type="person", name="Ana Souza", email="ana@example.com"
    )


def test_a_registration_with_all_fields_is_read(context: inputs.Context) -> None:
    command = inputs.register(
        {
            "type": "person",
            "name": "Ana Souza",
            "givenName": "Ana",
            "familyName": "Souza",
            "socialName": "Aninha",
            "legalName": "Ana Maria de Souza",
            "tradeName": "Doces da Ana",
            "email": "Ana@Example.com",
            "phone": "(11) 99999-8888",
            "phoneCountry": "BR",
            "phoneExtension": "12",
            "birthDate": "1985-03-17",
            "locale": "pt_br",
            "timezone": "America/Sao_Paulo",
            "lifecycleStage": "lead",
            "taxIds": [{"type": "br_cpf", "value": "390.533.447-05"}],
            "addresses": [
                {
                    "label": "casa",
                    "roles": ["billing", "shipping", "billing"],
                    "country": "BR",
                    "postalCode": "01310100",
                    "line1": "Av. Paulista",
                    "number": "1578",
                    "district": "Bela Vista",
                    "city": "São Paulo",
                    "region": "sp",
                }
            ],
            "consents": [
                {
                    "purpose": "newsletter",
                    "channel": "email",
                    "state": "granted",
                    "capturedAt": "2026-11-22T12:00:00.1239-03:00",
                    "source": "checkout",
                }
            ],
            "tags": ["vip", " b2c ", "vip"],
            "externalIds": [{"source": "erp", "value": "10442"}, {"source": "erp", "value": "10442"}],
            "attributes": {"size": "M", "points": 3, "gone": None},
        },
        context,
    )
    (tax_id,), (address,) = command.tax_ids, command.addresses
    assert (tax_id.type, tax_id.value) == ("br_cpf", "39053344705")
    assert (address.roles, address.postal_code, address.region) == (("billing", "shipping"), "01310-100", "SP")
    assert command.profile == Profile(locale="pt-BR", timezone="America/Sao_Paulo", lifecycle_stage="lead")
    assert command.personal == PersonalProfile(
        given_name="Ana",
        family_name="Souza",
        social_name="Aninha",
        legal_name="Ana Maria de Souza",
        trade_name="Doces da Ana",
        birth_date=date(1985, 3, 17),
    )
    assert command.phone == Phone(number="+5511999998888", extension="12")
    assert command.consents == (
        Consent(
            purpose="newsletter",
            channel="email",
            state="granted",
            captured_at=datetime(2026, 11, 22, 15, 0, 0, 123000, tzinfo=UTC),
            source="checkout",
        ),
    )
    assert command.tags == ("vip", "b2c")
    assert command.external_ids == (ExternalId(source="erp", value="10442"),)
    assert command.attributes == {"size": "M", "points": 3}
    assert command.issues == ()


def test_surrounding_spaces_go_and_the_domain_is_lower_cased(context: inputs.Context) -> None:
    command = inputs.register({"type": "person", "name": "  Ana ", "email": " Ana@EXAMPLE.com "}, context)
    assert (command.name, command.email) == ("Ana", "Ana@example.com")


@pytest.mark.parametrize("name", ["Jos\u00e9", "\u0646\u06cc\u200c\u0645\u0627", "\U0001f600", "O\u2019Neill", "-"])
def test_names_of_any_script_are_taken_as_they_are(context: inputs.Context, name: str) -> None:
    assert inputs.register({"type": "person", "name": name}, context).name == name


def test_a_name_is_composed_before_it_is_measured(context: inputs.Context) -> None:
    assert inputs.register({"type": "person", "name": "Jose\u0301"}, context).name == "Jos\u00e9"
    assert len(inputs.register({"type": "person", "name": "e\u0301" * 200}, context).name) == 200


@pytest.mark.parametrize("name", ["-", "1234", "\U0001f600", "..."])
def test_a_name_without_a_letter_is_taken_and_marked(context: inputs.Context, name: str) -> None:
    assert inputs.register({"type": "person", "name": name}, context).issues == (
        Issue(path="name", code="name-unusual"),
    )
    assert inputs.change({"name": name}, context, ANA).issues == (Issue(path="name", code="name-unusual"),)


@pytest.mark.parametrize("name", ["X", "X1", "\u674e", "\u00d1"])
def test_a_name_with_a_letter_is_usual(context: inputs.Context, name: str) -> None:
    assert inputs.register({"type": "person", "name": name}, context).issues == ()


@pytest.mark.parametrize("field", ["email", "phone", "birthDate", "locale", "taxIds", "tags", "attributes"])
def test_null_is_as_good_as_nothing_in_a_registration(context: inputs.Context, field: str) -> None:
    command = inputs.register({"type": "company", "name": "X", field: None}, context)
    given = (command.email, command.phone, command.personal.birth_date or None, command.profile.locale or None)
    assert given == (None, None, None, None)
    assert (command.tax_ids, command.tags, command.attributes) == ((), (), {})


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("type", None, "required"),
        ("type", "robot", "not-allowed"),
        ("type", "person ", "not-allowed"),
        ("type", 1, "type"),
        ("type", ["person"], "type"),
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
        ("name", "Ana\x7fb", "invalid-characters"),
        ("name", "Ana\x85b", "invalid-characters"),
        ("name", "Ana\ud800", "invalid-characters"),
        ("socialName", "x" * 201, "too-long"),
        ("legalName", "a\nb", "invalid-characters"),
        ("tradeName", " ", "blank"),
        ("givenName", 1, "type"),
        ("familyName", {}, "type"),
        ("lifecycleStage", "Lead", "format"),
        ("lifecycleStage", "", "format"),
        ("taxIds", {}, "type"),
        ("taxIds", [{"type": "other", "value": "1"}] * 11, "too-many"),
        ("addresses", "x", "type"),
        ("addresses", [{}] * 21, "too-many"),
        ("tags", ["a"] * 51, "too-many"),
        ("externalIds", [{"source": "a", "value": "1"}] * 21, "too-many"),
        ("attributes", [], "type"),
        ("attributes", {str(number): number for number in range(51)}, "too-many"),
    ],
)
def test_an_unfit_field_is_named_with_its_code(
    context: inputs.Context, refused: Refused, field: str, value: object, code: str
) -> None:
    assert refused(inputs.register, VALID | {field: value}, context) == {f"#/{field}": code}


def test_all_faults_come_at_once_at_any_depth(context: inputs.Context, refused: Refused) -> None:
    body = {
        "name": "",
        "email": "x",
        "id": "1",
        "status": "active",
        "shoe/size": 42,
        "taxIds": [{"type": "br_cpf", "value": "1"}, "text", {"value": "x", "id": "y"}],
        "addresses": [{"country": "br"}, {"country": "BR", "line1": "Rua A", "postalCode": "x", "roles": ["work"]}],
        "consents": [{"purpose": "P", "channel": "email"}],
        "tags": ["ok", "NO", None],
        "externalIds": [{"source": "erp"}],
        "attributes": {"a/b": [], "x" * 41: 1},
    }
    assert refused(inputs.register, body, context) == {
        "#/type": "required",
        "#/name": "blank",
        "#/email": "email-syntax",
        "#/id": "read-only-field",
        "#/status": "read-only-field",
        "#/shoe~1size": "unknown-field",
        "#/taxIds/0/value": "tax-id-length",
        "#/taxIds/1": "type",
        "#/taxIds/2/type": "required",
        "#/taxIds/2/id": "read-only-field",
        "#/addresses/0/country": "country-unknown",
        "#/addresses/0/line1": "required",
        "#/addresses/1/postalCode": "postal-format",
        "#/addresses/1/city": "required",
        "#/addresses/1/region": "required",
        "#/addresses/1/roles/0": "not-allowed",
        "#/consents/0/purpose": "format",
        "#/consents/0/state": "required",
        "#/consents/0/capturedAt": "required",
        "#/consents/0/source": "required",
        "#/tags/1": "tag-format",
        "#/tags/2": "type",
        "#/externalIds/0/value": "required",
        "#/attributes/a~1b": "type",
        f"#/attributes/{'x' * 41}": "too-long",
    }


def test_no_fault_repeats_a_value(context: inputs.Context) -> None:
    with pytest.raises(Problem) as caught:
        inputs.register({"type": "person", "name": "x" * 201, "email": "secret-value"}, context)
    assert b"secret-value" not in caught.value.document("/v1/customers")


def test_thousands_of_faults_are_cut_off(context: inputs.Context) -> None:
    with pytest.raises(Problem) as caught:
        inputs.register({f"field{number}": number for number in range(5000)}, context)
    assert len(caught.value.errors) == MAX_FAULTS


def test_a_patch_leaves_alone_what_it_does_not_mention(context: inputs.Context) -> None:
    assert inputs.change({}, context, ANA) == ChangeCustomer()
    assert inputs.change({"name": "Bia"}, context, ANA) == ChangeCustomer(personal=PersonalProfile(name="Bia"))


def test_null_removes_what_is_optional(context: inputs.Context) -> None:
    command = inputs.change(
        {"email": None, "phone": None, "birthDate": None, "locale": None, "attributes": None}, context, ANA
    )
    assert command == ChangeCustomer(
        profile=Profile(locale=None),
        personal=PersonalProfile(birth_date=None),
        email=None,
        phone=None,
        attributes=None,
    )


def test_null_removes_neither_type_nor_name(context: inputs.Context, refused: Refused) -> None:
    assert refused(inputs.change, {"name": None, "type": None}, context, ANA) == {
        "#/name": "required",
        "#/type": "required",
    }


@pytest.mark.parametrize(
    "field", ["taxIds", "addresses", "consents", "tags", "externalIds", "defaultAddresses", "status"]
)
def test_a_patch_takes_neither_collections_nor_a_status(context: inputs.Context, refused: Refused, field: str) -> None:
    assert refused(inputs.change, {field: []}, context, ANA) == {f"#/{field}": "not-patchable"}
    assert refused(inputs.upsert, {field: []}, context, ExternalId(source="erp", value="1")) == {
        f"#/{field}": "not-patchable"
    }


@pytest.mark.parametrize("field", ["id", "version", "createdAt", "updatedAt", "emailVerifiedAt", "dataQuality"])
def test_what_the_system_sets_is_read_only(context: inputs.Context, refused: Refused, field: str) -> None:
    assert refused(inputs.change, {field: "x"}, context, ANA) == {f"#/{field}": "read-only-field"}
    assert refused(inputs.register, VALID | {field: "x"}, context) == {f"#/{field}": "read-only-field"}


def test_the_type_can_be_patched(context: inputs.Context) -> None:
    assert inputs.change({"type": "company"}, context, ANA).profile == Profile(type="company")


def test_an_upsert_is_a_patch_that_names_its_customer(context: inputs.Context) -> None:
    pair = ExternalId(source="erp", value="10442")
    command = inputs.upsert({"type": "person", "name": "Ana"}, context, pair)
    assert command.external_id == pair
    assert command.change == ChangeCustomer(profile=Profile(type="person"), personal=PersonalProfile(name="Ana"))


def test_the_external_id_of_an_upsert_may_stand_in_its_body(context: inputs.Context, refused: Refused) -> None:
    body: dict[str, Any] = {"externalId": {"source": "passport", "value": "ana@example.com"}, "name": "Ana"}
    pair, rest = inputs.external_id_in(body, context)
    assert pair == ExternalId(source="passport", value="ana@example.com", personal=True)
    assert rest == {"name": "Ana"}
    assert refused(inputs.external_id_in, {"name": "Ana"}, context)["#/externalId"] == "required"
    assert refused(inputs.external_id_in, {"externalId": "erp"}, context)["#/externalId"] == "type"
    assert refused(inputs.external_id_in, {"externalId": {"source": "erp"}}, context) == {
        "#/externalId/value": "required"
    }


def test_attributes_are_patched_one_by_one(context: inputs.Context) -> None:
    assert inputs.change({"attributes": {"a": None, "b": 1}}, context, ANA).attributes == {"a": None, "b": 1}
    assert inputs.change({}, context, ANA).attributes is UNSET
