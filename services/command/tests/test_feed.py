"""The event feed over HTTP, on a real database: by position, by customer, and of one customer."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest
from customerflow_command import feed, store
from customerflow_shared import events
from customerflow_shared.events import Recorded
from customerflow_shared.ids import uuid7

if TYPE_CHECKING:
    from services.command.tests.conftest import WriteSide

BY_CUSTOMER = "/internal/customers/events"
PAGE = 7


@pytest.fixture
def client(feed_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    monkeypatch.setattr(store, "FEED_PAGE", PAGE)
    return feed_client


async def history_of(write_side: WriteSide, versions: int) -> UUID:
    customer_id = await write_side.register("Ana")
    for version in range(2, versions + 1):
        await write_side.rename(customer_id, f"Ana {version}")
    return customer_id


async def read(client: httpx.AsyncClient, path: str, **asked: str | int) -> list[Recorded]:
    answer = await client.get(path, params=asked)
    assert answer.status_code == 200
    found = [events.decode(line) for line in answer.content.splitlines() if line]
    return [one for one in found if isinstance(one, Recorded)]


async def test_all_customers_come_whole_and_by_id_wherever_pages_end(
    client: httpx.AsyncClient, write_side: WriteSide
) -> None:
    for versions in (1, PAGE, PAGE + 1, 2, 2 * PAGE, 2 * PAGE - 1, 3, 1):
        await history_of(write_side, versions)
    found = await read(client, BY_CUSTOMER)
    assert found == sorted(await write_side.feed(), key=lambda one: (one.customer_id, one.version))
    customers = sorted({one.customer_id for one in found})
    for after in customers:
        assert await read(client, BY_CUSTOMER, after=str(after)) == [one for one in found if one.customer_id > after]


async def test_the_head_is_told_and_an_empty_line_ends_it(client: httpx.AsyncClient, write_side: WriteSide) -> None:
    await history_of(write_side, 3)
    answer = await client.get(BY_CUSTOMER)
    assert answer.headers["CustomerFlow-Head"] == str(await write_side.store.head())
    assert answer.content.endswith(b"}\n\n")
    last = max(one.customer_id for one in await write_side.feed())
    assert (await client.get(BY_CUSTOMER, params={"after": str(last)})).content == b"\n"


async def test_what_comes_after_the_head_is_not_told(write_side: WriteSide) -> None:
    customer_id = await history_of(write_side, 2)
    head = await write_side.store.head()
    await write_side.rename(customer_id, "Bia")
    await history_of(write_side, 2)
    pages = [page async for page in write_side.store.by_customer(feed.NOBODY, head)]
    assert {one.position for page in pages for one in page} == set(range(1, head + 1))


async def test_a_page_takes_from_the_index_no_more_than_it_gives(
    write_side: WriteSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FEED_PAGE", PAGE)
    for _ in range(5):
        await history_of(write_side, PAGE - 2)
    pages = [page async for page in write_side.store.by_customer(feed.NOBODY, await write_side.store.head())]
    assert all(1 <= len(page) < 2 * PAGE for page in pages)
    versions = [
        [one.version for one in told]
        for _, told in groupby((one for page in pages for one in page), lambda one: one.customer_id)
    ]
    assert versions == [[*range(1, len(told) + 1)] for told in versions]


async def test_one_customers_events_come_in_pages_as_one_answer(
    client: httpx.AsyncClient, write_side: WriteSide
) -> None:
    for versions in (1, PAGE, 2 * PAGE + 1):
        customer_id = await history_of(write_side, versions)
        path = f"/internal/customers/{customer_id}/events"
        history = await read(client, path)
        assert [one.version for one in history] == [*range(1, versions + 1)]
        for after in range(versions + 1):
            assert await read(client, path, after=after) == history[after:]
    assert await read(client, f"/internal/customers/{uuid7()}/events") == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{BY_CUSTOMER}?after=1", 400),
        (f"{BY_CUSTOMER}?before=1", 400),
        ("/internal/customers/x/events", 400),
    ],
)
async def test_what_is_asked_wrongly_is_refused(client: httpx.AsyncClient, path: str, status: int) -> None:
    assert (await client.get(path)).status_code == status


async def test_who_has_no_token_is_told_nothing(client: httpx.AsyncClient) -> None:
    client.headers["Authorization"] = "Bearer another-token-1234"
    for path in ("/internal/events", BY_CUSTOMER, f"/internal/customers/{uuid7()}/events"):
        assert (await client.get(path)).status_code == 401
