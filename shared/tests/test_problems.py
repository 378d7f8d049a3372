"""A problem shows where it happened, and nothing that was only given."""

from typing import Any

import pytest
from customerflow_shared import service
from customerflow_shared.problems import Problem, instance
from litestar import Litestar, get
from litestar.params import FromPath
from litestar.testing import TestClient

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
TEMPLATE = "/v1/customers/{customer_id}"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/v1/customers/{ID}", f"/v1/customers/{ID}"),
        ("/v1/customers/ana@example.com", TEMPLATE),
        ("/v1/customers/ana", TEMPLATE),
        (f"/v1/customers/{ID}/", TEMPLATE),
        (f"/ana/customers/{ID}", TEMPLATE),
    ],
)
def test_a_path_is_shown_if_only_uuids_vary_in_it(path: str, shown: str) -> None:
    assert instance(path, TEMPLATE) == shown


@get("/v1/customers/{customer_id:str}", sync_to_thread=False)
def refusing(customer_id: FromPath[str]) -> None:
    raise Problem("invalid-id", "No.") if customer_id != ID else ValueError("ana@example.com")


def application() -> Litestar:
    return service.create("Test", "Test.", handlers=[refusing], health=service.Health({}))


@pytest.mark.parametrize(
    ("method", "path", "status", "shown"),
    [
        ("GET", f"/v1/customers/{ID}", 500, f"/v1/customers/{ID}"),
        ("GET", "/v1/customers/ana@example.com", 400, TEMPLATE),
        ("GET", "/v2/ana@example.com", 404, "/"),
        ("GET", "/problems/ana@example.com", 404, "/problems/{code}"),
    ],
)
def test_an_answer_repeats_nothing_of_the_path(method: str, path: str, status: int, shown: str) -> None:
    with TestClient(application()) as client:
        answer = client.request(method, path)
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["instance"]) == (status, shown)
    assert "ana@" not in answer.text
