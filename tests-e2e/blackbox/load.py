"""Customers that are changed again and again, and the proof that nothing of it was lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from blackbox.customers import Customer, Customers
from blackbox.feed import Feed
from blackbox.fold import fold
from blackbox.waiting import eventually

AT_ONCE = 24


async def many(
    customers: Customers, count: int, changes: int, after_each: Callable[[], Awaitable[None]] | None = None
) -> list[Customer]:
    """Register `count` customers and change each `changes` times, some at once; returns them as last answered."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one() -> Customer:
        async with turn:
            customer = await customers.register()
            for number in range(changes):
                customer = await change(customers, customer, number)
                if after_each:
                    await after_each()
            return customer

    return await asyncio.gather(*(one() for _ in range(count)))


async def change(customers: Customers, customer: Customer, number: int) -> Customer:
    """Another kind of change each time; every one of them is possible after the one before."""
    match number % 4:
        case 0:
            return await customers.patch(customer, name=f"Name {number}")
        case 1:
            return await customers.patch(customer, name=f"Name {number}", email=None)
        case 2:
            return await customers.archive(customer)
        case _:
            return await customers.restore(customer)


@asynccontextmanager
async def light_load(customers: Customers, pause: float = 0.02) -> AsyncIterator[list[Customer]]:
    """One client that registers and changes customers until the block ends; then the list is complete."""
    changed: list[Customer] = []
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set():
            customer = await customers.register()
            changed.append(await customers.patch(customer, name="Changed Under Load"))
            await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        try:
            yield changed
        finally:
            stop.set()


async def all_seen(customers: Customers, changed: Iterable[Customer], within: float) -> None:
    """Every one of them is read at its last version within this time, all taken together."""
    deadline, turn = time.monotonic() + within, asyncio.Semaphore(AT_ONCE)

    async def seen(customer: Customer) -> None:
        async with turn:
            await eventually(lambda: customers.read(customer, wait=2), within=deadline - time.monotonic())

    await asyncio.gather(*(seen(customer) for customer in changed))


async def read_model_equals_fold(customers: Customers, feed: Feed, after: int, changed: Sequence[Customer]) -> None:
    """The documents of these customers, all registered after this position, are what the feed folds to."""
    documents, turn = fold(await feed.read(after)), asyncio.Semaphore(AT_ONCE)

    async def compare(customer: Customer) -> None:
        async with turn:
            assert await customers.read(customer) == documents[customer.id]
            assert documents[customer.id]["version"] == customer.version

    await asyncio.gather(*(compare(customer) for customer in changed))
