"""The documentation describes the customer's route, and needs nothing from other hosts."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from customerflow_query import app
from customerflow_query.app import QuerySettings

from .builders import KEY


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[httpx.AsyncClient]:
    application: Any
    application, _ = app.query_api(QuerySettings(redis_url="redis://127.0.0.1:9/0", lookup_key=KEY))
    async with httpx.AsyncClient(base_url="http://query", transport=httpx.ASGITransport(application)) as client:
        yield client


async def test_the_customers_route_is_described(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/docs/openapi.json")).json()["paths"]
    path = paths["/v1/customers/{customer_id}"]
    assert set(path) == {"get", "head"}
    for operation in path.values():
        assert {one["name"] for one in operation["parameters"]} == {
            "customer_id",
            "fields",
            "atVersion",
            "asOf",
            "minVersion",
            "minPosition",
            "Prefer",
            "If-None-Match",
        }
        assert {"200", "304", "400", "404", "410", "503"} <= set(operation["responses"])
    schema = path["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert {"id", "version", "name", "email", "status"} <= set(schema["properties"])
    gone = path["get"]["responses"]["410"]["content"]["application/problem+json"]
    assert {"id", "currentVersion", "erasedAt"} <= set(gone["schema"]["properties"])
    assert gone["examples"]["customer-erased"]["value"]["status"] == 410


@pytest.mark.parametrize(
    ("route", "parameters"),
    [("timeline", {"limit", "cursor", "type"}), ("history", {"field", "limit", "cursor"}), ("diff", {"from", "to"})],
)
async def test_looking_back_is_described_by_example(api: httpx.AsyncClient, route: str, parameters: set[str]) -> None:
    path = (await api.get("/docs/openapi.json")).json()["paths"][f"/v1/customers/{{customer_id}}/{route}"]
    assert set(path) == {"get", "head"}
    for operation in path.values():
        fresh = {"customer_id", "minVersion", "minPosition", "Prefer"}
        assert {one["name"] for one in operation["parameters"]} == parameters | fresh
        assert {"200", "400", "404", "503"} <= set(operation["responses"])
        found = operation["responses"]["200"]
        assert {"CustomerFlow-Position", "CustomerFlow-Projection-Lag"} <= set(found["headers"])
        assert set(found["content"]["application/json"]["example"]) <= set(
            found["content"]["application/json"]["schema"]["properties"]
        )


async def test_the_page_loads_nothing_from_other_hosts(api: httpx.AsyncClient) -> None:
    response = await api.get("/docs")
    assert response.status_code == 200
    loaded = re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)\s*=\s*["']([^"']+)""", response.text)
    assert loaded
    assert [address for address in loaded if not address.startswith(("/docs/", "data:"))] == []
    assert not re.search(r"""(?:src|href|url|import)\s*[=(:]\s*["']?(?:https?:)?//""", response.text)
    for address in loaded:
        if address.startswith("/docs/"):
            assert (await api.get(address)).status_code == 200


async def test_every_problem_has_a_page(api: httpx.AsyncClient) -> None:
    assert (await api.get("/problems/projection-behind")).json()["status"] == 503
