"""Personal data stands in clear nowhere but in Redis and in messages on their way to the projector; after an erasure it
is nowhere.

Fifty customers whose every personal field holds a value that occurs nowhere else go through every command, every
question, every refusal and every retry. What is searched is all that the system keeps and tells, as its servers answer
it. What those servers keep in files of their own (binary logs, segments of consumed messages, freed pages) is theirs to
forget, by retention, and is not looked at.
"""

import asyncio
import itertools
import json
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest
import redis.asyncio
from blackbox import dumps
from blackbox.broker import DEAD, SHARDS, Heard, channel, depth, drain, listening, reading_the_log, shard_queue
from blackbox.canary import SPELLINGS, Tokens
from blackbox.customers import Customers, a_customer
from blackbox.database import database
from blackbox.every_command import live
from blackbox.every_question import be_asked_about, be_asked_in_vain
from blackbox.feed import Feed
from blackbox.problems import problem
from blackbox.questions import LOOKUP, SEARCH, ask
from blackbox.sink import Sink
from blackbox.subject import Driven, Subject
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack

CUSTOMERS = 50
AT_ONCE = 8
LONG = 70  # versions of one of them, so that its timeline has a block
REPORTING = ("customerflow-command", "customerflow-relay", "customerflow-projector")
TABLES = {"cf_events", "cf_outbox", "cf_claims", "cf_customer_keys", "cf_idempotency", "cf_due"}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture(scope="module")
def driven() -> Driven:
    return Driven()


@pytest.fixture(scope="module")
async def told(system: System) -> AsyncIterator[Heard]:
    """What other systems are told meanwhile."""
    async with listening(system.amqp) as heard:
        yield heard


@pytest.fixture(scope="module")
async def subjects(system: System, customers: Customers, tokens: Tokens, driven: Driven, told: Heard) -> list[Subject]:
    """They have been through everything but their erasure, and Redis shows them."""
    subjects = [Subject(customers, system, tokens, driven) for _ in range(CUSTOMERS)]
    turn = asyncio.Semaphore(AT_ONCE)

    async def lived(number: int, subject: Subject) -> None:
        async with turn:
            await live(subject, by_upsert=number % 5 == 0)
            while number == 1 and subject.version < LONG:
                await subject.does("PATCH", subject.path, subject.names())
            assert (await customers.read(subject.customer))["version"] == subject.version
            await be_asked_about(subject)
            if number % 5 == 0:
                await be_asked_in_vain(subject)

    await asyncio.gather(*itertools.starmap(lived, enumerate(subjects)))
    return subjects


@pytest.fixture(scope="module")
async def erased(system: System, customers: Customers, subjects: list[Subject]) -> list[Subject]:
    """One half at once, a quarter while an erasure is pending, a quarter when theirs falls due."""

    async def erase(number: int, subject: Subject) -> None:
        if number % 2:
            await subject.asks_for_erasure(grace_days=30, status=202)
        if number % 4 == 3:
            await _fall_due(system, subject)
        else:
            await subject.asks_for_erasure(grace_days=0, status=200)
        # a process remembers for a minute what it has read, and does not know that it was dated back
        await eventually(lambda: _is_gone(customers, subject), within=75)

    await asyncio.gather(*itertools.starmap(erase, enumerate(subjects)))
    return subjects


async def _fall_due(system: System, subject: Subject) -> None:
    """What only days could bring about: the request is dated back, by the owner of the database."""
    async with database(system.mysql_owner) as owner:
        customer = f"customer_id = 0x{subject.id.replace('-', '')}"
        await owner.rows(
            "UPDATE cf_events SET data = JSON_SET(data, '$.dueAt', '2026-01-01T00:00:00Z') "
            f"WHERE {customer} AND version = {subject.version}"
        )
        await owner.rows(f"UPDATE cf_due SET due_at = '2026-01-01' WHERE {customer}")


async def _is_gone(customers: Customers, subject: Subject) -> None:
    problem(await customers.get(subject.customer), 410, "customer-erased")


def test_the_tokens_would_be_found_if_they_were_there(tokens: Tokens, subjects: list[Subject]) -> None:
    sample = [made[-1] for made in tokens.made.values()]
    for token, spell, shift in itertools.product(sample, SPELLINGS.values(), range(3)):
        assert tokens.seen_in(b"x" * shift + spell(token) + b"yz"), token
    assert tokens.seen_in(tokens.word().upper().encode())
    assert len(tokens) > CUSTOMERS * 100


async def test_every_command_was_driven_and_retried(
    customers: Customers, driven: Driven, subjects: list[Subject]
) -> None:
    paths = (await customers.command.get("/docs/openapi.json")).json()["paths"]
    del paths["/v1/postal-codes/BR/{cep}"]  # what one says is nobody's
    commands = [(method.upper(), path) for path, methods in paths.items() for method in methods if "/v1/" in path]
    never = [
        f"{method} {path}"
        for method, path in commands
        if not any(method == one and re.fullmatch(re.sub(r"{.+?}", "[^/]+", path), to) for one, to in driven.succeeded)
    ]
    assert never == []
    assert len(commands) > 25
    assert driven.replayed > CUSTOMERS * 30


