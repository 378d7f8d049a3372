"""The operator's routes: whose events cannot be applied is seen and mended over HTTP, with a token."""

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
import structlog
from customerflow_projector import app, operations
from customerflow_projector.apply import Applier
from customerflow_projector.mending import Mark, Mending
from customerflow_projector.read_model import ReadModel
from customerflow_shared import requests, service, views
from customerflow_shared.events import CustomerEmailChanged, CustomerRegistered, Place, Recorded
from litestar import Router
from msgspec.structs import replace
from redis.asyncio import Redis

from .builders import (
    ANA,
    BRUNO,
    ENTRY,
    LONG_AGO,
    EventStore,
    folded,
    interleaved,
    recorded,
    renaming,
    renamings,
    unknown,
)
from .served import served
from .steps import documents, handle, rebuilt, until

TOKEN = "token-of-the-operator"
PARKED = "/internal/parked"
ROUTES = [
    ("GET", PARKED),
    ("GET", f"{PARKED}/{ANA}"),
    ("POST", f"{PARKED}/retry"),
    ("POST", f"{PARKED}/{ANA}/retry"),
    ("POST", f"{PARKED}/{ANA}/discard"),
]
WHY = {"reason": "made by a load test"}
HISTORY = interleaved(renamings(ANA, 4), renamings(BRUNO, 3))


@pytest.fixture
def store() -> EventStore:
    return EventStore(HISTORY)


