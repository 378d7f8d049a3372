"""A real Redis, empty for each test."""

from collections.abc import AsyncIterator

import pytest
from customerflow_query import reader
from redis.asyncio import Redis


@pytest.fixture
async def redis(cf_redis_url: str) -> AsyncIterator[Redis]:
    client = reader.connect(cf_redis_url)
    await client.flushdb()
    yield client
    await client.aclose()
