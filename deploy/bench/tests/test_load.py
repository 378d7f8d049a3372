"""Invented customers: what they are made of, and that a load that was broken off is gone on with."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import msgspec
import pytest
from customerflow_bench.load import Loader, loading
from customerflow_bench.people import (
    COMMON_TAG,
    RARE_NAME,
    RARE_NAMES,
    RARE_TAG,
    RARE_TAGS,
    UNCOMMON_TAG,
    body,
    eventful_life,
    life,
)
from customerflow_command import inputs
from customerflow_command.customer.claims import Uniqueness, claims
from customerflow_command.customer.commands import Command, RegisterCustomer
from customerflow_command.customer.decide import decide
from customerflow_command.customer.state import Customer, evolve
from customerflow_local.testing import Database
from customerflow_shared.ids import uuid7

from services.command.tests.conftest import KEY

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
MANY = range(0, 200_000, 97)


def lived(commands: Iterable[Command]) -> tuple[Customer | None, int]:
    """What becomes of the customer, and its version."""
    customer, version = None, 0
    for command in commands:
        events = decide(customer, command, NOW)
        customer, version = reduce(evolve, events, customer), version + len(events)
    return customer, version


def test_a_number_is_always_the_same_customer() -> None:
    assert [life(number) for number in MANY[:50]] == [life(number) for number in MANY[:50]]


def test_no_two_share_what_only_one_may_have() -> None:
    held = [claim for n in MANY for claim in claims(lived([life(n).registration])[0], Uniqueness())]
    assert len(set(held)) == len(held)


def test_values_are_in_the_form_that_the_api_gives_them() -> None:
    context = inputs.Context(now=NOW, new_id=uuid7)
    for number in MANY[:500]:
        registration = life(number).registration
        read = inputs.register(body(registration), context)
        assert _comparable(read) == _comparable(registration)


def _comparable(registration: RegisterCustomer) -> dict[str, Any]:
    """As JSON has it, but for the ids of parts, which are always new."""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(registration))
    for part in (*fields["tax_ids"], *fields["addresses"]):
        del part["id"]
    return fields


def test_what_is_rare_stays_rare_and_what_is_frequent_grows() -> None:
    everybody = [life(number).registration for number in range(RARE_TAGS * 100)]
    tagged = Counter(tag for registration in everybody for tag in registration.tags)
    named = Counter(word for registration in everybody for word in set(registration.name.split()))
    assert tagged[RARE_TAG] == RARE_TAGS
    assert named[RARE_NAME] <= RARE_NAMES
    assert 0.25 < tagged[COMMON_TAG] / len(everybody) < 0.35
    assert 0.005 < tagged[UNCOMMON_TAG] / len(everybody) < 0.015
    assert named["Maria"] / len(everybody) > 0.1


def test_an_eventful_life_has_three_events() -> None:
    lives = [eventful_life(number) for number in MANY[:50]]
    assert {lived([one.registration, *one.changes])[1] for one in lives} == {3}


@pytest.fixture
def env(migrated: Database) -> dict[str, str]:
    return {"CF_MYSQL_URL": migrated.url, "CF_MASTER_KEYS": f"k1={KEY}", "CF_CLAIM_PEPPER": KEY}


async def test_a_load_that_was_broken_off_is_gone_on_with(env: dict[str, str]) -> None:
    async with loading(env) as loader:
        await _broken_off(loader, after=700, upto=2500)
    async with loading(env) as loader:
        await _load(loader, 1600)
        head = await loader.head()
    assert head == sum(lived([life(number).registration, *life(number).changes])[1] for number in range(1600))
    async with loading(env) as loader:
        await _load(loader, 1600)
        assert await loader.head() == head


async def _broken_off(loader: Loader, *, after: int, upto: int) -> None:
    loader.go.set()
    storing = asyncio.create_task(loader.store(0, upto))
    while loader.registered < after:
        await asyncio.sleep(0.001)
    storing.cancel()
    with suppress(asyncio.CancelledError):
        await storing


async def _load(loader: Loader, customers: int) -> None:
    loader.go.set()
    await loader.store(await loader.count(), customers)
