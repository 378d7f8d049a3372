"""The composition root of the query service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, cast

import msgspec
from customerflow_shared import service
from customerflow_shared.flags import Flags, routers
from customerflow_shared.flags.catalogue import CHANGE_STREAM, EXACT_COUNTS
from customerflow_shared.indexing import Lookups
from customerflow_shared.settings import Key32, Listen, Port, RedisUrl, Seconds
from litestar import Litestar
from litestar.types import ASGIApp
from opentelemetry.instrumentation.redis import RedisInstrumentor

from customerflow_query import api, read_model
from customerflow_query.api import changes as changes_api
from customerflow_query.api import documentation, history, lists, lookup, past, statistics
from customerflow_query.changes import Changes, connect_bell
from customerflow_query.fetching import Fetcher
from customerflow_query.listing import Cursors, Lists, Place
from customerflow_query.lookback import Mark
from customerflow_query.read_model import Pool, ReadModel
from customerflow_query.reader import Reader


class QuerySettings(Listen, frozen=True, kw_only=True):
    redis_url: RedisUrl
    lookup_key: Key32
    drain_delay: Seconds = 1.0
    port: Port = 8081
    max_requests: Annotated[int, msgspec.Meta(ge=1)] = 1024
    """More than elsewhere: a single read costs hardly more than to refuse it, and waits for no other."""


def query_api(config: QuerySettings) -> tuple[ASGIApp, service.Health]:
    flags = Flags.open_or_exit(config.flags)
    RedisInstrumentor().instrument()
    redis = read_model.connect(config.redis_url)
    model = ReadModel(redis)
    fetcher = Fetcher(cast(Pool, redis.connection_pool))
    reader = Reader(ReadModel(fetcher))
    marks = Cursors(config.lookup_key, "history", Mark)
    # connections of their own: those who follow changes take none from those who ask
    bell, lines = connect_bell(config.redis_url), read_model.connect(config.redis_url)
    changes = Changes(lines, bell, partial(flags.on, CHANGE_STREAM))
    lookups = Lookups(config.lookup_key)
    health = service.Health(
        {"redis": model.check, "look-ups": partial(lookup.check_key, model, lookups)},
        paused=partial(flags.off, EXACT_COUNTS, CHANGE_STREAM),
    )
    health.at_closing.append(changes.close)
    health.is_crowded = model.is_crowded

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with (
            service.background("flags", flags.watch),
            service.background("follow", changes.follow),
            service.background("listen", changes.listen),
        ):
            yield
        flags.close()
        for client in (fetcher, redis, bell, lines):
            await client.aclose()

    app = service.create(
        "CustomerFlow queries",
        "Read customers. What you have just changed is here within milliseconds; to be sure, ask with minVersion or "
        "minPosition.",
        handlers=[
            *changes_api.ROUTES,
            *lookup.ROUTES,
            *history.ROUTES,
            *lists.ROUTES,
            *past.ROUTES,
            *statistics.ROUTES,
            *routers(config.operator_token),
        ],
        health=health,
        lifespan=[lifespan],
        translations=api.TRANSLATIONS,
        dependencies={
            "model": model,
            "reader": reader,
            "lookups": lookups,
            "changes": changes,
            "marks": marks,
            "lists": Lists(model, Cursors(config.lookup_key, "lists", Place), counts=partial(flags.on, EXACT_COUNTS)),
            "flags": flags,
        },
        documented={"/v1/customers/{customer_id}": documentation.customer_path()},
    )
    return api.CustomerRoute(reader, app), health
