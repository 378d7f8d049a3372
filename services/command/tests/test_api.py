"""The edges of the command API, without a database behind it."""

import base64
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest
from customerflow_command import api
from customerflow_command.api.refusals import TRANSLATIONS
from customerflow_command.commit import StoreBusy
from customerflow_command.customer import errors
from customerflow_command.customer.claims import Claim
from customerflow_command.customer.commands import Command, RequestEmailVerification
from customerflow_command.customer.state import Customer
from customerflow_command.fingerprints import ForeignSecret
from customerflow_command.idempotency import KeyInFlight, KeyReused
from customerflow_command.mediator import DeadlineExceeded, Outcome, Request
from customerflow_command.personal import Pepper, UnreadableEvent
from customerflow_command.unit_of_work import PreconditionRequired, ValueTaken, VersionMismatch
from customerflow_command.verification import Codes
from customerflow_shared import service
from customerflow_shared.database import DatabaseRefused, DatabaseUnavailable
from customerflow_shared.events import Actor
from customerflow_shared.values import ExternalId
from litestar import Litestar
from litestar.testing import TestClient
from structlog.testing import capture_logs

ANA = {"type": "person", "name": "Ana", "email": "ana@example.com"}
ID = "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11"
OTHER_ID = UUID("0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e12")
CUSTOMER = f"/v1/customers/{ID}"
NOW = datetime(2026, 11, 22, 15, 4, 5, 123000, tzinfo=UTC)
TOLD = "2026-11-22T15:04:05.123Z"


