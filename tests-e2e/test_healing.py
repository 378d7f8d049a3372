"""What is lost comes back by itself: the read model, a queue, a relay that went quiet."""

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from collections import Counter
from contextlib import aclosing
from typing import Any

import redis.asyncio
from blackbox.broker import SHARDS, channel, listening, overtaken, shard_queue
from blackbox.customers import Customer, Customers, Json
from blackbox.feed import Feed
from blackbox.load import all_seen, light_load, many, read_model_equals_fold
from blackbox.problems import problem
from blackbox.questions import LIST, LOOKUP, SEARCH
from blackbox.stream import Stream
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack

LEASE = 6.0  # seconds that a relay may be silent before another takes over


async def test_an_emptied_redis_is_filled_again_and_never_denies_a_customer(
    own_stack: Stack, system: System, customers: Customers, feed: Feed
) -> None:
    before = await feed.head()
    known = await many(customers, 50, 2)
    await all_seen(customers, known, within=10)
    answers: Counter[str] = Counter()
    async with light_load(customers) as meanwhile:
        async with redis.asyncio.Redis.from_url(system.redis) as observer:
            await observer.flushall()
        deadline = time.monotonic() + 30
        while answers["200"] < 20:
            assert time.monotonic() < deadline, answers
            for customer in known[:10]:
                answer = await customers.get(customer)
                answers["200" if answer.status_code == 200 else f"{answer.status_code} {answer.json()['code']}"] += 1
            await asyncio.sleep(0.02)
    assert set(answers) == {"200", "503 rebuilding"}

    changed = [*known, *meanwhile]
    await all_seen(customers, changed, within=20)
    await read_model_equals_fold(customers, feed, before, changed)


async def test_an_emptied_redis_shows_whole_lists_or_none_and_no_change_is_missed(
    own_stack: Stack, system: System, customers: Customers, feed: Feed
) -> None:
    token, before = secrets.token_hex(5), await feed.head()
    known = [await customers.register(name=f"Known {token} {number}", tags=[token]) for number in range(60)]
    await all_seen(customers, known, within=10)
    everybody, first = {customer.id for customer in known}, known[0]
    email = (await customers.read(first))["email"]
    questions: dict[str, tuple[str, str, Json | None, set[Any]]] = {
        "list": ("GET", f"{LIST}?tag={token}&limit=200", None, everybody),
        "by name": ("GET", f"{LIST}?tag={token}&sort=name&limit=200", None, everybody),
        "search": ("POST", SEARCH, {"q": token, "limit": 200}, everybody),
        "look-up": ("POST", LOOKUP, {"email": email}, {first.id}),
        "timeline": ("GET", f"{first.path}/timeline", None, {1}),
        "detail": ("GET", first.path, None, {first.id}),
    }
    answers: Counter[tuple[str, str]] = Counter()
    emptied, healed = asyncio.Event(), asyncio.Event()

    async def ask(name: str) -> None:
        method, path, body, expected = questions[name]
        while not healed.is_set():
            answer = await customers.query.request(method, path, json=body)
            if answer.status_code == 200:
                told = answer.json()
                found = [one.get("id", one["version"]) for one in told.get("data", [told])]
                assert Counter(found) == Counter(expected), f"{name}: {len(found)} of {len(expected)}"
                answers[name, "whole"] += emptied.is_set()
            else:
                problem(answer, 503, "rebuilding")
                answers[name, "none"] += 1
            await asyncio.sleep(0.01)

    async def empty() -> None:
        await asyncio.sleep(0.5)
        async with redis.asyncio.Redis.from_url(system.redis) as observer:
            await observer.flushall()
        emptied.set()
        deadline = time.monotonic() + 30
        while any(answers[name, "none"] == 0 or answers[name, "whole"] < 20 for name in questions):
            assert time.monotonic() < deadline, answers
            await asyncio.sleep(0.05)
        healed.set()

    stream = Stream(system, before)
    async with light_load(customers) as meanwhile, asyncio.TaskGroup() as group:
        told = asyncio.create_task(_followed(stream, feed, healed))
        for name in questions:
            group.create_task(ask(name))
        group.create_task(empty())
    await all_seen(customers, [*known, *meanwhile], within=20)
    changes = await told
    assert stream.resets == 0
    assert [one["position"] for one in changes] == list(range(before + 1, changes[-1]["position"] + 1))


