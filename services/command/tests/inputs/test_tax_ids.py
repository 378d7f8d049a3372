"""How many tax ids of a type a customer may have."""

from collections.abc import Callable

from customerflow_command import inputs

Refused = Callable[..., dict[str, str]]


def test_a_registration_takes_one_of_each_type(context: inputs.Context, refused: Refused) -> None:
    numbers = ("390.533.447-05", "111.444.777-35")
    body = {"type": "person", "name": "Ana", "taxIds": [{"type": "br_cpf", "value": number} for number in numbers]}
    assert refused(inputs.register, body, context) == {"#/taxIds/1/type": "tax-id-type-present"}


def test_of_the_type_other_a_registration_takes_each_value_once(context: inputs.Context, refused: Refused) -> None:
    body = {"type": "person", "name": "Ana", "taxIds": [{"type": "other", "value": value} for value in "122"]}
    assert refused(inputs.register, body, context) == {"#/taxIds/2/type": "tax-id-type-present"}
