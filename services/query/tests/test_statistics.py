"""Customers in numbers, as the projector counts them."""

import random
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from customerflow_shared import indexing, views
from customerflow_shared.values import Issue
from customerflow_shared.views import ConsentView, CustomerView, Erasure, View
from msgspec.structs import replace
from redis.asyncio import Redis

from .builders import GENERATION, customer, erased, progress, publish
from .populating import people

PATH = "/v1/stats/customers"


def born(ago: timedelta, number: int = 0) -> UUID:
    """The id of a customer who was registered so long ago."""
    return UUID(int=round((time.time() - ago.total_seconds()) * 1000) << 80 | 7 << 76 | number)


async def count(redis: Redis, everybody: Iterable[View], generation: str) -> None:
    totals = {"counts": Counter[str](), "days": Counter[str]()}
    for view in everybody:
        totals["counts"].update(indexing.counts(view))
        totals["days"][indexing.birthday(view.id).isoformat()] += 1
    for name, counted in totals.items():
        if counted:
            await redis.hset(views.key(generation, name), mapping=dict(counted))  # type: ignore[arg-type]


@pytest.fixture
async def generation(redis: Redis) -> str:
    await publish(redis, customer())
    return GENERATION


async def ask(api: httpx.AsyncClient, query: str = "") -> dict[str, Any]:
    response = await api.get(PATH + query)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.usefixtures("generation")
async def test_without_customers_everything_is_nothing(api: httpx.AsyncClient) -> None:
    answer = await ask(api)
    assert sum(day["customers"] for day in answer.pop("registrationsPerDay")) == 0
    assert answer == {
        "total": 0,
        "byStatus": {},
        "byType": {},
        "byCountry": {},
        "byLifecycleStage": {},
        "consents": [],
        "erasuresPending": 0,
        "withIssues": 0,
        "position": 0,
    }


async def test_everybody_is_counted(api: httpx.AsyncClient, redis: Redis, generation: str) -> None:
    everybody = [
        *people(random.Random(1), 500),
        customer(born(timedelta(), 1)),
        replace(customer(born(timedelta(), 2)), erasure=Erasure(due_at="2026-12-22T12:00:00.000Z")),
        replace(customer(born(timedelta(), 3)), data_quality=(Issue(path="name", code="name-unusual"),)),
    ]
    await count(redis, everybody, generation)
    living = [view for view in everybody if isinstance(view, CustomerView)]
    answer = await ask(api)
    assert answer["total"] == len(living) < len(everybody)
    assert answer["byStatus"] == Counter(view.status for view in everybody)
    assert answer["byType"] == Counter(view.type for view in living)
    assert answer["byCountry"] == Counter(
        country for view in living for country in {address.country for address in view.addresses}
    )
    assert answer["byLifecycleStage"] == Counter(view.lifecycle_stage for view in living if view.lifecycle_stage)
    assert answer["erasuresPending"] == 1
    assert answer["withIssues"] == sum(1 for view in living if view.data_quality)
    records = [one for view in living for one in view.consents]
    assert len(answer["consents"]) == len({(one.purpose, one.channel) for one in records})
    for told in answer["consents"]:
        states = Counter(
            one.state for one in records if (one.purpose, one.channel) == (told["purpose"], told["channel"])
        )
        assert told["granted"] == states["granted"]
        assert told["withdrawn"] == states["withdrawn"]
        assert told["pending"] == 0
        assert told["rate"] == round(states["granted"] / states.total(), 4)


async def test_names_with_colons_are_told_apart(api: httpx.AsyncClient, redis: Redis, generation: str) -> None:
    def consenting(number: int, purpose: str, channel: str) -> CustomerView:
        record = ConsentView(
            purpose=purpose, channel=channel, state="pending", captured_at="2026-11-22T12:00:00.000Z", source="test"
        )
        return replace(customer(born(timedelta(), number)), consents=(record,))

    await count(redis, [consenting(1, "news:weekly", "e"), consenting(2, "news", "weekly:e")], generation)
    assert [(one["purpose"], one["channel"], one["pending"], one["rate"]) for one in (await ask(api))["consents"]] == [
        ("news", "weekly:e", 1, 0.0),
        ("news:weekly", "e", 1, 0.0),
    ]


async def test_registrations_are_those_of_90_days_and_of_the_erased_as_well(
    api: httpx.AsyncClient, redis: Redis, generation: str
) -> None:
    everybody = [customer(born(timedelta(days=days), days)) for days in (0, 3, 3, 89, 90, 400)]
    await count(redis, [*everybody, erased(born(timedelta(days=89), 1))], generation)
    days = (await ask(api))["registrationsPerDay"]
    today = datetime.now(UTC).date()
    assert [one["date"] for one in days] == [(today - timedelta(days=ago)).isoformat() for ago in range(89, -1, -1)]
    assert {90 - place: one["customers"] for place, one in enumerate(days, start=1) if one["customers"]} == {
        0: 1,
        3: 2,
        89: 2,
    }


async def test_it_is_told_how_fresh_the_numbers_are(api: httpx.AsyncClient, redis: Redis, generation: str) -> None:
    recorded = round(time.time() * 1000) - 5000
    await progress(redis, 17, recorded=recorded, generation=generation)
    response = await api.get(PATH)
    answer = response.json()
    assert answer["position"] == 17
    assert answer["asOf"] == views.timestamp(datetime.fromtimestamp(recorded / 1000, UTC))
    assert 5 <= answer["projectionLag"] < 15
    assert response.headers["customerflow-position"] == "17"
    assert float(response.headers["customerflow-projection-lag"]) == answer["projectionLag"]


async def test_a_position_may_be_waited_for(api: httpx.AsyncClient, redis: Redis, generation: str) -> None:
    await progress(redis, 17, recorded=1, generation=generation)
    assert (await ask(api, "?minPosition=17"))["position"] == 17
    response = await api.get(PATH + "?minPosition=18", headers={"Prefer": "wait=0"})
    assert (response.status_code, response.json()["code"]) == (503, "projection-behind")
    assert response.json()["currentPosition"] == 17


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?x=1", "unknown-parameter"),
        ("?minVersion=1", "unknown-parameter"),
        ("?minPosition=x", "invalid-parameter"),
        ("?minPosition=1&minPosition=1", "invalid-parameter"),
    ],
)
@pytest.mark.usefixtures("generation")
async def test_an_unfit_query_is_refused(api: httpx.AsyncClient, query: str, code: str) -> None:
    response = await api.get(PATH + query)
    assert (response.status_code, response.json()["code"]) == (400, code)


async def test_without_a_live_generation_there_are_no_numbers(api: httpx.AsyncClient, redis: Redis) -> None:
    await redis.flushdb()
    response = await api.get(PATH)
    assert (response.status_code, response.json()["code"]) == (503, "rebuilding")
