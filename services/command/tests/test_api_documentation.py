"""The OpenAPI document says what the routes do."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast, get_args
from uuid import UUID

import pytest
from customerflow_command import api
from customerflow_command.customer.commands import Command, DoWhatIsDue, ReapplyErasure
from customerflow_command.customer.state import Customer
from customerflow_command.mediator import Outcome, Request
from customerflow_command.verification import Codes
from customerflow_shared import service
from customerflow_shared.problems import Problem, example
from customerflow_shared.values import Address
from litestar import Litestar
from litestar.testing import TestClient

ID = UUID("0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11")
HOME = Address(id=ID, country="BR", line1="Av. Paulista", city="São Paulo", region="SP", postal_code="01310-100")
ANA = Customer(type="person", name="Ana", email="ana@example.com", addresses=(HOME,))
NOW = datetime(2026, 11, 22, 16, tzinfo=UTC)
PATH = {"source": "erp", "value": "1", "tag": "vip", "role": "billing", "purpose": "newsletter", "channel": "email"}

sent: list[tuple[Request, Command]] = []


class Route(NamedTuple):
    method: str
    path: str
    operation: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def body(self) -> tuple[str, Any] | None:
        """Media type and example."""
        content = self.operation.get("requestBody", {}).get("content", {})
        return next(((media_type, told["example"]) for media_type, told in content.items()), None)

    def header(self, name: str) -> dict[str, Any] | None:
        return next((one for one in self.operation["parameters"] if one["name"] == name), None)

    def examples(self) -> Iterator[dict[str, Any]]:
        for response in self.operation["responses"].values():
            for shown in response.get("content", {}).get("application/problem+json", {}).get("examples", {}).values():
                yield shown["value"]


async def send(request: Request) -> Outcome:
    sent.append((request, request.read(ANA)))
    return Outcome(id=ID, version=7, position=42, created=True, resource=ID, due_at=NOW)


def application() -> Litestar:
    return service.create(
        "Test",
        "Test.",
        handlers=api.ROUTES,
        health=service.Health({}),
        translations=api.TRANSLATIONS,
        dependencies={"customers": api.Customers(send=send, now=lambda: NOW, codes=cast(Codes, FixedCodes()))},
    )


class FixedCodes:
    def code(self, _: UUID) -> str:
        return "428571"

    def hash(self, verification_id: UUID, code: str) -> str:
        return f"hash of {code}"


APPLICATION = application()
ROUTES = [
    Route(method.upper(), path, operation)
    for path, item in APPLICATION.openapi_schema.to_schema()["paths"].items()
    for method, operation in item.items()
    if path.startswith("/v1/")
]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Litestar]]:
    with TestClient(APPLICATION) as started:
        yield started


def call(client: TestClient[Litestar], route: Route) -> tuple[Any, Request, Command]:
    path = route.path.format(customer_id=ID, tax_id_id=ID, address_id=ID, **PATH)
    media_type, body = route.body or (None, None)
    answer = client.request(route.method, path, json=body, headers={"Content-Type": media_type} if media_type else {})
    return answer, *sent.pop()


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_the_example_of_each_route_is_taken_and_answered_as_documented(
    client: TestClient[Litestar], route: Route
) -> None:
    answer, request, command = call(client, route)
    assert answer.is_success, answer.text
    assert isinstance(command, request.command)
    told = route.operation["responses"][str(answer.status_code)]
    assert {"ETag", "CustomerFlow-Position", "Idempotency-Replayed"} <= set(told["headers"])
    assert (answer.headers["etag"], answer.headers["customerflow-position"]) == ('"7"', "42")
    schema = told.get("content", {}).get("application/json", {}).get("schema", {"required": []})
    assert set(answer.json() if answer.content else {}) == set(schema["required"])


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_the_version_is_asked_for_where_the_document_says_so(client: TestClient[Litestar], route: Route) -> None:
    _, request, _ = call(client, route)
    documented = route.header("If-Match")
    assert request.needs_precondition == (documented is not None and documented["required"])
    assert request.needs_precondition == ("428" in route.operation["responses"])


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_each_command_takes_a_key_an_actor_and_a_correlation_id(route: Route) -> None:
    for name in ("Idempotency-Key", "CustomerFlow-Actor", "CustomerFlow-Correlation-Id"):
        documented = route.header(name)
        assert documented is not None
        assert documented["schema"]["examples"]


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_each_problem_of_a_route_has_an_example(route: Route) -> None:
    shown = list(route.examples())
    assert {status for status in route.operation["responses"] if status >= "4"} == {
        str(document["status"]) for document in shown
    }
    assert [document for document in shown if document != example(document["code"])] == []


def test_every_command_has_a_route(client: TestClient[Litestar]) -> None:
    by_clients = {request.command for _, request, _ in (call(client, route) for route in ROUTES)}
    assert by_clients == set(get_args(Command)) - {DoWhatIsDue, ReapplyErasure}


def test_every_problem_that_an_error_becomes_is_documented() -> None:
    documented = {document["code"] for route in ROUTES for document in route.examples()}
    for error, translate in api.TRANSLATIONS.items():
        try:
            told = translate(error())
        except TypeError:  # an error that needs values; test_api.py has those
            continue
        assert isinstance(told, Problem)
        assert told.code in documented
