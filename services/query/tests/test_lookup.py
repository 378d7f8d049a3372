"""Whoever has an address, a number or an id is found by it, however it is written."""

from typing import Any, cast
from uuid import UUID

import httpx
import msgspec
import pytest
from customerflow_shared import views
from customerflow_shared.indexing import Lookups
from customerflow_shared.values import ExternalId, TaxId
from customerflow_shared.views import CustomerView
from redis.asyncio import Redis

from .builders import ANA, BRUNO, GENERATION, LOOKUPS, NEXT, NOBODY, customer, erased, progress, publish

PATH = "/v1/customers/lookup"
PHONE = "+5511999998888"
RICH = msgspec.structs.replace(
    customer(),
    email="Jos\u00e9@m\u00fcnchen.de",
    phone=PHONE,
    phone_extension="12",
    tax_ids=(
        TaxId(id=BRUNO, type="br_cpf", value="39053344705"),
        TaxId(id=BRUNO, type="br_cnpj", value="12ABC34501DE35"),
        TaxId(id=BRUNO, type="other", value="X-1/2"),
    ),
    external_ids=(
        ExternalId(source="erp", value="A/B c"),
        ExternalId(source="loyalty", value="ana@example.com", personal=True),
    ),
)


def customers(count: int) -> list[CustomerView]:
    """Who share a line."""
    return [msgspec.structs.replace(customer(UUID(int=number)), phone=PHONE) for number in range(1, count + 1)]


@pytest.fixture(autouse=True)
async def _somebody(redis: Redis) -> None:
    await publish(redis, msgspec.structs.replace(customer(NOBODY), email="somebody@example.com"))


