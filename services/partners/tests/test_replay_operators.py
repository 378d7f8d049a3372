"""The operator's routes and commands of replays and dead letters: what is answered, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from customerflow_partners import api
from customerflow_partners.api import dead_letters, replays
from customerflow_partners.dead_letters import DeadLetters
from customerflow_partners.feed import Feed
from customerflow_partners.keeping import Subscriptions
from customerflow_partners.replays import Replays
from customerflow_partners.subscriptions import queue_of
from customerflow_shared import database, requests, service
from customerflow_shared.ids import uuid7
from litestar import Router

from .broker import Broker, until
from .past import UPDATED, Past, customer

if TYPE_CHECKING:
    from customerflow_local.testing import Database

TOKEN = "token-of-the-operator"


@pytest.fixture
async def operator(broker: Broker, migrated: Database) -> AsyncIterator[httpx.AsyncClient]:
    engine = database.open_engine(migrated.url)
    past = Past.of(2, 2)
    app = service.create(
        "Partners",
        "Replays and dead letters alone.",
        handlers=[
            Router(
                "/",
                route_handlers=[*replays.ROUTES, *dead_letters.ROUTES],
                guards=[requests.with_token(TOKEN, "Send it.")],
            )
        ],
        health=service.Health({}),
        translations=api.TRANSLATIONS,
        dependencies={
            "kept": Subscriptions(broker.management),
            "management": broker.management,
            "replays": Replays(engine),
            "letters": DeadLetters(broker.management, Feed(past.client()), broker.amqp_url),
        },
    )
    transport = httpx.ASGITransport(cast(Any, app), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        base_url="http://partners", transport=transport, headers={"Authorization": f"Bearer {TOKEN}"}
    ) as client:
        yield client
    await engine.dispose()


@pytest.fixture
async def name(broker: Broker) -> str:
    created, _ = await broker.kept.create(broker.wish())
    return created.subscription.name


WRONG: list[tuple[Any, str]] = [
    ({"after": -1}, "#/after"),
    ({"after": 10**18}, "#/after"),
    ({"after": True}, "#/after"),
    ({"after": "7"}, "#/after"),
    ({"after": 7, "until": 6}, "#/until"),
    ({"since": "yesterday"}, "#/since"),
    ({"since": "2026-11-22T00:00:00"}, "#/since"),
    ({"since": 7}, "#/since"),
    ({"since": "2026-11-22T00:00:00Z", "before": "2026-11-22T01:00:00+01:00"}, "#/before"),
    ({"types": ["customer.#"]}, "#/types/0"),
    ({"types": [UPDATED, "customer.#"]}, "#/types/1"),
    ({"types": "customer.updated.v1"}, "#/types"),
    ({"types": [UPDATED] * 9}, "#/types"),
    ({"customer": "7"}, "#/customer"),
    ({"rate": 0}, "#/rate"),
    ({"rate": 10_001}, "#/rate"),
    ({"rate": 1.5}, "#/rate"),
    ({"queue": "customerflow.partner.other"}, "#/queue"),
]


@pytest.mark.parametrize(("body", "pointer"), WRONG)
async def test_a_replay_that_is_asked_for_wrongly_is_refused(
    operator: httpx.AsyncClient, name: str, body: Any, pointer: str
) -> None:
    answer = await operator.post(f"/internal/subscriptions/{name}/replays", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-fields")
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
    assert (await operator.get(f"/internal/subscriptions/{name}/replays")).json() == {"data": []}


async def test_addresses_of_what_there_is_not_are_told_apart(operator: httpx.AsyncClient, name: str) -> None:
    nobody, some = "/internal/subscriptions/nobody", f"/internal/subscriptions/{name}"
    asked = [
        ("POST", f"{nobody}/replays", 404, "subscription-not-found"),
        ("POST", "/internal/subscriptions/No%20Name/replays", 400, "subscription-name-invalid"),
        ("GET", f"{some}/replays?limit=5", 400, "unknown-parameter"),
        ("GET", f"{some}/replays/7", 400, "invalid-id"),
        ("GET", f"{some}/replays/{uuid7()}", 404, "replay-not-found"),
        ("POST", f"{some}/replays/{uuid7()}/pause", 404, "replay-not-found"),
        ("POST", f"{some}/replays/{uuid7()}/resume", 404, "replay-not-found"),
        ("POST", f"{some}/replays/{uuid7()}/cancel?force=true", 400, "unknown-parameter"),
        ("GET", f"{nobody}/dead-letters", 404, "subscription-not-found"),
        ("GET", f"{some}/dead-letters?limit=0", 400, "limit-range"),
        ("GET", f"{some}/dead-letters?limit=x", 400, "invalid-parameter"),
        ("POST", f"{some}/dead-letters/7/retry", 400, "invalid-id"),
        ("POST", f"{some}/dead-letters/{uuid7()}/retry", 404, "dead-letter-not-found"),
        ("POST", f"{nobody}/dead-letters/retry", 404, "subscription-not-found"),
        ("POST", f"{some}/dead-letters/discard", 415, "unsupported-media-type"),
    ]
    for method, path, status, code in asked:
        answer = await operator.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
    operator.headers["Authorization"] = "Bearer another-token-1234"
    for method, path, *_ in asked:
        assert (await operator.request(method, path)).status_code == 401


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        ({}, {}, "invalid-fields"),
        ({"reason": " "}, {}, "invalid-fields"),
        ({"reason": "write to ana@example.com"}, {}, "invalid-fields"),
        ({"reason": "x" * 501}, {}, "invalid-fields"),
        ({"reason": "a test", "force": True}, {}, "invalid-fields"),
        ({"reason": "a test"}, {"CustomerFlow-Actor": "Ana"}, "actor-invalid"),
        ({"reason": "a test"}, {"CustomerFlow-Actor": "user:ana@example.com"}, "actor-invalid"),
    ],
)
async def test_nothing_is_discarded_without_a_reason_that_names_nobody(
    operator: httpx.AsyncClient, name: str, body: Any, headers: dict[str, str], code: str
) -> None:
    path = f"/internal/subscriptions/{name}/dead-letters/discard"
    answer = await operator.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422 if code == "invalid-fields" else 400, code)
    assert (await operator.post(path, json={"reason": "a test"})).json() == {"discarded": 0}


# --- the command line -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def served(past: Past) -> AsyncIterator[str]:
    """The feed, for other processes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        url = f"http://command{scope['path']}?{scope['query_string'].decode()}"
        answer = past._answer(httpx.Request("GET", url))
        headers = [(name.lower(), value) for name, value in answer.headers.raw]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    host, port = server.servers[0].sockets[0].getsockname()
    yield f"http://{host}:{port}"
    server.should_exit = True
    await running


