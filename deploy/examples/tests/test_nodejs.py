"""The example for Node.js, as a process on a real broker. It needs node, npm and amqplib; without them it says so."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from customerflow_local.testing import node_folder

from .told import consent, given, killed, registered, running, status, telling, until

EXAMPLE = Path(__file__).parent.parent / "nodejs"
ANA, BRUNO = UUID(int=1), UUID(int=2)


@pytest.fixture(scope="module")
def node() -> Path:
    """A folder with the example and what it depends on."""
    folder = node_folder("nodejs", EXAMPLE / "package.json")
    shutil.copy(EXAMPLE / "consumer.js", folder)
    return folder


async def test_it_prints_each_event_once_in_order_also_after_it_was_killed(
    node: Path, cf_amqp_url: str, tmp_path: Path
) -> None:
    queue, printed = f"node-{uuid4()}", tmp_path / "printed"
    env = {"AMQP_URL": cf_amqp_url, "QUEUE": queue, "SEEN": str(tmp_path / "seen.txt")}
    command = ["sh", "-c", f"exec node consumer.js >>{printed}"]
    events = [registered(ANA), consent(ANA, 1, "granted"), registered(BRUNO)]
    more = [status(ANA, 2, "active", "suspended"), consent(ANA, 7, "withdrawn")]

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in printed.read_text().splitlines()]

    async def handled(count: int) -> bool:
        return len(lines()) >= count and await it.ready(queue) == 0

    async with telling(cf_amqp_url) as it:

        async def consuming() -> bool:
            return await it.ready(queue) is not None

        async with running(command, env, node) as process:
            await until(consuming)
            await asyncio.sleep(0.2)  # bound too
            await it.tell(events)
            await it.tell(events)
            await it.tell_body(b"no event", "customer.updated.v1")
            await until(lambda: handled(3))
            await asyncio.sleep(0.2)
            await killed(process)
        await it.tell([*events, *more])
        async with running(command, env, node):
            await until(lambda: handled(5))
            await asyncio.sleep(0.2)
        assert await it.ready(queue) == 0
        assert await it.ready(f"{queue}.refused") == 1
    assert [(line["type"], line["subject"], line["sequence"]) for line in lines()] == [
        (event.type, str(event.subject), event.sequence) for event in [*events, *more]
    ]


async def test_with_an_account_that_may_only_read_it_takes_what_was_subscribed_for_it(
    node: Path, cf_amqp_url: str, cf_management_url: str, tmp_path: Path
) -> None:
    printed = tmp_path / "printed"
    events = [registered(ANA), consent(ANA, 2, "granted"), registered(BRUNO)]
    async with telling(cf_amqp_url) as it, given(cf_amqp_url, cf_management_url, "customer.#") as (url, queue):
        env = {"AMQP_URL": url, "QUEUE": queue, "SEEN": str(tmp_path / "seen.txt")}
        await it.tell(events)
        await it.tell_body(b"no event", "customer.updated.v1")

        async def handled() -> bool:
            return await it.ready(f"{queue}.dead") == 1 and await it.ready(queue) == 0

        async with running(["sh", "-c", f"exec node consumer.js >>{printed}"], env, node):
            await until(handled)
    told = [json.loads(line) for line in printed.read_text().splitlines()]
    assert [line["subject"] for line in told] == [str(event.subject) for event in events]
