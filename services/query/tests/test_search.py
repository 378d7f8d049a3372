"""Search: every word of a text begins a word of the names of whoever is found; and the list, asked by a body."""

from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from customerflow_shared.views import CustomerView
from redis.asyncio import Redis

from .builders import ANA, customer
from .populating import populate

PATH = "/v1/customers/search"


def named(number: int, name: str, **more: Any) -> CustomerView:
    return msgspec.structs.replace(customer(UUID(int=number), name=name), **more)


LIMITS: list[Any] = [0, 201, "50", 1.5, True, []]
PEOPLE = [
    named(1, "Maria Silva"),
    named(2, "Mariana da Silva"),
    named(3, "Jos\u00e9 MAR\u00cdA Simas"),
    named(4, "Ana Souza", social_name="Mar", tags=("vip",)),
    named(5, "Ana Lima", legal_name="Padaria \u00c1guas de Mar\u00e7o Ltda", trade_name="P\u00e3o & Mar"),
    named(6, "Strau\u00df \u0141ukasz O'Neil-Smith"),
    named(7, "Maria", status="archived"),
]


@pytest.fixture(autouse=True)
async def _everybody(redis: Redis) -> None:
    await populate(redis, PEOPLE)


async def found(api: httpx.AsyncClient, body: dict[str, Any]) -> list[int]:
    response = await api.post(PATH, json=body)
    assert response.status_code == 200, response.text
    return [UUID(one["id"]).int for one in response.json()["data"]]


async def faults(api: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, str]:
    response = await api.post(PATH, json=body)
    assert (response.status_code, response.json()["code"]) == (422, "invalid-fields")
    return {fault["pointer"]: fault["code"] for fault in response.json()["errors"]}


@pytest.mark.parametrize(
    ("q", "whom"),
    [
        ("maria", [1, 3, 2]),
        ("MARI\u0301A", [1, 3, 2]),
        ("mar", [4, 5, 1, 3, 2]),
        ("silva mar", [1, 2]),
        ("mar silva", [1, 2]),
        ("ma si", [1, 2, 3]),
        ("ma s", [1, 2, 3, 4]),
        ("aguas", [5]),
        ("pao mar", [5]),
        ("ana pad", [5]),
        ("strauss", [6]),
        ("lukasz", [6]),
        ("o'neil smith", [6]),
        ("oneil", []),
        ("da silva", [2]),
        ("aria", []),
        ("maria maria", [1, 3, 2]),
        ("mariab", []),
        ("x" * 100, []),
    ],
)
async def test_every_word_begins_a_word_of_a_name(api: httpx.AsyncClient, q: str, whom: list[int]) -> None:
    assert await found(api, {"q": q}) == whom


async def test_a_search_is_filtered_and_sorted_as_a_list_is(api: httpx.AsyncClient) -> None:
    assert await found(api, {"q": "mar", "tag": "vip"}) == [4]
    assert await found(api, {"q": "mar", "tag": ["vip", "late"], "type": ["person"], "hasIssues": False}) == [4]
    assert await found(api, {"q": "maria", "status": "archived"}) == [7]
    assert await found(api, {"q": "mar", "sort": "name"}) == [5, 4, 3, 1, 2]
    assert await found(api, {"q": "mar", "sort": "-createdAt"}) == [5, 4, 3, 2, 1]
    assert await found(api, {"q": "mar", "createdAt": {"gte": "2027-01-01T00:00Z"}}) == []


async def test_without_a_text_it_is_the_list(api: httpx.AsyncClient) -> None:
    assert await found(api, {}) == [6, 5, 4, 3, 2, 1]
    assert await found(api, {"q": None, "tag": []}) == [6, 5, 4, 3, 2, 1]
    assert await faults(api, {"sort": "relevance"}) == {"#/sort": "sort-not-allowed"}


