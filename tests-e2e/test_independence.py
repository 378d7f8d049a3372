"""A server that is away takes down what needs it, and nothing else; each program says so, and comes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpx
from blackbox.customers import Customer, Customers, a_customer
from blackbox.load import all_seen, many
from blackbox.problems import problem
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack

NOTICED_WITHIN = 15.0


@asynccontextmanager
async def without(stack: Stack, server: str) -> AsyncIterator[None]:
    await asyncio.to_thread(stack.stop_service, server)
    try:
        yield
    finally:
        await asyncio.to_thread(stack.start_service, server)
        await asyncio.to_thread(stack.wait_server_ready, server)


async def says(urls: Iterable[str], ready: bool, because: str = "") -> None:
    """All of these programs are alive, and (not) ready, naming the server that is away."""

    async def said(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=10) as client:
            assert (await client.get("/health/live")).status_code == 200
            answer = await client.get("/health/ready")
            assert answer.status_code == (200 if ready else 503), f"{url}: {answer.text}"
            assert because in answer.text

    for url in urls:
        await eventually(lambda url=url: said(url), within=NOTICED_WITHIN, every=0.2)  # type: ignore[misc]


async def test_without_rabbitmq_commands_succeed_and_arrive_later(
    own_stack: Stack, system: System, customers: Customers
) -> None:
    known = await customers.register()
    await customers.read(known)
    async with without(own_stack, "rabbitmq"):
        changed = await many(customers, 20, 3)
        assert (await customers.get(known)).status_code == 200
        for customer in changed[:3]:  # never an older version; the event feed may be quicker than the broker's return
            answer = await customers.get(customer, at_least=customer.version, wait=1)
            if answer.status_code == 200:
                assert answer.json()["version"] == customer.version
            else:
                problem(answer, 503, "projection-behind")
                assert int(answer.headers["Retry-After"]) >= 1
        await says([*system.commands, system.query], ready=True)
        await says([*system.relays, *system.projectors, system.notifications], ready=False, because="rabbitmq")
    await all_seen(customers, changed, within=30)
    await says(system.programs, ready=True)


async def test_without_redis_commands_succeed_and_queries_say_unavailable(
    own_stack: Stack, system: System, customers: Customers
) -> None:
    known = await customers.register()
    await customers.read(known)
    async with without(own_stack, "redis"):
        changed = await many(customers, 20, 3)
        for customer in (known, changed[0]):
            started = time.monotonic()
            answer = await customers.get(customer)
            problem(answer, 503, "unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
            assert time.monotonic() - started < 5
            assert (await customers.get(customer, method="HEAD")).status_code == 503
        await says([*system.commands, *system.relays, system.notifications], ready=True)
        await says([system.query, *system.projectors], ready=False, because="redis")
    await all_seen(customers, [known, *changed], within=30)
    await says(system.programs, ready=True)


async def test_without_mysql_queries_succeed_and_commands_say_unavailable(
    own_stack: Stack, system: System, customers: Customers
) -> None:
    known = await customers.register()
    await customers.read(known)

    async def refused(customer: Customer) -> None:
        for method, path, body, if_match in (
            ("POST", "/v1/customers", a_customer(), None),
            ("PATCH", customer.path, {"name": "Another Name"}, customer.etag),
            ("DELETE", customer.path, None, customer.etag),
        ):
            started = time.monotonic()
            answer = await customers.send(method, path, body, if_match=if_match)
            problem(answer, 503, answer.json()["code"])
            assert answer.json()["code"] in ("unavailable", "busy")
            assert int(answer.headers["Retry-After"]) >= 1
            assert time.monotonic() - started < 10

    async with without(own_stack, "mysql"):
        assert (await customers.read(known))["version"] == 1
        await refused(known)
        await says([system.query, system.notifications], ready=True)
        await says([*system.commands, *system.relays], ready=False, because="mysql")

    async def works_again() -> Customer:
        answer = await customers.send("PATCH", known.path, {"name": "Another Name"}, if_match=known.etag)
        assert answer.status_code == 200, answer.text
        return Customer(known.id, 2)

    await all_seen(customers, [await eventually(works_again, within=NOTICED_WITHIN)], within=15)
    await says(system.programs, ready=True)
