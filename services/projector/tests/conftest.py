"""The read model on a real Redis, empty for each test."""

from collections.abc import AsyncIterator

import pytest
import structlog
from customerflow_projector import read_model
from customerflow_projector.read_model import ReadModel
from redis.asyncio import Redis

from .builders import LOOKUPS

# rich would show an exception that the broker's library raises again and again with all that it has gone through: for
# minutes
structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])


@pytest.fixture
async def redis(cf_redis_url: str) -> AsyncIterator[Redis]:
    client = read_model.connect(cf_redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def model(redis: Redis) -> ReadModel:
    return ReadModel(redis, LOOKUPS)
