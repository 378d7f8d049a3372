"""What a partner in plain pika has missed or refused it is told again: by a replay, and by mending dead letters."""

import asyncio
import json
import secrets
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
from blackbox.account import Delivery
from blackbox.customers import Customers, Json
from blackbox.feed import Feed
from blackbox.load import many
from blackbox.partner import SUBSCRIPTIONS, Operator, url_with
from blackbox.problems import problem
from blackbox.subscriber import Subscriber, connected, depth
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack

KEYS = ("customer.registered.v1", "customer.updated.v1")
KILLS = 5


@asynccontextmanager
async def partner(operator: Operator, *keys: str) -> AsyncIterator[tuple[str, str, dict[str, str]]]:
    """Its name, its queue, its credentials."""
    name = f"e2e-{secrets.token_hex(6)}"
    told = await operator.subscribe(name, *keys)
    try:
        yield name, told["subscription"]["queue"], told["credentials"]
    finally:
        await operator.delete(f"{SUBSCRIPTIONS}/{name}", params={"force": "true"})


def bodies(deliveries: Sequence[Delivery]) -> dict[str, bytes]:
    return {str(one.told["id"]): one.body for one in deliveries}


def first_sequences(deliveries: Sequence[Delivery]) -> dict[str, list[int]]:
    """Of each customer, in the order in which they came for the first time."""
    found: dict[str, list[int]] = defaultdict(list)
    seen = set[str]()
    for one in deliveries:
        if one.told["id"] not in seen:
            seen.add(one.told["id"])
            found[one.told["subject"]].append(int(one.told["sequence"]))
    return found


async def replayed(operator: Operator, name: str, **asked: Any) -> str:
    answer = await operator.post(f"{SUBSCRIPTIONS}/{name}/replays", json=asked)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"{SUBSCRIPTIONS}/{name}/replays/{answer.json()['id']}"
    return str(answer.headers["location"])


async def state(operator: Operator, location: str) -> Json:
    """Also of a service that is just being killed."""
    try:
        answer = await operator.get(location)
    except httpx.TransportError:
        answer = None
    assert answer is not None
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


async def test_a_replay_in_whose_midst_the_service_is_killed_misses_nothing_and_reaches_nobody_else(
    own_stack: Stack, system: System, customers: Customers, feed: Feed
) -> None:
    async with Operator(system) as operator, partner(operator, "customer.#") as (_, log, first):
        with Subscriber(url_with(system, first), log) as heard:
            before = await feed.head()
            changed = await many(customers, 50, 5)

            async def complete() -> None:
                newest = {sub: told[-1] for sub, told in first_sequences(heard.deliveries).items()}
                assert {one.id: one.version for one in changed}.items() <= newest.items()

            await eventually(complete, within=30)
        head = await feed.head()
        async with (
            partner(operator, *KEYS) as (name, queue, credentials),
            partner(operator, *KEYS) as (_, others_queue, _),
        ):
            with Subscriber(url_with(system, credentials), queue) as listening:
                replay = await replayed(operator, name, after=before, until=head, rate=40)
                problem(await operator.post(f"{SUBSCRIPTIONS}/{name}/replays"), 409, "replay-unfinished")
                arrived = 0
                for _ in range(KILLS):

                    async def more(arrived: int = arrived) -> None:
                        assert len(listening.deliveries) > arrived + 5

                    await eventually(more, within=40)
                    await asyncio.to_thread(own_stack.kill, "partners")
                    arrived = len(listening.deliveries)
                    assert arrived < 180

                async def completed() -> None:
                    assert (await state(operator, replay))["state"] == "completed"

                await eventually(completed, within=90)
                expected = {
                    identifier: body
                    for identifier, body in bodies(heard.deliveries).items()
                    if json.loads(body)["type"].removeprefix("io.customerflow.") in KEYS
                }

                async def all_there() -> None:
                    assert bodies(listening.deliveries).keys() >= expected.keys()

                await eventually(all_there, within=10)
            assert bodies(listening.deliveries) == expected
            assert all(told == sorted(told) for told in first_sequences(listening.deliveries).values())
            repeated = sum(Counter(str(one.told["id"]) for one in listening.deliveries).values()) - len(expected)
            print(f"{len(expected)} events, {KILLS} kills, {repeated} repeated")
            assert repeated <= KILLS * 40
            assert await asyncio.to_thread(depth, system.amqp, others_queue) == 0
            told = await state(operator, replay)
            assert (told["progress"]["position"], told["progress"]["of"]) == (head, head)


