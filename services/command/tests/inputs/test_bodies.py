"""What is documented is what is read."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest
from customerflow_command import inputs
from customerflow_command.customer.state import Customer
from customerflow_command.inputs import bodies
from customerflow_shared.inputs.bodies import ExternalIdBody, TaxIdBody
from customerflow_shared.openapi import inline_schema
from customerflow_shared.problems import Problem
from customerflow_shared.values import Address, ExternalId
from msgspec import Struct

ANA = Customer(type="person", name="Ana")
HOME = Address(id=uuid4(), country="BR", line1="Rua A")
ERP = ExternalId(source="erp", value="1")

Read = Callable[[dict[str, Any], inputs.Context], object]

READERS: Mapping[type[Struct], Read] = {
    bodies.RegisterBody: inputs.register,
    bodies.ChangeBody: lambda body, context: inputs.change(body, context, ANA),
    bodies.UpsertBody: lambda body, context: inputs.upsert(body, context, ERP),
    bodies.UpsertInBody: lambda body, context: inputs.upsert(inputs.external_id_in(body, context)[1], context, ERP),
    bodies.EmailVerificationBody: inputs.verify_email,
    bodies.PhoneVerificationBody: inputs.verify_phone,
    bodies.ConfirmationBody: lambda body, _: inputs.code(body),
    TaxIdBody: inputs.add_tax_id,
    bodies.AddressBody: inputs.add_address,
    bodies.AddressChangeBody: lambda body, context: inputs.change_address(body, context, HOME),
    bodies.DefaultAddressBody: lambda body, _: inputs.default_address(body, "billing"),
    ExternalIdBody: inputs.external_id_of,
    bodies.ConsentBody: lambda body, context: inputs.consent(body, context, "news", "email"),
    bodies.SuspensionBody: inputs.suspend,
    bodies.ReasonBody: lambda body, _: inputs.reason(body),
    bodies.ErasureBody: inputs.erasure,
}


def example(schema: dict[str, Any]) -> Any:
    """Made of the examples of a schema and of the schemas in it."""
    match schema:
        case {"examples": [first, *_]} | {"enum": [first, *_]}:
            return first
        case {"anyOf": choices}:
            return example(next(choice for choice in choices if choice.get("type") != "null"))
        case {"type": "array", "items": items}:
            return [example(items)]
        case {"properties": properties}:
            return {name: example(field) for name, field in properties.items()}
        case {"additionalProperties": values}:
            return {"key": example(values)}
    raise AssertionError(f"no example: {schema}")


@pytest.mark.parametrize("struct", READERS, ids=lambda struct: struct.__name__)
def test_the_documented_examples_are_taken(context: inputs.Context, struct: type[Struct]) -> None:
    READERS[struct](example(inline_schema(struct)), context)


@pytest.mark.parametrize("struct", READERS, ids=lambda struct: struct.__name__)
def test_what_is_documented_as_required_is_required(context: inputs.Context, struct: type[Struct]) -> None:
    schema = inline_schema(struct)
    assert schema["additionalProperties"] is False
    for name in schema.get("required", []):
        with pytest.raises(Problem) as caught:
            READERS[struct]({key: value for key, value in example(schema).items() if key != name}, context)
        assert caught.value.errors[0].code == "required"


def test_what_is_documented_for_a_change_is_what_a_registration_has_but_its_collections() -> None:
    collections = {"taxIds", "addresses", "consents", "tags", "externalIds"}
    registration = set(inline_schema(bodies.RegisterBody)["properties"])
    assert set(inline_schema(bodies.ChangeBody)["properties"]) == registration - collections
