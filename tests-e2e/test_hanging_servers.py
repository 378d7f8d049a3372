"""A server that takes connections and answers nothing holds nobody up: whoever needs it is told so before the deadline
of his request, whoever does not notices nothing, and once it goes on all is well again.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from blackbox.customers import Customer, Customers, a_customer
from blackbox.partner import SUBSCRIPTIONS, Operator
from blackbox.system import System
from customerflow_local.stack import Stack

DEADLINE = 8.0  # seconds
AND_A_LITTLE = 1.0


@asynccontextmanager
async def standing_still(stack: Stack, server: str) -> AsyncIterator[None]:
    stack.send(server, signal.SIGSTOP)
    try:
        yield
    finally:
        stack.send(server, signal.SIGCONT)
        for program in stack.urls:
            await asyncio.to_thread(stack.wait_ready, program)


async def told_soon(asked: httpx.AsyncClient, method: str, url: str, **further: object) -> None:
    """That it does not answer, and when to come again. Twice: with connections that are open, and without."""
    for _ in range(2):
        began = time.monotonic()
        answer = await asked.request(method, url, **further)  # type: ignore[arg-type]
        took = time.monotonic() - began
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True), f"{method} {url}: {answer.text}"
        assert took < DEADLINE + AND_A_LITTLE, f"{method} {url}: after {took:.1f} s"


@pytest.fixture
async def anybody() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


@pytest.mark.timeout(150)
async def test_whoever_asks_is_told_so_while_redis_hangs(
    own_stack: Stack, system: System, customers: Customers, standing: Customer, anybody: httpx.AsyncClient
) -> None:
    one = f"{system.query}/v1/customers/{standing.id}"
    asked = [
        one,
        f"{one}?minVersion=1",
        f"{one}/timeline",
        f"{system.query}/v1/customers?limit=50",
        f"{system.query}/v1/stats/customers",
    ]
    async with standing_still(own_stack, "redis"):
        await asyncio.gather(*(told_soon(anybody, "GET", url) for url in asked))
        changed = await customers.register()
    answer = await customers.get(changed, at_least=changed.version, wait=5)
    assert answer.status_code == 200


@pytest.mark.timeout(150)
async def test_whoever_changes_something_is_told_so_while_mysql_hangs(
    own_stack: Stack, system: System, customers: Customers, standing: Customer, anybody: httpx.AsyncClient
) -> None:
    await customers.read(standing)
    command, of_one = f"{system.command}/v1/customers", f"/{standing.id}/tags/hangs"
    feed = {"Authorization": f"Bearer {system.feed_token}"}
    keyed = {"Idempotency-Key": "while-mysql-hangs"}
    async with standing_still(own_stack, "mysql"):
        await asyncio.gather(
            told_soon(anybody, "POST", command, json=a_customer()),
            told_soon(anybody, "POST", command, json=a_customer(), headers=keyed),
            told_soon(anybody, "PUT", command + of_one, headers={"If-Match": f'"{standing.version + 1}"'}),
            told_soon(anybody, "GET", f"{system.command}/internal/events?after=0", headers=feed),
        )
        assert (await anybody.get(f"{system.query}/v1/customers/{standing.id}")).status_code == 200
    await customers.read(await customers.register())


@pytest.mark.timeout(150)
async def test_commands_and_reads_go_on_while_rabbitmq_hangs_and_an_operator_is_told_so(
    own_stack: Stack, system: System, customers: Customers, standing: Customer
) -> None:
    await customers.read(standing)
    async with Operator(system) as operator, standing_still(own_stack, "rabbitmq"):
        began = time.monotonic()
        changed = await customers.register()
        assert (await customers.get(standing)).status_code == 200
        assert time.monotonic() - began < 2, "nothing of it needs RabbitMQ"
        await told_soon(operator, "GET", SUBSCRIPTIONS)
    answer = await customers.get(changed, at_least=changed.version, wait=7)
    assert answer.status_code == 200