@pytest.fixture
async def operator(model: ReadModel, store: EventStore) -> AsyncIterator[httpx.AsyncClient]:
    projector = service.create(
        "Projector",
        "Its operator's routes alone.",
        handlers=[Router("/", route_handlers=operations.ROUTES, guards=[requests.with_token(TOKEN, "Send it.")])],
        health=service.Health({}),
        translations=operations.TRANSLATIONS,
        dependencies={"mended": Mending(model, store, Applier(model, store))},
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(cast(Any, projector), raise_app_exceptions=False)
    async with httpx.AsyncClient(base_url="http://projector", transport=transport, headers=headers) as client:
        yield client


@pytest.fixture
async def both_parked(model: ReadModel) -> str:
    """Ana before Bruno, both with a second event that cannot be read."""
    generation = (
        await rebuilt(model, EventStore([unknown(one) if one.version == 2 else one for one in HISTORY]))
    ).generation
    for days, (one, entry) in enumerate(sorted((await model.parked(generation)).items())):
        await model.park(generation, one, replace(entry, since=LONG_AGO + timedelta(days=days)))
    return generation


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    told: dict[str, Any] = answer.json()
    assert told["code"] == code
    return told


async def test_the_list_comes_in_pages(operator: httpx.AsyncClient, both_parked: str) -> None:
    first = await operator.get(PARKED, params={"limit": 1})
    assert first.headers["cache-control"] == "no-store"
    second = await operator.get(PARKED, params={"limit": 1, "cursor": first.json()["next"]})
    assert [one["customerId"] for page in (first, second) for one in page.json()["data"]] == [str(ANA), str(BRUNO)]
    assert "next" not in second.json()
    assert second.json()["parked"] == 2
    (one,) = first.json()["data"]
    assert one | {"attemptedAt": "", "attempts": 0} == {
        "customerId": str(ANA),
        "position": 3,
        "version": 2,
        "error": "UnknownEvent: at position 3",
        "attempts": 0,
        "since": "2020-01-01T00:00:00.000Z",
        "attemptedAt": "",
    }


async def test_one_is_shown_by_its_id(operator: httpx.AsyncClient, both_parked: str) -> None:
    answer = await operator.get(f"{PARKED}/{str(BRUNO).upper()}")
    assert answer.json()["customerId"] == str(BRUNO)


async def test_a_retry_answers_what_has_become_of_it(
    operator: httpx.AsyncClient, both_parked: str, model: ReadModel, store: EventStore
) -> None:
    store.events = [unknown(one) if one.version == 2 else one for one in HISTORY]
    vain = (await operator.post(f"{PARKED}/{ANA}/retry")).json()
    assert not vain["applied"]
    assert vain["parked"]["error"] == "UnknownEvent: at position 3"
    store.events = [*HISTORY]
    assert (await operator.post(f"{PARKED}/{ANA}/retry", json={})).json() == {"applied": True}
    assert (await documents(model))[ANA] == folded(HISTORY)[ANA]
    problem(await operator.post(f"{PARKED}/{ANA}/retry"), 404, "not-parked")


async def test_a_retry_of_all_answers_how_many(
    operator: httpx.AsyncClient, both_parked: str, model: ReadModel, store: EventStore
) -> None:
    store.events = [unknown(one) if (one.customer_id, one.version) == (ANA, 3) else one for one in HISTORY]
    assert (await operator.post(f"{PARKED}/retry")).json() == {"applied": 1, "stillParked": 1, "left": 0}
    store.events = [*HISTORY]
    assert (await operator.post(f"{PARKED}/retry")).json() == {"applied": 1, "stillParked": 0, "left": 0}
    assert (await operator.post(f"{PARKED}/retry")).json() == {"applied": 0, "stillParked": 0, "left": 0}
    assert await documents(model) == folded(HISTORY)


async def test_a_retry_of_all_ends_in_time_and_goes_on_with_its_cursor(
    operator: httpx.AsyncClient, both_parked: str, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "RETRY_WITHIN", 0.05)

    async def slow(customer_id: UUID, after: int) -> list[Recorded | Place]:
        asked.append(customer_id)
        await asyncio.sleep(0.06)
        return [one for one in store.events if one.customer_id == customer_id and one.version > after]

    asked = list[UUID]()
    monkeypatch.setattr(store, "of_customer", slow)
    store.events = [unknown(one) if one.version == 2 else one for one in HISTORY]
    first = (await operator.post(f"{PARKED}/retry")).json()
    assert first | {"next": ""} == {"applied": 0, "stillParked": 1, "left": 1, "next": ""}
    second = (await operator.post(f"{PARKED}/retry", params={"cursor": first["next"]})).json()
    assert second == {"applied": 0, "stillParked": 1, "left": 0}
    assert asked == [ANA, BRUNO]


async def test_a_discard_is_listed_with_its_reason_and_who_gave_it(
    operator: httpx.AsyncClient, both_parked: str
) -> None:
    answer = await operator.post(f"{PARKED}/{ANA}/discard", json=WHY, headers={"CustomerFlow-Actor": "user:42"})
    assert answer.status_code == 200
    told = answer.json()["discarded"]
    assert told | {"at": ""} == {"reason": "made by a load test", "at": "", "by": "user:42"}
    listed = (await operator.get(PARKED)).json()
    assert (listed["parked"], listed["discarded"]) == (1, 1)
    assert listed["data"][0]["discarded"] == told
    again = await operator.post(f"{PARKED}/{ANA}/discard", json=WHY)
    assert again.json()["discarded"]["by"] == "service:operator"


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer token-of-the-feed", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN, "\u00e9"],
)
async def test_without_the_token_nothing_is_told_or_done(
    operator: httpx.AsyncClient, both_parked: str, model: ReadModel, method: str, path: str, authorization: str | None
) -> None:
    before = await model.standings(both_parked)
    del operator.headers["authorization"]
    headers = {} if authorization is None else {b"Authorization": authorization.encode()}
    told = await operator.request(method, path, headers=headers, json=WHY if path.endswith("discard") else None)
    problem(told, 401, "unauthorized")
    assert told.headers["www-authenticate"] == "Bearer"
    assert await model.standings(both_parked) == before


@pytest.mark.parametrize("one", ["x", "1", f"{ANA}x", str(ANA).replace("-", ""), "%20", "\u00e9"])
@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("POST", "/retry"), ("POST", "/discard")])
async def test_what_is_no_id_is_refused(operator: httpx.AsyncClient, one: str, method: str, rest: str) -> None:
    body = WHY if rest == "/discard" else None
    problem(await operator.request(method, f"{PARKED}/{one}{rest}", json=body), 400, "invalid-id")


