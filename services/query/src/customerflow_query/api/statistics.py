"""How many customers there are, of each kind."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import msgspec
from customerflow_shared import requests, views
from customerflow_shared.indexing import ISSUES_FACET
from customerflow_shared.openapi import Answer
from customerflow_shared.values import ConsentState
from customerflow_shared.views import timestamp
from litestar import Request, Response, route
from litestar.di import NamedDependency

from customerflow_query.api import documentation
from customerflow_query.api.freshness import PARAMETERS, asked, headers_of, read
from customerflow_query.read_model import ReadModel

DAYS = 90


class Day(msgspec.Struct, frozen=True, kw_only=True):
    date: date
    customers: int


class Consents(msgspec.Struct, frozen=True, kw_only=True):
    """Customers with a record for one purpose and channel, by its newest state; `rate` is the part that has granted."""

    purpose: str
    channel: str
    granted: int
    withdrawn: int
    pending: int
    rate: float


class Statistics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """`total` is without those erased; `registrations_per_day` with them. A customer counts once in each country in
    which it has an address.
    """

    total: int
    by_status: dict[str, int]
    by_type: dict[str, int]
    by_country: dict[str, int]
    by_lifecycle_stage: dict[str, int]
    registrations_per_day: list[Day]
    consents: list[Consents]
    erasures_pending: int
    with_issues: int
    position: int
    as_of: str | None = None
    projection_lag: float | None = None


_EXAMPLE = {
    "total": 3,
    "byStatus": {"active": 2, "archived": 1, "erased": 1},
    "byType": {"company": 1, "person": 2},
    "byCountry": {"BR": 2},
    "byLifecycleStage": {"lead": 1},
    "registrationsPerDay": [{"date": "2026-11-21", "customers": 0}, {"date": "2026-11-22", "customers": 4}],
    "consents": [
        {"purpose": "marketing", "channel": "email", "granted": 2, "withdrawn": 1, "pending": 0, "rate": 0.6667}
    ],
    "erasuresPending": 0,
    "withIssues": 1,
    "position": 17,
    "asOf": "2026-11-22T15:04:05.123Z",
    "projectionLag": 0.012,
}

_encoder = msgspec.json.Encoder()


@route(
    "/v1/stats/customers",
    http_method=documentation.READ,
    **documentation.read(
        "Customers in numbers",
        "statistics",
        {200: Answer("All totals at one moment.", Statistics, example=_EXAMPLE)},
    ),
)
async def customer_statistics(request: Request[Any, Any, Any], model: NamedDependency[ReadModel]) -> Response[bytes]:
    """Totals that are kept with every change, so asking costs the same however many customers there are.

    Registrations are those of the last 90 days up to today (UTC), a day without any included. A customer that has been
    erased since counts among them, and in `byStatus`; nowhere else. What is not known is left out: `asOf` and
    `projectionLag` until the projection has first seen all there is.
    """
    wanted = asked(requests.parameters(request.scope["query_string"], PARAMETERS), request.scope["headers"])
    days = _days(datetime.now(UTC).date())

    async def totals(generation: str) -> tuple[dict[bytes, bytes], list[bytes | None]]:
        async with model.redis.pipeline(transaction=True) as pipeline:  # one moment, one round trip
            pipeline.hgetall(views.key(generation, "counts"))
            pipeline.hmget(views.key(generation, "days"), [day.isoformat() for day in days])
            counts, registered = await pipeline.execute()
        return counts, registered

    (counts, registered), freshness = await read(model, wanted, totals)
    headers = headers_of(freshness, wanted)
    lag = headers.get("CustomerFlow-Projection-Lag")
    answer = Statistics(
        **_by_kind({total.decode(): int(customers) for total, customers in counts.items()}),
        registrations_per_day=[
            Day(date=day, customers=int(customers or 0)) for day, customers in zip(days, registered, strict=True)
        ],
        position=freshness.position,
        as_of=timestamp(datetime.fromtimestamp(freshness.as_of / 1000, UTC)) if freshness.as_of else None,
        projection_lag=float(lag) if lag else None,
    )
    return Response(_encoder.encode(answer), media_type="application/json", headers=headers)


ROUTES = [customer_statistics]


def _days(today: date) -> list[date]:
    return [today - timedelta(days=ago) for ago in reversed(range(DAYS))]


def _by_kind(counts: Mapping[str, int]) -> dict[str, Any]:
    """The totals as `indexing.counts` names them, by what they are of."""

    def of(kind: str) -> dict[str, int]:
        return {total.removeprefix(kind): counts[total] for total in sorted(counts) if total.startswith(kind)}

    by_status = of("status:")
    return {
        "total": sum(customers for status, customers in by_status.items() if status != "erased"),
        "by_status": by_status,
        "by_type": of("type:"),
        "by_country": of("country:"),
        "by_lifecycle_stage": of("stage:"),
        "consents": _consents(of("consent:")),
        "erasures_pending": counts.get("erasure-pending", 0),
        "with_issues": counts.get(ISSUES_FACET, 0),
    }


def _consents(counts: Mapping[str, int]) -> list[Consents]:
    """Of totals named `<purpose>/<channel>:<state>`."""
    found = []
    for record in dict.fromkeys(total.rpartition(":")[0] for total in counts):
        purpose, _, channel = record.partition("/")
        states = {state: counts.get(f"{record}:{state}", 0) for state in get_args(ConsentState)}
        rate = round(states["granted"] / sum(states.values()), 4)
        found.append(Consents(purpose=purpose, channel=channel, **states, rate=rate))
    return found
