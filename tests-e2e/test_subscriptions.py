"""Another system is subscribed over REST, listens with nothing but the account it was given, and is removed again."""

import asyncio
import random
import secrets
from contextlib import suppress

import httpx
from blackbox.customers import Customer, Customers
from blackbox.load import many
from blackbox.partner import SUBSCRIPTIONS, Operator, may_connect, url_with
from blackbox.problems import problem
from blackbox.subscriber import Subscriber
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack

KEYS = ("customer.registered.v1", "customer.updated.v1")


def heard(subscriber: Subscriber, customer: Customer) -> list[int]:
    """The versions that were told of, in the order in which they came."""
    events = [one.told for one in subscriber.deliveries]
    return [event["data"]["version"] for event in events if event["subject"] == customer.id]


async def test_a_partner_is_subscribed_listens_gets_another_password_and_is_removed(
    system: System, customers: Customers
) -> None:
    name = f"e2e-{secrets.token_hex(6)}"
    async with Operator(system) as operator:
        told = await operator.subscribe(name, *KEYS)
        old, queue = told["credentials"], told["subscription"]["queue"]
        with Subscriber(url_with(system, old), queue) as subscriber:
            changed = await many(customers, 10, 2)

            async def complete() -> None:
                for customer in changed:
                    versions = heard(subscriber, customer)
                    assert (versions[:1], versions[-1:], versions) == ([1], [customer.version], sorted(versions))

            await eventually(complete, within=20)
            archived = await customers.archive(changed[0])  # nobody asked for that

            async def inspected() -> None:
                told = await operator.told("GET", name)
                counted = {"consumers": 1, "messages": 0, "deadLetters": 0, "faults": []}
                assert told["subscription"] | counted == told["subscription"]
                assert told["connections"] == 1

            await eventually(inspected, within=20)
            new = await operator.told("POST", f"{name}/credentials")
            assert not await asyncio.to_thread(may_connect, url_with(system, old))
            assert await asyncio.to_thread(may_connect, url_with(system, new))
            restored = await customers.restore(archived)
            last = await customers.patch(restored, name="Another Name")

            async def still_open() -> None:
                assert heard(subscriber, last)[-1] == last.version
                assert archived.version not in heard(subscriber, last)

            await eventually(still_open, within=20)
            assert subscriber.connections == 1

        await customers.patch(last, name="While Nobody Listens")

        async def waits() -> None:
            assert (await operator.told("GET", name))["subscription"].get("messages") == 1

        await eventually(waits, within=20)
        refused = problem(await operator.delete(f"{SUBSCRIPTIONS}/{name}"), 409, "subscription-has-messages")
        assert refused["messages"] == 1
        with Subscriber(url_with(system, new), queue) as subscriber:

            async def taken() -> None:
                assert heard(subscriber, last) == [last.version + 1]

            await eventually(taken, within=20)
        assert (await operator.delete(f"{SUBSCRIPTIONS}/{name}", params={"force": "true"})).status_code == 204
        problem(await operator.get(f"{SUBSCRIPTIONS}/{name}"), 404, "subscription-not-found")
    assert not await asyncio.to_thread(may_connect, url_with(system, new))


async def test_only_the_operator_is_let_in(system: System) -> None:
    async with httpx.AsyncClient(base_url=system.partners, timeout=10, trust_env=False) as anybody:
        for headers in ({}, {"Authorization": f"Bearer {system.feed_token}"}):
            problem(await anybody.get(SUBSCRIPTIONS, headers=headers), 401, "unauthorized")


async def test_creations_in_whose_midst_the_service_is_killed_are_completed_by_the_same_again(
    own_stack: Stack, system: System
) -> None:
    names = [f"e2e-{secrets.token_hex(6)}" for _ in range(12)]
    chance = random.Random(6)
    lost = 0

    async def subscribed(operator: Operator, name: str) -> dict[str, str]:
        nonlocal lost
        while True:
            try:
                told = await operator.subscribe(name, *KEYS)
            except httpx.TransportError:
                lost += 1
                await asyncio.sleep(0.1)
                continue
            if "credentials" in told:
                return dict(told["credentials"])
            return await operator.told("POST", f"{name}/credentials")  # they were lost with an answer

    async def kill() -> None:
        for _ in range(4):
            await eventually(ready, within=20, every=0.05)
            await asyncio.sleep(chance.uniform(0.05, 0.5))
            await asyncio.to_thread(own_stack.kill, "partners")

    async def ready() -> None:
        answer = None
        async with httpx.AsyncClient(trust_env=False) as client:
            with suppress(httpx.TransportError):
                answer = await client.get(f"{system.partners}/health/ready")
        assert answer is not None
        assert answer.status_code == 200

    async def create() -> list[dict[str, str]]:
        found = list[dict[str, str]]()
        async with Operator(system) as operator:
            for name in names:
                found.append(await subscribed(operator, name))
                await asyncio.sleep(0.3)
        return found

    try:
        credentials, _ = await asyncio.gather(create(), kill())
        assert lost
        await eventually(ready, within=20)
        async with Operator(system) as operator:
            listed = {one["name"]: one for one in (await operator.get(SUBSCRIPTIONS)).json()["data"]}
        assert {name: listed[name]["faults"] for name in names} == {name: [] for name in names}
        for one in credentials:
            assert await asyncio.to_thread(may_connect, url_with(system, one))
    finally:
        await eventually(ready, within=20)
        async with Operator(system) as operator:
            for name in names:
                await operator.delete(f"{SUBSCRIPTIONS}/{name}", params={"force": "true"})
