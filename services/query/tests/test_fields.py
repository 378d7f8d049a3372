"""Of a customer only what was asked for."""

import httpx
import pytest
from customerflow_query.api.fields import NAMES
from redis.asyncio import Redis

from .builders import ANA, customer, erased, publish

PATH = f"/v1/customers/{ANA}"


@pytest.fixture(autouse=True)
async def _ana(redis: Redis) -> None:
    await publish(redis, customer())


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ("name", ["id", "version", "name"]),
        ("email,name", ["id", "version", "name", "email"]),
        ("name,name", ["id", "version", "name"]),
        ("id", ["id", "version"]),
        ("phone,tags", ["id", "version"]),
        ("updatedAt,createdAt,status,type", ["id", "version", "type", "status", "createdAt", "updatedAt"]),
    ],
)
async def test_fields_come_in_the_order_in_which_they_are_stored(
    api: httpx.AsyncClient, fields: str, shown: list[str]
) -> None:
    whole, response = await api.get(PATH), await api.get(PATH, params={"fields": fields})
    assert response.status_code == 200
    assert list(response.json().items()) == [(name, value) for name, value in whole.json().items() if name in shown]
    assert list(response.json()) == shown
    head = await api.head(PATH, params={"fields": fields})
    assert (head.status_code, head.headers, head.content) == (200, response.headers, b"")


async def test_all_fields_are_the_whole_document(api: httpx.AsyncClient) -> None:
    whole, response = await api.get(PATH), await api.get(PATH, params={"fields": ",".join(NAMES)})
    assert response.content == whole.content


@pytest.mark.parametrize("fields", ["", ",", "name,", "nickname", "given_name", "name email", "NAME", "taxIds/1"])
async def test_what_is_no_field_is_refused(api: httpx.AsyncClient, fields: str) -> None:
    response = await api.get(PATH, params={"fields": fields})
    assert (response.status_code, response.json()["code"]) == (400, "invalid-parameter")


async def test_a_selection_has_a_tag_of_its_own(api: httpx.AsyncClient, redis: Redis) -> None:
    async def tag(fields: str) -> str:
        return (await api.get(PATH, params={"fields": fields})).headers["etag"]

    names = await tag("name")
    assert names.startswith('"7;')
    assert len({'"7"', names, await tag("email"), await tag("name,email")}) == 4
    assert await tag("email,name") == await tag("name,email,id")
    for held, fields, status in [
        (names, "name", 304),
        (f"W/{names}", "name", 304),
        ("*", "name", 304),
        (f'"x", {names}', "name", 304),
        ('"7"', "name", 200),
        (names, "email", 200),
    ]:
        response = await api.get(PATH, params={"fields": fields}, headers={"If-None-Match": held})
        assert response.status_code == status
    assert (await api.get(PATH, headers={"If-None-Match": names})).status_code == 200
    await publish(redis, customer(version=8))
    assert (await api.get(PATH, params={"fields": "name"}, headers={"If-None-Match": names})).status_code == 200


async def test_an_erased_customer_has_no_fields(api: httpx.AsyncClient, redis: Redis) -> None:
    await publish(redis, erased())
    assert (await api.get(PATH, params={"fields": "name"}, headers={"If-None-Match": "*"})).status_code == 410
