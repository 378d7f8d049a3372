"""A customer as it was, exactly: at every version, and at every moment."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from customerflow_query import lookback
from customerflow_query.lookback import Past
from customerflow_query.read_model import ReadModel, Vanished
from customerflow_shared import views
from customerflow_shared.views import timestamp
from redis.asyncio import Redis

from .builders import ANA, GENERATION, NOBODY, progress
from .lives import BEGIN, ended, life, store

PATH = f"/v1/customers/{ANA}"
AROUND_BLOCKS = [1, 2, 63, 64, 65, 127, 128, 129, 200]


@pytest.fixture(autouse=True)
async def up_to_date(redis: Redis) -> None:
    """All that there was until now is applied."""
    now = round(time.time() * 1000)
    await progress(redis, 1, recorded=now, checked=now)


async def past_of(redis: Redis) -> Past:
    found = await lookback.past(ReadModel(redis), GENERATION, ANA)
    assert found
    return found


@pytest.mark.parametrize("versions", AROUND_BLOCKS)
@pytest.mark.parametrize("seed", range(3))
async def test_every_version_is_shown_as_it_was_stored(redis: Redis, versions: int, seed: int) -> None:
    lived = life(versions, seed=seed)
    await store(redis, lived)
    for version in range(1, versions + 1):
        assert await (await past_of(redis)).document(version) == lived.at(version)


@pytest.mark.parametrize("versions", AROUND_BLOCKS)
async def test_every_moment_shows_the_last_version_recorded_by_then(redis: Redis, versions: int) -> None:
    lived = life(versions)
    await store(redis, lived)
    times = [entry.recorded_at for entry in lived.entries]
    for moment in times:
        for text in (_moved(moment, -1), moment, _moved(moment, 1)):
            expected = sum(recorded <= text for recorded in times)
            assert await (await past_of(redis)).version_at(text) == expected


def _moved(moment: str, milliseconds: int) -> str:
    return timestamp(datetime.fromisoformat(moment) + timedelta(milliseconds=milliseconds))


async def test_looking_back_reads_no_more_blocks_than_it_must(redis: Redis) -> None:
    versions = 64 * 40 + 17
    lived = life(versions)
    await store(redis, lived)
    for version, most in [(versions, 0), (versions - 1, 1), (64 * 20, 1), (64 * 20 + 1, 2), (1, 1)]:
        past = await past_of(redis)
        assert await past.document(version) == lived.at(version)
        assert len(past._blocks) <= most
    past = await past_of(redis)
    await past.version_at(lived.entries[777].recorded_at)
    assert len(past._blocks) <= 7


async def test_a_version_over_http(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = life(70)
    await store(redis, lived)
    for version in (1, 63, 64, 65, 69, 70):
        response = await queries.get(PATH, params={"atVersion": version})
        assert (response.status_code, response.content) == (200, lived.at(version))
        assert response.headers["etag"] == f'"{version}"'
        # an erasure must be heard
        assert response.headers["cache-control"] == "private, no-cache"
        again = await queries.get(PATH, params={"atVersion": version}, headers={"If-None-Match": f'"{version}"'})
        assert (again.status_code, again.content) == (304, b"")
        head = await queries.head(PATH, params={"atVersion": version})
        told = {name: value for name, value in head.headers.items() if name != "customerflow-projection-lag"}
        assert (head.status_code, head.content) == (200, b"")
        assert told.items() <= response.headers.items()
        assert head.headers["content-length"] == response.headers["content-length"]


async def test_a_moment_over_http(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = life(70)
    await store(redis, lived)
    moment = datetime.fromisoformat(lived.entries[66].recorded_at)
    version = sum(entry.recorded_at <= timestamp(moment) for entry in lived.entries)
    for text in (timestamp(moment), moment.isoformat(), moment.isoformat().replace("+00:00", "-00:00")):
        response = await queries.get(PATH, params={"asOf": text})
        assert (response.status_code, response.content) == (200, lived.at(version))
        assert response.headers["etag"] == f'"{version}"'


async def test_fields_of_a_version(queries: httpx.AsyncClient, redis: Redis) -> None:
    await store(redis, life(70))
    response = await queries.get(PATH, params={"atVersion": 3, "fields": "name"})
    assert list(response.json()) == ["id", "version", "name"]


async def test_before_the_registration_there_was_nobody(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = life(70)
    await store(redis, lived)
    first = lived.entries[0].recorded_at
    assert (await queries.get(PATH, params={"asOf": first})).headers["etag"] == '"1"'
    response = await queries.get(PATH, params={"asOf": _moved(first, -1)})
    assert (response.status_code, response.json()["code"]) == (404, "not-yet-registered")
    assert response.json()["firstAt"] == first


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"atVersion": "0"}, "invalid-parameter"),
        ({"atVersion": "x"}, "invalid-parameter"),
        ({"atVersion": "3", "asOf": timestamp(BEGIN)}, "invalid-parameter"),
        ({"atVersion": "3", "minVersion": "4"}, "invalid-parameter"),
        ({"asOf": ""}, "date-format"),
        ({"asOf": "2026-11-22"}, "date-format"),
        ({"asOf": "2026-11-22T15:04:05"}, "date-format"),
        ({"asOf": "2026-02-30T15:04:05Z"}, "date-format"),
        ({"asOf": "0001-01-01T00:00:00Z"}, "date-format"),
        ({"asOf": timestamp(datetime.now(UTC) + timedelta(hours=1))}, "as-of-future"),
    ],
)
async def test_what_cannot_be_looked_back_at(
    queries: httpx.AsyncClient, redis: Redis, given: dict[str, str], code: str
) -> None:
    await store(redis, life(5))
    response = await queries.get(PATH, params=given)
    assert (response.status_code, response.json()["code"]) == (400, code)


async def test_of_an_erased_customer_nothing_is_shown(queries: httpx.AsyncClient, redis: Redis) -> None:
    await store(redis, ended(life(70)))
    for given in ({"atVersion": "3"}, {"atVersion": "71"}, {"asOf": timestamp(BEGIN)}):
        response = await queries.get(PATH, params=given, headers={"If-None-Match": "*"})
        assert (response.status_code, response.json()["code"]) == (410, "customer-erased")
        assert response.headers["etag"] == '"71"'


async def test_nobody_has_no_past(queries: httpx.AsyncClient, redis: Redis) -> None:
    await store(redis, life(5))
    missing = f"/v1/customers/{NOBODY}"
    assert (await queries.get(missing, params={"asOf": timestamp(BEGIN)})).status_code == 404
    response = await queries.get(missing, params={"atVersion": 1}, headers={"Prefer": "wait=0"})
    assert (response.status_code, response.json()["currentVersion"]) == (503, 0)


async def test_a_version_that_is_yet_to_come_is_waited_for(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = life(70)
    await store(redis, lived.until(64))
    behind = await queries.get(PATH, params={"atVersion": 65}, headers={"Prefer": "wait=0"})
    assert (behind.status_code, behind.json()["code"]) == (503, "projection-behind")
    assert (behind.json()["currentVersion"], behind.headers["retry-after"]) == (64, "1")
    reading = asyncio.create_task(queries.get(PATH, params={"atVersion": 65}, headers={"Prefer": "wait=5"}))
    await asyncio.sleep(0.1)
    assert not reading.done()
    await store(redis, lived)
    response = await reading
    assert (response.status_code, response.content) == (200, lived.at(65))
    assert response.headers["preference-applied"] == "wait=5"


async def test_a_moment_of_which_not_all_is_known_yet_is_waited_for(queries: httpx.AsyncClient, redis: Redis) -> None:
    """What was recorded by then, and acknowledged, may still be on its way into the read model."""
    lived, now = life(5), datetime.now(UTC)
    await store(redis, lived)
    milliseconds = round(now.timestamp() * 1000)
    await progress(redis, 1, recorded=milliseconds - 1000, checked=milliseconds - 500)
    asked = {"asOf": timestamp(now)}
    behind = await queries.get(PATH, params=asked, headers={"Prefer": "wait=0"})
    assert (behind.status_code, behind.json()["code"]) == (503, "projection-behind")
    reading = asyncio.create_task(queries.get(PATH, params=asked, headers={"Prefer": "wait=5"}))
    await asyncio.sleep(0.1)
    assert not reading.done()
    await progress(redis, 1, recorded=milliseconds - 1000, checked=milliseconds + 1)
    assert (await reading).content == lived.at(5)


async def test_what_an_erasure_has_come_between_is_not_put_together(redis: Redis) -> None:
    lived = life(200)
    await store(redis, lived)
    past = await past_of(redis)
    read_before = await past_of(redis)
    await read_before.document(64)
    await store(redis, ended(lived))
    for version in (1, 63, 64, 100):
        with pytest.raises(Vanished):
            await past.document(version)
    with pytest.raises(Vanished):
        await read_before.document(65)
    with pytest.raises(Vanished):
        await past.page(lookback.Mark(200), 100, lambda entry: [entry])
    past = await past_of(redis)
    await redis.delete(views.blocks_key(GENERATION, ANA))
    with pytest.raises(Vanished):
        await past.page(lookback.Mark(150), 10, lambda entry: [entry])
    with pytest.raises(Vanished):
        await past_of(redis)


async def test_looking_back_while_the_customer_goes_on(queries: httpx.AsyncClient, redis: Redis) -> None:
    """Blocks are closed and entries move into them while they are read."""
    lived = life(200)
    await store(redis, lived.until(50))

    async def live() -> None:
        for version in range(51, 201):
            await store(redis, lived.until(version))

    living = asyncio.create_task(live())
    answers: list[Any] = []
    while not living.done():
        for version in (1, 32, 49, 50):
            response = await queries.get(PATH, params={"atVersion": version})
            assert (response.status_code, response.content) == (200, lived.at(version))
            answers.append(response)
    await living
    assert len(answers) > 20
