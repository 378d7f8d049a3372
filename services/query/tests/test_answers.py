"""What a client is answered, over HTTP, from a real Redis."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
from customerflow_query import read_model
from customerflow_query.api import CustomerRoute
from customerflow_query.read_model import ReadModel
from customerflow_query.reader import Reader
from customerflow_shared import views
from redis.asyncio import Redis

from .builders import ANA, GENERATION, NOBODY, customer, erased, publish

PATH = f"/v1/customers/{ANA}"


@pytest.fixture(autouse=True)
async def _ana(redis: Redis) -> None:
    await publish(redis, customer())


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["code"], problem["status"], problem["type"]) == (code, status, f"/problems/{code}")
    return problem


async def test_a_customer_is_answered_byte_for_byte_as_stored(api: httpx.AsyncClient) -> None:
    response = await api.get(PATH)
    assert response.status_code == 200
    assert response.content == views.split(views.pack(customer())).document
    assert dict(response.headers) == {
        "etag": '"7"',
        "cache-control": "private, no-cache",
        "content-type": "application/json",
        "content-length": str(len(response.content)),
        "customerflow-position": "0",
    }


async def test_an_identifier_may_be_written_in_capitals(api: httpx.AsyncClient) -> None:
    assert (await api.get(PATH.upper().replace("/V1/CUSTOMERS", "/v1/customers"))).status_code == 200


async def test_head_is_get_without_a_body(api: httpx.AsyncClient) -> None:
    for path in (PATH, f"/v1/customers/{NOBODY}", "/v1/customers/x"):
        get, head = await api.get(path), await api.head(path)
        assert head.content == b""
        assert (head.status_code, head.headers) == (get.status_code, get.headers)


@pytest.mark.parametrize("tag", ['"7"', 'W/"7"', '"6", "7"', '"x",W/"7" , "8"', "*", '  "7" '])
async def test_who_holds_the_version_gets_nothing_again(api: httpx.AsyncClient, tag: str) -> None:
    response = await api.get(PATH, headers={"If-None-Match": tag})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == '"7"'
    assert "content-type" not in response.headers


@pytest.mark.parametrize("tag", ['"6"', '"77"', '"07"', '"17", "70"', "7", "", '"*"', "W/7", '"7'])
async def test_who_holds_anything_else_gets_the_customer(api: httpx.AsyncClient, tag: str) -> None:
    assert (await api.get(PATH, headers={"If-None-Match": tag})).status_code == 200


async def test_tags_may_come_in_several_lines(api: httpx.AsyncClient) -> None:
    lines = [("If-None-Match", '"6"'), ("If-None-Match", '"7"')]
    assert (await api.get(PATH, headers=lines)).status_code == 304
    assert (await api.get(PATH, headers=[*lines[:1], ("If-None-Match", '"8"')])).status_code == 200


async def test_a_customer_that_does_not_exist_is_not_found(api: httpx.AsyncClient) -> None:
    path = f"/v1/customers/{NOBODY}"
    assert assert_problem(await api.get(path), 404, "customer-not-found")["instance"] == path
    assert_problem(await api.get(path, headers={"If-None-Match": "*"}), 404, "customer-not-found")


async def test_an_erased_customer_is_gone(api: httpx.AsyncClient, redis: Redis) -> None:
    await publish(redis, erased())
    response = await api.get(PATH)
    problem = assert_problem(response, 410, "customer-erased")
    assert {key: problem[key] for key in ("id", "currentVersion", "erasedAt", "instance")} == {
        "id": str(ANA),
        "currentVersion": 8,
        "erasedAt": "2026-11-22T12:00:08.005Z",
        "instance": PATH,
    }
    assert (response.headers["etag"], response.headers["cache-control"]) == ('"8"', "private, no-cache")
    head = await api.head(PATH)
    assert (head.status_code, head.headers, head.content) == (410, response.headers, b"")


@pytest.mark.parametrize("tag", ['"8"', 'W/"8"', "*"])
async def test_who_holds_an_erased_customer_is_told_so_all_the_same(
    api: httpx.AsyncClient, redis: Redis, tag: str
) -> None:
    await publish(redis, erased())
    assert_problem(await api.get(PATH, headers={"If-None-Match": tag}), 410, "customer-erased")


@pytest.mark.parametrize(
    "identifier",
    [
        "x",
        ANA.hex,
        f"{{{ANA}}}",
        f"urn:uuid:{ANA}",
        f"{ANA}%20",
        f"{ANA}%00",
        "%F0%9F%98%80",
        "%D9%A1" * 32,
        "." * 5000,
    ],
)
async def test_what_is_no_uuid_is_no_identifier(api: httpx.AsyncClient, identifier: str) -> None:
    assert_problem(await api.get(f"/v1/customers/{identifier}"), 400, "invalid-id")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("x=1", "unknown-parameter"),
        ("minversion=1", "unknown-parameter"),
        ("minVersion=1&field=name", "unknown-parameter"),
        ("minVersion=", "invalid-parameter"),
        ("minVersion=0", "invalid-parameter"),
        ("minVersion=-1", "invalid-parameter"),
        ("minVersion=1.0", "invalid-parameter"),
        ("minVersion=%D9%A1", "invalid-parameter"),
        ("minVersion=9999999999999999999", "invalid-parameter"),
        ("minVersion=1&minVersion=2", "invalid-parameter"),
        ("minVersion", "invalid-parameter"),
        ("%FF=1", "invalid-parameter"),
        ("&".join(["minVersion=1"] * 60), "invalid-parameter"),
    ],
)
async def test_an_unfit_query_is_refused(api: httpx.AsyncClient, query: str, code: str) -> None:
    assert_problem(await api.get(f"{PATH}?{query}"), 400, code)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_a_customer_is_only_read_here(api: httpx.AsyncClient, method: str) -> None:
    response = await api.request(method, PATH)
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", f"{PATH}/", f"{PATH}/x", f"/x{PATH}"])
async def test_nothing_else_is_here(api: httpx.AsyncClient, path: str) -> None:
    assert_problem(await api.get(path), 404, "route-not-found")


async def test_a_redis_without_a_live_generation_is_rebuilding(api: httpx.AsyncClient, redis: Redis) -> None:
    await redis.delete(views.LIVE)
    response = await api.get(PATH)
    assert_problem(response, 503, "rebuilding")
    assert response.headers["retry-after"] == "1"
    assert (await api.get("/health/ready")).status_code == 503


async def test_a_restarted_redis_denies_nothing(api: httpx.AsyncClient, redis: Redis) -> None:
    await redis.set(views.VOUCHED, "the process before")
    assert_problem(await api.get(f"/v1/customers/{NOBODY}"), 503, "rebuilding")
    assert (await api.get(PATH)).status_code == 200


async def test_a_document_that_cannot_be_read_is_our_fault_and_is_not_quoted(
    api: httpx.AsyncClient, redis: Redis
) -> None:
    await redis.set(views.customer_key(GENERATION, ANA), b"Ana Souza")
    response = await api.get(PATH)
    assert_problem(response, 500, "internal")
    assert "Souza" not in response.text


async def test_a_redis_that_does_not_answer_is_unavailable() -> None:
    async def nothing(*_: object) -> None:
        raise AssertionError

    redis = read_model.connect("redis://127.0.0.1:9/0")
    application: Any = CustomerRoute(Reader(ReadModel(redis)), nothing)
    async with httpx.AsyncClient(base_url="http://query", transport=httpx.ASGITransport(application)) as client:
        response = await client.get(PATH)
    assert_problem(response, 503, "unavailable")
    assert response.headers["retry-after"] == "1"
    await redis.aclose()


async def test_many_clients_each_get_their_own(api: httpx.AsyncClient, redis: Redis) -> None:
    many = [UUID(int=number) for number in range(1, 301)]
    await publish(redis, *(customer(one, name=str(one)) for one in many))
    responses = await asyncio.gather(*(api.get(f"/v1/customers/{one}") for one in many))
    assert [response.json()["name"] for response in responses] == [str(one) for one in many]


async def test_it_is_ready_when_there_is_something_to_answer_from(api: httpx.AsyncClient) -> None:
    assert (await api.get("/health/live")).status_code == 200
    assert (await api.get("/health/ready")).json() == {"status": "ready", "checks": {"redis": "ok", "look-ups": "ok"}}
