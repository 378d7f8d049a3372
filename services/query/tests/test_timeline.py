"""What happened to a customer, and to one of its fields: all of it, once, newest first."""

import json
from typing import Any

import httpx
import pytest
from customerflow_shared import timeline
from msgspec.structs import replace
from redis.asyncio import Redis

from .builders import ANA, BRUNO, NOBODY
from .lives import TYPES, Life, ended, life, store

PATH = f"/v1/customers/{ANA}/timeline"
HISTORY = f"/v1/customers/{ANA}/history"


async def walk(queries: httpx.AsyncClient, path: str, **given: Any) -> list[list[Any]]:
    """All pages."""
    pages = []
    while True:
        response = await queries.get(path, params=given)
        assert response.status_code == 200, response.text
        page = response.json()
        pages.append(page["data"])
        if "next" not in page:
            return pages
        given["cursor"] = page["next"]


def told(lived: Life, *types: str) -> list[Any]:
    entries = [entry for entry in reversed(lived.entries) if not types or entry.type in types]
    return [json.loads(timeline.encode(entry)) for entry in entries]


def became(lived: Life, field: str) -> list[Any]:
    return [
        {name: entry[name] for name in ("version", "recordedAt", "occurredAt", "actor", "source", "type")} | change
        for entry in told(lived)
        for change in entry.get("changes", [])
        if change["path"] == field or change["path"].startswith(field + "/")
    ]


def joined(pages: list[list[Any]]) -> list[Any]:
    return [one for page in pages for one in page]


@pytest.mark.parametrize("versions", [1, 63, 64, 65, 128, 129, 200])
@pytest.mark.parametrize("limit", [7, 64, 200])
async def test_the_pages_hold_every_entry_once(
    queries: httpx.AsyncClient, redis: Redis, versions: int, limit: int
) -> None:
    lived = life(versions)
    await store(redis, lived)
    pages = await walk(queries, PATH, limit=limit)
    assert joined(pages) == told(lived)
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert 0 < len(pages[-1]) <= limit


