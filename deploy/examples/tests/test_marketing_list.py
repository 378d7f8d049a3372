"""The example service, as a process on a real broker: who may be sent marketing e-mail, whatever happens to it."""

import asyncio
import os
import random
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import marketing_list
import pytest
from customerflow_consumer.deliveries import Deliveries, Retries
from customerflow_consumer.sqlite import SqliteInbox
from customerflow_consumer.testing import prove
from customerflow_contract.cloud_event import CloudEvent, encode

from .told import (
    Telling,
    consent,
    erased,
    erasure_cancelled,
    erasure_requested,
    given,
    killed,
    registered,
    running,
    status,
    telling,
    until,
)

HERE = Path(marketing_list.__file__).parent
PROGRAM = [sys.executable, "marketing_list.py"]
ANA, BRUNO, CECILIA, DORA, EVA, FILIPA = (UUID(int=number) for number in range(1, 7))

LIVES = [
    [registered(ANA), consent(ANA, 1, "granted"), consent(ANA, 1, "withdrawn", channel="sms")],
    [registered(BRUNO), consent(BRUNO, 1, "granted"), consent(BRUNO, 5, "withdrawn")],
    [registered(CECILIA), consent(CECILIA, 1, "granted"), status(CECILIA, 2, "active", "suspended")],
    [registered(DORA), consent(DORA, 2, "granted"), erasure_requested(DORA, 3), erasure_cancelled(DORA, 4)],
    [registered(EVA), consent(EVA, 2, "granted"), erasure_requested(EVA, 3), erased(EVA, 4)],
    [registered(FILIPA), consent(FILIPA, 1, "granted", purpose="terms"), consent(FILIPA, 2, "pending")],
]
EVENTS = [event for life in LIVES for event in life]
LISTED = [str(ANA), str(DORA)]


def known(inbox: SqliteInbox) -> list[Any]:
    return inbox.connection.execute("SELECT * FROM facts ORDER BY 1, 2").fetchall()


def random_life(chance: random.Random) -> list[CloudEvent]:
    customer, version = uuid4(), 1
    life, now = [registered(customer)], "active"
    for _ in range(chance.randrange(12)):
        version += chance.randint(1, 3)
        match chance.randrange(5):
            case 0 | 1:
                life.append(consent(customer, version, chance.choice(("granted", "withdrawn", "pending"))))
            case 2:
                then = chance.choice([one for one in ("active", "suspended", "archived") if one != now])
                life.append(status(customer, version, now, then))
                now = then
            case 3:
                life.append(erasure_requested(customer, version))
            case 4:
                life.append(erasure_cancelled(customer, version))
    return [*life, erased(customer, version + 1)] if chance.random() < 0.2 else life


@pytest.mark.parametrize("overtaking", [False, True])
async def test_the_list_is_the_same_in_whatever_way_it_is_told(overtaking: bool) -> None:
    chance = random.Random(6)
    events = [*EVENTS, *(event for _ in range(10) for event in random_life(chance))]
    await prove(
        marketing_list.handlers,
        events,
        lambda: marketing_list.opened(":memory:"),
        lambda inbox: (known(inbox), marketing_list.on_the_list(inbox)),
        overtaking=overtaking,
    )


async def test_nothing_but_that_is_left_of_who_was_erased() -> None:
    def left(inbox: SqliteInbox) -> object:
        return [row for row in known(inbox) if row[0] == str(EVA)]

    await prove(marketing_list.handlers, LIVES[4], lambda: marketing_list.opened(":memory:"), left, overtaking=True)


@pytest.fixture
async def it(cf_amqp_url: str) -> AsyncIterator[Telling]:
    async with telling(cf_amqp_url) as it:
        yield it


@pytest.fixture
def env(cf_amqp_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "AMQP_URL": cf_amqp_url,
        "MARKETING_DB": str(tmp_path / "marketing.db"),
        "MARKETING_QUEUE": f"marketing-{uuid4()}",
    }