async def _followed(stream: Stream, feed: Feed, healed: asyncio.Event) -> list[Json]:
    """All changes up to one that came after all was well again, over one connection."""
    found, end = [], sys.maxsize
    async with aclosing(stream.changes()) as changes:
        async for change in changes:
            found.append(change)
            if healed.is_set() and end == sys.maxsize:
                end = await feed.head()
            if change["position"] >= end:
                break
    return found


async def test_a_deleted_shard_queue_comes_back_and_what_was_in_it_is_not_lost(
    own_stack: Stack, system: System, customers: Customers, feed: Feed
) -> None:
    before = await feed.head()
    waiting = asyncio.create_task(many(customers, 200, 2))
    await asyncio.sleep(0.3)
    async with channel(system.amqp) as own:
        await own.queue_delete(shard_queue(0))
    changed = await waiting
    await all_seen(customers, changed, within=20)
    await read_model_equals_fold(customers, feed, before, changed)


async def test_messages_that_vanish_with_their_queue_are_fetched_from_the_feed(
    own_stack: Stack, system: System, customers: Customers, feed: Feed
) -> None:
    """The projectors stand still while messages arrive; then all queues are deleted with what is in them."""
    before = await feed.head()
    projectors = [name for name in own_stack.services() if name.startswith("projector")]
    for name in projectors:
        own_stack.send(name, signal.SIGSTOP)
    try:
        async with listening(system.amqp) as heard:
            changed = await many(customers, 50, 2)

            async def published() -> None:
                assert {customer.id for customer in changed} <= {
                    json.loads(message.body)["subject"] for message in heard.messages
                }

            await eventually(published, within=10)
        async with channel(system.amqp) as own:
            for shard in range(SHARDS):
                await own.queue_delete(shard_queue(shard))
    finally:
        for name in projectors:
            own_stack.send(name, signal.SIGCONT)
    await all_seen(customers, changed, within=45)
    await read_model_equals_fold(customers, feed, before, changed)


async def test_a_rebuild_beside_live_writes_ends_with_the_same_documents(
    own_stack: Stack, customers: Customers, feed: Feed
) -> None:
    before = await feed.head()
    known = await many(customers, 50, 3)
    await all_seen(customers, known, within=10)
    answers: Counter[int] = Counter()
    async with light_load(customers) as meanwhile:
        rebuild = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "customerflow_projector",
            "rebuild",
            env={**os.environ, **own_stack.env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        finished = asyncio.create_task(rebuild.communicate())
        while not finished.done():
            for customer in known[:5]:
                answers[(await customers.get(customer)).status_code] += 1
            await asyncio.sleep(0.02)
    told, _ = await finished
    assert rebuild.returncode == 0, told.decode()
    assert set(answers) == {200}, f"the live generation serves until the new one is complete: {answers}"

    changed = [*known, *meanwhile]
    assert meanwhile
    await all_seen(customers, changed, within=20)
    await read_model_equals_fold(customers, feed, before, changed)


async def test_a_relay_that_stands_still_is_replaced_and_does_no_harm_when_it_goes_on(
    own_stack: Stack, system: System, customers: Customers, feed: Feed
) -> None:
    before = await feed.head()
    changed: list[Customer] = []
    async with listening(system.amqp) as heard:
        for relay in ("relay", "relay-2"):  # one of the two is active
            own_stack.send(relay, signal.SIGSTOP)
            stopped = time.monotonic()
            try:
                while time.monotonic() < stopped + LEASE + 1:
                    changed += await many(customers, 2, 3)
                    await asyncio.sleep(0.3)
                await all_seen(customers, changed, within=stopped + 10 - time.monotonic())
            finally:
                own_stack.send(relay, signal.SIGCONT)
            changed += await many(customers, 10, 3)
        await all_seen(customers, changed, within=10)

        async def all_told() -> None:
            told = [json.loads(message.body)["data"] for message in heard.messages]
            assert {(customer.id, customer.version) for customer in changed} <= {
                (about["customerId"], about["version"]) for about in told
            }

        await eventually(all_told, within=10)
        assert overtaken(heard.messages) == []
    await read_model_equals_fold(customers, feed, before, changed)
