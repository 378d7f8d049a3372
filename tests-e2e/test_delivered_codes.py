"""A verification code reaches the customer's mailbox by a provider of e-mail, whatever happens to it or to the program
that asks it; and once.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from blackbox.customers import Customer, Customers, Json, a_customer
from blackbox.outside import Outside
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.provider import Mood
from customerflow_local.stack import Stack
from prometheus_client.parser import text_string_to_metric_families

WITHIN = 10.0
CODES, ASKING = 45, 3
AFTER_A_FAILURE = 60.0
"""Seconds: the pauses between attempts, and for which a provider that fails is not asked."""


@pytest.fixture
async def mailbox(own_stack: Stack, outside: Outside) -> AsyncIterator[Outside]:
    """Of a provider that the test may harm. It goes well again, and nothing waits, before the next test."""
    yield outside
    await asyncio.to_thread(own_stack.start_service, "provider")
    await asyncio.to_thread(own_stack.wait_ready, "provider")
    await outside.feel(Mood.WELL)


async def asks_for_a_code(customers: Customers) -> Json:
    """What was registered, with its id."""
    body = a_customer(locale="pt-BR")
    registered = await customers.send("POST", "/v1/customers", body)
    answer = await customers.send("POST", f"/v1/customers/{registered.json()['id']}/email/verification-code")
    assert answer.status_code == 202, answer.text
    return {**body, **answer.json()}


async def received(outside: Outside, asked: Json, within: float = WITHIN) -> Json:
    """The one letter in the mailbox."""

    async def came() -> Json:
        letters = await outside.letters(asked["email"])
        assert len(letters) == 1
        return letters[0]

    return await eventually(came, within)


async def confirmed(customers: Customers, asked: Json, code: str) -> Json:
    """What the query service shows after the code was given back."""
    answer = await customers.send("POST", f"/v1/customers/{asked['id']}/email/confirmation", {"code": code})
    assert answer.status_code == 200, answer.text
    return await customers.read(Customer(asked["id"], answer.json()["version"]))


async def measured(system: System, name: str, **labels: str) -> float:
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{system.notifications}/metrics")).raise_for_status().text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


async def nothing_waits(system: System, within: float) -> None:
    async def seen() -> None:
        assert await measured(system, "customerflow_notifications_pending") == 0

    await eventually(seen, within, every=0.2)


async def test_a_code_comes_by_e_mail_and_verifies_the_address(customers: Customers, outside: Outside) -> None:
    asked = await asks_for_a_code(customers)
    letter = await received(outside, asked)
    assert re.fullmatch("[0-9]{6}", letter["code"])
    assert letter == {
        "template": "email-verification",
        "to": asked["email"],
        "name": asked["name"],
        "locale": "pt-BR",
        "code": letter["code"],
        "expiresAt": asked["expiresAt"],
    }
    document = await confirmed(customers, asked, letter["code"])
    assert document["email"] == asked["email"]
    assert document["emailVerifiedAt"]
    assert await outside.letters(asked["email"]) == [letter]


async def test_codes_wait_while_the_provider_is_away_and_nobody_else_does(
    own_stack: Stack, system: System, customers: Customers, mailbox: Outside
) -> None:
    await nothing_waits(system, WITHIN)
    postponed = await measured(system, "customerflow_notifications_messages_total", outcome="postponed")
    await asyncio.to_thread(own_stack.stop_service, "provider")
    asked = [await asks_for_a_code(customers) for _ in range(3)]

    async def tried_in_vain() -> None:
        assert await measured(system, "customerflow_notifications_pending") == 3
        now = await measured(system, "customerflow_notifications_messages_total", outcome="postponed")
        assert now >= postponed + 3

    await eventually(tried_in_vain, WITHIN)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{system.notifications}/health/ready")).status_code == 200
    await customers.read(await customers.register())

    await asyncio.to_thread(own_stack.start_service, "provider")
    await asyncio.to_thread(own_stack.wait_ready, "provider")
    for one in asked:
        letter = await received(mailbox, one, AFTER_A_FAILURE)
        assert (await confirmed(customers, one, letter["code"]))["emailVerifiedAt"]
    await nothing_waits(system, WITHIN)
    assert len(set(await mailbox.keys())) == len(asked)


async def test_a_worker_that_is_killed_while_it_sends_sends_again_under_the_same_key(
    own_stack: Stack, system: System, customers: Customers, mailbox: Outside
) -> None:
    await nothing_waits(system, AFTER_A_FAILURE)
    before = len(await mailbox.keys())
    await mailbox.feel(Mood.SILENT)
    asked = await asks_for_a_code(customers)
    letter = await received(mailbox, asked)
    killed = own_stack.pid("notifications")
    await asyncio.to_thread(own_stack.kill, "notifications")
    (key,) = (await mailbox.keys())[before:]
    await mailbox.feel(Mood.WELL)

    async def sent_again() -> None:
        assert (await mailbox.keys())[before:] == [key, key]

    await eventually(sent_again, AFTER_A_FAILURE)
    assert own_stack.pid("notifications") != killed
    await nothing_waits(system, WITHIN)
    assert await mailbox.letters(asked["email"]) == [letter]
    assert (await confirmed(customers, asked, letter["code"]))["emailVerifiedAt"]


async def test_a_worker_that_is_killed_again_and_again_sends_every_code_and_tells_nobody_whose(
    own_stack: Stack, system: System, customers: Customers, mailbox: Outside
) -> None:
    await nothing_waits(system, AFTER_A_FAILURE)
    before = len(await mailbox.keys())
    asked: list[Json] = []

    async def ask() -> None:
        for _ in range(CODES // ASKING):
            asked.append(await asks_for_a_code(customers))
            await asyncio.sleep(0.3)

    asking = [asyncio.create_task(ask()) for _ in range(ASKING)]
    kills = 0
    while not all(task.done() for task in asking):
        known = len(asked)
        while len(asked) < min(known + 3, CODES) and not all(task.done() for task in asking):
            await asyncio.sleep(0.02)
        await asyncio.to_thread(own_stack.kill, "notifications")
        kills += 1
        await asyncio.to_thread(own_stack.wait_ready, "notifications")
    await asyncio.gather(*asking)
    assert kills >= 2

    letters = [await received(mailbox, one, AFTER_A_FAILURE) for one in asked]
    await nothing_waits(system, AFTER_A_FAILURE)
    sent = Counter((await mailbox.keys())[before:])
    assert len(sent) == len(asked) == CODES
    assert max(sent.values()) <= kills + 1

    kept = b"".join(file.read_bytes() for file in own_stack.instance.folder.glob("notifications.db*"))
    log = own_stack.log("notifications")
    assert asked[0]["id"].replace("-", "") in kept.hex()
    for one in asked:
        for personal in (one["email"], one["name"]):
            assert personal.encode() not in kept
            assert personal not in log
    assert not [letter for letter in letters if f'"{letter["code"]}"' in log]
