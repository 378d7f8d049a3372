"""The composition root of the query service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from customerflow_shared import service
from customerflow_shared.settings import Listen, Port, RedisUrl
from litestar import Litestar
from litestar.types import ASGIApp
from opentelemetry.instrumentation.redis import RedisInstrumentor

from customerflow_query import api, read_model
from customerflow_query.api import documentation, past, statistics
from customerflow_query.read_model import ReadModel
from customerflow_query.reader import Reader


class QuerySettings(Listen, frozen=True, kw_only=True):
    redis_url: RedisUrl
    port: Port = 8081


def query_api(config: QuerySettings) -> tuple[ASGIApp, service.Health]:
    RedisInstrumentor().instrument()
    redis = read_model.connect(config.redis_url)
    model = ReadModel(redis)
    reader = Reader(model)
    health = service.Health({"redis": model.check})

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        await redis.aclose()

    app = service.create(
        "CustomerFlow queries",
        "Read customers. What you have just changed is here within milliseconds; ask with minVersion to be sure.",
        handlers=[
            *past.ROUTES,
            *statistics.ROUTES,
        ],
        health=health,
        lifespan=[lifespan],
        translations=api.TRANSLATIONS,
        dependencies={"model": model, "reader": reader},
        documented={"/v1/customers/{customer_id}": documentation.customer_path()},
    )
    return api.CustomerRoute(reader, app), health
