"""What an operator switches while the query service runs."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from customerflow_local.flag_file import FlagFile
from redis.asyncio import Redis

from .builders import customer, publish
from .event_source import following, handle, notice
from .test_changes import served

TOKEN = "0123456789-operator"
EFFECT = 2.0  # seconds


@pytest.fixture
async def api(redis: Redis, cf_redis_url: str, cf_flags: FlagFile) -> AsyncIterator[httpx.AsyncClient]:
    await publish(redis, customer())
    await handle(redis, [notice(10)], applied=10)
    async with served(cf_redis_url, flags=str(cf_flags.path), operator_token=TOKEN) as (_, client):
        yield client


async def soon(api: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    end = time.monotonic() + EFFECT
    while (answer := await api.get(path)).status_code != status:
        assert time.monotonic() < end, "it takes too long to take effect"
        await asyncio.sleep(0.02)
    return answer


async def test_totals_are_counted_unless_that_is_switched_off(api: httpx.AsyncClient, cf_flags: FlagFile) -> None:
    assert (await api.get("/v1/customers?count=exact")).status_code == 200
    cf_flags.switch("exact-counts", "off")
    refused = await soon(api, "/v1/customers?count=exact", 503)
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("switched-off", "30")
    assert (await api.post("/v1/customers/search", json={"count": "exact"})).json()["code"] == "switched-off"
    assert (await api.get("/v1/customers")).status_code == 200
    ready = await api.get("/health/ready")
    assert (ready.status_code, ready.json()["paused"]) == (200, ["exact-counts"])
    cf_flags.switch("exact-counts", "on")
    assert "total" in (await soon(api, "/v1/customers?count=exact", 200)).json()
    assert "paused" not in (await api.get("/health/ready")).json()


async def test_the_stream_of_changes_ends_when_it_is_switched_off_and_goes_on_afterwards_where_it_was(
    api: httpx.AsyncClient, redis: Redis, cf_flags: FlagFile
) -> None:
    async with following(api) as events:
        await events.next()
        await handle(redis, [notice(11)], applied=11)
        assert await events.changes(1) == [11]
        cf_flags.switch("change-stream", "off")
        async with asyncio.timeout(EFFECT):
            with pytest.raises(StopAsyncIteration):
                await events.next()
    async with following(api) as refused:
        assert refused.response.status_code == 503
        assert refused.response.headers["retry-after"] == "30"
        assert refused.response.json()["code"] == "switched-off"
    await handle(redis, [notice(12)], applied=12)
    cf_flags.switch("change-stream", "on")
    end = time.monotonic() + EFFECT
    while True:
        async with following(api, last=11) as events:
            if events.response.status_code == 200:
                assert await events.changes(1) == [12]
                return
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_an_operator_sees_what_is_switched_on(api: httpx.AsyncClient, cf_flags: FlagFile) -> None:
    assert (await api.get("/internal/flags")).status_code == 401
    cf_flags.switch("exact-counts", "off")
    cf_flags.switch("command.NoneOfMine", "off")  # the command service knows
    told = (await api.get("/internal/flags", headers={"Authorization": f"Bearer {TOKEN}"})).json()
    assert (told["inForce"], told.get("unknown", [])) == (True, [])
    assert {one["flag"]: one["variant"] for one in told["flags"]}["exact-counts"] == "off"
