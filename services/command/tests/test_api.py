"""The edges of the command API, without a database behind it."""

import gzip
import json
from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

import pytest
from customerflow_command import api
from customerflow_command.commit import StoreBusy
from customerflow_command.database import DatabaseRefused, DatabaseUnavailable
from customerflow_command.fingerprints import ForeignSecret
from customerflow_command.mediator import DeadlineExceeded, Outcome, Request
from customerflow_command.personal import UnreadableEvent
from customerflow_command.store import Store
from customerflow_shared import service
from litestar import Litestar
from litestar.testing import TestClient
from structlog.testing import capture_logs

ANA = {"type": "person", "name": "Ana", "email": "ana@example.com"}


class WriteSide:
    """Takes every command, or fails each in the same way."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.sent: list[Request] = []

    async def send(self, request: Request) -> Outcome:
        self.sent.append(request)
        if self.failure is not None:
            raise self.failure
        return Outcome(request.customer_id, 1)


@pytest.fixture
def write_side() -> WriteSide:
    return WriteSide()


@pytest.fixture
def application(write_side: WriteSide) -> Litestar:
    return service.create(
        "Test",
        "Test.",
        handlers=api.ROUTES,
        health=service.Health({}),
        translations=api.TRANSLATIONS,
        dependencies={"customers": api.Customers(write_side.send, cast(Store, None))},
    )


@pytest.fixture
def client(application: Litestar) -> Iterator[TestClient[Litestar]]:
    with TestClient(application) as started:
        yield started


def test_who_registers_is_told_where_the_customer_is(client: TestClient[Litestar]) -> None:
    answer = client.post("/v1/customers", json=ANA)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/customers/{answer.json()['id']}"
    assert answer.headers["etag"] == '"1"'


@pytest.mark.parametrize("failure", [DatabaseUnavailable(), DeadlineExceeded()])
def test_who_registers_is_told_where_the_customer_would_be_if_that_is_not_known(
    client: TestClient[Litestar], write_side: WriteSide, failure: Exception
) -> None:
    write_side.failure = failure
    answer = client.post("/v1/customers", json=ANA)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["location"] == f"/v1/customers/{write_side.sent[0].customer_id}"
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (DatabaseRefused(1290), "unavailable"),
        (ForeignSecret("the claim pepper ..."), "unavailable"),
        (UnreadableEvent("no master key k1 fits"), "unavailable"),
        (StoreBusy(), "busy"),
    ],
)
def test_what_was_not_done_is_nowhere(
    client: TestClient[Litestar], write_side: WriteSide, failure: Exception, code: str
) -> None:
    write_side.failure = failure
    answer = client.post("/v1/customers", json=ANA)
    assert (answer.status_code, answer.json()["code"]) == (503, code)
    assert "nothing was" in answer.json()["detail"].lower()
    assert "location" not in answer.headers


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_a_body_that_is_encoded_is_refused(client: TestClient[Litestar], write_side: WriteSide, coding: str) -> None:
    body = gzip.compress(json.dumps(ANA).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = client.post("/v1/customers", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")
    assert answer.headers["accept-encoding"] == "identity"
    assert not write_side.sent


def test_a_body_may_say_that_it_is_not_encoded(client: TestClient[Litestar]) -> None:
    assert client.post("/v1/customers", json=ANA, headers={"Content-Encoding": "identity"}).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/customers"),
        ("PATCH", f"/v1/customers/{UUID(int=1)}"),
        ("POST", f"/v1/customers/{UUID(int=1)}/restore"),
    ],
)
async def test_a_client_that_hangs_up_is_no_error_of_ours(
    application: Litestar, write_side: WriteSide, method: str, path: str
) -> None:
    media_type = b"application/merge-patch+json" if method == "PATCH" else b"application/json"
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", media_type), (b"content-length", b"100"), (b"host", b"test")],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "state": {},
    }
    incoming = iter([{"type": "http.request", "body": b'{"type"', "more_body": True}, {"type": "http.disconnect"}])
    answered: list[dict[str, Any]] = []

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        answered.append(message)

    with capture_logs() as logged:
        await application(cast(Any, scope), receive, send)
    assert answered[0]["status"] == 400
    assert not logged
    assert not write_side.sent
