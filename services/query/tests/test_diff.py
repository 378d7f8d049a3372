"""What two versions differ in is exact, whatever happened between them."""

from random import Random

import httpx
import msgspec
import pytest
from customerflow_query import lookback
from customerflow_query.read_model import ReadModel
from customerflow_shared import timeline
from customerflow_shared.views import CustomerView, View
from redis.asyncio import Redis

from .builders import ANA, GENERATION, NOBODY
from .lives import Life, ended, life, store

PATH = f"/v1/customers/{ANA}/diff"


def flat(view: View) -> timeline.Flat:
    assert isinstance(view, CustomerView)
    return timeline.flat(view)


def expected(lived: Life, before: int, after: int) -> object:
    first = flat(lived.documents[before - 1]) if before else {}
    changes = timeline.changes(first, flat(lived.documents[after - 1]))
    return msgspec.json.decode(msgspec.json.encode(changes))


@pytest.mark.parametrize("versions", [64, 65, 129, 200])
async def test_the_content_of_every_version_is_that_of_its_document(redis: Redis, versions: int) -> None:
    lived = life(versions)
    await store(redis, lived)
    past = await lookback.past(ReadModel(redis), GENERATION, ANA)
    assert past
    assert await past.content(0) == {}
    for version in range(1, versions + 1):
        content = await past.content(version)
        assert list(content.items()) == list(flat(lived.documents[version - 1]).items())


async def test_every_pair_of_versions(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = life(20)
    await store(redis, lived)
    for before in range(21):
        for after in range(max(before, 1), 21):
            response = await queries.get(PATH, params={"from": before, "to": after})
            assert response.json() == {
                "id": str(ANA),
                "from": before,
                "to": after,
                "changes": expected(lived, before, after),
            }


async def test_pairs_across_blocks(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = life(200)
    await store(redis, lived)
    chance = Random(0)
    pairs = [(63, 64), (64, 65), (64, 128), (1, 200), (0, 200), (127, 129), (200, 200)]
    for before, after in [*pairs, *(sorted(chance.sample(range(1, 201), 2)) for _ in range(100))]:
        response = await queries.get(PATH, params={"from": before, "to": after})
        assert response.json()["changes"] == expected(lived, before, after)


async def test_head_is_get_without_a_body(queries: httpx.AsyncClient, redis: Redis) -> None:
    await store(redis, life(5))
    for given in ({"from": 1, "to": 5}, {"from": 5, "to": 1}):
        get, head = await queries.get(PATH, params=given), await queries.head(PATH, params=given)
        assert head.content == b""
        assert (head.status_code, head.headers) == (get.status_code, get.headers)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("from=5&to=4", 400, "range-inverted"),
        ("from=1", 400, "invalid-parameter"),
        ("to=1", 400, "invalid-parameter"),
        ("from=x&to=1", 400, "invalid-parameter"),
        ("from=0&to=0", 400, "invalid-parameter"),
        ("from=1&to=2&at=3", 400, "unknown-parameter"),
        ("from=1&to=6", 503, "projection-behind"),
        ("from=1&to=2&minVersion=6", 503, "projection-behind"),
    ],
)
async def test_what_cannot_be_compared(
    queries: httpx.AsyncClient, redis: Redis, query: str, status: int, code: str
) -> None:
    await store(redis, life(5))
    response = await queries.get(f"{PATH}?{query}", headers={"Prefer": "wait=0"})
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_of_nobody_and_of_the_erased_nothing_is_compared(queries: httpx.AsyncClient, redis: Redis) -> None:
    await store(redis, ended(life(5)))
    given = {"from": "1", "to": "2"}
    assert (await queries.get(PATH, params=given)).json()["code"] == "customer-erased"
    nobody = f"/v1/customers/{NOBODY}/diff"
    assert (await queries.get(nobody, params=given, headers={"Prefer": "wait=0"})).status_code == 503
    assert (await queries.get("/v1/customers/x/diff", params=given)).json()["code"] == "invalid-id"
