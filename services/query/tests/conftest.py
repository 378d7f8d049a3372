"""A real Redis, empty for each test."""

from collections.abc import AsyncIterator

import pytest
from customerflow_query import read_model
from customerflow_query.read_model import ReadModel
from redis.asyncio import Redis


@pytest.fixture
async def redis(cf_redis_url: str) -> AsyncIterator[Redis]:
    client = read_model.connect(cf_redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def model(redis: Redis) -> ReadModel:
    return ReadModel(redis)
