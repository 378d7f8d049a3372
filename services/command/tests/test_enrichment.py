"""Addresses that are completed by their postal code, before they are read."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from customerflow_command.enrichment import Enrichment
from customerflow_command.postal_codes import POLICY, PostalCodes
from customerflow_local.provider import STREETLESS, UNKNOWN, Mood, Provider
from customerflow_shared.flags import Choice

PATIENCE = 0.15
HOME = {"country": "BR", "postalCode": "01001-000"}
FOUND = {"region": "SP", "city": "São Paulo", "district": "Sé", "line1": "Rua 01001000"}


def choosing(on: bool) -> Callable[[], Choice]:
    return lambda: Choice("address-enrichment", on, "on" if on else "off")


ON, OFF = choosing(True), choosing(False)


def never() -> Choice:
    raise AssertionError("nothing is to be chosen")


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


@pytest.fixture
async def enrichment(provider: Provider) -> AsyncIterator[Enrichment]:
    policy = msgspec.structs.replace(POLICY, deadline=0.5, per_try=0.5, open_for=0.3)
    postal_codes = PostalCodes((("viacep", provider.url),), PATIENCE, policy)
    yield Enrichment(postal_codes)
    await postal_codes.close()


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ({}, FOUND),
        ({"postalCode": "01001000"}, FOUND),
        ({"postalCode": " 01001-000 "}, FOUND),
        ({"city": None, "district": None}, FOUND),
        ({"region": "SP", "city": "sao paulo"}, {"district": "Sé", "line1": "Rua 01001000"}),
        ({"region": "sp", "line1": "Praça da Sé, 1"}, {"city": "São Paulo", "district": "Sé"}),
        ({"postalCode": STREETLESS}, {"region": "SP", "city": "Óleo"}),
    ],
)
async def test_what_is_missing_is_filled_in_and_what_was_given_stays(
    enrichment: Enrichment, given: dict[str, Any], added: dict[str, str]
) -> None:
    address = HOME | given
    completed = await enrichment.of_address(address, ON)
    assert completed.body == address | added
    assert completed.choices == (ON(),)
    registration = {"name": "Ana", "addresses": [address]}
    assert (await enrichment.of_registration(registration, ON)).body == {"name": "Ana", "addresses": [address | added]}
    assert address == HOME | given


@pytest.mark.parametrize(
    "given", [{"region": "RJ"}, {"city": "Santos"}, {"city": 7}, {"region": ["SP"]}, {"postalCode": UNKNOWN}]
)
async def test_what_contradicts_the_postal_code_is_left_as_it_is(enrichment: Enrichment, given: dict[str, Any]) -> None:
    assert (await enrichment.of_address(HOME | given, ON)).body == HOME | given


@pytest.mark.parametrize(
    "address",
    [
        HOME | FOUND,
        HOME | {"country": "PT"},
        HOME | {"country": None},
        HOME | {"country": ["BR"]},
        HOME | {"postalCode": None},
        HOME | {"postalCode": 1001000},
        HOME | {"postalCode": "0100-1000"},
        HOME | {"postalCode": "\u0660" * 8},
        {"country": "BR"},
        {},
    ],
)
async def test_where_nothing_is_missing_or_can_be_found_nothing_is_asked_and_nothing_chosen(
    provider: Provider, enrichment: Enrichment, address: dict[str, Any]
) -> None:
    assert await enrichment.of_address(address, never) == (address, ())
    for addresses in ([address], [], None, "x", {"0": address}, [[address]], ["x"]):
        registration = {"addresses": addresses}
        assert await enrichment.of_registration(registration, never) == (registration, ())
    assert provider.asked == []


async def test_for_whom_it_is_switched_off_nothing_is_asked_and_that_is_told(
    provider: Provider, enrichment: Enrichment
) -> None:
    assert await enrichment.of_address(HOME, OFF) == (HOME, (OFF(),))
    assert await enrichment.of_registration({"addresses": [HOME]}, OFF) == ({"addresses": [HOME]}, (OFF(),))
    assert provider.asked == []


async def test_several_addresses_are_completed_at_the_same_time(provider: Provider, enrichment: Enrichment) -> None:
    provider.mood, provider.delay = Mood.LATE, 0.1
    addresses = [HOME | {"postalCode": f"0100{number}000"} for number in range(3)]
    began = time.monotonic()
    completed = await enrichment.of_registration({"addresses": [*addresses, 7, HOME | FOUND]}, ON)
    assert time.monotonic() - began < 0.19
    assert [one["line1"] for one in completed.body["addresses"][:3]] == ["Rua 01000000", "Rua 01001000", "Rua 01002000"]
    assert completed.body["addresses"][3:] == [7, HOME | FOUND]


@pytest.mark.parametrize("mood", [mood for mood in Mood if mood not in (Mood.WELL, Mood.HALF)])
async def test_with_a_sick_provider_a_command_goes_on_as_it_came_after_a_moment(
    provider: Provider, enrichment: Enrichment, mood: Mood
) -> None:
    provider.mood = mood
    waits = []
    for number in range(100):
        began = time.monotonic()
        address = HOME | {"postalCode": f"01{number:03}-000"}
        assert (await enrichment.of_address(address, ON)).body == address
        waits.append(time.monotonic() - began)
    assert max(waits) < PATIENCE + 0.1
    assert sum(wait > 0.01 for wait in waits[1:]) <= 2  # a noisy machine has pauses too
    provider.mood = Mood.WELL
    async with asyncio.timeout(5):
        while (await enrichment.of_address(HOME, ON)).body != HOME | FOUND:
            await asyncio.sleep(0.05)


async def test_what_came_too_late_for_one_command_is_there_for_the_next(
    provider: Provider, enrichment: Enrichment
) -> None:
    provider.mood, provider.delay = Mood.LATE, 0.3
    assert (await enrichment.of_address(HOME, ON)).body == HOME
    await asyncio.sleep(0.3)
    began = time.monotonic()
    assert (await enrichment.of_address(HOME, ON)).body == HOME | FOUND
    assert time.monotonic() - began < 0.05
    assert len(provider.asked) == 1
