"""What every bad input gets: one row for each of them, against the running service.

Each is told by the right status and code, points at the right place, repeats no value that was given, and leaves no
trace in the history. Not here, because they are not there yet: credentials and scopes, merged customers, imports, the
look-up of postal codes, rate limits. Elsewhere: `minVersion` and If-None-Match (test_versions.py), `Prefer`
(test_bad_addresses.py), cursors of another list (test_lists.py), servers that are away (test_independence.py).
"""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from blackbox import bad_fields, bad_questions, bad_requests, bad_states
from blackbox.bad_inputs import CONSENT, JSON, Row, World
from blackbox.customers import MERGE_PATCH, Customers, a_customer, an_address
from blackbox.problems import problem

# words that a detail may name because they are the ones that are allowed
OURS: Final = {
    "person",
    "company",
    "active",
    "billing",
    "shipping",
    "granted",
    "newsletter",
    "email",
    "checkout",
    "other",
    "br_cpf",
}

ROWS: Final = [*bad_requests.ROWS, *bad_fields.ROWS, *bad_states.ROWS, *bad_questions.ROWS]


def a_cpf() -> str:
    """A valid number that nobody else has."""
    digits = [secrets.randbelow(10) for _ in range(9)]
    for _ in range(2):
        rest = sum(digit * weight for digit, weight in zip(digits, range(len(digits) + 1, 1, -1), strict=True)) % 11
        digits.append(0 if rest < 2 else 11 - rest)
    return "".join(map(str, digits))


@pytest.fixture(scope="module")
async def world(customers: Customers) -> World:
    token, cpf = secrets.token_hex(6), a_cpf()
    email, key = f"holder.{token}@example.com", f"key-{token}"
    standing = await customers.register(
        email=email,
        taxIds=[{"type": "br_cpf", "value": cpf}],
        externalIds=[{"source": "erp", "value": token}],
        consents=[{"purpose": "newsletter", "channel": "email", **CONSENT}],
    )
    standing, address = await customers.add_address(standing)
    first = await customers.send("POST", "/v1/customers", a_customer(), headers={"Idempotency-Key": key})
    assert first.status_code == 201
    return World(
        standing=standing,
        archived=await customers.archive(await customers.register()),
        suspended=await customers.suspend(await customers.register()),
        pending=await customers.request_erasure(await customers.register()),
        erased=await customers.request_erasure(await customers.register(), grace_days=0),
        address=address,
        email=email,
        cpf=cpf,
        external_id=token,
        key=key,
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.usefixtures("nothing_changes")
async def test_every_bad_input_is_told_what_is_wrong_with_it(customers: Customers, world: World, row: Row) -> None:
    answer = await ask(customers, world, row)
    told = problem(answer, row.status, row.code)
    errors = {error.get("pointer") or error["parameter"]: error["code"] for error in told.get("errors", [])}
    assert errors == row.errors
    assert {name: answer.headers[name] for name in row.answer_headers} == row.answer_headers
    assert [text for text in texts_of(row.body) if world.spell(text) in answer.text] == []
    if row.status == 412 and "{standing}" in row.path:
        assert told["currentVersion"] == world.standing.version
    if row.code == "invalid-transition":
        assert (told["from"], told["allowed"]) == ("suspended", ["active", "archived"])
    if row.code == "customer-erased":
        assert told["id"] == world.erased.id
        assert told["erasedAt"]


async def ask(customers: Customers, world: World, row: Row) -> httpx.Response:
    headers = [(name, world.spell(value)) for name, value in (*row.headers.items(), *row.more_headers)]
    content = row.raw
    if content is None and row.body is not None:
        # only strings may hold what stands in the world, so the JSON text may be changed as a whole
        content = world.spell(json.dumps(row.body)).encode()
        headers.append(("Content-Type", MERGE_PATCH if row.method == "PATCH" else JSON))
    client = customers.query if row.query else customers.command
    return await client.request(row.method, world.spell(row.path), content=content, headers=headers)


def texts_of(value: Any) -> Iterator[str]:
    """The texts of a body that an answer must not repeat."""
    match value:
        case str() if len(value.strip()) > 3 and value not in OURS:
            yield value
        case list():
            yield from (text for item in value for text in texts_of(item))
        case dict():
            yield from (text for item in value.values() for text in texts_of(item))


FULL: Final[list[tuple[int, dict[str, Any], tuple[str, str, Any]]]] = [
    (50, {"tags": [f"tag-{number}" for number in range(50)]}, ("PUT", "/tags/one-more", None)),
    (20, {"addresses": [an_address()] * 20}, ("POST", "/addresses", an_address())),
    (
        10,
        {"taxIds": [{"type": "other", "value": f"value {number}"} for number in range(10)]},
        ("POST", "/tax-ids", {"type": "other", "value": "one more"}),
    ),
    (50, {"attributes": {f"key {number}": number for number in range(50)}}, ("PATCH", "", {"attributes": {"one": 1}})),
]


@pytest.mark.parametrize(("limit", "given", "more"), FULL, ids=["tags", "addresses", "tax ids", "attributes"])
async def test_there_is_no_room_for_one_more(
    customers: Customers, limit: int, given: dict[str, Any], more: tuple[str, str, Any]
) -> None:
    full = await customers.register(**given)
    method, to, body = more
    answer = await customers.send(method, full.path + to, body, if_match=full.etag)
    assert problem(answer, 409, "limit-reached")["limit"] == limit
    assert (await customers.read(full))["version"] == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"name": "  Ana  "}, {"name": "Ana"}),
        ({"name": "1234 !"}, {"name": "1234 !", "dataQuality": [{"path": "name", "code": "name-unusual"}]}),
    ],
)
async def test_what_is_only_odd_is_accepted(customers: Customers, given: dict[str, Any], kept: dict[str, Any]) -> None:
    document = await customers.read(await customers.register(**given))
    assert {name: document.get(name) for name in kept} == kept


async def test_a_city_that_is_not_known_is_accepted_and_noted(customers: Customers) -> None:
    document = await customers.read(await customers.register(addresses=[an_address(city="Nova Esperança do Sul")]))
    (home,) = document["addresses"]
    assert document["dataQuality"] == [{"path": f"addresses/{home['id']}/city", "code": "city-unknown"}]


async def test_a_key_that_was_answered_gets_the_answer_again(customers: Customers) -> None:
    body, headers = a_customer(), {"Idempotency-Key": f'"{secrets.token_hex(8)}"'}
    first, second = [await customers.send("POST", "/v1/customers", body, headers=headers) for _ in range(2)]
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    for name in ("ETag", "Location"):
        assert second.headers[name] == first.headers[name]


async def test_a_key_in_flight_is_told_so_and_when_to_ask_again(customers: Customers) -> None:
    told: Counter[str] = Counter()
    for _ in range(20):
        body, headers = a_customer(), {"Idempotency-Key": secrets.token_hex(8)}
        copies = (customers.send("POST", "/v1/customers", body, headers=headers) for _ in range(8))
        for answer in await asyncio.gather(*copies):
            if answer.status_code == 201:
                told["done"] += 1
            else:
                problem(answer, 409, "idempotency-in-flight")
                assert answer.headers["Retry-After"] == "1"
                told["in flight"] += 1
        if told["in flight"]:
            break
    assert told["done"]
    assert told["in flight"]
