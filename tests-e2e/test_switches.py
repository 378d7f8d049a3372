"""What an operator switches in a running system, under load: it takes effect, disturbs nobody, and nothing is lost."""

import asyncio
import json
import time

import httpx
from blackbox.customers import Customers
from blackbox.feed import Feed
from blackbox.load import all_seen, light_load, read_model_equals_fold
from blackbox.problems import problem
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.flag_file import FlagFile

EFFECT = 2.0  # seconds
FLAG = "verify-email-at-registration"


async def says(url: str, *paused: str) -> None:
    """The program is ready, and names what is paused, within the time that a flag may take."""

    async def said() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=10) as client:
            answer = await client.get("/health/ready")
            assert (answer.status_code, answer.json().get("paused", [])) == (200, [*paused])

    await eventually(said, within=EFFECT)


async def test_while_the_projection_is_paused_commands_go_on_and_readers_are_told_the_truth(
    system: System, customers: Customers, feed: Feed, switches: FlagFile
) -> None:
    before = await feed.head()
    async with light_load(customers) as changed:
        await asyncio.sleep(0.5)
        switches.switch("customer-projection", "off")
        for projector in system.projectors:
            await says(projector, "customer-projection")
        await asyncio.sleep(0.5)
        unseen = await customers.register()
        problem(await customers.get(unseen, at_least=unseen.version, wait=2), 503, "projection-behind")
        switches.switch("customer-projection", "on")
        for projector in system.projectors:
            await says(projector)
    await all_seen(customers, [unseen, *changed], within=15)
    await read_model_equals_fold(customers, feed, before, [unseen, *changed])


async def test_flags_that_flip_under_load_disturb_nobody_and_every_registration_tells_the_variant(
    system: System, customers: Customers, feed: Feed, switches: FlagFile
) -> None:
    before, took = await feed.head(), list[float]()
    async with light_load(customers, pause=0.0) as changed:
        for variant in ("on", "off") * 4:
            switches.switch(FLAG, variant)
            switches.switch("relay-publishing", "off" if variant == "on" else "on")
            switches.switch("customer-projection", "off" if variant == "on" else "on")
            flipped, known = time.monotonic(), len(changed)
            # a registration with a verification has one event more
            while not any(one.version == (3 if variant == "on" else 2) for one in changed[known + 1 :]):
                assert time.monotonic() - flipped < EFFECT
                await asyncio.sleep(0.01)
            took.append(time.monotonic() - flipped)
            await asyncio.sleep(0.5)
    await all_seen(customers, changed, within=30)
    await read_model_equals_fold(customers, feed, before, changed)
    registered = {
        one.customer_id: json.loads(one.line)["metadata"]["flags"][FLAG]
        for one in await feed.read(before)
        if one.event["type"] == "CustomerRegistered"
    }
    assert {one.id: registered[one.id] for one in changed} == {
        one.id: "on" if one.version == 3 else "off" for one in changed
    }
    print(f"{len(changed)} customers, flags took effect within {max(took):.2f} s")