@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("POST", "/retry"), ("POST", "/discard")])
async def test_who_is_not_parked_is_told_so(
    operator: httpx.AsyncClient, both_parked: str, method: str, rest: str
) -> None:
    body = WHY if rest == "/discard" else None
    told = await operator.request(method, f"{PARKED}/{UUID(int=99)}{rest}", json=body)
    assert problem(told, 404, "not-parked")["instance"] == f"{PARKED}/{UUID(int=99)}{rest}"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "limit-range"),
        ("limit=201", "limit-range"),
        ("limit=-1", "invalid-parameter"),
        ("limit=x", "invalid-parameter"),
        ("limit=1&limit=2", "invalid-parameter"),
        ("cursor=", "cursor-invalid"),
        ("cursor=nonsense", "cursor-invalid"),
        ("after=1", "unknown-parameter"),
        ("%", "invalid-parameter"),
    ],
)
async def test_an_unfit_query_is_refused(operator: httpx.AsyncClient, query: str, code: str) -> None:
    problem(await operator.get(f"{PARKED}?{query}"), 400, code)


@pytest.mark.parametrize(("method", "path"), ROUTES[1:])
async def test_other_routes_take_no_parameters_of_the_list(operator: httpx.AsyncClient, method: str, path: str) -> None:
    body = WHY if path.endswith("discard") else None
    problem(await operator.request(method, f"{path}?limit=1", json=body), 400, "unknown-parameter")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "malformed-json"),
        (b"[]", "malformed-json"),
        (b'{"reason": "a", "reason": "b"}', "malformed-json"),
        (b'{"reason": "\xff"}', "malformed-json"),
        (b"[" * 100_000, "malformed-json"),
        (b"{}", "required"),
        (b'{"reason": null}', "required"),
        (b'{"reason": 1}', "type"),
        (b'{"reason": ""}', "blank"),
        (b'{"reason": "' + b"x" * 501 + b'"}', "too-long"),
        (b'{"reason": "a\\u0000b"}', "invalid-characters"),
        (b'{"reason": "of ana@example.com"}', "format"),
        (b'{"reason": "a", "force": true}', "unknown-field"),
        (b'{"reason": "' + b"x" * 300_000 + b'"}', "body-too-large"),
    ],
)
async def test_an_unfit_reason_is_refused_and_not_repeated(
    operator: httpx.AsyncClient, both_parked: str, model: ReadModel, content: bytes, code: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await operator.post(f"{PARKED}/{ANA}/discard", content=content, headers=headers)
    match code:
        case "malformed-json":
            problem(answer, 400, code)
        case "body-too-large":
            problem(answer, 413, code)
        case _:
            assert [one["code"] for one in problem(answer, 422, "invalid-fields")["errors"]] == [code]
    assert "ana@" not in answer.text
    assert not any(one.discarded for one in (await model.standings(both_parked)).values())


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/json; charset=latin-1"])
async def test_another_media_type_is_refused(operator: httpx.AsyncClient, both_parked: str, media_type: str) -> None:
    for rest in ("discard", "retry"):
        headers = {"Content-Type": media_type}
        answer = await operator.post(f"{PARKED}/{ANA}/{rest}", content=json.dumps(WHY), headers=headers)
        problem(answer, 415, "unsupported-media-type")


async def test_a_retry_takes_no_fields(operator: httpx.AsyncClient, both_parked: str) -> None:
    for path in (f"{PARKED}/{ANA}/retry", f"{PARKED}/retry"):
        problem(await operator.post(path, json=WHY), 422, "invalid-fields")
        problem(await operator.post(path, json=[]), 400, "malformed-json")


@pytest.mark.parametrize("given", ["ana", "user:", "user:a b", "user:39053344705"])
async def test_an_actor_that_is_none_is_refused(operator: httpx.AsyncClient, both_parked: str, given: str) -> None:
    answer = await operator.post(f"{PARKED}/{ANA}/discard", json=WHY, headers={"CustomerFlow-Actor": given})
    problem(answer, 400, "actor-invalid")
    twice = [("CustomerFlow-Actor", "user:1"), ("CustomerFlow-Actor", "user:2")]
    problem(await operator.post(f"{PARKED}/{ANA}/discard", json=WHY, headers=twice), 400, "actor-invalid")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", PARKED, "GET"),
        ("DELETE", f"{PARKED}/{ANA}", "GET"),
        ("GET", f"{PARKED}/retry", "POST"),
        ("GET", f"{PARKED}/{ANA}/retry", "POST"),
        ("PUT", f"{PARKED}/{ANA}/discard", "POST"),
    ],
)
async def test_another_method_is_refused(operator: httpx.AsyncClient, method: str, path: str, allowed: str) -> None:
    answer = await operator.request(method, path)
    problem(answer, 405, "method-not-allowed")
    assert allowed in answer.headers["allow"]