def environment(broker: Broker, migrated: Database, feed_url: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("CF_")},
        "CF_RABBITMQ_MANAGEMENT_URL": broker.management_url,
        "CF_RABBITMQ_VHOST": broker.vhost,
        "CF_AMQP_URL": broker.amqp_url,
        "CF_FEED_URL": feed_url,
        "CF_FEED_TOKEN": "token-of-the-feed",
        "CF_PARTNERS_MYSQL_URL": migrated.url,
    }


async def command(env: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "customerflow_partners", *arguments),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def told(env: dict[str, str], *arguments: str) -> tuple[int | None, str, str]:
    process = await command(env, *arguments)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_replay_by_command_is_stopped_by_ctrl_c_and_goes_on_where_it_was(
    broker: Broker, migrated: Database, name: str
) -> None:
    assert urlsplit(broker.amqp_url).hostname
    past = Past.of(10, 20)
    async with served(past) as url:
        env = environment(broker, migrated, url)
        process = await command(env, "replay", name, "--rate", "40", "--type", UPDATED)

        async def begun() -> bool:
            return await broker.waiting(queue_of(name)) >= 40

        await until(begun, 40)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130, err
        assert "the same command goes on" in err.decode()
        stopped = await broker.waiting(queue_of(name))
        assert 40 <= stopped < 200
        code, out, _ = await told(env, "replays", "list", name, "--json")
        (listed,) = json.loads(out)
        assert (code, listed["state"], listed["progress"]["published"]) == (0, "paused", stopped)
        code, _, err_text = await told(env, "replay", name, "--customer", str(customer(1)))
        assert code == 1
        assert "asks for something else" in err_text
        code, out, err_text = await told(env, "replay", name, "--rate", "40", "--type", UPDATED)
        assert code == 0, err_text
        assert "completed: 200 published" in out
        assert await broker.waiting(queue_of(name)) == 200
        code, _, err_text = await told(env, "replay", name, "--resume")
        assert code == 1
        assert "nothing to go on with" in err_text


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay", "No Name"),
        ("replay", "erp", "--since", "yesterday"),
        ("replay", "erp", "--type", "customer.#"),
        ("replay", "erp", "--rate", "0"),
        ("replay", "erp", "--after", "9", "--until", "8"),
        ("replay", "erp", "--resume", "--after", "7"),
        ("dead-letters", "retry", "erp"),
        ("dead-letters", "retry", "erp", "--all", "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11"),
        ("dead-letters", "discard", "erp", "--all"),
        ("dead-letters", "discard", "erp", "--all", "--reason", "ask ana@example.com"),
        ("dead-letters", "discard", "erp", "--all", "--reason", "a test", "--by", "Ana"),
    ],
)
async def test_what_is_commanded_wrongly_is_refused_before_anything_is_asked(arguments: tuple[str, ...]) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("CF_")}
    code, _, err = await told(env, *arguments)
    assert code == 2
    assert "Usage" in err


async def test_dead_letters_are_listed_retried_and_discarded_by_command(
    broker: Broker, migrated: Database, name: str
) -> None:
    past = Past.of(1, 3)
    async with served(past) as url:
        env = environment(broker, migrated, url)
        bodies = [json.dumps(one).encode() for line in past.lines.values() for one in line]
        for body in [*bodies, b"rubbish"]:
            await broker.publish(body, key=f"{queue_of(name)}.dead", exchange="")
        code, out, err = await told(env, "dead-letters", "list", name, "--json")
        assert (code, json.loads(out)["count"]) == (0, 4), err
        first = past.events()[0]
        code, out, err = await told(env, "dead-letters", "retry", name, first)
        assert code == 0, err
        assert "1 retried" in out
        code, out, err = await told(env, "dead-letters", "retry", name, "--all")
        assert code == 1
        assert "it is no event" in out
        assert await broker.waiting(queue_of(name)) == 3
        code, out, err = await told(env, "dead-letters", "discard", name, "--all", "--reason", "no event of ours")
        assert code == 0, err
        assert "1 discarded" in out
        assert '"reason": "no event of ours"' in out or '"reason":"no event of ours"' in out
