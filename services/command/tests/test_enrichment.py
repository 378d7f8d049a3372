"""Addresses that are completed by their postal code, before they are read."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import httpx
import msgspec
import pytest
from customerflow_command import api
from customerflow_command.customer.commands import RegisterCustomer
from customerflow_command.customer.state import Customer
from customerflow_command.enrichment import Enrichment
from customerflow_command.mediator import Outcome, Request
from customerflow_command.personal import Pepper
from customerflow_command.postal_codes import POLICY, PostalCodes
from customerflow_command.verification import Codes
from customerflow_local.provider import STREETLESS, UNKNOWN, Mood, Provider
from customerflow_shared import service
from customerflow_shared.flags import Choice, Flag
from customerflow_shared.flags.catalogue import ADDRESS_ENRICHMENT
from customerflow_shared.values import Address

PATIENCE = 0.15
ID = UUID("0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11")
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


async def test_of_those_who_come_at_once_no_more_wait_than_the_bulkhead_takes(
    provider: Provider, enrichment: Enrichment
) -> None:
    async def wait(number: int) -> float:
        begun = time.monotonic()
        await enrichment.of_address(HOME | {"postalCode": f"01{number:03}-000"}, ON)
        return time.monotonic() - begun

    provider.mood = Mood.HANG
    waits = await asyncio.gather(*map(wait, range(200)))
    assert max(waits) < PATIENCE + 0.2
    assert sum(each >= PATIENCE for each in waits) <= POLICY.concurrent + POLICY.queued
    waits = await asyncio.gather(*map(wait, range(200, 400)))
    assert sum(each >= PATIENCE for each in waits) == 0


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


class WriteSide:
    """Reads every command and takes it."""

    def __init__(self) -> None:
        self.sent: list[tuple[Request, Any]] = []

    async def send(self, request: Request) -> Outcome:
        customer = None if request.command is RegisterCustomer else Customer(type="person", name="Ana")
        self.sent.append((request, request.read(customer)))
        return Outcome(id=ID, version=1, position=1, created=True, resource=ID)


@asynccontextmanager
async def served(write_side: WriteSide, enrichment: Enrichment | None, on: bool) -> AsyncIterator[httpx.AsyncClient]:
    def choose(flag: Flag, _: UUID) -> Choice:
        return Choice(flag.key, on and flag is ADDRESS_ENRICHMENT, "on" if on else "off")

    customers = api.Customers(
        send=write_side.send,
        now=lambda: datetime(2026, 11, 22, tzinfo=UTC),
        codes=Codes(Pepper(base64.b64encode(bytes(32)).decode())),
        choose=choose,
        enrichment=enrichment,
    )
    app = service.create(
        "Test",
        "Test.",
        handlers=api.ROUTES,
        health=service.Health({}),
        translations=api.TRANSLATIONS,
        dependencies={"customers": customers},
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(cast(Any, app)), base_url="http://test") as client:
        yield client


REQUESTS = {
    "/v1/customers": {"type": "person", "name": "Ana", "addresses": [HOME]},
    f"/v1/customers/{ID}/addresses": HOME,
}


def address_of(command: Any) -> Address:
    return cast(Address, command.addresses[0] if isinstance(command, RegisterCustomer) else command.address)


@pytest.mark.parametrize("path", REQUESTS)
async def test_what_was_found_and_what_was_chosen_go_with_the_command(enrichment: Enrichment, path: str) -> None:
    """So they are in its event, and whoever reads it again asks nobody."""
    write_side = WriteSide()
    async with served(write_side, enrichment, on=True) as client:
        answer = await client.post(path, json=REQUESTS[path], headers={"Idempotency-Key": "k"})
    assert answer.status_code == 201, answer.text
    ((request, command),) = write_side.sent
    address = address_of(command)
    assert (address.region, address.city, address.district, address.line1, address.postal_code) == (
        *FOUND.values(),
        "01001-000",
    )
    assert [choice for choice in request.choices if choice.flag == ADDRESS_ENRICHMENT.key] == [ON()]


@pytest.mark.parametrize("path", REQUESTS)
async def test_what_could_not_be_found_is_missed_as_without_enrichment(
    provider: Provider, enrichment: Enrichment, path: str
) -> None:
    provider.mood = Mood.RESET
    answers = []
    for how, on in ((enrichment, True), (enrichment, False), (None, True)):
        async with served(WriteSide(), how, on) as client:
            answers.append((await client.post(path, json=REQUESTS[path])).json())
    assert [answer["code"] for answer in answers] == ["invalid-fields"] * 3
    pointers = [[(fault["pointer"], fault["code"]) for fault in answer["errors"]] for answer in answers]
    assert {fault[0].rpartition("/")[2] for fault in pointers[0]} == {"line1", "city", "region"}
    assert pointers[0] == pointers[1] == pointers[2]


async def test_a_repeated_command_is_known_by_what_was_sent_not_by_what_was_found(
    provider: Provider, enrichment: Enrichment
) -> None:
    body = {"type": "person", "name": "Ana", "addresses": [HOME | FOUND | {"district": None}]}
    write_side = WriteSide()
    async with served(write_side, enrichment, on=True) as client:
        for provider.mood in (Mood.RESET, Mood.WELL, Mood.WELL):
            await client.post("/v1/customers", json=body, headers={"Idempotency-Key": "k"})
            await asyncio.sleep(0.1)  # nobody waits for the second one, but it is there for the third
    districts = {address_of(command).district for _, command in write_side.sent}
    assert districts == {None, "Sé"}
    assert len({request.key for request, _ in write_side.sent}) == 1
