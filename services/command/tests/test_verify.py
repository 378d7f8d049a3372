"""Claims and due dates against the events: drift is found, told, and put right."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from customerflow_command import verify
from customerflow_command.customer.claims import Uniqueness
from customerflow_command.customer.commands import ChangeCustomer, SuspendCustomer
from customerflow_command.personal import Pepper
from customerflow_command.verify import Drift, Verifier
from customerflow_shared import database
from customerflow_shared.database import utc_now
from customerflow_shared.ids import uuid7

from services.command.tests.conftest import KEY

if TYPE_CHECKING:
    import pytest
    from customerflow_local.testing import Database

    from services.command.tests.conftest import WriteSide


def verifier(write_side: WriteSide, unique: Uniqueness = Uniqueness()) -> Verifier:  # noqa: B008  # frozen
    return Verifier(write_side.engine, write_side.keys, Pepper(KEY), unique)


async def found(verifier: Verifier, *, repair: bool = False) -> tuple[list[Drift], list[Drift]]:
    """What was repaired, and what is left."""
    pages = [page async for page in verifier.pages(repair=repair)]
    return [one for page in pages for one in page.repaired], [one for page in pages for one in page.left]


async def by_hand(migrated: Database, statement: str, *arguments: object) -> None:
    owner = database.open_engine(migrated.owner_url)
    async with database.session(owner) as session:
        await session.run(statement, arguments)
        await session.commit()
    await owner.dispose()


async def test_every_kind_of_drift_is_found_and_put_right(write_side: WriteSide, migrated: Database) -> None:
    missing = await write_side.register("Ana", "missing@example.com")
    stale, due = await write_side.register("Bia", "stale@example.com"), await write_side.register("Caio")
    await write_side.do(due, SuspendCustomer(reason="x", until=utc_now() + timedelta(days=1)))
    assert await found(verifier(write_side)) == ([], [])

    await by_hand(migrated, "DELETE FROM cf_claims WHERE customer_id = %s", missing.bytes)
    claim = "INSERT INTO cf_claims (kind, key_hash, customer_id) VALUES ('email', %s, %s)"
    await by_hand(migrated, claim, b"s" * 32, stale.bytes)
    nobody = uuid7()
    await by_hand(migrated, claim, b"n" * 32, nobody.bytes)
    await by_hand(migrated, "DELETE FROM cf_due WHERE customer_id = %s", due.bytes)

    expected = {(missing, "missing"), (stale, "stale"), (nobody, "stale"), (due, "due")}
    _, left = await found(verifier(write_side))
    assert {(one.customer_id, one.what) for one in left} == expected
    repaired, left = await found(verifier(write_side), repair=True)
    assert {(one.customer_id, one.what) for one in repaired} == expected
    assert left == []
    assert await found(verifier(write_side)) == ([], [])


async def test_a_value_that_two_hold_is_told_and_left_alone(write_side: WriteSide, migrated: Database) -> None:
    first = await write_side.register("Ana", "two@example.com")
    await by_hand(migrated, "DELETE FROM cf_claims WHERE customer_id = %s", first.bytes)
    second = await write_side.register("Bia", "two@example.com")
    repaired, left = await found(verifier(write_side), repair=True)
    assert repaired == []
    assert [(one.customer_id, one.what) for one in left] == [(first, "conflict")]
    await write_side.do(second, ChangeCustomer(email=None))
    repaired, left = await found(verifier(write_side), repair=True)
    assert [(one.customer_id, one.what) for one in repaired] == [(first, "missing")]
    assert left == []


async def test_another_policy_is_drift_that_can_be_repaired(write_side: WriteSide) -> None:
    await write_side.register("Ana", "policy@example.com")
    before = await write_side.count("cf_claims")
    repaired, left = await found(verifier(write_side, Uniqueness(email=False)), repair=True)
    assert {one.what for one in repaired} == {"stale"}
    assert left == []
    assert await write_side.count("cf_claims") == before - len(repaired)
    await found(verifier(write_side), repair=True)
    assert await write_side.count("cf_claims") == before


async def test_a_customer_that_cannot_be_read_is_told(write_side: WriteSide, migrated: Database) -> None:
    customer = await write_side.register("Ana")
    await by_hand(migrated, "DELETE FROM cf_customer_keys WHERE customer_id = %s", customer.bytes)
    _, left = await found(verifier(write_side), repair=True)
    assert [(one.customer_id, one.what) for one in left] == [(customer, "unreadable")]
    await by_hand(migrated, "DELETE FROM cf_events WHERE customer_id = %s", customer.bytes)


async def test_live_traffic_is_no_drift(write_side: WriteSide) -> None:
    customers = [await write_side.register("Ana", f"live{number}@example.com") for number in range(10)]
    writing = True

    async def write() -> None:
        number = 0
        while writing:
            number += 1
            await write_side.do(customers[number % 10], ChangeCustomer(email=f"live{number}@example.org"))

    writer = asyncio.create_task(write())
    try:
        for _ in range(20):
            assert await found(verifier(write_side), repair=True) == ([], [])
    finally:
        writing = False
        await writer


async def test_it_goes_on_where_it_was_stopped(write_side: WriteSide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "PAGE", 3)
    for number in range(10):
        await write_side.register("Ana", f"page{number}@example.com")
    whole = [page async for page in verifier(write_side).pages(repair=False)]
    assert sum(page.customers for page in whole) == await verifier(write_side).count()
    rest = [page async for page in verifier(write_side).pages(repair=False, after=whole[1].upto)]
    assert rest == whole[2:]
    assert await verifier(write_side).count(whole[1].upto) == sum(page.customers for page in rest)