class WriteSide:
    """Reads every command and takes it, or fails each in the same way."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        self.failure: Exception | None = None
        self.claimed: list[Claim] = []
        self.outcome: dict[str, Any] = {}
        self.sent: list[Request] = []
        self.commands: list[Command] = []

    async def send(self, request: Request) -> Outcome:
        self.sent.append(request)
        if self.failure is not None:
            raise self.failure
        self.commands.append(request.read(Customer(type="person", name="Ana", email="ana@example.com")))
        if self.claimed:
            raise ValueTaken(self.commands[-1], self.claimed)
        customer_id = request.target if isinstance(request.target, UUID) else UUID(ID)
        return Outcome(
            **{
                "id": customer_id,
                "version": 1,
                "position": 42,
                "created": request.target == customer_id,
                **self.outcome,
            }
        )


class SixDigits(Codes):
    def __init__(self) -> None:
        super().__init__(Pepper(base64.b64encode(bytes(32)).decode()))

    def code(self, verification_id: UUID) -> str:
        return "428571"


def application_of(write_side: WriteSide, *, require_key: bool = False) -> Litestar:
    customers = api.Customers(
        send=write_side.send,
        now=lambda: NOW,
        codes=SixDigits(),
        personal_sources=frozenset({"health-card"}),
        require_key=require_key,
    )
    return service.create(
        "Test",
        "Test.",
        handlers=api.ROUTES,
        health=service.Health({}),
        translations=api.TRANSLATIONS,
        dependencies={"customers": customers},
    )


@pytest.fixture(scope="module")
def one_for_all() -> WriteSide:
    return WriteSide()


@pytest.fixture
def write_side(one_for_all: WriteSide) -> WriteSide:
    one_for_all.begin_anew()
    return one_for_all


@pytest.fixture(scope="module")
def application(one_for_all: WriteSide) -> Litestar:
    return application_of(one_for_all)


@pytest.fixture(scope="module")
def started(application: Litestar) -> Iterator[TestClient[Litestar]]:
    with TestClient(application) as started:
        yield started


@pytest.fixture
def client(started: TestClient[Litestar], write_side: WriteSide) -> TestClient[Litestar]:
    """Of an application whose write side has forgotten what other tests sent."""
    return started


def patch(client: TestClient[Litestar], path: str, body: object, **headers: str) -> Any:
    content = body if isinstance(body, str) else json.dumps(body)
    sent = {"Content-Type": "application/merge-patch+json", **headers}
    return client.patch(path, content=content, headers=sent)


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
    assert answer.headers["location"] == f"/v1/customers/{write_side.sent[0].target}"
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


def test_who_has_a_key_is_not_told_where_for_the_first_attempt_may_have_had_another_id(
    client: TestClient[Litestar], write_side: WriteSide
) -> None:
    write_side.failure = DeadlineExceeded()
    answer = client.post("/v1/customers", json=ANA, headers={"Idempotency-Key": "a"})
    assert answer.status_code == 503
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


def test_an_answer_that_is_given_again_says_so(client: TestClient[Litestar], write_side: WriteSide) -> None:
    write_side.outcome = {"replayed": True, "id": OTHER_ID}
    answer = client.post("/v1/customers", json=ANA, headers={"Idempotency-Key": "a"})
    assert (answer.status_code, answer.headers["idempotency-replayed"]) == (201, "true")
    assert answer.headers["location"] == f"/v1/customers/{OTHER_ID}"


def test_the_key_is_given_on_with_what_was_asked_however_it_is_written(
    client: TestClient[Litestar], write_side: WriteSide
) -> None:
    for key, body in (('"a"', '{"name":"Ana","type":"person"}'), ("a", '{ "type": "person", "n\\u0061me": "Ana" }')):
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        assert client.post("/v1/customers", content=body, headers=headers).status_code == 201
    one, other = (request.key for request in write_side.sent)
    assert one is not None
    assert one == other
    assert one.key == "a"


def test_what_else_is_asked_under_a_key_is_something_else(client: TestClient[Litestar], write_side: WriteSide) -> None:
    headers = {"Idempotency-Key": "a", "If-Match": "*"}
    patch(client, CUSTOMER, {"name": "Ana"}, **headers)
    patch(client, CUSTOMER, {"name": "Bia"}, **headers)
    patch(client, f"/v1/customers/{OTHER_ID}", {"name": "Ana"}, **headers)
    client.put(f"{CUSTOMER}/tags/a", headers=headers)
    client.delete(f"{CUSTOMER}/tags/a", headers=headers)
    assert len({request.key.payload for request in write_side.sent if request.key}) == 5


def test_a_post_needs_a_key_where_the_house_wants_it(write_side: WriteSide) -> None:
    with TestClient(application_of(write_side, require_key=True)) as client:
        refused = client.post("/v1/customers", json=ANA)
        assert (refused.status_code, refused.json()["code"]) == (400, "idempotency-key-required")
        assert client.post("/v1/customers", json=ANA, headers={"Idempotency-Key": "a"}).status_code == 201
        assert client.put(f"{CUSTOMER}/tags/a").status_code == 204


def test_actor_and_correlation_are_given_on(client: TestClient[Litestar], write_side: WriteSide) -> None:
    headers = {"CustomerFlow-Actor": "user:42", "CustomerFlow-Correlation-Id": ID}
    assert client.put(f"{CUSTOMER}/tags/a", headers=headers).status_code == 204
    assert write_side.sent[0].actor == Actor(type="user", id="42")
    assert write_side.sent[0].correlation_id == UUID(ID)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/external/erp/a%2F",
        "/v1/external/erp/%2fa",
        "/v1/external/erp/a/",
        "/v1/external/erp//a",
        "//v1/external/erp/a",
    ],
)
def test_a_slash_is_never_dropped_from_a_value(client: TestClient[Litestar], write_side: WriteSide, path: str) -> None:
    answer = patch(client, f"http://testserver.local{path}", ANA)
    assert (answer.status_code, answer.json()["code"]) == (404, "route-not-found")
    assert not write_side.sent


def test_a_path_that_is_no_text_is_refused(client: TestClient[Litestar], write_side: WriteSide) -> None:
    answer = patch(client, "/v1/external/erp/%ff", ANA)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")
    assert not write_side.sent


def test_a_value_of_the_path_may_be_any_text(client: TestClient[Litestar], write_side: WriteSide) -> None:
    assert patch(client, "/v1/external/erp/%C3%A9%20%3F%23+%25", ANA).status_code == 200
    assert write_side.sent[0].target == ExternalId(source="erp", value="é ?#+%")


def test_a_personal_external_id_comes_in_a_body(client: TestClient[Litestar], write_side: WriteSide) -> None:
    told = patch(client, "/v1/external/health-card/123", ANA).json()["errors"]
    assert [(fault["parameter"], fault["code"]) for fault in told] == [("source", "external-id-personal")]
    body = {"externalId": {"source": "health-card", "value": "123"}, **ANA}
    assert client.post("/v1/external/upsert", json=body).status_code == 200
    assert write_side.sent[0].target == ExternalId(source="health-card", value="123", personal=True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"{CUSTOMER}/tags/a"),
        ("DELETE", f"{CUSTOMER}/tags/a"),
        ("DELETE", CUSTOMER),
        ("DELETE", f"{CUSTOMER}/addresses/{OTHER_ID}"),
        ("POST", f"{CUSTOMER}/email/verification-code"),
    ],
)
def test_a_command_without_fields_takes_none(client: TestClient[Litestar], method: str, path: str) -> None:
    assert client.request(method, path, json={}).is_success
    told = client.request(method, path, json={"tag": "x"})
    assert (told.status_code, told.json()["errors"][0]["code"]) == (422, "unknown-field")


def test_a_code_is_made_from_the_verification_and_told_to_nobody(
    client: TestClient[Litestar], write_side: WriteSide
) -> None:
    write_side.outcome = {"resource": OTHER_ID, "due_at": NOW}
    with capture_logs() as logged:
        answer = client.post(f"{CUSTOMER}/email/verification-code")
    assert answer.status_code == 202
    assert answer.json() == {"id": ID, "version": 1, "verificationId": str(OTHER_ID), "expiresAt": TOLD}
    (command,) = write_side.commands
    assert isinstance(command, RequestEmailVerification)
    assert command.code_hash == SixDigits().hash(command.verification_id, "428571")
    assert (command.expires_at - NOW).total_seconds() == 900
    assert "428571" not in answer.text + repr(dict(answer.headers)) + repr(command) + repr(logged)


def test_no_code_is_sent_to_an_address_that_is_verified(client: TestClient[Litestar]) -> None:
    answer = client.post(f"{CUSTOMER}/email/verification-code")
    assert (answer.status_code, answer.json()) == (200, {"id": ID, "version": 1})


def test_a_wrong_code_is_a_refusal_with_a_version_of_its_own(
    client: TestClient[Litestar], write_side: WriteSide
) -> None:
    write_side.outcome = {"version": 7, "refusal": "verification-code-wrong"}
    answer = client.post(f"{CUSTOMER}/email/confirmation", json={"code": "123456"})
    told = answer.json()
    assert (answer.status_code, told["code"], told["currentVersion"]) == (422, "verification-code-wrong", 7)
    assert answer.headers["etag"] == '"7"'


def test_an_erasure_is_to_come_or_done(client: TestClient[Litestar], write_side: WriteSide) -> None:
    done = client.post(f"{CUSTOMER}/erasure", json={"graceDays": 0})
    assert (done.status_code, done.json()) == (200, {"id": ID, "version": 1})
    write_side.outcome = {"due_at": NOW}
    due = client.post(f"{CUSTOMER}/erasure", json={})
    assert (due.status_code, due.json()) == (202, {"id": ID, "version": 1, "dueAt": TOLD})


@pytest.mark.parametrize(("created", "status"), [(True, 201), (False, 200)])
def test_a_tax_id_is_new_or_there_already(
    client: TestClient[Litestar], write_side: WriteSide, created: bool, status: int
) -> None:
    write_side.outcome = {"resource": OTHER_ID, "created": created}
    answer = client.post(f"{CUSTOMER}/tax-ids", json={"type": "br_cpf", "value": "390.533.447-05"})
    assert (answer.status_code, answer.json()) == (status, {"id": ID, "version": 1, "taxIdId": str(OTHER_ID)})


def test_every_taken_value_is_pointed_at(client: TestClient[Litestar], write_side: WriteSide) -> None:
    write_side.claimed = [
        Claim("email", "ana@example.com"),
        Claim("tax-id:br_cpf", "39053344705"),
        Claim("external-id:erp", "2"),
    ]
    body = {
        **ANA,
        "taxIds": [{"type": "other", "value": "x"}, {"type": "br_cpf", "value": "390.533.447-05"}],
        "externalIds": [{"source": "erp", "value": "1"}, {"source": "erp", "value": "2"}],
    }
    told = client.post("/v1/customers", json=body)
    assert told.status_code == 409
    assert [(fault["pointer"], fault["kind"]) for fault in told.json()["errors"]] == [
        ("#/email", "email"),
        ("#/taxIds/1/value", "tax-id:br_cpf"),
        ("#/externalIds/1/value", "external-id:erp"),
    ]


def test_a_taken_value_is_pointed_at_wherever_it_was_given(client: TestClient[Litestar], write_side: WriteSide) -> None:
    write_side.claimed = [Claim("external-id:erp", "1")]
    in_path = client.put(f"{CUSTOMER}/external-ids/erp/1").json()["errors"]
    in_body = client.post(f"{CUSTOMER}/external-ids", json={"source": "erp", "value": "1"}).json()["errors"]
    write_side.claimed = [Claim("phone", "+5511999998888")]
    phone = patch(client, "/v1/external/erp/1", {"phone": "+5511999998888"}).json()["errors"]
    assert (in_path[0]["parameter"], in_body[0]["pointer"], phone[0]["pointer"]) == ("value", "#/value", "#/phone")


def test_every_rule_has_its_problem() -> None:
    told = {error for error in TRANSLATIONS if issubclass(error, errors.CustomerError)}
    assert told | {errors.CustomerIsErased} == set(errors.CustomerError.__subclasses__())


@pytest.mark.parametrize(
    ("failure", "status", "members"),
    [
        (errors.CustomerNotFound(), 404, {"code": "customer-not-found"}),
        (errors.CustomerIsErased(NOW), 410, {"code": "customer-erased", "id": ID, "erasedAt": TOLD}),
        (errors.ErasureIsPending(NOW), 409, {"code": "erasure-pending", "dueAt": TOLD}),
        (errors.CustomerIsArchived(), 409, {"code": "customer-archived"}),
        (errors.CustomerIsSuspended(), 409, {"code": "customer-suspended"}),
        (
            errors.InvalidTransition("suspended", ["active", "archived"]),
            409,
            {"code": "invalid-transition", "from": "suspended", "allowed": ["active", "archived"]},
        ),
        (errors.LimitReached(50), 409, {"code": "limit-reached", "limit": 50}),
        (VersionMismatch(7), 412, {"code": "version-mismatch", "currentVersion": 7}),
        (PreconditionRequired(), 428, {"code": "precondition-required"}),
        (KeyReused(), 422, {"code": "idempotency-key-reused"}),
        (KeyInFlight(), 409, {"code": "idempotency-in-flight"}),
    ],
)
def test_what_a_refusal_tells(
    client: TestClient[Litestar], write_side: WriteSide, failure: Exception, status: int, members: dict[str, Any]
) -> None:
    write_side.failure = failure
    answer = client.put(f"{CUSTOMER}/tags/a")
    assert answer.status_code == status
    assert answer.json().items() >= {"status": status, **members}.items()
    assert answer.json()["detail"]


def test_a_command_in_flight_may_be_asked_for_again_soon(client: TestClient[Litestar], write_side: WriteSide) -> None:
    write_side.failure = KeyInFlight()
    assert client.put(f"{CUSTOMER}/tags/a").headers["retry-after"] == "1"


def test_what_is_missing_for_a_registration_is_told_by_field(
    client: TestClient[Litestar], write_side: WriteSide
) -> None:
    write_side.failure = errors.RegistrationIncomplete(["type", "name"])
    told = patch(client, "/v1/external/erp/1", {}).json()["errors"]
    assert {(fault["pointer"], fault["code"]) for fault in told} == {("#/type", "required"), ("#/name", "required")}


def test_an_address_that_the_body_names_must_be_there(client: TestClient[Litestar], write_side: WriteSide) -> None:
    write_side.failure = errors.AddressUnknown()
    answer = client.put(f"{CUSTOMER}/default-addresses/billing", json={"addressId": ID})
    assert answer.status_code == 422
    assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [
        ("#/addressId", "address-unknown")
    ]
