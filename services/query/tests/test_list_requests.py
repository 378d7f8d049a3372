"""Lists over HTTP: what may be asked for, what is answered, and what bad questions are told."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import httpx
import msgspec
import pytest
from customerflow_shared import views
from customerflow_shared.values import Address, ExternalId
from customerflow_shared.views import ConsentView, timestamp
from redis.asyncio import Redis

from .builders import ANA, BRUNO, GENERATION, NOBODY, customer, erased, progress
from .populating import NOW, populate

PATH = "/v1/customers"
RICH = msgspec.structs.replace(
    customer(ANA),
    locale="pt-BR",
    lifecycle_stage="lead",
    tags=("vip", "a.b:c"),
    addresses=(Address(id=NOBODY, country="BR", region="SP", line1="Rua 1"),),
    consents=(
        ConsentView(purpose="marketing", channel="email", state="granted", captured_at=timestamp(NOW), source="web"),
        ConsentView(
            purpose="news",
            channel="email",
            state="granted",
            captured_at="2025-01-01T00:00:00.000Z",
            source="web",
            expires_at="2026-01-01T00:00:00.000Z",
        ),
    ),
    external_ids=(ExternalId(source="erp", value="1"),),
)
OTHERS = [customer(UUID(int=number), version=number, name=f"Bia {number}") for number in range(1, 8)]
MANY = [*OTHERS, RICH]


@pytest.fixture(autouse=True)
async def _everybody(redis: Redis) -> None:
    archived = msgspec.structs.replace(customer(BRUNO, name="Bruno"), status="archived")
    await populate(redis, [*MANY, archived, erased(NOBODY)])
    await progress(redis, 17, recorded=round(NOW.timestamp() * 1000))


async def listed(api: httpx.AsyncClient, query: str = "") -> dict[str, Any]:
    response = await api.get(f"{PATH}?{query}" if query else PATH)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def ids(api: httpx.AsyncClient, query: str) -> list[str]:
    return [one["id"] for one in (await listed(api, query))["data"]]


async def refusal(api: httpx.AsyncClient, query: str) -> tuple[int, str, str | None]:
    response = await api.get(f"{PATH}?{query}")
    problem = response.json()
    return response.status_code, problem["code"], (problem.get("errors") or [{}])[0].get("code")


async def test_documents_are_listed_as_they_are_stored(api: httpx.AsyncClient) -> None:
    response = await api.get(PATH, params={"tag": "vip"})
    assert response.content == b'{"data":[' + views.split(views.pack(RICH)).document + b"]}"
    assert response.headers["content-type"] == "application/json"
    assert response.headers["customerflow-position"] == "17"
    assert float(response.headers["customerflow-projection-lag"]) >= 0


async def test_archived_and_erased_customers_are_shown_if_they_are_asked_for(api: httpx.AsyncClient) -> None:
    assert len(await ids(api, "")) == len(MANY)
    assert await ids(api, "status=archived") == [str(BRUNO)]
    assert (await listed(api, "status=erased"))["data"] == [msgspec.to_builtins(erased(NOBODY))]
    assert len(await ids(api, "status=active&status=archived&status=erased")) == len(MANY) + 2


@pytest.mark.parametrize(
    "query",
    [
        "type=person&tag=vip",
        "tag=none&tag=vip",
        "tagAll=vip&tagAll=a.b:c",
        "country=BR&country=PT",
        "region=BR-SP",
        "lifecycleStage=lead",
        "locale=pt-BR",
        "hasConsent=marketing:email",
        "hasConsent=marketing/email&hasConsent=news:email",
        "externalSource=erp",
        "country=BR&hasIssues=false",
        "tag=vip&createdAt[gte]=2026-11-22T13:00:01.005%2B01:00&createdAt%5Blt%5D=2026-11-22T12:00:01.006Z",
        "tag=vip&updatedAt[gte]=2026-11-22T12:00Z&updatedAt[lt]=2026-11-22T12:01Z",
        "tag=vip&minPosition=17&sort=name&limit=200",
    ],
)
async def test_each_filter_finds_whom_it_means(api: httpx.AsyncClient, query: str) -> None:
    assert await ids(api, query) == [str(ANA)]


@pytest.mark.parametrize(
    "query",
    [
        "tagAll=vip&tagAll=none",
        "hasConsent=news:email",
        "tag=vip&hasIssues=true",
        "region=BR-RJ",
        "tag=vip&type=company",
    ],
)
async def test_each_filter_leaves_out_whom_it_does_not_mean(api: httpx.AsyncClient, query: str) -> None:
    assert await listed(api, query) == {"data": []}


async def test_some_fields_are_shown_if_only_they_are_asked_for(api: httpx.AsyncClient) -> None:
    data = (await listed(api, "tag=vip&fields=tags,name"))["data"]
    assert data == [{"id": str(ANA), "version": 7, "name": "Ana Souza", "tags": ["vip", "a.b:c"]}]


async def test_links_lead_through_all_pages(api: httpx.AsyncClient) -> None:
    address, found = f"{PATH}?status=active&status=suspended&createdAt[gte]=2020-01-01T00:00:00%2B02:00&limit=3", []
    first = None
    while address:
        response = await api.get(address)
        found += [one["id"] for one in response.json()["data"]]
        links = {
            link.split('rel="')[1][:-1]: link[1 : link.index(">")] for link in response.headers["link"].split(", ")
        }
        assert ("next" in links) == ("next" in response.json())
        first = first or links["first"]
        assert links["first"] == first
        address = links.get("next", "")
    assert found == await ids(api, "")
    assert parse_qsl(urlsplit(first or "").query) == [
        ("status", "active"),
        ("status", "suspended"),
        ("createdAt[gte]", "2020-01-01T00:00:00+02:00"),
        ("limit", "3"),
    ]


async def test_the_total_is_told_if_it_is_asked_for(api: httpx.AsyncClient) -> None:
    assert (await listed(api, "count=exact&limit=1"))["total"] == {"value": len(MANY), "relation": "eq"}
    assert (await listed(api, "count=exact&tag=vip"))["total"] == {"value": 1, "relation": "eq"}


async def test_head_is_get_without_a_body(api: httpx.AsyncClient) -> None:
    head = await api.head(f"{PATH}?limit=2")
    assert (head.status_code, head.content) == (200, b"")
    assert 'rel="next"' in head.headers["link"]


@pytest.mark.parametrize(
    ("query", "code", "fault"),
    [
        ("colour=blue", "unknown-parameter", None),
        ("q=ana", "unknown-parameter", None),
        ("Tag=vip", "unknown-parameter", None),
        ("createdAt=2026-01-01", "unknown-parameter", None),
        ("createdAt[gt]=2026-01-01", "unknown-parameter", None),
        ("sort=email", "sort-not-allowed", "sort-not-allowed"),
        ("sort=", "sort-not-allowed", "sort-not-allowed"),
        ("sort=%2Bname", "sort-not-allowed", "sort-not-allowed"),
        ("sort=relevance", "sort-not-allowed", "sort-not-allowed"),
        ("sort=name&sort=name", "invalid-parameter", None),
        *(
            (f"limit={text}", "limit-range", "limit-range")
            for text in ("0", "201", "abc", "-1", "", "1.0", "1e2", "9" * 30)
        ),
        ("limit=%D9%A1", "limit-range", "limit-range"),
        *(
            (f"createdAt[{bound}]={text}", "date-format", "date-format")
            for bound in ("gte", "lt")
            for text in ("2026-11-22", "yesterday", "", "2026-02-30T00:00Z", "2026-11-22T00:00:00", "1764000000")
        ),
        ("updatedAt[lt]=2026-11-22T00:00:00+01:00", "date-format", "date-format"),  # a space, once decoded
        (
            "createdAt[gte]=2026-11-22T00:00Z&createdAt[lt]=2026-11-21T00:00Z",
            "range-inverted",
            "range-inverted",
        ),
        ("updatedAt[gte]=2026-11-22T01:00%2B01:00&updatedAt[lt]=2026-11-22T00:00Z", "range-inverted", "range-inverted"),
        ("createdAt[gte]=1800-01-01T00:00Z", "invalid-parameter", "date-range"),
        ("status=gone", "invalid-parameter", "not-allowed"),
        ("status=active&status=", "invalid-parameter", "not-allowed"),
        ("status=ACTIVE", "invalid-parameter", "not-allowed"),
        ("type=robot", "invalid-parameter", "not-allowed"),
        ("tag=VIP", "invalid-parameter", "tag-format"),
        ("tagAll=", "invalid-parameter", "tag-format"),
        ("country=br", "invalid-parameter", "country-unknown"),
        ("country=UK", "invalid-parameter", "country-unknown"),
        ("region=SP", "invalid-parameter", "region-unknown"),
        ("region=br-SP", "invalid-parameter", "region-unknown"),
        ("region=BR-", "invalid-parameter", "blank"),
        ("locale=pt-br", "invalid-parameter", "locale-invalid"),
        ("lifecycleStage=A%20B", "invalid-parameter", "format"),
        ("externalSource=%00", "invalid-parameter", "format"),
        ("hasConsent=marketing", "invalid-parameter", "format"),
        ("hasConsent=a:b:c", "invalid-parameter", "format"),
        ("hasConsent=:", "invalid-parameter", "format"),
        ("hasIssues=yes", "invalid-parameter", "type"),
        ("count=about", "invalid-parameter", "not-allowed"),
        ("fields=shoe", "invalid-parameter", "not-allowed"),
        ("fields=", "invalid-parameter", "not-allowed"),
        ("&".join(f"tag=t{number}" for number in range(21)), "invalid-parameter", "too-many"),
        ("minPosition=-1", "invalid-parameter", None),
        ("cursor=", "cursor-invalid", None),
        ("cursor=abc", "cursor-invalid", None),
        ("tag", "invalid-parameter", None),
    ],
)
async def test_a_bad_question_is_told_what_is_wrong_with_it(
    api: httpx.AsyncClient, query: str, code: str, fault: str | None
) -> None:
    assert await refusal(api, query) == (400, code, fault)


async def test_all_that_is_wrong_is_told_at_once_and_nothing_is_repeated(api: httpx.AsyncClient) -> None:
    response = await api.get(PATH, params={"limit": "5000", "country": "brazil", "createdAt[lt]": "ana@example.com"})
    problem = response.json()
    assert {fault["parameter"]: fault["code"] for fault in problem["errors"]} == {
        "country": "country-unknown",
        "createdAt[lt]": "date-format",
        "limit": "limit-range",
    }
    assert not any(text in response.text for text in ("5000", "brazil", "ana@example.com"))


async def test_a_cursor_is_bound_to_its_filters_and_its_sort_alone(api: httpx.AsyncClient) -> None:
    cursor = (await listed(api, "limit=2&type=person"))["next"]
    for query in (
        "type=person&limit=5",
        "type=person&fields=name&count=exact",
        "status=suspended&status=active&type=person",
    ):
        assert len((await listed(api, f"{query}&cursor={cursor}"))["data"]) > 2
    for query in ("", "type=company", "type=person&sort=name", "type=person&tag=vip", "type=person&sort=createdAt"):
        assert await refusal(api, f"{query}&cursor={cursor}".lstrip("&")) == (400, "cursor-mismatch", None)


async def test_a_cursor_outlives_its_generation(api: httpx.AsyncClient, redis: Redis) -> None:
    page = await listed(api, "limit=3&sort=name")
    await redis.flushdb()
    await populate(redis, MANY, generation=f"{views.SCHEMA}-0000000a")
    rest = await ids(api, f"sort=name&cursor={page['next']}")
    assert [one["id"] for one in page["data"]] + rest == [str(ANA), *(str(one.id) for one in OTHERS)]


async def test_what_has_just_been_written_is_waited_for(api: httpx.AsyncClient) -> None:
    response = await api.get(f"{PATH}?minPosition=18", headers={"Prefer": "wait=0"})
    assert (response.status_code, response.json()["code"]) == (503, "projection-behind")


async def test_without_a_whole_generation_there_is_no_list(api: httpx.AsyncClient, redis: Redis) -> None:
    await redis.delete(views.customer_key(GENERATION, ANA))
    assert (await api.get(PATH)).json()["code"] == "rebuilding"
    assert (await api.get(f"{PATH}?tag=none")).status_code == 200
    await redis.set(views.VOUCHED, "the process before")
    assert (await api.get(f"{PATH}?tag=none")).json()["code"] == "rebuilding"
    await redis.flushdb()
    response = await api.get(PATH)
    assert (response.status_code, response.json()["code"], response.headers["retry-after"]) == (503, "rebuilding", "1")


async def test_who_was_erased_a_moment_ago_is_not_among_the_living(api: httpx.AsyncClient, redis: Redis) -> None:
    await redis.set(views.customer_key(GENERATION, ANA), views.pack(erased(ANA)))
    assert (await api.get(f"{PATH}?tag=vip")).json()["code"] == "rebuilding"


async def test_the_list_is_documented(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/docs/openapi.json")).json()["paths"]
    path = paths[PATH]
    assert {"get", "head"} <= set(path)
    named = {one["name"] for one in path["get"]["parameters"]}
    assert {
        "status",
        "tagAll",
        "hasConsent",
        "createdAt[gte]",
        "updatedAt[lt]",
        "cursor",
        "minPosition",
        "fields",
    } <= named
    assert set(path["get"]["responses"]["400"]["content"]["application/problem+json"]["examples"]) >= {
        "limit-range",
        "cursor-mismatch",
    }
    assert "total" in path["get"]["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    search = paths[f"{PATH}/search"]["post"]
    assert "q" in search["requestBody"]["content"]["application/json"]["schema"]["properties"]
