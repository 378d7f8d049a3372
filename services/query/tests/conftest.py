"""A real Redis, empty for each test, and the query API on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from customerflow_query import app, read_model
from customerflow_query.app import QuerySettings
from customerflow_query.read_model import ReadModel
from redis.asyncio import Redis
from uvicorn.lifespan.on import LifespanOn

from .builders import KEY


@pytest.fixture
async def redis(cf_redis_url: str) -> AsyncIterator[Redis]:
    client = read_model.connect(cf_redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def model(redis: Redis) -> ReadModel:
    return ReadModel(redis)


@pytest.fixture
async def queries(redis: Redis, cf_redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The query API; the read model is as `redis` leaves it."""
    async with composed(cf_redis_url) as client:
        yield client


@pytest.fixture(scope="module")
async def api(cf_redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The query API, one for all tests of a module."""
    async with composed(cf_redis_url) as client:
        yield client


@asynccontextmanager
async def composed(redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """As for production."""
    application: Any
    application, _ = app.query_api(QuerySettings(redis_url=redis_url, lookup_key=KEY))
    config = uvicorn.Config(application, lifespan="on", log_config=None)
    config.load()
    lifespan = LifespanOn(config)
    await lifespan.startup()
    async with httpx.AsyncClient(
        base_url="http://query", transport=httpx.ASGITransport(application, raise_app_exceptions=False)
    ) as client:
        yield client
    await lifespan.shutdown()
    assert not lifespan.error_occurred
