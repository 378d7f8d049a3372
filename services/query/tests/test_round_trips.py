"""How often a query goes to Redis and back: each time costs more than what is asked there."""

import random
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from customerflow_query.listing import Cursors, Lists, Place, pages, question
from customerflow_query.read_model import ReadModel
from customerflow_query.reader import Reader
from customerflow_shared.views import timestamp
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from .builders import KEY, customer, progress, publish
from .populating import NOW, TIMES, people, populate

Trips = list[AbstractConnection]
POSITION = 17


@pytest.fixture
async def trips(redis: Redis, model: ReadModel, monkeypatch: pytest.MonkeyPatch) -> Trips:
    """What a query adds; the read model knows its generation and its Redis, and that knows the script."""
    await populate(redis, people(random.Random(5), 300))
    await publish(redis, customer())
    await progress(redis, POSITION, recorded=5_000)
    counted: Trips = []
    send: Callable[..., Coroutine[Any, Any, None]] = AbstractConnection.send_packed_command

    async def counting(self: AbstractConnection, *args: Any, **options: Any) -> None:
        counted.append(self)
        await send(self, *args, **options)

    await model.is_vouched_for(await model.state())
    await Lists(model, Cursors(KEY, "lists", Place)).read(question({}), None)
    monkeypatch.setattr(AbstractConnection, "send_packed_command", counting)
    return counted


async def test_one_customer_is_one_round_trip(model: ReadModel, trips: Trips) -> None:
    assert (await Reader(model).read(customer().id)).value
    assert len(trips) == 1


PAGES: list[dict[str, Any]] = [
    {},
    {"limit": 200},
    {"sort": "name"},
    {"sort": "-name", "status": ["active", "suspended", "archived", "erased"]},
    {"sort": "updatedAt", "updatedAt": {"gte": timestamp(TIMES[5])}},
    {"status": ["active"]},
    {"status": ["active"], "tag": ["vip"], "country": ["BR"]},
    {"tag": ["vip", "late", "new"], "type": ["person", "company"], "createdAt": {"lt": timestamp(TIMES[2])}},
    {"tagAll": ["vip", "late"], "hasIssues": False, "sort": "name"},
    {"hasConsent": ["marketing/email"], "limit": 10},
    {"tag": ["none"]},
    {"q": "maria"},
    {"q": "ma si"},
    {"q": "ma", "tag": ["vip"], "sort": "-createdAt"},
    {"q": "si", "locale": ["en"], "sort": "name"},
    {"count": "exact"},
]


@pytest.mark.parametrize("gathered", [0, 2_000])
@pytest.mark.parametrize("body", PAGES, ids=str)
async def test_a_page_is_two_round_trips(
    model: ReadModel, trips: Trips, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], gathered: int
) -> None:
    """That which finds it, and that for its documents; the state of the read model comes with both."""
    monkeypatch.setattr(pages, "GATHERED", gathered)
    lists = Lists(model, Cursors(KEY, "lists", Place), now=lambda: NOW)
    body = {"limit": 20} | body
    for _ in range(3):
        asked = question(body)
        trips.clear()
        page = (await lists.read(asked, lists.start(asked), position=POSITION)).value
        assert page.documents or body.get("tag") == ["none"]
        assert len(trips) <= 2, len(trips)
        if page.next is None:
            break
        body["cursor"] = page.next


async def test_redis_sees_two_commands_for_a_page(redis: Redis, queries: httpx.AsyncClient, trips: Trips) -> None:
    """As it counts them itself, of the whole answer to a question over HTTP."""
    path = "/v1/customers?status=active&country=BR&sort=name"
    assert (await queries.get(path)).status_code == 200
    before = await _served(redis)
    assert (await queries.get(path)).json()["data"]
    after = await _served(redis)
    served = {name: calls - before.get(name, 0) for name, calls in after.items() if calls != before.get(name, 0)}
    # what follows changes asks by itself
    assert {name: served.pop(name, 0) for name in ("evalsha_ro", "eval_ro")} == {"evalsha_ro": 1, "eval_ro": 0}
    # two by the script: the state, and names of some; one for documents
    assert served.pop("mget", 0) == 2


async def _served(redis: Redis) -> dict[str, int]:
    found = await redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): told["calls"] for name, told in found.items()}
