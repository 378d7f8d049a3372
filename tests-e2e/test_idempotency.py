"""One idempotency key has one effect, however often and wherever the command is sent, and gets the first answer each
time: also when the process that carried it out died before it could answer.
"""

import asyncio
import itertools
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias
from uuid import uuid4

import httpx
import pytest
from blackbox.crashing import Cradle, cradle
from blackbox.customers import Customer, Customers, Json, a_customer, an_address
from blackbox.database import Database, database
from blackbox.feed import Feed
from blackbox.load import AT_ONCE
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack

KEYS, COPIES = 300, 20
COPIES_AT_ONCE = 100
CRASHES = 50
CRASHES_AT_ONCE = 3

CONSENT = {"state": "granted", "capturedAt": "2026-01-02T03:04:05Z", "source": "checkout"}


@dataclass(frozen=True)
class Command:
    """What is sent under one key, what is to be answered, and how many events it amounts to."""

    method: str
    path: str
    body: Json | None
    status: int
    events: int
    if_match: str | None = None

    async def send(self, customers: Customers, key: str) -> httpx.Response:
        headers = {"Idempotency-Key": key}
        return await customers.send(self.method, self.path, self.body, if_match=self.if_match, headers=headers)


Kind: TypeAlias = Callable[[Customer], Command]


def _on(method: str, to: str, body: Json | None, status: int, events: int = 1) -> Kind:
    return lambda one: Command(method, one.path + to, body, status, events, one.etag)


def _registers(_: Customer) -> Command:
    return Command("POST", "/v1/customers", a_customer(), 201, 1)


def _upserts(_: Customer) -> Command:
    return Command("PATCH", f"/v1/external/erp/{secrets.token_hex(8)}", a_customer(), 201, 1)


def _changes(one: Customer) -> Command:
    return Command("PATCH", one.path, a_customer(), 200, 2, one.etag)


def _links(one: Customer) -> Command:
    return Command("POST", f"{one.path}/external-ids", {"source": "erp", "value": one.id}, 200, 1)


KINDS: tuple[Kind, ...] = (
    _registers,
    _upserts,
    _changes,
    _on("PUT", "/tags/vip", None, 204),
    _on("POST", "/addresses", an_address(), 201),
    _on("POST", "/tax-ids", {"type": "other", "value": "42"}, 201),
    _on("PUT", "/consents/newsletter/email", CONSENT, 200),
    _links,
    _on("POST", "/email/verification-code", None, 202),
    _on("POST", "/suspend", {"reason": "a test"}, 200),
    _on("DELETE", "", None, 204),
    _on("POST", "/erasure", {"graceDays": 30}, 202),
    _on("POST", "/erasure", {"graceDays": 0}, 200, events=2),
)


async def commands(customers: Customers, count: int) -> list[Command]:
    """Of each kind in turn, each about a customer of its own."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(kind: Kind) -> Command:
        async with turn:
            return kind(await customers.register())

    return await asyncio.gather(*map(one, itertools.islice(itertools.cycle(KINDS), count)))


async def test_twenty_copies_of_a_command_have_one_effect_and_one_answer(customers: Customers, feed: Feed) -> None:
    """All copies at once, in turn to each of the command processes."""
    sent = await commands(customers, KEYS)
    before = await feed.head()
    turn = asyncio.Semaphore(COPIES_AT_ONCE)

    async def copy(command: Command, key: str) -> httpx.Response:
        while True:
            async with turn:
                answer = await command.send(customers, key)
            if answer.status_code == 503:
                unknown.add(key)  # a machine may be too slow for so many at once
            elif not in_flight(answer):
                return answer
            await asyncio.sleep(int(answer.headers["Retry-After"]))

    async def copies(command: Command, key: str) -> list[httpx.Response]:
        return await asyncio.gather(*(copy(command, key) for _ in range(COPIES)))

    unknown = set[str]()
    keys = [secrets.token_hex(16) for _ in sent]
    answers = await asyncio.gather(*map(copies, sent, keys))

    for command, key, copied in zip(sent, keys, answers, strict=True):
        assert {said(answer) for answer in copied} == {said(copied[0])}, command
        assert copied[0].status_code == command.status, f"{command}: {copied[0].text}"
        first = COPIES - sum(is_replayed(answer) for answer in copied)
        assert first == 1 or (first == 0 and key in unknown), command
    effects = Counter(one.customer_id for one in await feed.read(before))
    expected = Counter(
        {customer_of(command, copied[0]): command.events for command, copied in zip(sent, answers, strict=True)}
    )
    assert effects == expected


async def test_a_command_whose_process_died_before_it_answered_is_settled_by_the_retry(
    babies: Cradle, system: System, customers: Customers, feed: Feed
) -> None:
    """Each process is killed once its transaction is to be seen in the database, and before it can have heard of it:
    the server's answer to its COMMIT is withheld.
    """
    sent = await commands(customers, CRASHES)
    before = await feed.head()
    turn = asyncio.Semaphore(CRASHES_AT_ONCE)

    async def settled(command: Command) -> httpx.Response:
        key = secrets.token_hex(16)
        async with turn:
            await crash(babies, system, command, key, before)
        first, second = [await command.send(customers, key) for _ in range(2)]
        assert first.status_code == command.status, f"{command}: {first.text}"
        assert is_replayed(first)
        assert said(first) == said(second)
        return first

    async with asyncio.TaskGroup() as group:
        settling = [group.create_task(settled(command)) for command in sent]
    answers = [task.result() for task in settling]
    effects = Counter(one.customer_id for one in await feed.read(before))
    assert effects == Counter({customer_of(one, answer): one.events for one, answer in zip(sent, answers, strict=True)})


@pytest.fixture
async def babies(own_stack: Stack) -> AsyncIterator[Cradle]:
    async with cradle(own_stack) as babies:
        yield babies


async def crash(babies: Cradle, system: System, command: Command, key: str, after: int) -> None:
    correlation_id = str(uuid4())
    headers = {"Idempotency-Key": key, "CustomerFlow-Correlation-Id": correlation_id}
    async with (
        babies.mortal() as mortal,
        Customers(replace(system, commands=(mortal.url,))) as to_mortal,
        database(system.mysql) as observer,
    ):
        answer = asyncio.create_task(
            to_mortal.send(command.method, command.path, command.body, if_match=command.if_match, headers=headers)
        )
        await eventually(partial(is_committed, observer, correlation_id, after), within=10, every=0.01)
        assert not answer.done()
        mortal.kill()
        with pytest.raises(httpx.TransportError):
            await answer
        assert mortal.commits.withheld == 1


async def is_committed(observer: Database, correlation_id: str, after: int) -> None:
    assert await observer.rows(
        f"SELECT position FROM cf_events WHERE position > {after} AND metadata LIKE '%{correlation_id}%'"
    )


def in_flight(answer: httpx.Response) -> bool:
    return answer.status_code == 409 and "idempotency-in-flight" in answer.text


def is_replayed(answer: httpx.Response) -> bool:
    return "Idempotency-Replayed" in answer.headers


def said(answer: httpx.Response) -> tuple[object, ...]:
    """What every copy must hear alike."""
    return answer.status_code, answer.content, answer.headers.get("ETag"), answer.headers.get("Location")


def customer_of(command: Command, answer: httpx.Response) -> str:
    """The id in the answer, or, where that has no body, in the path."""
    return str(answer.json()["id"] if answer.content else command.path.split("/")[3])
