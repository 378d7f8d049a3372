"""What a postal code says is looked up at a provider, and completes addresses where the flag says so; commands go on
without it.
"""

import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import httpx
import pytest
from blackbox.customers import Customer, Customers, Json
from blackbox.outside import Outside
from blackbox.problems import problem
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.flag_file import FlagFile
from customerflow_local.provider import UNKNOWN, Mood

FLAG_WITHIN = 2.0
HEALED_WITHIN = 70.0
"""Seconds: a provider that has failed for long is asked once a minute."""
GIVEN_UP_WITHIN = 5.0
REGISTRATIONS = 40
HELD_UP = 1.0
"""Seconds: what a command waits at most, and what a noisy machine adds."""


@pytest.fixture
async def sick(switches: FlagFile, outside: Outside) -> AsyncIterator[Outside]:
    """May be made so; addresses are completed."""
    switches.switch("address-enrichment", "on")
    yield outside
    await outside.feel(Mood.WELL)


def a_code() -> str:
    """One that nobody has asked for yet: of the city of São Paulo."""
    return f"{random.randrange(1000, 1900):05}{random.randrange(1000):03}"


async def look_up(customers: Customers, digits: str) -> httpx.Response:
    return await customers.command.get(f"/v1/postal-codes/BR/{digits}")


async def registered_at(customers: Customers, address: Json) -> Json:
    """The address as the query service shows it."""
    document = await customers.read(await customers.register(addresses=[{"country": "BR", **address}]))
    (shown,) = document["addresses"]
    return {name: value for name, value in shown.items() if name not in ("id", "country")}


async def test_a_postal_code_is_looked_up_and_an_unknown_one_is_told_from_one_that_is_none(
    customers: Customers,
) -> None:
    digits = a_code()
    hyphenated = f"{digits[:5]}-{digits[5:]}"
    for written in (digits, hyphenated):
        answer = await look_up(customers, written)
        assert (answer.status_code, answer.json()) == (
            200,
            {
                "country": "BR",
                "postalCode": hyphenated,
                "region": "SP",
                "city": "São Paulo",
                "district": "Sé",
                "street": f"Rua {digits}",
            },
        )
    problem(await look_up(customers, UNKNOWN), 404, "postal-code-unknown")
    problem(await look_up(customers, "0131010"), 400, "postal-code-invalid")


async def completed(customers: Customers) -> None:
    digits = a_code()
    shown = await registered_at(customers, {"postalCode": digits})
    assert shown["line1"] == f"Rua {digits}"
    assert (shown["city"], shown["region"], shown["district"]) == ("São Paulo", "SP", "Sé")


async def completed_by_each(system: System, within: float) -> None:
    for command in system.commands:
        async with Customers(replace(system, commands=(command,))) as customers:
            await eventually(partial(completed, customers), within, every=0.5)


async def test_while_a_provider_hangs_commands_go_on_as_they_came_and_what_is_known_is_told(
    system: System, customers: Customers, sick: Outside
) -> None:
    await completed_by_each(system, FLAG_WITHIN)
    async with Customers(replace(system, commands=system.commands[:1])) as asking:
        known = a_code()
        assert (await look_up(asking, known)).status_code == 200
        asked = len(await sick.look_ups())
        await sick.feel(Mood.HANG)

        given = {"line1": "Avenida Paulista", "city": "São Paulo", "region": "SP"}
        waits, registered = list[float](), list[Customer]()
        for _ in range(REGISTRATIONS):
            began = time.monotonic()
            registered.append(await customers.register(addresses=[{"country": "BR", "postalCode": a_code(), **given}]))
            waits.append(time.monotonic() - began)
        assert max(waits) < HELD_UP
        assert len(await sick.look_ups()) - asked < REGISTRATIONS / 2
        for one in registered:
            (shown,) = (await customers.read(one))["addresses"]
            assert (shown["line1"], "district" in shown) == ("Avenida Paulista", False)

        began = time.monotonic()
        refused = await look_up(asking, a_code())
        problem(refused, 503, "unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        assert time.monotonic() - began < GIVEN_UP_WITHIN
        assert (await look_up(asking, known)).status_code == 200

    await sick.feel(Mood.WELL)
    await completed_by_each(system, HEALED_WITHIN)
