"""How new an answer is, and that it is as new as was asked for."""

import asyncio
import time

import httpx
import pytest
from redis.asyncio import Redis

from .builders import ANA, NOBODY, customer, progress, publish
from .lives import ended, life, store

PATH = f"/v1/customers/{ANA}"
ROUTES = ["", "?fields=name", "?atVersion=3", "?asOf=2026-06-01T00:00:00Z", "/diff?from=1&to=3"]
HISTORIES = ["/timeline", "/history?field=name"]


def now() -> int:
    return int(time.time() * 1000)


def freshness(response: httpx.Response) -> tuple[int, float]:
    return (
        int(response.headers["customerflow-position"]),
        float(response.headers["customerflow-projection-lag"]),
    )


@pytest.mark.parametrize("route", ROUTES + HISTORIES)
async def test_every_answer_tells_how_fresh_it_is(queries: httpx.AsyncClient, redis: Redis, route: str) -> None:
    await store(redis, life(5))
    await progress(redis, 17, recorded=now() - 2500)
    seen = [await queries.get(PATH + route), await queries.head(PATH + route)]
    seen.append(await queries.get(f"/v1/customers/{NOBODY}{route}", headers={"Prefer": "wait=0"}))
    more = "&" if "?" in route else "?"
    seen.append(await queries.get(f"{PATH}{route}{more}minVersion=9", headers={"Prefer": "wait=0"}))
    assert [one.status_code for one in seen[:2]] == [200, 200]
    await store(redis, ended(life(5)))
    seen.append(await queries.get(PATH + route))
    for response in seen:
        if response.status_code != 400:  # refused without a look
            position, lag = freshness(response)
            assert position == 17
            assert 2.4 < lag < 4


async def test_a_304_tells_how_fresh_it_is(queries: httpx.AsyncClient, redis: Redis) -> None:
    await publish(redis, customer())
    await progress(redis, 17, recorded=now() - 2500)
    response = await queries.get(PATH, headers={"If-None-Match": '"7"'})
    assert response.status_code == 304
    assert freshness(response)[0] == 17


@pytest.mark.parametrize(
    ("recorded", "checked", "least", "most"),
    [(-9000, -2000, 2.0, 3.5), (-2000, -9000, 2.0, 3.5), (-9000, 0, 0.0, 1.5), (60_000, 0, 0.0, 0.0)],
)
async def test_the_lag_counts_from_the_last_moment_at_which_nothing_was_missing(
    queries: httpx.AsyncClient, redis: Redis, recorded: int, checked: int, least: float, most: float
) -> None:
    await publish(redis, customer())
    await progress(redis, 17, recorded=now() + recorded, checked=now() + checked)
    response = await queries.get(PATH)
    assert least <= freshness(response)[1] <= most
    assert len(response.headers["customerflow-projection-lag"].partition(".")[2]) == 3


async def test_a_lag_that_is_not_known_is_not_told(queries: httpx.AsyncClient, redis: Redis) -> None:
    await publish(redis, customer())
    response = await queries.get(PATH)
    assert response.headers["customerflow-position"] == "0"
    assert "customerflow-projection-lag" not in response.headers


@pytest.mark.parametrize("route", ROUTES + HISTORIES)
async def test_a_position_is_waited_for(queries: httpx.AsyncClient, redis: Redis, route: str) -> None:
    await store(redis, life(5))
    await progress(redis, 17, recorded=now())
    path = f"{PATH}{route}{'&' if '?' in route else '?'}minPosition="
    assert (await queries.get(f"{path}17")).status_code == 200
    behind = await queries.get(f"{path}18", headers={"Prefer": "wait=0"})
    assert (behind.status_code, behind.json()["code"]) == (503, "projection-behind")
    assert (behind.json()["currentPosition"], behind.headers["retry-after"]) == (17, "1")
    assert freshness(behind)[0] == 17
    reading = asyncio.create_task(queries.get(f"{path}18", headers={"Prefer": "wait=5"}))
    await asyncio.sleep(0.1)
    assert not reading.done()
    await progress(redis, 18, recorded=now())
    response = await reading
    assert (response.status_code, response.headers["preference-applied"]) == (200, "wait=5")
    assert freshness(response)[0] == 18


async def test_a_customer_that_is_not_there_at_the_position_does_not_exist(
    queries: httpx.AsyncClient, redis: Redis
) -> None:
    await publish(redis, customer())
    await progress(redis, 17, recorded=now())
    path = f"/v1/customers/{NOBODY}"
    assert (await queries.get(path, params={"minPosition": 17})).status_code == 404
    assert (await queries.get(path, params={"minPosition": 18}, headers={"Prefer": "wait=0"})).status_code == 503


@pytest.mark.parametrize("value", ["-1", "x", "", "1.0", "9" * 19])
async def test_what_is_no_position_is_refused(queries: httpx.AsyncClient, redis: Redis, value: str) -> None:
    await publish(redis, customer())
    response = await queries.get(PATH, params={"minPosition": value})
    assert (response.status_code, response.json()["code"]) == (400, "invalid-parameter")


async def test_who_asks_for_a_position_never_sees_less(queries: httpx.AsyncClient, redis: Redis) -> None:
    """Versions are positions here; they are given out as soon as they are due, as commands do, and applied later."""
    lived = life(150)
    await store(redis, lived.until(1))
    given = 1

    async def live() -> None:
        nonlocal given
        for version in range(2, 151):
            given = version
            await asyncio.sleep(0.002)
            await store(redis, lived.until(version))
            await progress(redis, version, recorded=now())

    async def read(route: str) -> int:
        reads = 0
        while not living.done():
            least = given
            response = await queries.get(PATH + route, params={"minPosition": least}, headers={"Prefer": "wait=10"})
            assert response.status_code == 200, response.text
            found = response.json()
            assert (found["data"][0] if route else found)["version"] >= least
            reads += 1
        return reads

    living = asyncio.create_task(live())
    reads = await asyncio.gather(*(read(route) for route in ("", "/timeline", "", "/timeline")))
    await living
    assert min(reads) > 10
