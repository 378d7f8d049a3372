"""Unknown routes, methods, parameters and identifiers, on both services."""

from uuid import uuid4

import httpx
import pytest
from blackbox.customers import Customer, Customers
from blackbox.feed import Feed
from blackbox.problems import problem
from blackbox.system import System

pytestmark = pytest.mark.usefixtures("nothing_changes")

NOT_IDS = [
    "1",
    "nobody",
    "{0}x",
    "{0}%00",
    "%7B{0}%7D",
    "urn:uuid:{0}",
    "{hex}",
    "0x{hex}",
    "{0}%20",
    "%20{0}",
    "{dashless}",
    "é" * 36,
    "%ff%fe",
    "%ED%A0%80",
    "a" * 5000,
    "\u0661" * 8 + "-0000-7000-8000-000000000000",
    "'; DROP TABLE cf_events; --",
    "*",
    "%0d%0aX-Injected:%201",
]


def spelled(form: str, customer: Customer) -> str:
    bare = customer.id.replace("-", "")
    return form.format(customer.id, hex=bare, dashless=f"{bare[:16]}-{bare[16:]}")


@pytest.mark.parametrize("form", NOT_IDS)
async def test_an_id_that_is_no_uuid_is_refused_by_both_services(
    customers: Customers, standing: Customer, form: str
) -> None:
    path = f"/v1/customers/{spelled(form, standing)}"
    problem(await customers.query.get(path), 400, "invalid-id")
    problem(await customers.send("PATCH", path, {"name": "X"}, if_match='"1"'), 400, "invalid-id")
    problem(await customers.send("DELETE", path, if_match='"1"'), 400, "invalid-id")
    problem(await customers.send("POST", f"{path}/restore", if_match='"1"'), 400, "invalid-id")


@pytest.mark.parametrize(
    "unknown", [uuid4(), "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
)
async def test_an_id_that_nobody_has_is_not_found(customers: Customers, unknown: object) -> None:
    path = f"/v1/customers/{unknown}"
    problem(await customers.query.get(path), 404, "customer-not-found")
    assert (await customers.query.head(path)).status_code == 404
    problem(await customers.send("PATCH", path, {"name": "X"}, if_match='"1"'), 404, "customer-not-found")
    problem(await customers.send("DELETE", path, if_match='"1"'), 404, "customer-not-found")
    problem(await customers.send("POST", f"{path}/restore", if_match='"1"'), 404, "customer-not-found")


async def test_the_case_of_an_id_does_not_matter(customers: Customers, standing: Customer) -> None:
    shown = await customers.query.get(f"/v1/customers/{standing.id.upper()}", params={"minVersion": 1})
    assert shown.status_code == 200
    assert shown.json()["id"] == standing.id


UNKNOWN_ROUTES = [
    "/nowhere",
    "/v1",
    "/v2/customers",
    "/v1/customer",
    "/V1/customers",
    "/v1/customers/{0}/nothing",
    "/v1/customers/{0}/restore/again",
    "/v1/customers/{0}/../../..",
    "//v1/customers",
    "/v1/customers/..%2f..%2fetc%2fpasswd",
    "/%00",
    "/%ff",
    "/.env",
    "/internal",
    "/health",
    "/docs/../../etc/passwd",
    "/" + "a" * 8000,
]


@pytest.mark.parametrize("path", UNKNOWN_ROUTES)
async def test_an_unknown_route_is_not_found(customers: Customers, standing: Customer, path: str) -> None:
    for client in (customers.command, customers.query):
        problem(await client.get(path.format(standing.id)), 404, "route-not-found")


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "QUERY"]
COMMAND_ROUTES = {
    "/v1/customers": {"POST"},
    "/v1/customers/{0}": {"PATCH", "DELETE"},
    "/v1/external/erp/1": {"PATCH"},
    "/v1/external/upsert": {"POST"},
    "/v1/customers/{0}/email/verification": {"PUT"},
    "/v1/customers/{0}/phone/verification": {"PUT"},
    "/v1/customers/{0}/email/verification-code": {"POST"},
    "/v1/customers/{0}/email/confirmation": {"POST"},
    "/v1/customers/{0}/tax-ids": {"POST"},
    "/v1/customers/{0}/tax-ids/{0}": {"DELETE"},
    "/v1/customers/{0}/addresses": {"POST"},
    "/v1/customers/{0}/addresses/{0}": {"PATCH", "DELETE"},
    "/v1/customers/{0}/default-addresses/billing": {"PUT"},
    "/v1/customers/{0}/tags/vip": {"PUT", "DELETE"},
    "/v1/customers/{0}/external-ids": {"POST"},
    "/v1/customers/{0}/external-ids/unlink": {"POST"},
    "/v1/customers/{0}/external-ids/erp/1": {"PUT", "DELETE"},
    "/v1/customers/{0}/consents/newsletter/email": {"PUT"},
    **{f"/v1/customers/{{0}}/{verb}": {"POST"} for verb in ("archive", "restore", "suspend", "reactivate")},
    "/v1/customers/{0}/erasure": {"POST", "DELETE"},
    "/internal/events": {"GET", "HEAD"},
}


