"""How often a query goes to Redis and back: each time costs more than what is asked there."""

import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from customerflow_query.listing import Cursors, Lists, Place, question
from customerflow_query.read_model import ReadModel
from customerflow_query.reader import Reader
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from .builders import KEY, customer, publish
from .populating import NOW, people, populate

Trips = list[AbstractConnection]


@pytest.fixture
async def trips(redis: Redis, model: ReadModel, monkeypatch: pytest.MonkeyPatch) -> Trips:
    """What a query adds; the read model knows its generation and its Redis."""
    await populate(redis, people(random.Random(5), 300))
    await publish(redis, customer())
    counted: Trips = []
    send: Callable[..., Coroutine[Any, Any, None]] = AbstractConnection.send_packed_command

    async def counting(self: AbstractConnection, *args: Any, **options: Any) -> None:
        counted.append(self)
        await send(self, *args, **options)

    await model.is_vouched_for(await model.state())
    monkeypatch.setattr(AbstractConnection, "send_packed_command", counting)
    return counted


async def test_one_customer_is_one_round_trip(model: ReadModel, trips: Trips) -> None:
    assert (await Reader(model).read(customer().id)).value
    assert len(trips) == 1


@pytest.mark.parametrize(
    ("body", "at_most"),
    [
        ({}, 6),
        ({"sort": "name"}, 6),
        ({"status": ["active"]}, 5),
        ({"status": ["active"], "tag": ["vip"], "country": ["BR"]}, 7),
        ({"q": "maria"}, 7),
        ({"q": "ma si"}, 7),
    ],
)
async def test_a_page_is_few_round_trips(model: ReadModel, trips: Trips, body: dict[str, Any], at_most: int) -> None:
    """The state of the read model before and after, sizes, candidates, the tests of these, and documents."""
    asked, lists = question(body), Lists(model, Cursors(KEY, "lists", Place), now=lambda: NOW)
    page = (await model.read(lambda generation: lists.page(generation, asked, None))).value
    assert page.documents
    assert len(trips) <= at_most, len(trips)
