"""The operator's commands: whose events cannot be applied is listed, retried and discarded."""

import asyncio
import base64
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import UUID

import pytest
from customerflow_projector.read_model import ReadModel
from customerflow_shared.events import Place, Recorded
from msgspec.structs import replace

from .builders import ANA, BRUNO, LONG_AGO, EventStore, folded, interleaved, renamings, unknown
from .served import served
from .steps import documents, rebuilt

HISTORY = interleaved(renamings(ANA, 4), renamings(BRUNO, 3))


class Ended(NamedTuple):
    code: int | None
    out: str
    err: str


class Store(EventStore):
    """It may keep who asks for Bruno waiting."""

    def __init__(self) -> None:
        super().__init__(HISTORY)
        self.reached, self.goes_on = asyncio.Event(), asyncio.Event()
        self.goes_on.set()

    async def of_customer(self, customer_id: UUID, after: int) -> list[Recorded | Place]:
        if customer_id == BRUNO:
            self.reached.set()
            await self.goes_on.wait()
        return await super().of_customer(customer_id, after)


@pytest.fixture
def store() -> Store:
    return Store()


class Console:
    def __init__(self, redis_url: str, feed_url: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CF_")}
        self._environment = inherited | {
            "CF_REDIS_URL": redis_url,
            "CF_FEED_URL": feed_url,
            "CF_FEED_TOKEN": "token-of-the-feed",
            "CF_LOOKUP_KEY": base64.b64encode(bytes(range(32))).decode(),
        }

    async def start(self, *arguments: str, columns: int = 250) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "customerflow_projector", *arguments),
            env=self._environment | {"COLUMNS": str(columns)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, columns: int = 250) -> Ended:
        return await self.ended(await self.start(*arguments, columns=columns))

    async def ended(self, process: asyncio.subprocess.Process) -> Ended:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert b"Traceback" not in err
        told = " ".join(err.decode().replace("\u2502", " ").split())  # without the frame
        return Ended(process.returncode, out.decode(), told)


@pytest.fixture
async def console(cf_redis_url: str, store: Store) -> AsyncIterator[Console]:
    async with served(store) as feed_url:
        yield Console(cf_redis_url, feed_url)


@pytest.fixture
async def both_parked(model: ReadModel) -> str:
    """Ana before Bruno, both with a second event that cannot be read."""
    report = await rebuilt(model, EventStore([unknown(one) if one.version == 2 else one for one in HISTORY]))
    entry = (await model.parked(report.generation))[ANA]
    await model.park(report.generation, ANA, replace(entry, since=LONG_AGO))
    return report.generation


async def test_on_a_narrow_terminal_nothing_is_cut(console: Console, both_parked: str) -> None:
    await console.run("discard", str(ANA), "--reason", "made by a load test", "--by", "user:42")
    shown = (await console.run("parked", columns=80)).out
    assert str(ANA) in shown
    assert "\u2026" not in shown


async def test_who_is_parked_is_shown_to_people_and_to_scripts(console: Console, both_parked: str) -> None:
    shown = (await console.run("parked")).out
    assert shown.index(str(ANA)) < shown.index(str(BRUNO))
    assert "UnknownEvent: at position 3" in shown
    ended = await console.run("parked", "--json")
    assert [one["customerId"] for one in json.loads(ended.out)] == [str(ANA), str(BRUNO)]
    assert ended.code == 0


async def test_without_a_read_model_nobody_is_parked(console: Console, model: ReadModel) -> None:
    assert await console.run("parked", "--json") == (0, "[]\n", "")
    assert (await console.run("retry", "--all")).out == "0 applied, 0 still parked\n"


async def test_a_retry_applies_the_events(console: Console, both_parked: str, model: ReadModel) -> None:
    assert (await console.run("retry", str(ANA)))[:2] == (0, "applied\n")
    assert (await documents(model))[ANA] == folded(HISTORY)[ANA]
    ended = await console.run("retry", str(ANA))
    assert (ended.code, "not parked" in ended.err) == (1, True)


async def test_a_retry_in_vain_says_what_is_in_the_way(console: Console, both_parked: str, store: Store) -> None:
    store.events = [unknown(one) if one.version == 2 else one for one in HISTORY]
    ended = await console.run("retry", str(ANA))
    assert ended.code == 1
    assert "still parked: UnknownEvent: at position 3" in ended.err


