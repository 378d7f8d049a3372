"""The operator's routes and commands: what is answered, and that bad input and a broker that is away change nothing."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
import structlog
from customerflow_partners import api, management
from customerflow_partners.api import subscriptions
from customerflow_partners.keeping import Credentials, Subscriptions
from customerflow_partners.management import Management, hash_of, is_hash_of
from customerflow_partners.subscriptions import Limits, Permission, Permit, SetUser, queue_of, user_of
from customerflow_shared import requests, service
from litestar import Router

from .broker import KEYS, Answer, Broker, pretending, until

TOKEN = "token-of-the-operator"
SUBSCRIPTIONS = "/internal/subscriptions"
ASKED = {"routingKeys": [*KEYS]}
NOBODY = "http://user:password@127.0.0.1:9/"


@asynccontextmanager
async def operator_at(management_url: str, vhost: str = "/") -> AsyncIterator[httpx.AsyncClient]:
    async with management.connect(management_url) as http:
        broker = Management(http, vhost)
        served = service.create(
            "Partners",
            "The routes of subscriptions alone.",
            handlers=[
                Router("/", route_handlers=subscriptions.ROUTES, guards=[requests.with_token(TOKEN, "Send it.")])
            ],
            health=service.Health({"rabbitmq": broker.check}),
            translations=api.TRANSLATIONS,
            dependencies={"kept": Subscriptions(broker)},
        )
        async with httpx.AsyncClient(
            base_url="http://partners",
            transport=httpx.ASGITransport(cast(Any, served), raise_app_exceptions=False),
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as client:
            yield client


@pytest.fixture
async def operator(broker: Broker) -> AsyncIterator[httpx.AsyncClient]:
    async with operator_at(broker.management_url, broker.vhost) as client:
        yield client


@pytest.fixture
async def without_broker() -> AsyncIterator[httpx.AsyncClient]:
    async with operator_at(NOBODY) as client:
        yield client


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    told: dict[str, Any] = answer.json()
    assert told["code"] == code
    return told


# --- over REST --------------------------------------------------------------------------------------------------------


async def test_a_partner_is_subscribed_shown_given_a_new_password_and_removed(
    operator: httpx.AsyncClient, broker: Broker
) -> None:
    name = broker.name()
    path = f"{SUBSCRIPTIONS}/{name}"
    answer = await operator.put(path, json={**ASKED, "limits": {"messages": 3, "age": 60}})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    told = answer.json()
    credentials = Credentials(**told["credentials"])
    assert told["subscription"]["limits"] == {"messages": 3, "bytes": Limits().bytes, "age": 60}
    assert told["subscription"]["routingKeys"] == sorted(KEYS)
    again = await operator.put(path, json={"limits": {"age": 60, "messages": 3}, "routingKeys": [*KEYS[::-1], KEYS[0]]})
    assert (again.status_code, again.json().keys()) == (200, {"subscription"})
    differs = problem(await operator.put(path, json=ASKED), 409, "subscription-differs")
    assert differs["differs"] == ["limits.messages", "limits.age"]

    await broker.publish(b"1", b"2", b"3", b"4")

    async def counted() -> bool:
        shown = (await operator.get(path)).json()
        return (shown["subscription"].get("messages"), shown["dead"]["reasons"]) == (3, {"maxlen": 1})

    await until(counted)
    refused = problem(await operator.delete(path), 409, "subscription-has-messages")
    assert refused["messages"] == 3
    assert len(await broker.taken(credentials, queue_of(name), 3)) == 3

    rotated = await operator.post(f"{path}/credentials")
    assert rotated.json().keys() == {"user", "password"}
    assert rotated.json()["password"] != credentials.password
    assert rotated.headers["cache-control"] == "no-store"
    assert name in [one["name"] for one in (await operator.get(SUBSCRIPTIONS)).json()["data"]]
    removed = await operator.delete(path, params={"force": "true"})
    assert (removed.status_code, removed.content) == (204, b"")
    for method, at in (("GET", path), ("DELETE", path), ("POST", f"{path}/credentials")):
        problem(await operator.request(method, at), 404, "subscription-not-found")


async def test_what_is_incomplete_is_told_with_what_is_missing(operator: httpx.AsyncClient, broker: Broker) -> None:
    name = broker.name()
    await broker.management.perform(SetUser(user_of(name)), "half made")
    told = problem(await operator.post(f"{SUBSCRIPTIONS}/{name}/credentials"), 409, "subscription-incomplete")
    assert told["faults"] == [
        "the queue is missing",
        "the dead-letter queue is missing",
        "the user may not read the queue yet",
    ]
    assert (await operator.get(f"{SUBSCRIPTIONS}/{name}")).json()["subscription"]["faults"] == told["faults"]
    assert (await operator.put(f"{SUBSCRIPTIONS}/{name}", json=ASKED)).status_code == 201


async def test_no_password_is_ever_logged(operator: httpx.AsyncClient, broker: Broker) -> None:
    name = broker.name()
    with structlog.testing.capture_logs() as logged:
        created = (await operator.put(f"{SUBSCRIPTIONS}/{name}", json=ASKED)).json()["credentials"]["password"]
        rotated = (await operator.post(f"{SUBSCRIPTIONS}/{name}/credentials")).json()["password"]
    assert logged
    assert not any(password in str(logged) for password in (created, rotated))


@pytest.mark.parametrize("name", ["ERP", "a" * 41, "a.b", "a_b", "%C3%A4", "a%20b", "a%0A", "%2E%2E", "a%00"])
async def test_a_name_that_is_none_is_refused_before_the_broker_is_asked(
    without_broker: httpx.AsyncClient, name: str
) -> None:
    path = f"{SUBSCRIPTIONS}/{name}"
    for answer in (
        await without_broker.put(path, json=ASKED),
        await without_broker.get(path),
        await without_broker.delete(path),
        await without_broker.post(f"{path}/credentials"),
    ):
        problem(answer, 400, "subscription-name-invalid")


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, [("/routingKeys", "required")]),
        ({"routingKeys": []}, [("/routingKeys", "required")]),
        ({"routingKeys": None}, [("/routingKeys", "required")]),
        ({"routingKeys": "customer.#"}, [("/routingKeys", "type")]),
        ({"routingKeys": ["customer.updated.v1", 7]}, [("/routingKeys/1", "type")]),
        ({"routingKeys": ["order.placed.v1"]}, [("/routingKeys/0", "format")]),
        ({"routingKeys": ["customer.updated"]}, [("/routingKeys/0", "format")]),
        ({"routingKeys": [""]}, [("/routingKeys/0", "format")]),
        ({"routingKeys": ["customer.#"] * 51}, [("/routingKeys", "too-many")]),
        ({**ASKED, "limits": 5}, [("/limits", "type")]),
        ({**ASKED, "limits": {"messages": 0}}, [("/limits/messages", "number-range")]),
        ({**ASKED, "limits": {"messages": 10_000_001}}, [("/limits/messages", "number-range")]),
        ({**ASKED, "limits": {"messages": 1.5}}, [("/limits/messages", "type")]),
        ({**ASKED, "limits": {"messages": True}}, [("/limits/messages", "type")]),
        ({**ASKED, "limits": {"bytes": 999_999}}, [("/limits/bytes", "number-range")]),
        ({**ASKED, "limits": {"age": "60"}}, [("/limits/age", "type")]),
        ({**ASKED, "limits": {"age": 59}}, [("/limits/age", "number-range")]),
        ({**ASKED, "limits": {"lenght": 5}}, [("/limits/lenght", "unknown-field")]),
        ({**ASKED, "queue": "mine"}, [("/queue", "unknown-field")]),
        (
            {"routingKeys": ["x"], "limits": {"age": 0}, "x": 1},
            [("/limits/age", "number-range"), ("/routingKeys/0", "format"), ("/x", "unknown-field")],
        ),
    ],
)
async def test_every_fault_of_a_body_is_told_before_the_broker_is_asked(
    without_broker: httpx.AsyncClient, body: Any, faults: list[tuple[str, str]]
) -> None:
    told = problem(await without_broker.put(f"{SUBSCRIPTIONS}/erp", json=body), 422, "invalid-fields")
    assert sorted((one["pointer"].removeprefix("#"), one["code"]) for one in told["errors"]) == faults


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"", "application/json", 400, "malformed-json"),
        (b"{", "application/json", 400, "malformed-json"),
        (b"[]", "application/json", 400, "malformed-json"),
        (b'{"routingKeys":["\xff"]}', "application/json", 400, "malformed-json"),
        (b'{"routingKeys":["customer.#"],"routingKeys":[]}', "application/json", 400, "malformed-json"),
        (b"{}", "text/plain", 415, "unsupported-media-type"),
        (b" " * 300_000, "application/json", 413, "body-too-large"),
    ],
)
async def test_what_is_no_json_object_is_refused(
    without_broker: httpx.AsyncClient, content: bytes, media_type: str, status: int, code: str
) -> None:
    headers = {"Content-Type": media_type}
    problem(await without_broker.put(f"{SUBSCRIPTIONS}/erp", content=content, headers=headers), status, code)


async def test_what_a_route_does_not_take_is_refused(without_broker: httpx.AsyncClient) -> None:
    erp = f"{SUBSCRIPTIONS}/erp"
    for method, path in (("GET", SUBSCRIPTIONS), ("GET", erp), ("PUT", erp), ("POST", f"{erp}/credentials")):
        problem(await without_broker.request(method, path, params={"force": "true"}), 400, "unknown-parameter")
    for force in ("yes", "", "True", "1"):
        problem(await without_broker.delete(erp, params={"force": force}), 400, "invalid-parameter")
    problem(await without_broker.post(f"{erp}/credentials", json={"password": "mine"}), 422, "invalid-fields")


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer other", TOKEN, f"Basic {TOKEN}"])
async def test_only_the_operator_may(without_broker: httpx.AsyncClient, token: str) -> None:
    erp = f"{SUBSCRIPTIONS}/erp"
    for method, path in (
        ("GET", SUBSCRIPTIONS),
        ("PUT", erp),
        ("GET", erp),
        ("DELETE", erp),
        ("POST", f"{erp}/credentials"),
    ):
        answer = await without_broker.request(method, path, headers={"Authorization": token})
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


# --- a broker that is away, slow, or something else -------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500),
        Answer(503, b"starting"),
        Answer(200, b"<html>"),
        Answer(200, b"\xff\xfe"),
        Answer(200, b'{"name": 7}'),
        Answer(204),
        Answer(302, headers=("Location: http://127.0.0.1:9/",)),
        Answer(401),
        Answer(403),
        Answer(200, after=1),
    ],
)
async def test_whatever_is_there_instead_of_the_management_interface_is_unavailable(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(management, "TIMEOUT", httpx.Timeout(0.3))
    erp = f"{SUBSCRIPTIONS}/erp"
    async with pretending(answer) as url, operator_at(url) as operator:
        for told in (
            await operator.get(SUBSCRIPTIONS),
            await operator.put(erp, json=ASKED),
            await operator.get(erp),
            await operator.delete(erp),
            await operator.post(f"{erp}/credentials"),
        ):
            assert "password" not in problem(told, 503, "unavailable")["detail"]
            assert told.headers["retry-after"] == "1"
        ready = await operator.get("/health/ready")
        assert ready.status_code == 503
        assert "password" not in ready.text


async def test_without_the_broker_it_lives_is_not_ready_and_says_when_to_come_back(
    without_broker: httpx.AsyncClient,
) -> None:
    answer = await without_broker.put(f"{SUBSCRIPTIONS}/erp", json=ASKED)
    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert (await without_broker.get("/health/live")).status_code == 200
    assert (await without_broker.get("/health/ready")).status_code == 503


async def test_an_account_that_is_no_administrator_is_told_and_nothing_is_changed(broker: Broker) -> None:
    user = broker.name()
    await broker.management._change(
        "PUT", "users", user, body={"password_hash": hash_of("secret"), "tags": "management"}
    )
    await broker.management.perform(Permit(user, Permission(".*", ".*", ".*")), "")
    parts = urlsplit(broker.management_url)
    for account in (f"{user}:secret", f"{user}:wrong"):
        url = urlunsplit(parts._replace(netloc=f"{account}@{parts.hostname}:{parts.port}"))
        async with operator_at(url, broker.vhost) as operator:
            told = problem(await operator.put(f"{SUBSCRIPTIONS}/{broker.names[-1]}", json=ASKED), 503, "unavailable")
            assert "account" in told["detail"]
            assert (await operator.get("/health/ready")).status_code == 503
    await broker.management._change("DELETE", "users", user)
    assert await broker.ask("queues", broker.vhost, queue_of(user)) is None


async def test_a_virtual_host_that_is_not_there_is_told(broker: Broker) -> None:
    async with operator_at(broker.management_url, "not-there") as operator:
        told = problem(await operator.put(f"{SUBSCRIPTIONS}/{broker.name()}", json=ASKED), 503, "unavailable")
        assert "virtual host" in told["detail"]
        assert (await operator.get("/health/ready")).status_code == 503


async def test_it_is_ready_with_a_broker(operator: httpx.AsyncClient) -> None:
    answer = await operator.get("/health/ready")
    assert answer.json() == {"status": "ready", "checks": {"rabbitmq": "ok"}}


async def test_every_route_is_documented(without_broker: httpx.AsyncClient) -> None:
    paths = (await without_broker.get("/docs/openapi.json")).json()["paths"]
    documented = {path: {*of} & {"get", "put", "post", "delete"} for path, of in paths.items() if "subscr" in path}
    assert documented == {
        SUBSCRIPTIONS: {"get"},
        f"{SUBSCRIPTIONS}/{{name}}": {"get", "put", "delete"},
        f"{SUBSCRIPTIONS}/{{name}}/credentials": {"post"},
    }


@pytest.mark.parametrize("told", ["", "no base64!", "AAAA", hash_of("other", b"salt")])
def test_what_is_no_hash_of_a_password_is_none(told: str) -> None:
    assert not is_hash_of(told, "secret")
    assert is_hash_of(hash_of("secret"), "secret")


def test_a_hash_is_as_rabbitmq_documents_it() -> None:
    assert hash_of("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


# --- by command -------------------------------------------------------------------------------------------------------


class Ended(NamedTuple):
    code: int | None
    out: str
    err: str


class Console:
    def __init__(self, broker: Broker) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CF_")}
        self.environment = inherited | {
            "CF_RABBITMQ_MANAGEMENT_URL": broker.management_url,
            "CF_RABBITMQ_VHOST": broker.vhost,
            "COLUMNS": "250",
        }

    async def run(self, *arguments: str, **environment: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "customerflow_partners", "subscriptions", *arguments),
            env=self.environment | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert b"Traceback" not in err
        return Ended(process.returncode, out.decode(), " ".join(err.decode().replace("\u2502", " ").split()))


@pytest.fixture
def console(broker: Broker) -> Console:
    return Console(broker)


async def test_by_command_it_is_the_same(console: Console, broker: Broker) -> None:
    name = broker.name()
    to = [argument for key in KEYS for argument in ("--to", key)]
    created = await console.run("create", name, *to, "--messages", "2")
    assert created.code == 0
    lines = dict(line.split(maxsplit=1) for line in created.out.splitlines()[1:])
    assert lines.keys() == {"queue", "user", "password"}
    credentials = Credentials(user=lines["user"], password=lines["password"])
    again = await console.run("create", name, *to, "--messages", "2")
    assert (again.code, again.out.splitlines()[0]) == (0, "it was subscribed before")
    assert "password" not in again.out
    other = await console.run("create", name, *to)
    assert (other.code, "limits.messages" in other.err) == (1, True)

    await broker.publish(b"1", b"2", b"3")
    assert await broker.taken(credentials, queue_of(name), 2) == [b"2", b"3"]
    shown = await console.run("inspect", name, "--json")
    assert json.loads(shown.out)["dead"]["reasons"] == {"maxlen": 1}
    assert "1 of the oldest: maxlen" in (await console.run("inspect", name)).out
    rotated = json.loads((await console.run("rotate", name, "--json")).out)
    assert rotated["password"] != credentials.password
    await broker.taken(Credentials(**rotated), queue_of(name), 0)
    assert name in [one["name"] for one in json.loads((await console.run("list", "--json")).out)]
    kept = await console.run("remove", name)
    assert (kept.code, "--force" in kept.err) == (1, True)
    assert (await console.run("remove", name, "--force")).out == "removed\n"
    gone = await console.run("inspect", name)
    assert (gone.code, "There is no subscription of this name." in gone.err) == (1, True)


async def test_a_list_with_an_incomplete_one_fails_and_shows_why(console: Console, broker: Broker) -> None:
    name = broker.name()
    await broker.management.perform(SetUser(user_of(name)), "half made")
    told = await console.run("list")
    assert told.code == 1
    assert name in told.out
    assert "the queue is missing" in told.out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("create", "ERP", "--to", "customer.#"), 2, "The name must be"),
        (("create", "erp"), 2, "Missing option"),
        (("create", "erp", "--to", "orders.#"), 2, "pattern"),
        (("create", "erp", "--to", "customer.#", "--age", "59"), 2, "from 60 to"),
        (("create", "erp", "--to", "customer.#", "--messages", "many"), 2, "not a valid integer"),
        (("list",), 1, "does not answer"),
        (("create", "erp", "--to", "customer.#"), 1, "does not answer"),
        (("remove", "erp", "--force"), 1, "does not answer"),
    ],
)
async def test_a_command_that_cannot_be_done_says_why(
    console: Console, arguments: tuple[str, ...], code: int, told: str
) -> None:
    ended = await console.run(*arguments, CF_RABBITMQ_MANAGEMENT_URL=NOBODY)
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:15672", "amqp://user:secret@host/", "http://host:15672/", "http://u:secret@/"]
)
async def test_an_address_that_is_none_is_told_and_not_repeated(console: Console, url: str) -> None:
    ended = await console.run("list", CF_RABBITMQ_MANAGEMENT_URL=url)
    assert ended.code == 2
    assert "CF_RABBITMQ_MANAGEMENT_URL" in ended.err
    assert "secret" not in ended.err + ended.out