async def test_entries_are_answered_byte_for_byte_as_stored(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = life(65)
    await store(redis, lived)
    response = await queries.get(PATH, params={"limit": 200})
    entries = b",".join(timeline.encode(entry) for entry in reversed(lived.entries))
    assert response.content == b'{"data":[' + entries + b"]}"
    assert response.headers["cache-control"] == "private, no-cache"
    head = await queries.head(PATH, params={"limit": 200})
    assert (head.status_code, head.headers, head.content) == (200, response.headers, b"")


async def test_a_page_has_50_unless_asked_otherwise(queries: httpx.AsyncClient, redis: Redis) -> None:
    await store(redis, life(65))
    assert [len(page) for page in await walk(queries, PATH)] == [50, 15]


@pytest.mark.parametrize("types", [TYPES[:1], TYPES[1:3], ["CustomerRegistered"], ["CustomerErased"]])
async def test_only_what_was_asked_for(queries: httpx.AsyncClient, redis: Redis, types: list[str]) -> None:
    lived = life(200)
    await store(redis, lived)
    assert joined(await walk(queries, PATH, type=types, limit=9)) == told(lived, *types)


async def test_a_page_looks_at_so_many_entries_and_no_more(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = life(2100)
    await store(redis, lived)
    pages = await walk(queries, PATH, type="CustomerRegistered")
    assert [len(page) for page in pages] == [0, 0, 1]
    assert joined(pages) == told(lived)[-1:]
    rare = Life(lived.documents, [replace(entry, changes=()) for entry in lived.entries])
    await store(redis, rare)
    assert await walk(queries, HISTORY, field="email") == [[], [], []]


async def test_what_happens_meanwhile_moves_nothing(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = life(200)
    await store(redis, lived.until(120))
    first = (await queries.get(PATH, params={"limit": 30})).json()
    await store(redis, lived)
    rest = await walk(queries, PATH, limit=30, cursor=first["next"])
    assert first["data"] + joined(rest) == told(lived.until(120))


async def test_of_an_erased_customer_is_told_that_something_happened(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = ended(life(130))
    await store(redis, lived)
    entries = joined(await walk(queries, PATH, limit=40))
    assert entries == told(lived)
    assert all(entry["redacted"] and "changes" not in entry for entry in entries)
    response = await queries.get(HISTORY, params={"field": "email"})
    assert (response.status_code, response.json()["code"]) == (410, "customer-erased")


@pytest.mark.parametrize(
    "field",
    ["email", "name", "tags", "addresses", "attributes", "attributes/shoe", "attributes/a~1b", "consents/p1", "phone"],
)
@pytest.mark.parametrize("limit", [1, 4, 200])
async def test_what_became_of_a_field(queries: httpx.AsyncClient, redis: Redis, field: str, limit: int) -> None:
    lived = life(130)
    await store(redis, lived)
    pages = await walk(queries, HISTORY, field=field, limit=limit)
    assert joined(pages) == became(lived, field)
    assert all(len(page) == limit for page in pages[:-1])


async def test_an_event_with_many_changes_may_be_cut_by_a_page(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = life(3)
    tags = tuple(timeline.Change(path=f"tags/{number}", after=str(number)) for number in range(10))
    lived = Life(lived.documents, [*lived.entries[:2], replace(lived.entries[2], changes=tags)])
    await store(redis, lived)
    pages = await walk(queries, HISTORY, field="tags", limit=4)
    assert [len(page) for page in pages] == [4, 4, 2]
    assert joined(pages) == became(lived, "tags")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("timeline?limit=0", "limit-range"),
        ("timeline?limit=201", "limit-range"),
        ("timeline?limit=x", "limit-range"),
        ("timeline?limit=", "limit-range"),
        ("timeline?type=CustomerSneezed", "invalid-parameter"),
        ("timeline?type=", "invalid-parameter"),
        ("timeline?cursor=", "cursor-invalid"),
        ("timeline?cursor=x", "cursor-invalid"),
        ("timeline?since=1", "unknown-parameter"),
        ("timeline?minPosition=x", "invalid-parameter"),
        ("timeline?minVersion=0", "invalid-parameter"),
        ("history", "invalid-parameter"),
        ("history?field=", "invalid-parameter"),
        ("history?field=e_mail", "invalid-parameter"),
        ("history?field=given_name", "invalid-parameter"),
        ("history?field=version", "invalid-parameter"),
        ("history?field=/email", "invalid-parameter"),
        ("history?field=email&field=name", "invalid-parameter"),
        ("history?field=email&limit=0", "limit-range"),
    ],
)
async def test_an_unfit_query_is_refused(queries: httpx.AsyncClient, redis: Redis, query: str, code: str) -> None:
    await store(redis, life(5))
    response = await queries.get(f"/v1/customers/{ANA}/{query}")
    assert (response.status_code, response.json()["code"]) == (400, code)


async def test_a_cursor_belongs_to_what_it_was_given_for(queries: httpx.AsyncClient, redis: Redis) -> None:
    await store(redis, life(20), life(20, customer_id=BRUNO))
    cursor = (await queries.get(PATH, params={"limit": 5})).json()["next"]
    for path, given in (
        (f"/v1/customers/{BRUNO}/timeline", {}),
        (PATH, {"type": "CustomerTagged"}),
        (HISTORY, {"field": "tags"}),
    ):
        response = await queries.get(path, params={"cursor": cursor, **given})
        assert (response.status_code, response.json()["code"]) == (400, "cursor-mismatch")
    changed = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    assert (await queries.get(PATH, params={"cursor": changed})).json()["code"] == "cursor-invalid"
    assert (await queries.get(PATH, params={"cursor": cursor, "limit": 7})).json()["data"][0]["version"] == 15


@pytest.mark.parametrize("rest", ["timeline", "history?field=email"])
async def test_nobody_has_no_history(queries: httpx.AsyncClient, redis: Redis, rest: str) -> None:
    await store(redis, life(5))
    response = await queries.get(f"/v1/customers/{NOBODY}/{rest}")
    assert (response.status_code, response.json()["code"]) == (404, "customer-not-found")
    assert response.headers["customerflow-position"] == "0"
    assert (await queries.get(f"/v1/customers/x/{rest}")).json()["code"] == "invalid-id"


async def test_a_timeline_can_be_asked_to_be_new_enough(queries: httpx.AsyncClient, redis: Redis) -> None:
    await store(redis, life(5))
    headers = {"Prefer": "wait=0"}
    response = await queries.get(PATH, params={"minVersion": 6}, headers=headers)
    assert (response.status_code, response.json()["currentVersion"]) == (503, 5)
    enough = await queries.get(PATH, params={"minVersion": 5}, headers={"Prefer": "wait=2"})
    assert (enough.status_code, enough.headers["preference-applied"]) == (200, "wait=2")
