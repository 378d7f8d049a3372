"""SIGTERM in the middle of the work: what has begun is finished, and what was answered holds."""

import asyncio
import signal

import httpx
from blackbox.customers import Customer, Customers, a_customer
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack

LEAVES_WITHIN = 5.0


async def test_a_command_process_that_is_asked_to_leave_finishes_what_it_has_begun(
    own_stack: Stack, system: System, customers: Customers
) -> None:
    leaving, before = system.commands[1], own_stack.pid("command-2")
    limits = httpx.Limits(max_connections=20)
    async with httpx.AsyncClient(base_url=leaving, timeout=10, limits=limits) as client:
        await client.get("/health/live")

        async def register(delay: float) -> httpx.Response:
            await asyncio.sleep(delay)
            return await client.post("/v1/customers", json=a_customer())

        burst = [asyncio.create_task(register(number * 0.01)) for number in range(200)]
        await asyncio.sleep(0.3)
        own_stack.send("command-2", signal.SIGTERM)
        results = await asyncio.gather(*burst, return_exceptions=True)

    answers = [result for result in results if isinstance(result, httpx.Response)]
    refused = [result for result in results if isinstance(result, BaseException)]
    assert {answer.status_code for answer in answers} == {201}
    assert refused, "all were answered before the signal: nothing was shown"
    assert all(isinstance(error, httpx.TransportError) for error in refused)
    for answer in answers:
        body = answer.json()
        await customers.read(Customer(body["id"], body["version"]))

    async def another_runs() -> None:
        assert own_stack.pid("command-2") not in (0, before)

    await eventually(another_runs, within=LEAVES_WITHIN)
    await asyncio.to_thread(own_stack.wait_ready, "command-2")


async def test_a_relay_that_leaves_gives_its_lease_to_the_standby_at_once(
    own_stack: Stack, customers: Customers
) -> None:
    for name in ("relay", "relay-2"):
        own_stack.send(name, signal.SIGTERM)
        customer = await customers.register()
        answer = await customers.get(customer, at_least=customer.version, wait=5)
        assert answer.status_code == 200
        await asyncio.to_thread(own_stack.wait_ready, name)