@pytest.mark.parametrize("path", [f"{PARKED}/{ANA}/retry", f"{PARKED}/retry"])
async def test_without_the_feed_a_retry_is_refused_and_nothing_is_changed(
    operator: httpx.AsyncClient, both_parked: str, model: ReadModel, store: EventStore, path: str
) -> None:
    before = await model.standings(both_parked)
    store.away = True
    answer = await operator.post(path)
    problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert await model.standings(both_parked) == before


async def test_a_read_model_of_another_release_is_not_written_to(
    operator: httpx.AsyncClient, model: ReadModel, redis: Redis
) -> None:
    newer = f"{int(views.SCHEMA) + 1}-00000001"
    await redis.set(views.LIVE, newer)
    await model.park(newer, ANA, ENTRY)
    for path, body in ((f"{PARKED}/{ANA}/retry", None), (f"{PARKED}/retry", None), (f"{PARKED}/{ANA}/discard", WHY)):
        problem(await operator.post(path, json=body), 503, "rebuilding")
    assert await model.parked(newer) == {ANA: ENTRY}


async def test_an_absent_redis_is_told() -> None:
    async with composed(TOKEN) as client:
        for method, path in ROUTES:
            body = WHY if path.endswith("discard") else None
            problem(await client.request(method, path, json=body), 503, "unavailable")


# --- the program ------------------------------------------------------------------------------------------------------


def composed(token: str | None) -> httpx.AsyncClient:
    """As for production, but for what works in the background; no server answers."""
    config = app.ProjectorSettings(
        amqp_url="amqp://127.0.0.1:9/",
        redis_url="redis://127.0.0.1:9/0",
        feed_url="http://127.0.0.1:9",
        feed_token="token-of-the-feed",
        lookup_key=bytes(range(32)),
        operator_token=token,
    )
    projector: Any
    projector, _ = app.projector(config)
    headers = {"Authorization": f"Bearer {token or TOKEN}"}
    return httpx.AsyncClient(
        base_url="http://projector",
        transport=httpx.ASGITransport(projector, raise_app_exceptions=False),
        headers=headers,
    )


async def test_without_a_token_in_its_settings_the_projector_has_no_such_routes() -> None:
    async with composed(None) as client:
        for method, path in ROUTES:
            problem(await client.request(method, path), 404, "route-not-found")
        assert PARKED not in (await client.get("/docs/openapi.json")).json()["paths"]