async def test_every_kind_of_refusal_was_driven(driven: Driven, subjects: list[Subject]) -> None:
    statuses = {refusal.split()[0] for refusal in driven.refused}
    assert statuses >= {"400", "404", "405", "409", "412", "413", "415", "422", "428"}
    assert min(driven.refused.values()) >= CUSTOMERS


async def test_no_question_is_refused_by_repeating_it(driven: Driven, tokens: Tokens, subjects: list[Subject]) -> None:
    assert len(driven.unanswered) > CUSTOMERS * 5
    assert tokens.seen_in(b"\n".join(driven.unanswered)) == []


# While they live


async def test_redis_is_where_personal_data_stands(system: System, tokens: Tokens, subjects: list[Subject]) -> None:
    """The one allowed place, so that the search is known to look for the right thing in the right form."""
    kinds = {sighting.partition(",")[0] for sighting in tokens.seen_in(await dumps.read_model(system))}
    assert kinds >= {"word", "phone", "cpf", "day"}


async def test_so_do_timelines(customers: Customers, tokens: Tokens, subjects: list[Subject]) -> None:
    for told in await timelines(customers, subjects):
        assert tokens.seen_in(told)


async def test_no_table_holds_personal_data(system: System, tokens: Tokens, subjects: list[Subject]) -> None:
    await tables_hold_nothing(system, tokens)


async def test_claims_hold_hashes_only(system: System, subjects: list[Subject]) -> None:
    async with database(system.mysql_owner) as observer:
        rows = await observer.rows("SELECT kind, key_hash FROM cf_claims")
    assert len(rows) >= CUSTOMERS
    for kind, key_hash in rows:
        assert re.fullmatch(r"email|(tax-id|external-id):[a-z0-9_.-]+", kind)
        assert len(key_hash) == 32


async def test_no_log_holds_personal_data(system: System, tokens: Tokens, subjects: list[Subject]) -> None:
    await logs_hold_nothing(system, tokens)


async def test_no_trace_and_no_metric_holds_personal_data(
    system: System, sink: Sink, tokens: Tokens, subjects: list[Subject]
) -> None:
    await telemetry_holds_nothing(system, sink, tokens)


async def test_no_integration_event_holds_personal_data(told: Heard, tokens: Tokens, subjects: list[Subject]) -> None:
    assert len(told.messages) >= CUSTOMERS * 20
    assert tokens.seen_in(dumps.messages(told.messages)) == []


async def test_nothing_was_left_dead_on_the_way(system: System, subjects: list[Subject]) -> None:
    assert await drain(system.amqp, DEAD, quiet=0) == []


# Once they are erased


async def test_an_erased_customer_is_gone_for_everybody(customers: Customers, erased: list[Subject]) -> None:
    for subject in erased:
        await _is_gone(customers, subject)
        await subject.fails("customer-erased", "PATCH", subject.path, subject.names())
        await subject.fails("customer-erased", "POST", f"{subject.path}/tax-ids", {"type": "other", "value": "1"})


async def test_no_table_holds_a_trace_of_it(system: System, tokens: Tokens, erased: list[Subject]) -> None:
    await tables_hold_nothing(system, tokens)


async def test_keys_claims_answers_and_dates_are_gone(system: System, erased: list[Subject]) -> None:
    """But the answer to the erasure itself, where somebody asked for it and did not wait until it was due."""
    gone = ", ".join(f"0x{subject.id.replace('-', '')}" for subject in erased)
    async with database(system.mysql_owner) as observer:
        for table in ("cf_customer_keys", "cf_claims", "cf_due", "cf_outbox"):
            assert await observer.rows(f"SELECT * FROM {table} WHERE customer_id IN ({gone})") == [], table
        answers = await observer.rows(f"SELECT customer_id FROM cf_idempotency WHERE customer_id IN ({gone})")
    assert len(answers) == len(set(answers)) == sum(number % 4 != 3 for number in range(CUSTOMERS))


async def test_redis_holds_no_trace_of_it(system: System, tokens: Tokens, erased: list[Subject]) -> None:
    assert tokens.seen_in(await dumps.read_model(system)) == []


async def test_timelines_tell_nothing_of_it(customers: Customers, tokens: Tokens, erased: list[Subject]) -> None:
    for told in await timelines(customers, erased):
        assert tokens.seen_in(told) == []
        assert all(entry["redacted"] for entry in json.loads(told)["data"])