@pytest.mark.parametrize("what", [[str(ANA)], ["--all"]])
async def test_a_retry_without_the_feed_changes_nothing(
    console: Console, both_parked: str, model: ReadModel, store: Store, what: list[str]
) -> None:
    before = await model.parked(both_parked)
    store.away = True
    ended = await console.run("retry", *what)
    assert ended.code == 1
    assert "event feed answers 503" in ended.err
    assert await model.parked(both_parked) == before


async def test_all_are_retried_and_what_is_left_is_told(
    console: Console, both_parked: str, model: ReadModel, store: Store
) -> None:
    store.events = [unknown(one) if (one.customer_id, one.version) == (ANA, 2) else one for one in HISTORY]
    ended = await console.run("retry", "--all")
    assert ended.code == 1
    assert "1 applied, 1 still parked; see `parked`" in ended.err
    assert "2 of 2 customers" in ended.err
    store.events = [*HISTORY]
    assert (await console.run("retry", "--all"))[:2] == (0, "1 applied, 0 still parked\n")
    assert await documents(model) == folded(HISTORY)


async def test_a_retry_of_all_that_is_stopped_says_how_to_go_on(
    console: Console, both_parked: str, model: ReadModel, store: Store
) -> None:
    store.events = [unknown(one) if (one.customer_id, one.version) == (ANA, 2) else one for one in HISTORY]
    store.goes_on.clear()
    process = await console.start("retry", "--all")
    async with asyncio.timeout(30):
        await store.reached.wait()
    process.send_signal(signal.SIGINT)
    ended = await console.ended(process)
    store.goes_on.set()
    assert ended.code == 130
    assert "0 applied, 1 still parked" in ended.err
    assert "stopped; nothing is left half done" in ended.err
    mark = ended.err.partition("--after ")[2].split()[0]
    asked = (await model.parked(both_parked))[ANA].attempts
    assert (await console.run("retry", "--all", "--after", mark))[:2] == (0, "1 applied, 0 still parked\n")
    assert (await model.parked(both_parked))[ANA].attempts == asked


async def test_who_is_discarded_is_shown_with_the_reason_and_freed_by_its_id_only(
    console: Console, both_parked: str, model: ReadModel
) -> None:
    ended = await console.run("discard", str(ANA), "--reason", "made by a load test", "--by", "user:42")
    assert ended[:2] == (0, "discarded\n")
    shown = (await console.run("parked")).out
    assert "discarded by user:42 at " in shown
    given = json.loads((await console.run("parked", "--json")).out)[0]["discarded"]
    assert (given["reason"], given["by"]) == ("made by a load test", "user:42")
    assert (await console.run("retry", "--all"))[:2] == (0, "1 applied, 0 still parked\n")
    assert (await console.run("retry", str(ANA)))[:2] == (0, "applied\n")
    assert await documents(model) == folded(HISTORY)


async def test_who_discards_is_by_default_who_is_logged_in(console: Console, both_parked: str) -> None:
    assert (await console.run("discard", str(ANA), "--reason", "made by a load test")).code == 0
    by = json.loads((await console.run("parked", "--json")).out)[0]["discarded"]["by"]
    assert by.startswith(("user:", "service:"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["retry"], "Say either a customer or --all."),
        (["retry", str(ANA), "--all"], "Say either a customer or --all."),
        (["retry", str(ANA), "--after", "MjAyMC0wMS0wMVQwMDowMDowMCswMDowMCA"], "no mark"),
        (["retry", "--all", "--after", "nonsense"], "no mark"),
        (["retry", "nonsense"], "not a valid UUID"),
        (["discard", str(ANA)], "Missing option '--reason'"),
        (["discard", str(ANA), "--reason", " "], "must not be blank"),
        (["discard", str(ANA), "--reason", "x" * 501], "at most 500 characters"),
        (["discard", str(ANA), "--reason", "of ana@example.com"], "kept in clear"),
        (["discard", str(ANA), "--reason", "test", "--by", "root"], "user:<id> or service:<id>"),
    ],
)
async def test_what_is_unfit_is_told(
    console: Console, both_parked: str, model: ReadModel, arguments: list[str], told: str
) -> None:
    ended = await console.run(*arguments)
    assert ended.code == 2
    assert told in ended.err
    assert "ana@example.com" not in ended.err
    assert all(one.discarded is None for one in (await model.standings(both_parked)).values())


async def test_only_a_parked_customer_can_be_discarded(console: Console, both_parked: str) -> None:
    ended = await console.run("discard", str(UUID(int=99)), "--reason", "test")
    assert (ended.code, "not parked" in ended.err) == (1, True)