async def test_a_replay_is_of_what_was_asked_for_and_is_paused_and_ended_by_its_operator(
    system: System, customers: Customers, feed: Feed
) -> None:
    before = await feed.head()
    one, *_ = await many(customers, 5, 2)
    async with Operator(system) as operator, partner(operator, "customer.erased.v1") as (name, queue, _):
        asked = {"after": before, "types": ["customer.updated.v1"], "customer": one.id}
        replay = await replayed(operator, name, **asked)

        async def completed() -> None:
            assert (await state(operator, replay))["state"] == "completed"

        await eventually(completed, within=20)
        told = await state(operator, replay)
        assert told["asked"] == {**asked, "rate": 200}
        assert told["progress"]["published"] == await asyncio.to_thread(depth, system.amqp, queue) == 2

        replay = await replayed(operator, name, types=["customer.registered.v1"], after=before, rate=1)
        assert (await operator.post(f"{replay}/pause")).json()["state"] == "paused"
        assert (await operator.post(f"{replay}/resume")).json()["state"] == "running"
        assert (await operator.post(f"{replay}/cancel")).json()["state"] == "cancelled"
        problem(await operator.post(f"{replay}/resume"), 409, "replay-over")
        listed = (await operator.get(f"{SUBSCRIPTIONS}/{name}/replays")).json()["data"]
        assert [found["state"] for found in listed] == ["cancelled", "completed"]


async def test_what_a_partner_refuses_is_seen_retried_in_order_and_discarded(
    system: System, customers: Customers
) -> None:
    async with Operator(system) as operator, partner(operator, *KEYS) as (name, queue, credentials):
        letters = f"{SUBSCRIPTIONS}/{name}/dead-letters"
        changed = await many(customers, 8, 2)
        url = url_with(system, credentials)
        refused = await asyncio.to_thread(refuse, url, queue, 24)

        async def listed() -> list[Json]:
            told = (await operator.get(letters, params={"limit": "100"})).json()
            assert told["count"] == 24
            return list(told["data"])

        found = await eventually(listed, within=20)
        assert [one["id"] for one in found] == [json.loads(body)["id"] for body in refused]
        for one, body in zip(found, refused, strict=True):
            event = json.loads(body)
            assert (one["customerId"], one["sequence"]) == (event["subject"], int(event["sequence"]))
            assert (one["reason"], one["attempts"]) == ("rejected", 1)
            assert set(one) == {"id", "type", "customerId", "sequence", "reason", "attempts", "since"}

        whose = changed[0].id
        own = [one["id"] for one in found if one["customerId"] == whose]
        told = (await operator.post(f"{letters}/{own[1]}/retry")).json()
        assert told == {"retried": 2, "kept": [], "left": 0}
        actor = {"CustomerFlow-Actor": "user:42"}
        reason = {"reason": "known by other means"}
        answer = await operator.post(f"{letters}/{own[2]}/discard", json=reason, headers=actor)
        assert answer.json() == {"discarded": 1}
        problem(await operator.post(f"{letters}/{own[2]}/retry"), 404, "dead-letter-not-found")
        problem(await operator.post(f"{letters}/discard", json={"reason": "ana@example.com"}), 422, "invalid-fields")
        assert (await operator.post(f"{letters}/retry")).json() == {"retried": 21, "kept": [], "left": 0}
        assert (await operator.get(letters)).json() == {"data": [], "count": 0}
        with Subscriber(url, queue) as again:

            async def all_there() -> None:
                assert len(again.deliveries) == 23

            await eventually(all_there, within=20)
        kept = {event["id"]: body for body in refused if (event := json.loads(body))["id"] != own[2]}
        assert bodies(again.deliveries) == kept
        assert all(told == sorted(told) for told in first_sequences(again.deliveries).values())


def refuse(url: str, queue: str, count: int) -> list[bytes]:
    """The partner takes so many, and refuses them."""
    with closing(connected(url)) as connection:
        channel, found = connection.channel(), list[bytes]()
        for method, _, body in channel.consume(queue, inactivity_timeout=20):
            assert method is not None
            found.append(body)
            channel.basic_reject(method.delivery_tag, requeue=False)
            if len(found) == count:
                break
    return found