@pytest.mark.parametrize("route", COMMAND_ROUTES)
@pytest.mark.parametrize("method", METHODS)
async def test_a_wrong_method_is_refused_by_the_command_service(
    customers: Customers, standing: Customer, route: str, method: str
) -> None:
    if method in COMMAND_ROUTES[route]:
        return
    answer = await customers.command.request(method, route.format(standing.id))
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == COMMAND_ROUTES[route] - {"HEAD"} | {"OPTIONS"}
    if method != "HEAD":
        problem(answer, 405, "method-not-allowed")


QUERY_ROUTES = {
    "/v1/customers": {"GET", "HEAD"},
    "/v1/customers/{0}": {"GET", "HEAD"},
    "/v1/customers/search": {"POST"},
    "/v1/customers/lookup": {"POST"},
    **{f"/v1/customers/{{0}}/{part}": {"GET", "HEAD"} for part in ("timeline", "history", "diff")},
    "/v1/stats/customers": {"GET", "HEAD"},
    "/v1/changes": {"GET"},
}


@pytest.mark.parametrize("route", QUERY_ROUTES)
@pytest.mark.parametrize("method", METHODS)
async def test_a_wrong_method_is_refused_by_the_query_service(
    customers: Customers, standing: Customer, route: str, method: str
) -> None:
    if method in QUERY_ROUTES[route]:
        return
    answer = await customers.query.request(method, route.format(standing.id))
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) - {"OPTIONS"} == QUERY_ROUTES[route]
    if method != "HEAD":
        problem(answer, 405, "method-not-allowed")


@pytest.mark.parametrize("parameters", ["x=1", "minversion=1", "=", "minVersion[]=1", "field=name"])
async def test_an_unknown_parameter_is_refused_by_both_services(
    customers: Customers, standing: Customer, parameters: str
) -> None:
    problem(await customers.query.get(f"{standing.path}?{parameters}"), 400, "unknown-parameter")
    patched = await customers.send("PATCH", f"{standing.path}?{parameters}", {}, if_match=standing.etag)
    problem(patched, 400, "unknown-parameter")


@pytest.mark.parametrize(
    "version", ["", "0", "-1", "+1", "1.0", "1e3", "0x1", "\u0661", "abc", "NaN", "9" * 5000, "%00", "1_0"]
)
async def test_a_version_that_is_none_is_refused(customers: Customers, standing: Customer, version: str) -> None:
    problem(await customers.query.get(f"{standing.path}?minVersion={version}"), 400, "invalid-parameter")


async def test_a_query_that_is_no_text_is_refused(customers: Customers, standing: Customer) -> None:
    problem(await customers.query.get(f"{standing.path}?%ff=1"), 400, "invalid-parameter")


async def test_a_parameter_given_twice_is_refused(customers: Customers, standing: Customer) -> None:
    answer = await customers.query.get(f"{standing.path}?minVersion=1&minVersion=2")
    problem(answer, 400, "invalid-parameter")


@pytest.mark.parametrize(
    "prefer", ["wait=abc", "wait=-1", "wait=99999999999999999999", "wait", "wait=", "wait=1.5", ",;=", "x"]
)
async def test_a_preference_never_fails(customers: Customers, standing: Customer, prefer: str) -> None:
    answer = await customers.query.get(standing.path, params={"minVersion": 1}, headers={"Prefer": prefer})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong-token-wrong-token",
        "Basic {0}",
        "{0}",
        "Bearer {0}x",
        "Bearer {0} {0}",
        "Bearer \xff",
    ],
)
async def test_the_feed_shows_nothing_without_its_token(system: System, authorization: str | None) -> None:
    sent = None if authorization is None else authorization.format(system.feed_token).encode("latin-1")
    async with httpx.AsyncClient(base_url=system.command) as stranger:
        answer = await stranger.get(
            "/internal/events", params={"after": 0}, headers=[] if sent is None else [(b"Authorization", sent)]
        )
    problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("after", ["", "-1", "abc", "1.5", "9" * 5000, "%00", "1&after=2"])
async def test_a_position_that_is_none_is_refused(feed: Feed, after: str) -> None:
    problem(await feed.client.get(f"/internal/events?after={after}"), 400, "invalid-parameter")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("traceparent", "00-zz-zz-zz"),
        ("traceparent", "\xff" * 55),
        ("Accept", "image/png"),
        ("Accept-Encoding", "nonsense"),
        ("X-Long", "x" * 8000),
        ("Host", "nobody.example.com"),
        ("Cookie", "a=b; c"),
        ("Expect", "nonsense"),
    ],
)
async def test_a_strange_header_is_no_reason_to_fail(
    customers: Customers, standing: Customer, header: str, value: str
) -> None:
    headers = [(header.encode(), value.encode("latin-1"))]
    for answer in (
        await customers.query.get(standing.path, headers=headers),
        await customers.command.request(
            "PATCH",
            standing.path,
            content=b"{}",
            headers=[*headers, (b"If-Match", b'"1"'), (b"Content-Type", b"application/merge-patch+json")],
        ),
    ):
        assert answer.status_code in (200, 406, 417), answer.text
