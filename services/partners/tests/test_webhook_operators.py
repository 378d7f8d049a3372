"""Webhooks as the operator has them, over REST and by command, with a real broker, database and receivers."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
import structlog
from customerflow_local.testing import Database
from customerflow_partners import api
from customerflow_partners.webhooks import schedule, sending, serving, signing, worker
from customerflow_partners.webhooks.keeping import Webhooks
from customerflow_partners.webhooks.sending import Outgoing
from customerflow_partners.webhooks.signing import Keys
from customerflow_shared import database, requests, service
from customerflow_shared.ids import uuid7
from litestar import Router
from sqlalchemy.ext.asyncio import AsyncEngine

from .receiver import Forged, receiving, status, taking, verified
from .test_operators import TOKEN, problem
from .webhook_world import MASTER, World, customers, until
from .webhook_world import world as worlds

WEBHOOKS = "/internal/webhooks"
ALL = {"routingKeys": ["customer.#"]}
NOBODY = "amqp://guest:guest@127.0.0.1:9/"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(serving, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(serving, "IDLE_LOOK_EVERY", 0.2)
    monkeypatch.setattr(schedule, "FIRST_PAUSE", 0.2)


@pytest.fixture
async def world(migrated: Database, cf_amqp_url: str) -> AsyncIterator[World]:
    async with worlds(migrated, cf_amqp_url) as made:
        yield made


@asynccontextmanager
async def operator_of(
    engine: AsyncEngine, amqp_url: str, outgoing: Outgoing, key: bytes = MASTER
) -> AsyncIterator[httpx.AsyncClient]:
    served = service.create(
        "Partners",
        "The routes of webhooks alone.",
        handlers=[Router("/", route_handlers=api.WEBHOOK_ROUTES, guards=[requests.with_token(TOKEN, "Send it.")])],
        health=service.Health({}),
        translations=api.TRANSLATIONS,
        dependencies={"hooks": Webhooks(engine, amqp_url, Keys(key), outgoing)},
    )
    async with httpx.AsyncClient(
        base_url="http://partners",
        transport=httpx.ASGITransport(cast(Any, served), raise_app_exceptions=False),
        headers={"Authorization": f"Bearer {TOKEN}"},
    ) as client:
        yield client


@pytest.fixture
async def operator(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with operator_of(world.engine, world.amqp_url, world.outgoing) as client:
        yield client


async def created(operator: httpx.AsyncClient, url: str, **others: Any) -> dict[str, Any]:
    answer = await operator.post(WEBHOOKS, json={"url": url, **ALL, **others})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    told: dict[str, Any] = answer.json()
    return told


async def shown(operator: httpx.AsyncClient, webhook: str) -> dict[str, Any]:
    answer = await operator.get(f"{WEBHOOKS}/{webhook}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_webhook_is_created_shown_changed_and_deleted(operator: httpx.AsyncClient, world: World) -> None:
    (ana,) = customers(1)
    async with receiving() as receiver:
        told = await created(operator, receiver.url, description=" Ana's ERP ")
        one, secret = told["webhook"], told["secret"]
        path = f"{WEBHOOKS}/{one['id']}"
        assert (one["state"], one["description"], one["routingKeys"]) == ("active", "Ana's ERP", ["customer.#"])
        assert (one["messages"], one["held"], one["dead"], one["heldCustomers"]) == (0, 0, 0, 0)
        await world.tell(ana)  # no worker runs yet: from its creation on nothing is missed
        await until(lambda: _says(operator, one["id"], messages=1))
        async with world.worker():
            await until(lambda: len(receiver.seen) == 1)
            verified(secret, receiver.seen[0].headers, receiver.seen[0].body)
            await until(lambda: _says(operator, one["id"], messages=0, lastStatus=204))
            change = {"routingKeys": ["customer.erased.v1"], "description": None}
            headers = {"Content-Type": "application/merge-patch+json"}
            answer = await operator.patch(path, content=json.dumps(change), headers=headers)
            assert answer.status_code == 200
            assert (answer.json()["routingKeys"], answer.json()["description"]) == (["customer.erased.v1"], "")
            assert answer.json()["url"] == receiver.url
            assert [each["id"] for each in (await operator.get(WEBHOOKS)).json()["data"]] == [one["id"]]
            deleted = await operator.delete(path)
            assert (deleted.status_code, deleted.content) == (204, b"")
            await until(lambda: _is_gone(operator, one["id"]))
    for method, at in (("GET", path), ("DELETE", path), ("POST", f"{path}/secret"), ("POST", f"{path}/enable")):
        problem(await operator.request(method, at), 404, "webhook-not-found")


async def _says(operator: httpx.AsyncClient, webhook: str, **values: object) -> bool:
    told = await shown(operator, webhook)
    return {name: told.get(name) for name in values} == values


async def _is_gone(operator: httpx.AsyncClient, webhook: str) -> bool:
    return (await operator.get(f"{WEBHOOKS}/{webhook}")).status_code == 404


async def test_an_operator_sees_what_fails_and_mends_it(operator: httpx.AsyncClient, world: World) -> None:
    ana, bruno, cecilia = customers(3)
    async with receiving() as receiver:
        receiver.respond = status(500, body=b"<script>a secret of the receiver</script>")
        one = (await created(operator, receiver.url))["webhook"]["id"]
        path = f"{WEBHOOKS}/{one}/deliveries"
        async with world.worker():
            await world.tell(ana, bruno, cecilia, ana)
            await until(lambda: _says(operator, one, held=4, heldCustomers=3, dead=0, messages=0))
            told = await shown(operator, one)
            assert (told["lastError"], told["lastStatus"]) == ("status", 500)
            assert told["failingSince"] <= told["lastFailureAt"]
            first = (await operator.get(path, params={"limit": "1"})).json()
            rest = (await operator.get(path, params={"after": str(first["next"]), "limit": "3"})).json()
            found = [*first["data"], *rest["data"]]
            assert "next" not in rest
            assert {each["customerId"] for each in found} == {str(ana), str(bruno), str(cecilia)}
            assert all(each["eventId"] in map(str, world.sent[UUID(each["customerId"])]) for each in found)
            assert "secret of the receiver" not in str([told, found])
            assert "changed" not in str(found), "the content is not shown"
            assert (await operator.get(path, params={"state": "dead"})).json() == {"data": []}
            of_bruno = next(each for each in found if each["customerId"] == str(bruno))
            discarded = await operator.post(f"{path}/{of_bruno['id']}/discard", json={"reason": "sent by hand"})
            assert discarded.json()["eventId"] == of_bruno["eventId"]
            problem(await operator.post(f"{path}/{of_bruno['id']}/retry"), 404, "webhook-delivery-not-found")
            receiver.respond = taking()
            of_cecilia = next(each for each in found if each["customerId"] == str(cecilia))
            assert (await operator.post(f"{path}/{of_cecilia['id']}/retry")).status_code == 204
            await until(lambda: [seen.customer for seen in receiver.taken] == [str(cecilia)])
            assert (await operator.post(f"{path}/retry")).json() == {"retried": 2}
            await until(lambda: [seen.customer for seen in receiver.taken[1:]] == [str(ana)] * 2)
            await until(lambda: _says(operator, one, held=0, heldCustomers=0, failingSince=None))
        assert world.in_order(receiver.taken)


async def test_a_disabled_webhook_gathers_and_goes_on_when_it_is_enabled(
    operator: httpx.AsyncClient, world: World
) -> None:
    async with receiving() as receiver:
        one = (await created(operator, receiver.url))["webhook"]["id"]
        async with world.worker():
            told = (await operator.post(f"{WEBHOOKS}/{one}/disable")).json()
            assert (told["state"], told["disabledReason"]) == ("disabled", "asked")
            assert (await operator.post(f"{WEBHOOKS}/{one}/disable")).json()["disabledAt"] == told["disabledAt"]
            await asyncio.sleep(0.5)
            await world.tell(*customers(3))
            await until(lambda: _says(operator, one, messages=3))
            assert receiver.seen == []
            told = (await operator.post(f"{WEBHOOKS}/{one}/enable")).json()
            assert told["state"] == "active"
            assert "disabledAt" not in told
            assert "disabledReason" not in told
            await until(lambda: len(receiver.seen) == 3)
            assert (await operator.post(f"{WEBHOOKS}/{one}/enable")).status_code == 200


async def test_a_ping_is_signed_like_any_delivery_and_tells_what_came_of_it(operator: httpx.AsyncClient) -> None:
    async with receiving() as receiver:
        told = await created(operator, receiver.url)
        path = f"{WEBHOOKS}/{told['webhook']['id']}/ping"
        pinged = (await operator.post(path)).json()
        assert (pinged["delivered"], pinged["status"]) == (True, 204)
        (seen,) = receiver.seen
        verified(told["secret"], seen.headers, seen.body)
        assert seen.event["type"] == "io.customerflow.webhook.ping"
        assert seen.event["data"] == {"webhookId": told["webhook"]["id"]}
        assert seen.headers["webhook-id"] == seen.event["id"]
        receiver.respond = status(418)
        pinged = (await operator.post(path)).json()
        assert (pinged["delivered"], pinged["status"], pinged["error"]) == (False, 418, "status")
        receiver.respond = status(410)
        pinged = (await operator.post(path)).json()
        assert (pinged["delivered"], pinged["status"]) == (False, 410)
        assert (await shown(operator, told["webhook"]["id"]))["state"] == "active"


async def test_after_a_rotation_both_secrets_verify_and_a_second_one_ends_the_first(
    operator: httpx.AsyncClient,
) -> None:
    async with receiving() as receiver:
        told = await created(operator, receiver.url)
        path = f"{WEBHOOKS}/{told['webhook']['id']}"

        async def verifying(*secrets: str) -> list[bool]:
            await operator.post(f"{path}/ping")
            return [_verifies(secret, receiver.seen[-1]) for secret in secrets]

        first = told["secret"]
        rotated = (await operator.post(f"{path}/secret")).json()
        second = rotated["secret"]
        assert rotated["oldUntil"] == (await shown(operator, told["webhook"]["id"]))["oldSecretUntil"]
        assert await verifying(first, second) == [True, True]
        third = (await operator.post(f"{path}/secret", json={"overlap": 60})).json()["secret"]
        assert await verifying(first, second, third) == [False, True, True]
        at_once = (await operator.post(f"{path}/secret", json={"overlap": 0})).json()
        assert "oldUntil" not in at_once
        assert await verifying(first, second, third, at_once["secret"]) == [False, False, False, True]


def _verifies(secret: str, seen: Any) -> bool:
    try:
        verified(secret, seen.headers, seen.body)
    except Forged:
        return False
    return True


async def test_a_rotation_with_another_master_key_ends_the_old_secret_at_once(
    operator: httpx.AsyncClient, world: World
) -> None:
    async with receiving() as receiver:
        told = await created(operator, receiver.url)
        one = told["webhook"]["id"]
        async with operator_of(world.engine, world.amqp_url, world.outgoing, MASTER[::-1]) as other:
            rotated = (await other.post(f"{WEBHOOKS}/{one}/secret")).json()
            assert "oldUntil" not in rotated
            await other.post(f"{WEBHOOKS}/{one}/ping")
        verified(rotated["secret"], receiver.seen[0].headers, receiver.seen[0].body)
        world.keys = signing.Keys(MASTER[::-1])
        async with world.worker():
            await world.tell(*customers(1))
            await until(lambda: len(receiver.seen) == 2)
        verified(rotated["secret"], receiver.seen[1].headers, receiver.seen[1].body)


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"#/url": "required", "#/routingKeys": "required"}),
        ({"url": None, "routingKeys": None}, {"#/url": "required", "#/routingKeys": "required"}),
        ({"url": 1, "routingKeys": {}}, {"#/url": "type", "#/routingKeys": "type"}),
        ({"url": "https://example.com/", "routingKeys": []}, {"#/routingKeys": "required"}),
        ({"url": "https://example.com/", "routingKeys": ["order.#"]}, {"#/routingKeys/0": "format"}),
        (
            {"url": "https://example.com/", "routingKeys": ["customer.#", "order.#", 7]},
            {"#/routingKeys/1": "format", "#/routingKeys/2": "type"},
        ),
        ({"url": "https://example.com/", "routingKeys": ["customer.#"] * 51}, {"#/routingKeys": "too-many"}),
        ({"url": "http://example.com@127.0.0.1/", **ALL}, {"#/url": "url-refused"}),
        ({"url": "ftp://example.com/", **ALL}, {"#/url": "url-refused"}),
        ({"url": "https://nobody.invalid/", **ALL}, {"#/url": "url-refused"}),
        ({"url": "https://10.0.0.1/", **ALL}, {"#/url": "url-refused"}),
        ({"url": "https://[fd00::1]/", **ALL}, {"#/url": "url-refused"}),
        ({"url": "http://93.184.216.34/", **ALL}, {"#/url": "url-refused"}),
        ({"url": "https://93.184.216.34:22/", **ALL}, {"#/url": "url-refused"}),
        ({"url": "https://a/", **ALL, "description": "x" * 201}, {"#/description": "too-long"}),
        ({"url": "https://a/", **ALL, "description": "call +55 11 99999-8888"}, {"#/description": "format"}),
        (
            {"url": "https://a/", **ALL, "secret": "x", "id": 1},
            {"#/secret": "unknown-field", "#/id": "read-only-field"},
        ),
    ],
)
async def test_what_is_unfit_is_told_whole_and_changes_nothing(
    operator: httpx.AsyncClient, body: dict[str, Any], faults: dict[str, str]
) -> None:
    told = problem(await operator.post(WEBHOOKS, json=body), 422, "invalid-fields")
    assert {fault["pointer"]: fault["code"] for fault in told["errors"]} == faults
    assert (await operator.get(WEBHOOKS)).json() == {"data": []}


async def test_a_refusal_never_says_what_a_name_stands_for(
    operator: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_look_up", lambda *_: [ip_address("10.20.30.40")])
    with structlog.testing.capture_logs() as logged:
        answer = await operator.post(WEBHOOKS, json={"url": "https://inside.example/", **ALL})
    told = problem(answer, 422, "invalid-fields")
    assert told["errors"][0]["detail"] == "The host leads to an address that is not public."
    assert "10.20" not in answer.text + str(logged)


async def test_a_webhook_cannot_be_changed_to_what_it_could_not_be_created_with(operator: httpx.AsyncClient) -> None:
    async with receiving() as receiver:
        one = (await created(operator, receiver.url))["webhook"]["id"]
        unfit: list[dict[str, Any]] = [
            {"url": "https://10.0.0.1/"},
            {"url": None},
            {"url": "http://user@127.0.0.1/"},
            {"routingKeys": []},
            {"routingKeys": None},
            {"routingKeys": "customer.#"},
            {"routingKeys": ["customer.#", "order.#"]},
            {"description": 7},
            {"state": "active"},
        ]
        for body in unfit:
            answer = await operator.patch(
                f"{WEBHOOKS}/{one}",
                content=json.dumps(body),
                headers={"Content-Type": "application/merge-patch+json"},
            )
            problem(answer, 422, "invalid-fields")
        problem(await operator.patch(f"{WEBHOOKS}/{one}", json={}), 415, "unsupported-media-type")
        told = await shown(operator, one)
        assert (told["url"], told["routingKeys"], told["description"]) == (receiver.url, ["customer.#"], "")


async def test_bad_requests_are_told_precisely(operator: httpx.AsyncClient) -> None:
    async with receiving() as receiver:
        one = f"{WEBHOOKS}/{(await created(operator, receiver.url))['webhook']['id']}"
    nobody = f"{WEBHOOKS}/{uuid7()}"
    for bad in ("1", "x" * 36, "%00", f"{uuid7()}0"):
        for method, rest in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/ping"), ("GET", "/deliveries")):
            problem(await operator.request(method, f"{WEBHOOKS}/{bad}{rest}"), 400, "invalid-id")
    for rest in ("/ping", "/enable", "/disable", "/secret", "/deliveries/retry", "/deliveries/1/retry"):
        problem(await operator.post(nobody + rest), 404, "webhook-not-found")
    problem(await operator.get(f"{nobody}/deliveries"), 404, "webhook-not-found")
    for delivery in ("0", "x", "-1", "9" * 18, "9" * 30, "1.5", "%D9%A1"):
        problem(await operator.post(f"{one}/deliveries/{delivery}/retry"), 404, "webhook-delivery-not-found")
    problem(await operator.get(f"{one}/deliveries?state=lost"), 400, "invalid-parameter")
    problem(await operator.get(f"{one}/deliveries?limit=0"), 400, "limit-range")
    problem(await operator.get(f"{one}/deliveries?limit=201"), 400, "limit-range")
    problem(await operator.get(f"{one}/deliveries?after=x"), 400, "invalid-parameter")
    problem(await operator.get(f"{one}?x=1"), 400, "unknown-parameter")
    for overlap in (-1, 604_801, True, 1.5, "1"):
        problem(await operator.post(f"{one}/secret", json={"overlap": overlap}), 422, "invalid-fields")
    for reason in ("", " ", None, 1, "x" * 501, "ana@example.com asked"):
        problem(await operator.post(f"{one}/deliveries/1/discard", json={"reason": reason}), 422, "invalid-fields")
    problem(
        await operator.post(WEBHOOKS, content=b"{", headers={"Content-Type": "application/json"}), 400, "malformed-json"
    )
    problem(await operator.get(WEBHOOKS, headers={"Authorization": "Bearer x"}), 401, "unauthorized")


async def test_without_a_broker_nothing_is_created_and_what_is_there_is_shown(
    operator: httpx.AsyncClient, world: World
) -> None:
    async with receiving() as receiver:
        one = (await created(operator, receiver.url))["webhook"]["id"]
        async with operator_of(world.engine, NOBODY, world.outgoing) as alone:
            answer = await alone.post(WEBHOOKS, json={"url": receiver.url, **ALL})
            problem(answer, 503, "unavailable")
            assert "retry-after" in answer.headers
            told = await shown(alone, one)
            assert told["state"] == "active"
            assert "messages" not in told
            states = {each["id"]: each["state"] for each in (await alone.get(WEBHOOKS)).json()["data"]}
            assert sorted(states.values()) == ["active", "deleting"]
        async with world.worker():  # what was begun is cleared away
            await until(lambda: _are(operator, [one]))


async def _are(operator: httpx.AsyncClient, ids: list[str]) -> bool:
    return [each["id"] for each in (await operator.get(WEBHOOKS)).json()["data"]] == ids


async def test_without_a_database_it_is_told_so(world: World) -> None:
    engine = database.open_engine("mysql://nobody:nothing@127.0.0.1:9/none")
    async with operator_of(engine, world.amqp_url, world.outgoing) as operator:
        problem(await operator.get(WEBHOOKS), 503, "unavailable")
        problem(await operator.post(f"{WEBHOOKS}/{uuid7()}/ping"), 503, "unavailable")
    await engine.dispose()


async def test_no_secret_is_ever_logged_or_kept(operator: httpx.AsyncClient, world: World) -> None:
    async with receiving() as receiver:
        with structlog.testing.capture_logs() as logged:
            told = await created(operator, receiver.url)
            rotated = (await operator.post(f"{WEBHOOKS}/{told['webhook']['id']}/secret")).json()
            async with world.worker():
                await world.tell(*customers(1))
                await until(lambda: len(receiver.seen) == 1)
        assert logged
        async with database.session(world.engine) as session:
            rows = str(await session.rows("SELECT * FROM cf_webhooks"))
        for secret in (told["secret"], rotated["secret"]):
            raw = base64.b64decode(secret.removeprefix("whsec_"))
            for form in (secret, secret.removeprefix("whsec_"), raw.hex(), repr(raw)[2:-1]):
                assert form not in str(logged)
                assert form not in rows


# --- by command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(migrated: Database, world: World) -> dict[str, str]:
    return {
        "CF_PARTNERS_MYSQL_URL": migrated.url,
        "CF_AMQP_URL": world.amqp_url,
        "CF_WEBHOOK_KEY": base64.b64encode(MASTER).decode(),
        "CF_WEBHOOK_ALLOW": "127.0.0.0/8",
    }


async def command(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "customerflow_partners", "webhooks", *arguments),
        env={name: value for name, value in os.environ.items() if not name.startswith("CF_")} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_all_of_it_can_be_done_by_command(environment: dict[str, str], world: World) -> None:
    async with receiving() as receiver:
        code, out, err = await command(environment, "create", receiver.url, "--to", "customer.#", "--json")
        assert code == 0, err
        told = json.loads(out)
        one = told["webhook"]["id"]
        code, out, _ = await command(environment, "ping", one)
        assert (code, out.startswith("delivered: 204")) == (0, True)
        verified(told["secret"], receiver.seen[0].headers, receiver.seen[0].body)
        code, out, _ = await command(environment, "rotate", one)
        assert code == 0
        assert "whsec_" in out
        code, out, _ = await command(environment, "change", one, "--to", "customer.erased.v1")
        assert (code, "customer.erased.v1" in out) == (0, True)
        code, out, _ = await command(environment, "disable", one)
        assert (code, "disabled (asked)" in out) == (0, True)
        assert (await command(environment, "list"))[0] == 0
        code, out, _ = await command(environment, "enable", one, "--json")
        assert json.loads(out)["state"] == "active"
        receiver.respond = status(500)
        code, _, err = await command(environment, "ping", one)
        assert (code, "not delivered: status 500" in err) == (1, True)
        async with world.worker():
            await world.tell(*customers(1), key="customer.erased.v1")
            await until(lambda: _holds(world, one))
            code, _, err = await command(environment, "list")
            assert (code, "do not work" in err) == (1, True)
            code, out, _ = await command(environment, "deliveries", one, "--json")
            (delivery,) = json.loads(out)
            assert (await command(environment, "deliveries", one))[0] == 0
            assert (await command(environment, "retry", one, str(delivery["id"])))[0] == 0
            assert (await command(environment, "retry-all", one))[1] == "due: 1\n"
            number = str(delivery["id"])
            assert (await command(environment, "discard", one, number, "--reason", "test"))[0] == 0
            code, _, err = await command(environment, "discard", one, number, "--reason", "test")
            assert (code, "no such delivery" in err) == (1, True)
            assert (await command(environment, "delete", one))[0] == 0
            await until(lambda: _has_none(world))
        code, _, err = await command(environment, "show", one)
        assert (code, "There is no webhook of this id" in err) == (1, True)


async def _holds(world: World, webhook: str) -> bool:
    return (await world.store.counts())[UUID(webhook)].held == 1 if await world.store.counts() else False


async def _has_none(world: World) -> bool:
    return not await world.store.all()


async def test_commands_refuse_what_is_unfit_without_repeating_it(environment: dict[str, str]) -> None:
    for arguments in (
        ("create", "https://user:hunter2@example.com/", "--to", "customer.#"),
        ("create", "https://127.0.0.1.hunter2.invalid/", "--to", "customer.#"),
        ("create", "https://example.com/", "--to", "hunter2.#"),
        ("discard", str(uuid7()), "1", "--reason", "hunter2@example.com"),
    ):
        code, out, err = await command(environment, *arguments)
        assert code in (1, 2)
        assert "hunter2" not in out + err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"CF_WEBHOOK_KEY": base64.b64encode(bytes(31)).decode()}, "CF_WEBHOOK_KEY"),
        ({"CF_WEBHOOK_KEY": "no base64!"}, "CF_WEBHOOK_KEY"),
        ({"CF_WEBHOOK_ALLOW": "10.0.0.1/8"}, "CF_WEBHOOK_ALLOW"),
        ({"CF_WEBHOOK_ALLOW": "everything"}, "CF_WEBHOOK_ALLOW"),
        ({"CF_WEBHOOK_CA": "no certificate"}, "CF_WEBHOOK_CA"),
    ],
)
async def test_an_environment_that_is_not_fit_is_refused(
    environment: dict[str, str], changes: dict[str, str], told: str
) -> None:
    code, _, err = await command(environment | changes, "list")
    assert code == 2
    assert told in err
    assert "Traceback" not in err
    assert not any(value in err for value in changes.values())
