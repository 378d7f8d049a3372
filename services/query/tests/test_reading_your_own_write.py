"""A reader that says which version it was given never sees an older one."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from customerflow_query.api import CustomerRoute
from customerflow_query.api.freshness import DEFAULT_WAIT, LONGEST_WAIT, preferred_wait
from customerflow_query.read_model import ReadModel
from customerflow_query.reader import Reader
from redis.asyncio import Redis

from .builders import ANA, NOBODY, customer, erased, publish

PATH = f"/v1/customers/{ANA}"


@pytest.fixture
async def api(redis: Redis) -> AsyncIterator[httpx.AsyncClient]:
    async def nothing(*_: object) -> None:
        raise AssertionError

    await publish(redis, customer(version=7))
    application: Any = CustomerRoute(Reader(ReadModel(redis)), nothing)
    async with httpx.AsyncClient(base_url="http://query", transport=httpx.ASGITransport(application)) as client:
        yield client


@pytest.mark.parametrize("minimum", [1, 6, 7])
async def test_what_is_new_enough_is_answered_at_once(api: httpx.AsyncClient, minimum: int) -> None:
    began = time.monotonic()
    response = await api.get(PATH, params={"minVersion": minimum})
    assert (response.status_code, response.headers["etag"]) == (200, '"7"')
    assert time.monotonic() - began < 0.2


async def test_what_comes_in_time_is_waited_for(api: httpx.AsyncClient, redis: Redis) -> None:
    reading = asyncio.create_task(api.get(PATH, params={"minVersion": 9}))
    for version in (8, 9):
        await asyncio.sleep(0.1)
        assert not reading.done()
        await publish(redis, customer(version=version))
    assert (await reading).headers["etag"] == '"9"'


async def test_an_erasure_is_waited_for_as_any_other_change(api: httpx.AsyncClient, redis: Redis) -> None:
    reading = asyncio.create_task(api.get(PATH, params={"minVersion": 8}))
    await asyncio.sleep(0.1)
    assert not reading.done()
    await publish(redis, erased(version=8))
    assert (await reading).status_code == 410
    beyond = await api.get(PATH, params={"minVersion": 9}, headers={"Prefer": "wait=0"})
    assert (beyond.status_code, beyond.json()["currentVersion"]) == (503, 8)


async def test_a_customer_that_is_yet_to_appear_is_waited_for(api: httpx.AsyncClient, redis: Redis) -> None:
    reading = asyncio.create_task(api.get(f"/v1/customers/{NOBODY}", params={"minVersion": 1}))
    await asyncio.sleep(0.1)
    await publish(redis, customer(NOBODY, version=1))
    assert (await reading).status_code == 200


async def test_what_does_not_come_is_behind(api: httpx.AsyncClient) -> None:
    began = time.monotonic()
    response = await api.get(PATH, params={"minVersion": 8}, headers={"Prefer": "wait=0"})
    assert (response.status_code, response.json()["code"]) == (503, "projection-behind")
    assert (response.json()["currentVersion"], response.headers["retry-after"]) == (7, "1")
    assert time.monotonic() - began < 0.2


async def test_who_prefers_nothing_waits_a_second(api: httpx.AsyncClient) -> None:
    began = time.monotonic()
    response = await api.get(f"/v1/customers/{NOBODY}", params={"minVersion": 1})
    assert (response.status_code, response.json()["currentVersion"]) == (503, 0)
    assert 0.8 < time.monotonic() - began < 1.5


async def test_a_tag_that_matches_an_old_version_waits_for_the_new_one(api: httpx.AsyncClient) -> None:
    headers = {"If-None-Match": '"7"', "Prefer": "wait=0"}
    assert (await api.get(PATH, params={"minVersion": 8}, headers=headers)).status_code == 503
    assert (await api.get(PATH, params={"minVersion": 7}, headers=headers)).status_code == 304


async def test_a_preference_is_confirmed_where_it_counts(api: httpx.AsyncClient) -> None:
    headers = {"Prefer": "wait=3"}
    confirmed = await api.get(PATH, params={"minVersion": 7}, headers=headers)
    assert confirmed.headers["preference-applied"] == "wait=3"
    assert "preference-applied" not in (await api.get(PATH, headers=headers)).headers


@pytest.mark.parametrize(
    ("prefer", "seconds", "applied"),
    [
        ([], DEFAULT_WAIT, None),
        (["wait=3"], 3, b"wait=3"),
        (["wait=0"], 0, b"wait=0"),
        (["WAIT=3"], 3, b"wait=3"),
        (['wait="3"'], 3, b"wait=3"),
        (["wait = 3"], 3, b"wait=3"),
        (["return=minimal, wait=3"], 3, b"wait=3"),
        (["wait=3, return=minimal"], 3, b"wait=3"),
        (["respond-async; wait=3"], 3, b"wait=3"),
        (["return=minimal", "wait=3"], 3, b"wait=3"),
        (["wait=99"], LONGEST_WAIT, b"wait=7"),
        (["wait=999999999"], LONGEST_WAIT, b"wait=7"),
        (["wait=9999999999"], DEFAULT_WAIT, None),
        (["wait=abc"], DEFAULT_WAIT, None),
        (["wait=-1"], DEFAULT_WAIT, None),
        (["wait=1.5"], DEFAULT_WAIT, None),
        (["wait="], DEFAULT_WAIT, None),
        (["wait"], DEFAULT_WAIT, None),
        (["return=minimal"], DEFAULT_WAIT, None),
        (["await=3"], DEFAULT_WAIT, None),
        (["wait=3x"], DEFAULT_WAIT, None),
    ],
)
def test_a_preference_that_cannot_be_honoured_is_no_error(
    prefer: list[str], seconds: float, applied: bytes | None
) -> None:
    assert preferred_wait([(b"prefer", value.encode()) for value in prefer]) == (seconds, applied)
