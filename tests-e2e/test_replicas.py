"""Several of each program share the work; losing one of them in the middle of it loses nothing."""

import asyncio
from collections import Counter
from dataclasses import replace

from blackbox.customers import Customer, Customers
from blackbox.feed import Feed
from blackbox.load import all_seen, change, many, read_model_equals_fold
from blackbox.system import System
from customerflow_local.stack import Stack

CUSTOMERS, CHANGES = 500, 4


async def test_a_projector_that_is_killed_in_the_middle_loses_nothing(
    own_stack: Stack, customers: Customers, feed: Feed
) -> None:
    before = await feed.head()
    sent = 0

    async def kill_in_the_middle() -> None:
        nonlocal sent
        sent += 1
        if sent == CUSTOMERS * CHANGES // 2:
            await asyncio.to_thread(own_stack.kill, "projector-2")

    changed = await many(customers, CUSTOMERS, CHANGES, kill_in_the_middle)
    assert sent == CUSTOMERS * CHANGES
    await all_seen(customers, changed, within=20)
    await read_model_equals_fold(customers, feed, before, changed)


async def test_one_command_process_serves_while_the_other_is_away(
    own_stack: Stack, system: System, customers: Customers
) -> None:
    await asyncio.to_thread(own_stack.stop_service, "command-2")
    try:
        async with Customers(replace(system, commands=(own_stack.url("command"),))) as through_one:
            changed = await many(through_one, 20, 2)
    finally:
        await asyncio.to_thread(own_stack.start_service, "command-2")
    await all_seen(customers, changed, within=10)


async def test_what_one_command_process_has_changed_the_other_knows(system: System) -> None:
    """Each remembers customers; neither may decide by what it remembers alone."""
    async with (
        Customers(replace(system, commands=system.commands[:1])) as one,
        Customers(replace(system, commands=system.commands[-1:])) as other,
    ):
        for _ in range(10):
            customer = await one.register()
            for number in range(4):
                customer = await change(other if number % 2 else one, customer, number)
            stale = await one.send("DELETE", customer.path, if_match='"1"')
            assert (stale.status_code, stale.json()["currentVersion"]) == (412, customer.version)
            assert await other.archive(await one.patch(customer)) == Customer(customer.id, customer.version + 1)


async def test_of_many_changes_of_one_version_exactly_one_succeeds(customers: Customers) -> None:
    for _ in range(10):
        customer = await customers.register()
        answers = await asyncio.gather(
            *(customers.send("PATCH", customer.path, {"name": f"Name {n}"}, if_match=customer.etag) for n in range(16))
        )
        assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 15}
        assert (await customers.read(Customer(customer.id, 2)))["version"] == 2