async def test_the_routes_are_described() -> None:
    async with composed(TOKEN) as client:
        document = (await client.get("/docs/openapi.json")).json()
    assert document["info"]["title"] == "CustomerFlow projector"
    for method, path in ROUTES:
        described = document["paths"][path.replace(str(ANA), "{customer_id}")][method.lower()]
        assert {"200", "401", "503"} <= set(described["responses"])
        content = described["responses"]["200"]["content"]["application/json"]
        assert set(content["example"]) <= set(content["schema"]["properties"])
        assert set(content["schema"]["required"]) <= set(content["example"])
    asked = {one["name"] for one in document["paths"][PARKED]["get"]["parameters"]}
    assert asked == {"limit", "cursor"}
    body = document["paths"][f"{PARKED}/{{customer_id}}/discard"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["properties"]["reason"]["maxLength"] == 500


@pytest.mark.parametrize("token", ["", "short", "with a space in between", "\u00e9" * 20])
def test_a_token_that_is_none_is_told_and_not_repeated(token: str) -> None:
    environment = {
        "CF_AMQP_URL": "amqp://127.0.0.1:9/",
        "CF_REDIS_URL": "redis://127.0.0.1:9/0",
        "CF_FEED_URL": "http://127.0.0.1:9",
        "CF_FEED_TOKEN": "token-of-the-feed",
        "CF_LOOKUP_KEY": base64.b64encode(bytes(32)).decode(),
        "CF_OPERATOR_TOKEN": token,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CF_")}
    ended = subprocess.run(
        [sys.executable, "-m", "customerflow_projector", "run"],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "CF_OPERATOR_TOKEN: " in ended.stderr
    assert not token or token not in ended.stderr


@pytest.fixture
async def running(cf_amqp_url: str, cf_redis_url: str, both_parked: str, store: EventStore) -> AsyncIterator[str]:
    """The program itself, beside its keeper; where it is. What could not be read still cannot."""
    store.events = [unknown(one) if one.version == 2 else one for one in HISTORY]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with served(store) as feed_url:
        environment = {
            "CF_AMQP_URL": cf_amqp_url,
            "CF_REDIS_URL": cf_redis_url,
            "CF_FEED_URL": feed_url,
            "CF_FEED_TOKEN": "token-of-the-feed",
            "CF_LOOKUP_KEY": base64.b64encode(bytes(range(32))).decode(),
            "CF_OPERATOR_TOKEN": TOKEN,
            "CF_PORT": str(port),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CF_")}
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "customerflow_projector", "run"), env=inherited | environment
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            program.terminate()
            assert await program.wait() == 0


async def test_the_program_serves_them_beside_its_keeper(running: str, model: ReadModel, store: EventStore) -> None:
    async def ready() -> bool:
        with suppress(httpx.HTTPError):
            return (await client.get("/health/ready")).status_code == 200
        return False

    async with httpx.AsyncClient(base_url=running) as client:
        await until(ready, seconds=30)
        problem(await client.get(PARKED), 401, "unauthorized")
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        assert (await client.get(PARKED)).json()["parked"] == 2
        for one in (ANA, BRUNO):
            assert (await client.post(f"{PARKED}/{one}/discard", json=WHY)).status_code == 200
        store.events = [*HISTORY]
        assert (await client.post(f"{PARKED}/{ANA}/retry")).json() == {"applied": True}
        await asyncio.sleep(5)  # by then the keeper would have retried it
        listed = (await client.get(PARKED)).json()
    assert [one["customerId"] for one in listed["data"]] == [str(BRUNO)]
    applied = [one for one in HISTORY if one.customer_id == ANA or one.version == 1]
    assert await documents(model) == folded(applied)


# --- personal data ----------------------------------------------------------------------------------------------------

CANARY = "Xqz7canaryvx"


def canaries() -> Sequence[Recorded]:
    """Every personal field holds what occurs nowhere else."""
    return [
        recorded(CustomerRegistered(customer_type="person", name=CANARY, email=f"{CANARY}@example.com"), 1),
        recorded(renaming(f"{CANARY} 2", CANARY), 2),
        recorded(CustomerEmailChanged(email=f"b{CANARY}@example.com", previous_email=f"{CANARY}@example.com"), 3),
        recorded(CustomerRegistered(customer_type="person", name=CANARY, email=f"{CANARY}@example.com"), 4),
        recorded(renaming(f"{CANARY} 5", CANARY), 5),
    ]


async def test_nothing_of_an_events_content_is_kept_told_or_logged(
    operator: httpx.AsyncClient, model: ReadModel, redis: Redis, store: EventStore
) -> None:
    events = canaries()
    store.events = [*events]
    with structlog.testing.capture_logs() as logged:
        generation = (await rebuilt(model, EventStore([unknown(events[0]), *events[1:3]]))).generation
        told = [await operator.get(PARKED), await operator.get(f"{PARKED}/{ANA}")]
        await handle(Applier(model, store), generation, events[3:])  # passed over
        told.append(await operator.post(f"{PARKED}/{ANA}/retry"))  # up to the second registration
        assert told[-1].json()["parked"]["error"].startswith("HistoryBroken: ")
        await redis.set(views.customer_key(generation, ANA), f'3\n{{"name":"{CANARY}"'.encode())
        told.append(await operator.post(f"{PARKED}/{ANA}/retry"))  # of a document that cannot be read
        assert told[-1].json()["parked"]["error"] == "DecodeError"
        told.append(await operator.post(f"{PARKED}/{ANA}/discard", json=WHY))
        told += [await operator.get(PARKED), await operator.post(f"{PARKED}/retry")]
    kept = [await redis.hgetall(views.parked_key(generation)), await redis.hgetall(views.key(generation, "discarded"))]
    assert all(kept)
    for text in (*(one.text for one in told), *map(str, logged), *map(str, kept)):
        assert CANARY.lower() not in text.lower()
    assert logged


def test_a_cursor_tells_nothing_but_a_time_and_an_id() -> None:
    assert Mark.read(str(Mark(LONG_AGO, ANA))) == (LONG_AGO, ANA)