async def found(api: httpx.AsyncClient, body: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    response = await api.post(PATH + query, json=body)
    assert response.status_code == 200, response.text
    assert "truncated" not in response.json()
    data: list[dict[str, Any]] = response.json()["data"]
    return data


async def faults(api: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, str]:
    response = await api.post(PATH, json=body)
    assert (response.status_code, response.json()["code"]) == (422, "invalid-fields")
    return {fault["pointer"]: fault["code"] for fault in response.json()["errors"]}


@pytest.mark.parametrize(
    "body",
    [
        {"email": "Jos\u00e9@m\u00fcnchen.de"},
        {"email": " JOS\u00c9@M\u00dcNCHEN.DE "},
        {"email": "jose\u0301@mu\u0308nchen.de"},
        {"email": "jos\u00e9@xn--mnchen-3ya.de"},
        {"email": "jos\u00e9@XN--MNCHEN-3YA.DE", "phone": None, "phoneCountry": None, "taxId": None},
        {"phone": "+5511999998888"},
        {"phone": "+55 (11) 99999-8888"},
        {"phone": "(11) 99999-8888", "phoneCountry": "BR"},
        {"phone": "011 99999 8888", "phoneCountry": "BR"},
        {"phone": "+55 11 99999\u20138888", "phoneCountry": "US"},
        {"phone": "\uff0b\uff15\uff15 11 99999 8888"},
        {"taxId": {"type": "br_cpf", "value": "390.533.447-05"}},
        {"taxId": {"type": "br_cpf", "value": " 39053344705 "}},
        {"taxId": {"type": "br_cpf", "value": "\uff13\uff19\uff10.533.447-05"}},
        {"taxId": {"type": "br_cnpj", "value": "12.ABC.345/01DE-35"}},
        {"taxId": {"type": "br_cnpj", "value": "12abc34501de35"}},
        {"taxId": {"type": "other", "value": " X-1/2 "}},
        {"externalId": {"source": "erp", "value": "A/B c"}},
        {"externalId": {"source": " erp ", "value": " A/B c "}},
        {"externalId": {"source": "loyalty", "value": "ana@example.com"}},
    ],
    ids=repr,
)
async def test_every_spelling_finds_the_customer(api: httpx.AsyncClient, redis: Redis, body: dict[str, Any]) -> None:
    await publish(redis, RICH, customer(BRUNO))
    assert await found(api, body) == [msgspec.json.decode(msgspec.json.encode(RICH))]


@pytest.mark.parametrize(
    "body",
    [
        {"email": "jose@m\u00fcnchen.de"},
        {"phone": "+5511999998889"},
        {"taxId": {"type": "other", "value": "39053344705"}},
        {"taxId": {"type": "other", "value": "x-1/2"}},
        {"externalId": {"source": "erp", "value": "a/b c"}},
        {"externalId": {"source": "crm", "value": "A/B c"}},
        {"externalId": {"source": "erp", "value": "ana@example.com"}},
    ],
    ids=repr,
)
async def test_what_nobody_has_finds_nobody(api: httpx.AsyncClient, redis: Redis, body: dict[str, Any]) -> None:
    await publish(redis, RICH, customer(BRUNO))
    assert await found(api, body) == []


async def test_all_who_share_a_line_are_found_in_the_order_of_their_registration(
    api: httpx.AsyncClient, redis: Redis
) -> None:
    await publish(redis, *reversed(customers(3)))
    assert [UUID(one["id"]).int for one in await found(api, {"phone": PHONE})] == [1, 2, 3]


@pytest.mark.parametrize(("count", "shown", "truncated"), [(100, 100, None), (101, 100, True)])
async def test_of_very_many_a_hundred_are_shown(
    api: httpx.AsyncClient, redis: Redis, count: int, shown: int, truncated: bool | None
) -> None:
    await publish(redis, *customers(count))
    answer = (await api.post(PATH, json={"phone": PHONE})).json()
    assert (len(answer["data"]), answer.get("truncated")) == (shown, truncated)


async def test_who_is_archived_is_found_and_who_is_erased_is_not(api: httpx.AsyncClient, redis: Redis) -> None:
    archived = msgspec.structs.replace(customer(), status="archived")
    await publish(redis, archived, customer(BRUNO))
    # the index is behind: an erasure has come between two looks
    await redis.set(views.customer_key(GENERATION, BRUNO), views.pack(erased(BRUNO)))
    assert [one["status"] for one in await found(api, {"email": "ana@example.com"})] == ["archived"]


async def test_an_index_without_its_document_is_never_half_an_answer(api: httpx.AsyncClient, redis: Redis) -> None:
    await publish(redis, customer(), customer(BRUNO))
    await redis.delete(views.customer_key(GENERATION, BRUNO))
    response = await api.post(PATH, json={"email": "ana@example.com"})
    assert (response.status_code, response.json()["code"]) == (503, "rebuilding")


async def test_fields_are_chosen_and_freshness_is_told_as_on_every_read(api: httpx.AsyncClient, redis: Redis) -> None:
    await publish(redis, customer())
    await progress(redis, 41, recorded=1)
    body = {"email": "ana@example.com"}
    assert await found(api, body, "?fields=name") == [{"id": str(ANA), "version": 7, "name": "Ana Souza"}]
    response = await api.post(f"{PATH}?minPosition=41", json=body, headers={"Prefer": "wait=2"})
    assert response.headers["customerflow-position"] == "41"
    assert response.headers["preference-applied"] == "wait=2"
    assert float(response.headers["customerflow-projection-lag"]) > 0
    behind = await api.post(f"{PATH}?minPosition=42", json=body, headers={"Prefer": "wait=0"})
    assert (behind.status_code, behind.json()["code"]) == (503, "projection-behind")
    assert behind.json()["currentPosition"] == 41


@pytest.mark.parametrize("query", ["?name=Ana", "?minVersion=7"])
async def test_other_parameters_are_refused(api: httpx.AsyncClient, query: str) -> None:
    assert (await api.post(PATH + query, json={"email": "a@example.com"})).json()["code"] == "unknown-parameter"


@pytest.mark.parametrize("query", ["?fields=nme", "?minPosition=x", "?minPosition=1&minPosition=1"])
async def test_unfit_parameters_are_refused(api: httpx.AsyncClient, query: str) -> None:
    assert (await api.post(PATH + query, json={"email": "a@example.com"})).json()["code"] == "invalid-parameter"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"#": "required"}),
        ({"email": None, "taxId": None}, {"#": "required"}),
        ({"phoneCountry": "BR"}, {"#": "required", "#/phone": "required"}),
        ({"email": "ana@example.com", "phone": PHONE}, {"#/phone": "too-many"}),
        (
            {"externalId": {"source": "erp", "value": "1"}, "taxId": {"type": "other", "value": "1"}, "phone": PHONE},
            {"#/taxId": "too-many", "#/externalId": "too-many"},
        ),
        ({"email": "ana@example.com", "phoneCountry": "BR"}, {"#/phone": "required"}),
        ({"name": "Ana"}, {"#/name": "unknown-field", "#": "required"}),
        ({"email": "ana@example.com", "id": 1}, {"#/id": "read-only-field"}),
        ({"email": "ana"}, {"#/email": "email-syntax"}),
        ({"email": "ana@localhost"}, {"#/email": "email-domain"}),
        ({"email": 7}, {"#/email": "type"}),
        ({"email": " "}, {"#/email": "blank"}),
        ({"email": "a" * 300}, {"#/email": "too-long"}),
        ({"phone": "11 99999-8888"}, {"#/phone": "phone-country-required"}),
        ({"phone": "0055 11 99999-8888", "phoneCountry": "BR"}, {"#/phone": "phone-ambiguous-prefix"}),
        ({"phone": "1-800-FLOWERS", "phoneCountry": "US"}, {"#/phone": "phone-syntax"}),
        ({"phone": "(11) 9999-888", "phoneCountry": "BR"}, {"#/phone": "phone-invalid"}),
        ({"phone": "11 99999-8888", "phoneCountry": "br"}, {"#/phoneCountry": "country-unknown"}),
        ({"taxId": "39053344705"}, {"#/taxId": "type", "#/taxId/type": "required", "#/taxId/value": "required"}),
        ({"taxId": {"type": "br_cpf"}}, {"#/taxId/value": "required"}),
        ({"taxId": {"type": "cpf", "value": "39053344705"}}, {"#/taxId/type": "tax-id-type-unknown"}),
        ({"taxId": {"type": "br_cpf", "value": "390.533.447-06"}}, {"#/taxId/value": "tax-id-checksum"}),
        ({"taxId": {"type": "br_cpf", "value": "390.533.447-0"}}, {"#/taxId/value": "tax-id-length"}),
        ({"taxId": {"type": "br_cpf", "value": "111.111.111-11"}}, {"#/taxId/value": "tax-id-repeated"}),
        ({"taxId": {"type": "br_cpf", "value": "\u0663\u0669\u0660 533 447 05"}}, {"#/taxId/value": "tax-id-format"}),
        ({"taxId": {"type": "other", "value": "1", "id": "1"}}, {"#/taxId/id": "read-only-field"}),
        ({"externalId": {"source": "ERP", "value": "1"}}, {"#/externalId/source": "format"}),
        ({"externalId": {"source": "erp", "value": ""}}, {"#/externalId/value": "blank"}),
        ({"externalId": {"source": "erp", "value": "x" * 256}}, {"#/externalId/value": "too-long"}),
        ({"externalId": {"source": "erp", "value": 7}}, {"#/externalId/value": "type"}),
        (
            {"externalId": []},
            {"#/externalId": "type", "#/externalId/source": "required", "#/externalId/value": "required"},
        ),
        (
            {"email": "ana", "taxId": {"type": "br_cpf"}},
            {"#/email": "email-syntax", "#/taxId": "too-many", "#/taxId/value": "required"},
        ),
    ],
    ids=repr,
)
async def test_an_unfit_body_is_told_why(
    api: httpx.AsyncClient, body: dict[str, Any], expected: dict[str, str]
) -> None:
    assert await faults(api, body) == expected


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"", "application/json", 400, "malformed-json"),
        (b"[]", "application/json", 400, "malformed-json"),
        (b'{"email": "a@example.com", "email": "b@example.com"}', "application/json", 400, "malformed-json"),
        (b'{"email": "\xff"}', "application/json", 400, "malformed-json"),
        (b"email=a", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        (b"{}", "application/json; charset=latin-1", 415, "unsupported-media-type"),
        (b"{" + b" " * 300_000 + b"}", "application/json", 413, "body-too-large"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_what_is_no_json_object_is_refused(
    api: httpx.AsyncClient, content: bytes, media_type: str, status: int, code: str
) -> None:
    response = await api.post(PATH, content=content, headers={"Content-Type": media_type})
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_an_encoded_body_is_refused(api: httpx.AsyncClient) -> None:
    response = await api.post(PATH, json={"email": "a@example.com"}, headers={"Content-Encoding": "gzip"})
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "identity")


async def test_no_answer_repeats_what_was_asked_for(api: httpx.AsyncClient) -> None:
    for body in ({"email": "secret@@x"}, {"phone": "secret"}, {"taxId": {"type": "br_cpf", "value": "secret"}}):
        assert "secret" not in (await api.post(PATH, json=body)).text


async def test_only_posting_is_looking_up(api: httpx.AsyncClient) -> None:
    response = await api.get(PATH)
    assert (response.status_code, response.headers["allow"]) == (405, "OPTIONS, POST")


@pytest.mark.parametrize("made_with", [Lookups(bytes(32)).fingerprint(), None])
async def test_with_another_key_nothing_is_answered(
    api: httpx.AsyncClient, redis: Redis, made_with: str | None
) -> None:
    key = views.key(GENERATION, "lookup-key")
    await (redis.set(key, made_with) if made_with else redis.delete(key))
    response = await api.post(PATH, json={"email": "ana@example.com"})
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert "retry-after" in response.headers
    ready = await api.get("/health/ready")
    assert ready.status_code == 503
    assert "another key" in ready.json()["checks"]["look-ups"]
    await publish(redis, customer(), generation=NEXT)
    assert (await api.get("/health/ready")).status_code == 200
    assert len(await found(api, {"email": "ana@example.com"})) == 1


async def test_the_index_holds_no_value(redis: Redis) -> None:
    await publish(redis, RICH)
    # a client without decode_responses gives bytes
    members = cast(list[bytes], await redis.zrange(views.key(GENERATION, "lookup"), 0, -1))
    assert {len(member) for member in members} == {32}
    assert len([member for member in members if member.endswith(ANA.bytes)]) == len(LOOKUPS.of(RICH)) == 7


async def test_each_documented_example_is_answered(api: httpx.AsyncClient) -> None:
    operation = (await api.get("/docs/openapi.json")).json()["paths"][PATH]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert [set(example["value"]) - {"phoneCountry"} for example in examples.values()] == [
        {"email"},
        {"phone"},
        {"taxId"},
        {"externalId"},
    ]
    for example in examples.values():
        assert await found(api, example["value"]) == []
    assert {"400", "413", "415", "422", "503"} <= set(operation["responses"])