async def said(env: dict[str, str], *command: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *command, env={**os.environ, **env}, cwd=HERE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().split("\n")[:-1]


def noted(env: dict[str, str]) -> int:
    connection = sqlite3.connect(env["MARKETING_DB"])
    try:
        (count,) = connection.execute("SELECT count(*) FROM customerflow_inbox").fetchone()
    finally:
        connection.close()
    return int(count)


async def consuming(it: Telling, env: dict[str, str]) -> None:
    async def there() -> bool:
        return await it.ready(env["MARKETING_QUEUE"]) is not None

    await until(there)
    await asyncio.sleep(0.2)  # bound too


async def done(it: Telling, env: dict[str, str], count: int) -> None:
    async def all_noted() -> bool:
        return await it.ready(env["MARKETING_QUEUE"]) == 0 and noted(env) == count

    await until(all_noted)


async def test_it_lists_who_may_be_sent_marketing_email(it: Telling, env: dict[str, str]) -> None:
    async with running([*PROGRAM, "run"], env, HERE):
        await consuming(it, env)
        await it.tell(EVENTS)
        await done(it, env, len(EVENTS))
        assert await said(env, "show") == LISTED
    assert await it.ready(env["MARKETING_QUEUE"]) == 0
    assert await said(env, "parked") == []


async def test_with_an_account_that_may_only_read_it_takes_what_was_subscribed_for_it(
    it: Telling, env: dict[str, str], cf_amqp_url: str, cf_management_url: str
) -> None:
    async with given(cf_amqp_url, cf_management_url, "customer.#") as (url, queue):
        env |= {"AMQP_URL": url, "MARKETING_QUEUE": queue}
        await it.tell(EVENTS)
        await it.tell_body(b"no event", "customer.updated.v1")
        async with running([*PROGRAM, "run"], env, HERE):
            await until(lambda: dead(it, queue))
            await done(it, env, len(EVENTS))
        assert await said(env, "show") == LISTED


async def dead(it: Telling, queue: str) -> bool:
    return await it.ready(f"{queue}.dead") == 1


async def test_killed_and_started_again_it_has_missed_nothing(it: Telling, env: dict[str, str]) -> None:
    chance = random.Random(6)
    lives = [random_life(chance) for _ in range(60)]
    events = [*EVENTS, *(event for life in lives for event in life)]
    async with running([*PROGRAM, "run"], env, HERE):
        await consuming(it, env)
    for part in range(4):
        async with running([*PROGRAM, "run"], env, HERE) as process:
            await it.tell(events[part * len(events) // 5 : (part + 1) * len(events) // 5])
            await asyncio.sleep(0.3 + chance.random())
            await killed(process)
    async with running([*PROGRAM, "run"], env, HERE):
        await it.tell(events[4 * len(events) // 5 :])
        await done(it, env, len(events))
    expected = marketing_list.opened(":memory:")
    with expected, marketing_list.opened(env["MARKETING_DB"]) as found:
        for event in events:
            await Deliveries(marketing_list.handlers, expected, Retries()).deliver(event, encode(event))
        assert known(found) == known(expected)
        assert set(LISTED) <= set(marketing_list.on_the_list(found)) == set(marketing_list.on_the_list(expected))


async def test_what_could_not_be_handled_is_shown_and_retried(it: Telling, env: dict[str, str]) -> None:
    """The disk of the list is made to refuse one customer, as a fault of its own would."""
    when = f"BEFORE INSERT ON facts WHEN NEW.customer = '{ANA}'"
    with marketing_list.opened(env["MARKETING_DB"]) as inbox:
        inbox.connection.execute(f"CREATE TRIGGER fault {when} BEGIN SELECT raise(ABORT, 'no'); END")
    async with running([*PROGRAM, "run"], env, HERE):
        await consuming(it, env)
        await it.tell(EVENTS)
        await done(it, env, len(EVENTS))
        assert await said(env, "show") == LISTED[1:]
        (parked,) = await said(env, "parked")
        assert parked.startswith(f"{ANA}: IntegrityError in know (marketing_list.py:")
        assert parked.endswith(", 5 attempts, 3 waiting")
        assert len(await said(env, "retry")) == 1
        with marketing_list.opened(env["MARKETING_DB"]) as inbox:
            inbox.connection.execute("DROP TRIGGER fault")
        assert await said(env, "retry") == []
        assert await said(env, "show") == LISTED
