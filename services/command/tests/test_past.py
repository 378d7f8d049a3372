"""Integration events of the past over HTTP, on a real database: what was told is told again, whole and in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import msgspec
import pytest
from customerflow_command import past, store
from customerflow_command.customer.commands import (
    ArchiveCustomer,
    ChangeCustomer,
    RequestErasure,
    RestoreCustomer,
    TagCustomer,
)
from customerflow_command.doorbell import Doorbell
from customerflow_command.fingerprints import Fingerprints
from customerflow_command.outbox import Lease, Outbox
from customerflow_command.publishing import cloud_events
from customerflow_command.relay import Relay, commands
from customerflow_command.store import EventReader
from customerflow_contract import cloud_event
from customerflow_shared import database, messaging, service
from customerflow_shared.ids import uuid7
from customerflow_shared.values import Consent, PersonalProfile

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage

    from services.command.tests.conftest import Start, WriteSide

PATH = "/internal/integration-events"
PAGE = 4
NOW = datetime.now(UTC)
CONTRACT_URL = "https://customers.example.com/contract"


class Line(msgspec.Struct, kw_only=True):
    position: int
    events: list[msgspec.Raw] = []
    unreadable: dict[str, Any] | None = None


@pytest.fixture
def client(feed_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    monkeypatch.setattr(store, "FEED_PAGE", PAGE)
    monkeypatch.setattr(past, "FEED_SLICE", 3)
    return feed_client


@pytest.fixture
async def begin(write_side: WriteSide) -> int:
    """Where the test's own events begin."""
    return await write_side.store.head()


async def read(client: httpx.AsyncClient, **asked: Any) -> tuple[int, list[Line]]:
    """Up to where, and the lines."""
    answer = await client.get(PATH, params=asked)
    assert answer.status_code == 200, answer.text
    lines = [msgspec.json.decode(line, type=Line) for line in answer.content.splitlines()]
    assert [one.position for one in lines] == sorted(one.position for one in lines)
    return int(answer.headers["CustomerFlow-Head"]), lines


async def told(client: httpx.AsyncClient, **asked: Any) -> list[tuple[int, bytes]]:
    head, lines = await read(client, **asked)
    assert lines[-1].position >= head
    return [(line.position, bytes(event)) for line in lines for event in line.events]


async def expected(write_side: WriteSide, contract_url: str = CONTRACT_URL) -> Any:
    """As the relay groups and maps all events that there are."""
    return [
        (command[-1].position, cloud_event.encode(event))
        for command in commands(await write_side.feed())
        for event in cloud_events(command, contract_url)
    ]


async def live(write_side: WriteSide, number: int) -> UUID:
    """Commands of one, two and three events; one that means nothing to others."""
    consents = (Consent(purpose="newsletter", channel="email", state="granted", captured_at=NOW, source="api"),)
    customer_id = await write_side.register(f"Ana {number}", consents=consents)
    change = ChangeCustomer(personal=PersonalProfile(name="Bia"), email=f"{customer_id}@example.com")
    await write_side.do(customer_id, change)
    await write_side.do(customer_id, TagCustomer(tag="vip"))
    await write_side.do(customer_id, msgspec.structs.replace(change, personal=PersonalProfile(name="Eva"), email=None))
    await write_side.do(customer_id, ArchiveCustomer())
    return customer_id


async def test_what_is_told_again_is_what_was_told_first_byte_by_byte(
    client: httpx.AsyncClient, write_side: WriteSide, cf_amqp_url: str
) -> None:
    await asyncio.gather(*(live(write_side, number) for number in range(5)))
    arrived: list[bytes] = []

    async def hear(message: AbstractIncomingMessage) -> None:
        arrived.append(message.body)

    fingerprints = Fingerprints(write_side.engine, write_side.keys.fingerprints(), leaves=True)
    tell = partial(cloud_events, contract_url=CONTRACT_URL)
    lease = Lease(write_side.engine, "relay")
    reader = EventReader(write_side.keys)
    relay = Relay(Outbox(write_side.engine), lease, reader, Doorbell(), cf_amqp_url, fingerprints.check, tell)
    async with messaging.connected(cf_amqp_url, "observer") as connection:
        channel = await connection.channel()
        await messaging.declare(channel)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(messaging.INTEGRATION, "#")
        await queue.consume(hear, no_ack=True)
        async with service.background("relay", relay.run), asyncio.timeout(10):
            while await write_side.count("cf_outbox"):
                await asyncio.sleep(0.05)
    again = [body for _, body in await told(client)]
    assert len(again) >= 30
    assert sorted(again) == sorted(set(arrived))