async def test_no_question_finds_it(customers: Customers, tokens: Tokens, erased: list[Subject]) -> None:
    every = {"status": ["active", "suspended", "archived", "erased"], "limit": 200}
    for kind, made in tokens.made.items():
        for token in map(bytes.decode, made[:: len(made) // 20 + 1]):
            if kind == "word":
                found = await ask(customers, SEARCH, {"q": token, **every})
                assert found.json() == {"data": []}
                assert (await ask(customers, LOOKUP, {"email": f"{token}@example.com"})).json() == {"data": []}
            if kind == "phone":
                assert (await ask(customers, LOOKUP, {"phone": f"+{token}"})).json() == {"data": []}
            if kind == "cpf":
                body = {"taxId": {"type": "br_cpf", "value": token}}
                assert (await ask(customers, LOOKUP, body)).json() == {"data": []}


async def test_no_queue_holds_a_trace_of_it(
    own_stack: Stack, system: System, told: Heard, tokens: Tokens, erased: list[Subject]
) -> None:
    """With the projectors away, whatever they have not confirmed is back in its queue."""
    projectors = [name for name in own_stack.services() if name.startswith("projector")]
    for name in projectors:
        await asyncio.to_thread(own_stack.stop_service, name)
    try:
        async with channel(system.amqp) as own:
            left = [await depth(await own.get_queue(shard_queue(shard))) for shard in range(SHARDS)]
    finally:
        for name in projectors:
            await asyncio.to_thread(own_stack.start_service, name)
    assert left == [0] * SHARDS
    assert await drain(system.amqp, DEAD, quiet=0) == []
    async with reading_the_log(system.amqp) as log:

        async def complete() -> None:
            assert {message.message_id for message in told.messages} <= {one.message_id for one in log.messages}

        await eventually(complete, within=30)
    assert tokens.seen_in(dumps.messages([*told.messages, *log.messages])) == []


async def test_no_log_holds_a_trace_of_it(system: System, tokens: Tokens, erased: list[Subject]) -> None:
    await logs_hold_nothing(system, tokens)


async def test_telemetry_holds_no_trace_of_it(
    system: System, sink: Sink, tokens: Tokens, erased: list[Subject]
) -> None:
    await telemetry_holds_nothing(system, sink, tokens)


async def test_the_feed_tells_their_history_without_what_was_personal(
    feed: Feed, tokens: Tokens, erased: list[Subject]
) -> None:
    gone = {subject.id for subject in erased}
    told = [one for one in await feed.read() if one.customer_id in gone]
    assert len(told) > CUSTOMERS * 30
    assert tokens.seen_in(repr(told).encode()) == []


async def test_a_rebuild_brings_nothing_back(
    own_stack: Stack, system: System, customers: Customers, tokens: Tokens, erased: list[Subject]
) -> None:
    rebuild = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "customerflow_projector", "rebuild"),
        env={**os.environ, **own_stack.env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await rebuild.communicate()
    assert rebuild.returncode == 0, told.decode()
    await still_gone(system, customers, tokens, erased)


async def test_an_emptied_redis_is_filled_without_them(
    own_stack: Stack, system: System, customers: Customers, tokens: Tokens, erased: list[Subject]
) -> None:
    async with redis.asyncio.Redis.from_url(system.redis) as observer:
        await observer.flushall()
    await still_gone(system, customers, tokens, erased)


async def still_gone(system: System, customers: Customers, tokens: Tokens, erased: list[Subject]) -> None:
    for subject in erased:
        await eventually(partial(_is_gone, customers, subject), within=60)
    assert tokens.seen_in(await dumps.read_model(system)) == []


async def timelines(customers: Customers, subjects: list[Subject]) -> list[bytes]:
    """As they are answered, whole."""
    found = []
    for subject in subjects:
        answer = await ask(customers, f"{subject.path}/timeline", limit=200)
        assert len(answer.json()["data"]) >= min(subject.version, 200)
        found.append(answer.content)
    return found


async def tables_hold_nothing(system: System, tokens: Tokens) -> None:
    found = await dumps.tables(system)
    assert found.keys() >= TABLES
    assert {table: seen for table, dump in found.items() if (seen := tokens.seen_in(dump))} == {}


async def logs_hold_nothing(system: System, tokens: Tokens) -> None:
    if system.stack is None:
        pytest.skip("the logs of a given system are not ours to read")
    await asyncio.sleep(0.5)  # whatever is still on its way to a log
    found = dict(dumps.logs(system.stack))
    assert found.keys() >= {f"{service}.log" for service in system.stack.services()}
    assert {log: seen for log, dump in found.items() if (seen := tokens.seen_in(dump))} == {}


async def telemetry_holds_nothing(system: System, sink: Sink, tokens: Tokens) -> None:
    """Of traces and metrics, once what each command process does last has been reported."""
    if system.stack is None:
        pytest.skip("a given system reports elsewhere")
    traces = {url: secrets.token_hex(16) for url in system.commands}
    async with httpx.AsyncClient(trust_env=False) as client:
        for url, trace in traces.items():
            sent = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
            await client.post(f"{url}/v1/customers", json=a_customer(), headers=sent)

    async def reported() -> None:
        seen = {(span.trace, span.service) for span in sink.spans()}
        assert seen >= set(itertools.product(traces.values(), REPORTING))

    await eventually(reported, within=30, every=0.5)
    assert tokens.seen_in(b"\n".join(body for _, body in sink.bodies)) == []
