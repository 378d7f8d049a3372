"""Codes are delivered, whatever the provider and the command service do; by a clock of its own, on real HTTP."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from customerflow_consumer import SqliteInbox
from customerflow_local.provider import Mood, refusing
from customerflow_local.provider import Provider as StandIn
from customerflow_notifications import sending
from customerflow_notifications.pending import Message, Pending
from customerflow_notifications.sending import Sender
from customerflow_notifications.services import COMMANDS, PROVIDER, Commands, Delivery, Provider
from structlog.testing import capture_logs

TOKEN = "0123456789abcdef"
LIVES = 900.0
CODE = "428571"
ADDRESS = "ana@example.com"


class CommandService(StandIn):
    """Tells the delivery of every verification that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.deliveries: dict[UUID, dict[str, Any]] = {}
        self.gone = (404, "verification-not-found")

    def _sound(self, asked: Any) -> tuple[int, Any]:
        assert asked.headers["authorization"] == f"Bearer {TOKEN}"
        found = self.deliveries.get(UUID(asked.path.rpartition("/")[2]))
        status, code = self.gone
        return (200, found) if found else (status, {"code": code})


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class World:
    """A sender with its table, and the two services."""

    def __init__(self, commands: CommandService, provider: StandIn, inbox: SqliteInbox, clock: Clock) -> None:
        self.commands, self.provider, self.clock, self._inbox = commands, provider, clock, inbox
        self.pending = Pending(inbox)
        self.sender: Sender

    async def ask(self, lives: float = LIVES) -> Message:
        message = Message(
            event=uuid4(),
            customer=uuid4(),
            verification=uuid4(),
            noted_at=self.clock.now,
            expires_at=self.clock.now + lives,
            due_at=self.clock.now,
        )
        self.commands.deliveries[message.verification] = {
            "email": ADDRESS,
            "name": "Ana Souza",
            "code": CODE,
            "expiresAt": "2026-11-22T15:04:05.123Z",
        }
        async with self._inbox.transaction(message.customer) as transaction:
            self.pending.add(transaction, message)
        return message

    async def pass_time(self, seconds: float, step: float = 0.5) -> None:
        end = self.clock.now + seconds
        while self.clock.now < end:
            await self.sender.send_due()
            self.clock.now += step
        await self.sender.send_due()