async def test_no_command_is_cut_wherever_it_begins_and_ends(
    client: httpx.AsyncClient, write_side: WriteSide, begin: int
) -> None:
    await asyncio.gather(*(live(write_side, number) for number in range(3)))
    whole = await expected(write_side)
    head = await write_side.store.head()
    assert head - begin > 2 * PAGE
    for after in range(begin, head + 1):
        assert await told(client, after=after) == [one for one in whole if after < one[0]]
    for until in range(begin, head + 1):
        assert await told(client, after=begin, until=until) == [one for one in whole if begin < one[0] <= until]


async def test_a_reader_that_goes_on_after_any_line_misses_and_repeats_nothing(
    client: httpx.AsyncClient, write_side: WriteSide, begin: int
) -> None:
    await asyncio.gather(*(live(write_side, number) for number in range(3)))
    whole = await told(client, after=begin)
    _, lines = await read(client, after=begin)
    for line in lines:
        before = [one for one in whole if one[0] <= line.position]
        assert before + await told(client, after=line.position) == whole


async def test_filters_are_by_routing_key_customer_and_both(
    client: httpx.AsyncClient, write_side: WriteSide, begin: int
) -> None:
    customers = [await live(write_side, number) for number in range(3)]
    whole = [(position, json.loads(event)) for position, event in await told(client, after=begin)]
    asked: list[dict[str, Any]] = [
        {"type": "customer.registered.v1"},
        {"type": ["customer.consent_changed.v1", "customer.status_changed.v1"]},
        {"customer": str(customers[1])},
        {"customer": str(customers[1]), "type": "customer.updated.v1"},
    ]
    for one in asked:
        types = [one["type"]] if isinstance(one.get("type"), str) else one.get("type")
        fitting = [
            (position, event)
            for position, event in whole
            if (types is None or event["type"].removeprefix("io.customerflow.") in types)
            and event["subject"] == one.get("customer", event["subject"])
        ]
        assert fitting
        assert [(position, json.loads(event)) for position, event in await told(client, after=begin, **one)] == fitting
        middle = fitting[len(fitting) // 2][0]
        cut = [json.loads(event) for _, event in await told(client, after=middle, **one)]
        assert cut == [event for position, event in fitting if position > middle]


async def test_times_count_even_where_a_clock_is_behind(
    client: httpx.AsyncClient, write_side: WriteSide, start: Start, begin: int
) -> None:
    moments = []
    async with start(late=timedelta(minutes=5)) as behind:
        for number in range(6):
            await (behind if number % 2 else write_side).register(f"Ana {number}")
            await asyncio.sleep(0.005)
    whole = [(position, json.loads(event)) for position, event in await told(client, after=begin)]
    moments = sorted({event["time"] for _, event in whole})
    assert len(moments) == 6
    assert [event["time"] for _, event in whole] != moments
    for moment in moments:
        since = [json.loads(event) for _, event in await told(client, after=begin, since=moment)]
        assert since == [event for _, event in whole if event["time"] >= moment]
        before = [json.loads(event) for _, event in await told(client, after=begin, before=moment)]
        assert before == [event for _, event in whole if event["time"] < moment]


async def test_times_are_mapped_to_positions(
    client: httpx.AsyncClient, write_side: WriteSide, begin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "DISORDER", timedelta())
    for number in range(6):
        await write_side.register(f"Ana {number}")
        await asyncio.sleep(0.003)
    times = [json.loads(event)["time"] for _, event in await told(client, after=begin)]
    for number, moment in enumerate(times):
        _, lines = await read(client, since=moment)
        assert lines[0].position == begin + number
        end, lines = await read(client, before=moment, after=begin)
        assert (end, lines[-1].position) == (begin + number, begin + number)
    head = await write_side.store.head()
    assert await read(client, since="2999-01-01T00:00:00Z") == (head, [Line(position=head)])
    assert (await read(client, before="9999-12-31T23:59:59Z"))[0] == head
    assert await read(client, before="1950-01-01T00:00:00Z") == (0, [Line(position=0)])


async def test_who_waits_for_what_never_comes_is_told_how_far_it_is(
    client: httpx.AsyncClient, write_side: WriteSide, begin: int
) -> None:
    for number in range(4 * PAGE):
        await write_side.register(f"Ana {number}")
    head, lines = await read(client, after=begin, type="customer.erased.v1")
    assert [line.events for line in lines] == [[]] * len(lines)
    assert head == lines[-1].position == begin + 4 * PAGE
    assert max(later.position - line.position for line, later in pairwise(lines)) <= PAGE + 1


async def test_of_who_is_erased_only_what_names_nobody_is_told(
    client: httpx.AsyncClient, write_side: WriteSide
) -> None:
    customer_id = await live(write_side, 1)
    await write_side.do(customer_id, RestoreCustomer())
    first = {(one := json.loads(event))["id"]: one for _, event in await told(client, customer=str(customer_id))}
    await write_side.do(customer_id, RequestErasure(due_at=NOW))
    *again, last = [json.loads(event) for _, event in await told(client, customer=str(customer_id))]
    assert last["type"] == "io.customerflow.customer.erased.v1"
    assert [one["type"] for one in again].count("io.customerflow.customer.updated.v1") == 3
    for one in again:
        before = first.get(one["id"], one)
        assert {*one["data"].pop("changed", [])} <= {*before["data"].pop("changed", [])}
        assert one == before


async def test_an_event_that_cannot_be_read_is_told_of_and_the_others_go_on(
    client: httpx.AsyncClient, write_side: WriteSide, begin: int
) -> None:
    first = await write_side.register("Ana")
    broken = await write_side.register("Bia")
    await write_side.rename(broken, "Eva")
    last = await write_side.register("Eva")
    async with database.session(write_side.engine) as session:
        (key,) = (await session.rows("SELECT wrapped FROM cf_customer_keys WHERE customer_id = %s", (broken.bytes,)))[0]
        await session.run("DELETE FROM cf_customer_keys WHERE customer_id = %s", (broken.bytes,))
        await session.commit()
    try:
        _, lines = await read(client, after=begin)
        subjects = [json.loads(bytes(event))["subject"] for line in lines for event in line.events]
        assert subjects == [str(first), str(last)]
        assert [line.unreadable for line in lines if line.unreadable] == [
            {"position": begin + 2, "customerId": str(broken), "version": 1},
            {"position": begin + 3, "customerId": str(broken), "version": 2},
        ]
        answer = await client.get(f"/internal/customers/{broken}/integration-events/2")
        assert answer.json()["unreadable"]["version"] == 2
    finally:
        async with database.session(write_side.engine) as session:
            await session.run(
                "INSERT INTO cf_customer_keys (customer_id, master_key_id, wrapped) VALUES (%s, 'k1', %s)",
                (broken.bytes, key),
            )
            await session.commit()


async def test_each_version_leads_to_its_whole_command(
    client: httpx.AsyncClient, write_side: WriteSide, begin: int
) -> None:
    customer_id = await live(write_side, 1)
    history = await write_side.history(customer_id)
    for command in commands(history):
        messages = cloud_events(command, CONTRACT_URL)
        for recorded in command:
            answer = await client.get(f"/internal/customers/{customer_id}/integration-events/{recorded.version}")
            line = msgspec.json.decode(answer.content, type=Line)
            assert line.position == command[-1].position
            assert [bytes(event) for event in line.events] == [cloud_event.encode(one) for one in messages]


@pytest.mark.parametrize("version", [99, 2**32, 10**17])
async def test_a_version_that_there_is_not_is_not_found(
    client: httpx.AsyncClient, write_side: WriteSide, version: int
) -> None:
    customer_id = await write_side.register("Ana")
    answer = await client.get(f"/internal/customers/{customer_id}/integration-events/{version}")
    assert (answer.status_code, answer.json()["code"]) == (404, "event-not-found")
    assert (await client.get(f"/internal/customers/{uuid7()}/integration-events/1")).status_code == 404


WRONG: Sequence[tuple[str, str]] = [
    ("before-position=1", "unknown-parameter"),
    ("after=-1", "invalid-parameter"),
    ("after=1&after=2", "invalid-parameter"),
    ("after=9999999999999999999", "invalid-parameter"),
    ("after=5&until=4", "invalid-parameter"),
    ("until=", "invalid-parameter"),
    ("since=yesterday", "invalid-parameter"),
    ("since=2026-11-22", "invalid-parameter"),
    ("since=2026-11-22T15:00:00", "invalid-parameter"),
    ("since=2026-13-22T15:00:00Z", "invalid-parameter"),
    ("before=9999-12-31T23:59:59-05:00", "invalid-parameter"),
    ("since=2026-11-22T15:00:00Z&before=2026-11-22T15:00:00Z", "invalid-parameter"),
    ("type=customer.registered.v9", "invalid-parameter"),
    ("type=customer.registered.v1&type=CustomerRegistered", "invalid-parameter"),
    ("type=", "invalid-parameter"),
    ("customer=17", "invalid-id"),
    ("customer=", "invalid-id"),
]


@pytest.mark.parametrize(("query", "code"), WRONG)
async def test_what_is_asked_wrongly_is_refused(client: httpx.AsyncClient, query: str, code: str) -> None:
    answer = await client.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_a_version_is_a_number_and_who_has_no_token_is_told_nothing(client: httpx.AsyncClient) -> None:
    path = f"/internal/customers/{uuid7()}/integration-events"
    for version in ("0", "x", "-1", "1.0"):
        assert (await client.get(f"{path}/{version}")).status_code == 400
    client.headers["Authorization"] = "Bearer another-token-1234"
    for address in (PATH, f"{path}/1"):
        assert (await client.get(address)).status_code == 401