async def test_pages_are_gone_through_by_body(api: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {"q": "mar", "limit": 2, "count": "exact", "fields": ["name"]}
    whom: list[int] = []
    while True:
        page = (await api.post(PATH, json=body)).json()
        assert page["total"] == {"value": 5, "relation": "eq"}
        assert all(one.keys() == {"id", "version", "name"} for one in page["data"])
        whom += [UUID(one["id"]).int for one in page["data"]]
        if "next" not in page:
            break
        body["cursor"] = page["next"]
    assert whom == [4, 5, 1, 3, 2]
    for change in ({"q": "maria"}, {"tag": "vip"}, {"sort": "name"}):
        response = await api.post(PATH, json=body | change)
        assert (response.status_code, response.json()["code"]) == (400, "cursor-mismatch")
    response = await api.post(PATH, json=body | {"cursor": body["cursor"][:-1]})
    assert (response.status_code, response.json()["code"]) == (400, "cursor-invalid")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"q": "a"}, {"#/q": "format"}),
        ({"q": " a "}, {"#/q": "format"}),
        ({"q": "a" * 101}, {"#/q": "too-long"}),
        ({"q": "--"}, {"#/q": "blank"}),
        ({"q": "  "}, {"#/q": "blank"}),
        ({"q": "a\u0000b"}, {"#/q": "invalid-characters"}),
        ({"q": ["ana"]}, {"#/q": "type"}),
        ({"query": "ana"}, {"#/query": "unknown-field"}),
        ({"minPosition": 3}, {"#/minPosition": "unknown-field"}),
        ({"status": "gone"}, {"#/status": "not-allowed"}),
        ({"status": ["active", "gone", 1]}, {"#/status/1": "not-allowed", "#/status/2": "type"}),
        ({"tag": {"any": "vip"}}, {"#/tag": "type"}),
        ({"tag": ["a"] * 21}, {"#/tag": "too-many"}),
        ({"country": "br", "region": "br-SP"}, {"#/country": "country-unknown", "#/region": "region-unknown"}),
        ({"createdAt": "2026-01-01"}, {"#/createdAt": "type"}),
        ({"createdAt": {"gt": "2026-01-01T00:00Z"}}, {"#/createdAt/gt": "unknown-field"}),
        ({"createdAt": {"gte": "2026-01-01"}}, {"#/createdAt/gte": "date-format"}),
        (
            {"updatedAt": {"gte": "2026-01-02T00:00Z", "lt": "2026-01-01T00:00Z"}},
            {"#/updatedAt": "range-inverted"},
        ),
        ({"sort": "email"}, {"#/sort": "sort-not-allowed"}),
        ({"sort": 1}, {"#/sort": "sort-not-allowed"}),
        *(({"limit": limit}, {"#/limit": "limit-range"}) for limit in LIMITS),
        ({"count": True}, {"#/count": "type"}),
        ({"hasIssues": "true"}, {"#/hasIssues": "type"}),
        ({"hasConsent": "marketing"}, {"#/hasConsent": "format"}),
        ({"fields": "name,tags"}, {"#/fields": "not-allowed"}),
        ({"cursor": 7}, {"#/cursor": "type"}),
    ],
)
async def test_a_bad_question_is_told_every_fault(
    api: httpx.AsyncClient, body: dict[str, Any], expected: dict[str, str]
) -> None:
    assert await faults(api, body) == expected


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"", "application/json", 400, "malformed-json"),
        (b"[]", "application/json", 400, "malformed-json"),
        (b'{"q":"ana","q":"ana"}', "application/json", 400, "malformed-json"),
        (b'{"limit":NaN}', "application/json", 400, "malformed-json"),
        (b"q=ana", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
    ],
)
async def test_a_search_is_one_json_object(
    api: httpx.AsyncClient, content: bytes, media_type: str, status: int, code: str
) -> None:
    response = await api.post(PATH, content=content, headers={"Content-Type": media_type})
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_what_is_personal_stays_out_of_the_address(api: httpx.AsyncClient) -> None:
    response = await api.post(f"{PATH}?q=ana", json={})
    assert (response.status_code, response.json()["code"]) == (400, "unknown-parameter")
    assert (await api.get(PATH)).status_code == 405


async def test_an_answer_does_not_link_to_what_only_a_body_asks(api: httpx.AsyncClient) -> None:
    response = await api.post(f"{PATH}?minPosition=0", json={"q": "mar", "limit": 1})
    assert "link" not in response.headers
    assert response.json()["next"]
    assert UUID(response.json()["data"][0]["id"]) != ANA