@asynccontextmanager
async def world_of(path: Path, provider_url: str | None = None) -> AsyncIterator[World]:
    """Circuits are open for no time: they go by another clock than the test's."""
    closed_soon = {"open_for": 0.000001, "open_at_most": 0.000001, "per_try": 0.2, "deadline": 0.2, "tries": 1}
    async with CommandService() as commands, StandIn() as provider:
        with SqliteInbox(path) as inbox:
            clock = Clock()
            world = World(commands, provider, inbox, clock)
            asking = Commands(commands.url, TOKEN, msgspec.structs.replace(COMMANDS, **closed_soon))
            url = provider_url or f"{provider.url}/v1/messages"
            having_sent = Provider(url, TOKEN, msgspec.structs.replace(PROVIDER, **closed_soon))
            world.sender = Sender(world.pending, asking, having_sent, clock=clock, chance=lambda: 0.5)
            yield world
            await asking.client.close()
            await having_sent.client.close()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A traceback on a terminal takes longer than the tries here may."""
    with capture_logs():
        yield


def files_in(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.iterdir()]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(tmp_path / "it.db") as world:
        yield world


async def test_the_provider_is_given_address_and_code_with_the_events_id_as_key(world: World) -> None:
    message = await world.ask()
    assert await world.sender.send_due() == 1
    (asked,) = world.provider.asked
    assert (asked.method, asked.path) == ("POST", "/v1/messages")
    assert asked.headers["idempotency-key"] == str(message.event)
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert json.loads(asked.body) == {
        "template": "email-verification",
        "to": ADDRESS,
        "name": "Ana Souza",
        "code": CODE,
        "expiresAt": "2026-11-22T15:04:05.123Z",
    }
    assert await world.sender.send_due() == 0
    assert world.pending.count() == 0


@pytest.mark.parametrize("mood", [mood for mood in Mood if mood not in (Mood.WELL, Mood.LIE, Mood.PAGE)])
async def test_while_the_provider_is_sick_it_is_tried_again_and_the_code_is_sent_once(world: World, mood: Mood) -> None:
    """A 200 with any body counts as taken."""
    world.provider.chance.seed(1)
    world.provider.mood = mood
    messages = [await world.ask() for _ in range(3)]
    await world.pass_time(5, step=1.0)
    if mood not in (Mood.SILENT, Mood.HALF, Mood.PACKED, Mood.LATE):  # which take it all the same
        assert world.provider.sent == {}
    world.provider.mood = Mood.WELL
    await world.pass_time(20)
    assert set(world.provider.sent) == {str(message.event) for message in messages}
    assert world.pending.count() == 0


async def test_pauses_grow_to_a_minute_and_end_with_the_code(world: World) -> None:
    world.provider.mood = Mood.FAIL
    await world.ask()
    began, at = world.clock.now, []
    while world.pending.count():
        if await world.sender.send_due():
            at.append(world.clock.now - began)
        world.clock.now += 0.25
    pauses = [later - earlier for earlier, later in pairwise(at)]
    assert pauses[:7] == [0.75, 1.5, 3.0, 6.0, 12.0, 24.0, 45.0]
    assert set(pauses[7:]) == {45.0}
    assert LIVES - 60 < at[-1] < LIVES
    assert len(world.provider.asked) == len(at)


async def test_a_provider_that_says_when_to_come_again_is_left_alone_until_then(world: World) -> None:
    world.provider.mood = Mood.BUSY
    await world.ask()
    await world.pass_time(6.5)
    assert len(world.provider.asked) == 1
    world.provider.mood = Mood.WELL
    await world.pass_time(1)
    assert len(world.provider.sent) == 1


async def test_without_a_provider_nobody_is_asked_anything_and_a_code_is_kept_until_it_expires(world: World) -> None:
    provider, world.sender._provider = world.sender._provider, None
    await world.ask(lives=30)
    kept = await world.ask()
    await world.pass_time(31)
    assert (world.commands.asked, world.pending.count()) == ([], 1)
    world.sender._provider = provider
    await world.pass_time(60)
    assert set(world.provider.sent) == {str(kept.event)}


async def test_a_code_that_has_expired_is_not_sent(world: World) -> None:
    await world.ask(lives=10)
    world.clock.now += 10
    await world.sender.send_due()
    assert (world.provider.asked, world.commands.asked, world.pending.count()) == ([], [], 0)


@pytest.mark.parametrize(
    "gone",
    [(404, "verification-not-found"), (404, "customer-not-found"), (410, "customer-erased")],
)
async def test_a_code_that_is_of_no_use_any_more_is_not_sent(world: World, gone: tuple[int, str]) -> None:
    await world.ask()
    world.commands.deliveries.clear()
    world.commands.gone = gone
    await world.sender.send_due()
    assert (world.provider.asked, world.pending.count()) == ([], 0)


@pytest.mark.parametrize("answer", [(404, "route-not-found"), (401, "unauthorized"), (403, ""), (500, ""), (503, "")])
async def test_what_the_command_service_does_not_know_is_asked_again(world: World, answer: tuple[int, str]) -> None:
    message = await world.ask()
    deliveries, world.commands.deliveries = world.commands.deliveries, {}
    world.commands.gone = answer
    await world.pass_time(3)
    assert world.provider.asked == []
    world.commands.deliveries = deliveries
    await world.pass_time(20)
    assert set(world.provider.sent) == {str(message.event)}


async def test_a_message_that_the_provider_refuses_is_given_up(world: World) -> None:
    world.provider.refuses = True
    await world.ask()
    with capture_logs() as logs:
        await world.sender.send_due()
    assert world.pending.count() == 0
    assert [entry["event"] for entry in logs] == ["message refused"]


async def test_a_message_that_was_sent_before_a_crash_is_sent_again_under_the_same_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(_: Message) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    await world.ask()
    with monkeypatch.context() as patched:
        patched.setattr(world.pending, "remove", crash)
        with pytest.raises(sqlite3.OperationalError):
            await world.sender.send_due()
    await world.sender.send_due()
    first, second = world.provider.asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert (first.body, len(world.provider.sent), world.pending.count()) == (second.body, 1, 0)


async def test_one_that_fails_by_a_fault_of_ours_does_not_keep_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [await world.ask() for _ in range(3)]
    asked = world.sender._commands.delivery

    async def delivery(customer: UUID, verification: UUID) -> Delivery | None:
        if customer == messages[1].customer:
            raise ZeroDivisionError
        return await asked(customer, verification)

    monkeypatch.setattr(world.sender._commands, "delivery", delivery)
    await world.sender.send_due()
    assert set(world.provider.sent) == {str(messages[0].event), str(messages[2].event)}
    assert world.pending.count() == 1


async def test_neither_logs_nor_the_table_hold_an_address_or_a_code(tmp_path: Path) -> None:
    path = tmp_path / "it.db"
    async with refusing() as nowhere, world_of(path) as world, world_of(tmp_path / "other.db", nowhere) as unsent:
        with capture_logs() as logs:
            for one in (world, unsent):
                await one.ask()
                for one.provider.mood in (Mood.FAIL, Mood.RESET, Mood.RUBBISH, Mood.WELL):
                    await one.pass_time(20, step=5)
            unsent.clock.now += LIVES
            await unsent.sender.send_due()
            world.provider.refuses = True
            await world.ask()
            await world.sender.send_due()
        assert {entry["event"] for entry in logs} >= {"message not sent", "message refused"}
        for personal in (ADDRESS, CODE, "Ana"):
            assert personal not in repr(logs)
            assert not [file for file in files_in(tmp_path) if personal.encode() in file]


async def test_what_becomes_of_messages_is_counted(world: World) -> None:
    before = {outcome: sending._ended.value(outcome) for outcome in ("sent", "postponed")}
    await world.ask()
    world.provider.mood = Mood.FAIL
    await world.sender.send_due()
    assert sending._waiting.value() == 1
    world.provider.mood = Mood.WELL
    await world.pass_time(2)
    assert sending._waiting.value() == 0
    assert {outcome: sending._ended.value(outcome) - count for outcome, count in before.items()} == {
        "sent": 1,
        "postponed": 1,
    }
