"""A request with several faults is told the first in one fixed order, so that two developers see the same."""

from collections.abc import Sequence

import pytest
from blackbox.customers import MERGE_PATCH, Customer, Customers
from blackbox.problems import problem

pytestmark = pytest.mark.usefixtures("nothing_changes")

UNKNOWN = "/v1/customers/0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11"
STALE = [("If-Match", '"99"')]
CURRENT = [("If-Match", '"2"')]
GARBAGE = [("If-Match", "garbage")]
PATCH = [("Content-Type", MERGE_PATCH)]
OTHER = [("Content-Type", "text/plain")]
JSON = [("Content-Type", "application/json")]
BROKEN, UNFIT, FIT = b"{", b'{"name":""}', b'{"name":"Another Name"}'


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "code"),
    [
        ("/v1/nowhere", OTHER + GARBAGE, BROKEN, 404, "route-not-found"),
        ("/v1/customers", OTHER + GARBAGE, BROKEN, 405, "method-not-allowed"),
        (UNKNOWN, OTHER + GARBAGE, BROKEN, 415, "unsupported-media-type"),
        (UNKNOWN, PATCH + GARBAGE, b"x" * 300_000, 413, "body-too-large"),
        (UNKNOWN, PATCH + GARBAGE, BROKEN, 400, "if-match-invalid"),
        (UNKNOWN, PATCH + STALE, BROKEN, 400, "malformed-json"),
        (UNKNOWN, PATCH, BROKEN, 400, "malformed-json"),
        (UNKNOWN, PATCH, UNFIT, 404, "customer-not-found"),
        (UNKNOWN, PATCH + STALE, UNFIT, 404, "customer-not-found"),
        ("{0}", PATCH, UNFIT, 428, "precondition-required"),
        ("{0}", PATCH + STALE, UNFIT, 412, "version-mismatch"),
        ("{0}", PATCH + CURRENT, UNFIT, 422, "invalid-fields"),
        ("{0}", PATCH + CURRENT, FIT, 409, "customer-archived"),
    ],
)
async def test_the_first_fault_in_the_order_is_told(
    customers: Customers,
    archived: Customer,
    path: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    status: int,
    code: str,
) -> None:
    answer = await customers.command.request("PATCH", path.format(archived.path), content=body, headers=list(headers))
    problem(answer, status, code)


async def test_an_unfit_field_is_told_before_a_taken_email(customers: Customers, standing: Customer) -> None:
    email = (await customers.read(standing))["email"]
    answer = await customers.send("POST", "/v1/customers", {"type": "person", "name": "", "email": email})
    problem(answer, 422, "invalid-fields")


async def test_an_archived_customer_is_told_before_a_taken_email(
    customers: Customers, archived: Customer, standing: Customer
) -> None:
    email = (await customers.read(standing))["email"]
    answer = await customers.send("PATCH", archived.path, {"email": email}, if_match=archived.etag)
    problem(answer, 409, "customer-archived")


async def test_an_id_that_is_none_is_told_before_a_broken_body(customers: Customers) -> None:
    answer = await customers.command.request(
        "PATCH", "/v1/customers/nobody", content=BROKEN, headers=dict(PATCH + GARBAGE)
    )
    assert answer.status_code == 400
    assert answer.json()["code"] in ("invalid-id", "if-match-invalid")


TAGS = "/v1/customers/0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11/tags/No%20Tag"
BAD_KEY, BAD_ACTOR = [("Idempotency-Key", "")], [("CustomerFlow-Actor", "nobody")]


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "code"),
    [
        (f"{TAGS}?x=1", OTHER + BAD_KEY + BAD_ACTOR, BROKEN, 400, "unknown-parameter"),
        (TAGS, OTHER + BAD_KEY, BROKEN, 415, "unsupported-media-type"),
        (TAGS, JSON + BAD_KEY + GARBAGE + BAD_ACTOR, BROKEN, 400, "idempotency-key-invalid"),
        (TAGS, JSON + GARBAGE + BAD_ACTOR, BROKEN, 400, "if-match-invalid"),
        (TAGS, JSON + STALE + BAD_ACTOR, BROKEN, 400, "actor-invalid"),
        (TAGS, JSON + STALE, BROKEN, 400, "malformed-json"),
        (TAGS, JSON + STALE, UNFIT, 404, "customer-not-found"),
    ],
)
async def test_the_headers_of_a_command_are_read_before_its_body(
    customers: Customers,
    path: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    status: int,
    code: str,
) -> None:
    answer = await customers.command.request("PUT", path, content=body, headers=list(headers))
    problem(answer, status, code)
