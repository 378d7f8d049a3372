"""A system without RabbitMQ is sent what happens to customers: signed, in order, again if need be, and nothing lost."""

from typing import Any

import httpx
from blackbox.customers import Customers, Json
from blackbox.hook import Hook, verifies
from blackbox.load import many
from blackbox.partner import WEBHOOKS, Operator
from blackbox.problems import problem
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack


async def told(operator: httpx.AsyncClient, method: str, at: str = "", **request: Any) -> Json:
    answer = await operator.request(method, f"{WEBHOOKS}{at}", **request)
    assert answer.status_code in (200, 201), answer.text
    document: Json = answer.json()
    return document


async def test_a_receiver_is_sent_what_happens_from_its_creation_on(
    own_stack: Stack, system: System, customers: Customers
) -> None:
    async with Operator(system) as operator:
        with Hook() as hook:
            created = await told(operator, "POST", json={"url": hook.url, "routingKeys": ["customer.#"]})
            one, secret = created["webhook"]["id"], created["secret"]
            assert (await told(operator, "POST", f"/{one}/ping"))["delivered"]
            assert verifies(secret, hook.calls[0].headers, hook.calls[0].body)
            hook.calls.clear()

            changed = await many(customers, 10, 2)

            async def complete() -> None:
                for customer in changed:
                    assert hook.taken(customer.id)[-1:] == [customer.version]

            await eventually(complete, within=30)
            for call in [*hook.calls]:
                assert verifies(secret, call.headers, call.body)
                assert call.headers["webhook-id"] == call.told["id"]
                assert call.headers["content-type"] == "application/cloudevents+json"

            # a customer of whom something is refused waits, the others do not, and a worker that dies forgets nothing
            ana, bruno = changed[:2]
            before = {customer.id: hook.taken(customer.id) for customer in changed}
            assert all(versions == sorted({1, *versions}) for versions in before.values())
            hook.answers[ana.id] = 500
            ana = await customers.patch(ana, name="Ana Refused")

            async def held() -> None:
                assert (await told(operator, "GET", f"/{one}"))["heldCustomers"] == 1

            await eventually(held, within=20)
            own_stack.kill("webhooks")
            ana = await customers.patch(ana, name="Ana Behind")
            bruno = await customers.patch(bruno, name="Bruno")
            own_stack.start_service("webhooks")

            async def goes_on() -> None:
                assert hook.taken(bruno.id) == [*before[bruno.id], bruno.version]

            # whoever takes over waits until the lease of the one that was killed has expired
            await eventually(goes_on, within=60)
            del hook.answers[ana.id]
            assert (await told(operator, "POST", f"/{one}/deliveries/retry"))["retried"] >= 1

            async def mended() -> None:
                assert hook.taken(ana.id) == [*before[ana.id], ana.version - 1, ana.version]

            await eventually(mended, within=20)
            rotated = await told(operator, "POST", f"/{one}/secret")

            async def by_both() -> None:
                nonlocal ana
                ana = await customers.patch(ana, name=f"Ana {len(hook.calls)}")

                async def told_again() -> None:
                    assert hook.taken(ana.id)[-1] == ana.version

                await eventually(told_again, within=20)
                call = hook.calls[-1]
                assert verifies(secret, call.headers, call.body)
                assert verifies(rotated["secret"], call.headers, call.body)

            await eventually(by_both, within=20)
        assert (await operator.delete(f"{WEBHOOKS}/{one}")).status_code == 204

        async def gone() -> None:
            problem(await operator.get(f"{WEBHOOKS}/{one}"), 404, "webhook-not-found")

        await eventually(gone, within=20)


async def test_addresses_in_private_networks_are_refused(system: System) -> None:
    async with Operator(system) as operator:
        for url in (
            "https://10.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fd00::1]/",
            "http://93.184.216.34/",
            "https://user@example.com/",
            "https://2130706433/",
        ):
            answer = await operator.post(WEBHOOKS, json={"url": url, "routingKeys": ["customer.#"]})
            refused = problem(answer, 422, "invalid-fields")
            assert [fault["code"] for fault in refused["errors"]] == ["url-refused"], url


async def test_only_the_operator_has_webhooks(system: System) -> None:
    async with httpx.AsyncClient(base_url=system.partners, timeout=10, trust_env=False) as anybody:
        for headers in ({}, {"Authorization": f"Bearer {system.feed_token}"}):
            problem(await anybody.get(WEBHOOKS, headers=headers), 401, "unauthorized")
            problem(await anybody.post(WEBHOOKS, headers=headers, json={}), 401, "unauthorized")
