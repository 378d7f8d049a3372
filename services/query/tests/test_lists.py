"""All pages of a list, one after the other, are what a loop over all customers gives, however the pages are found."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest
from customerflow_query.listing import Cursors, Lists, Page, Place, question, script, walking
from customerflow_query.listing import pages as listing_pages
from customerflow_query.read_model import ReadModel, Rebuilding
from customerflow_shared import indexing, views
from customerflow_shared.problems import Problem
from customerflow_shared.views import CustomerView, ErasedView, View, timestamp
from redis.asyncio import Redis

from .builders import GENERATION, KEY, NEXT, customer
from .populating import NOW, TAGS, TIMES, people, populate, somebody

ROOMY: dict[str, int] = {}
WALKED = {"GATHERED": 0, "CHUNK": 7}
NARROW = {"GATHERED": 30, "CHUNK": 5, "LOOKED_AT": 13, "ASKED": 30, "STEP": 2}


@pytest.fixture
def lists(model: ReadModel) -> Lists:
    return Lists(model, Cursors(KEY, "lists", Place), now=lambda: NOW)


@pytest.fixture(params=[ROOMY, WALKED, NARROW], ids=["roomy", "walked", "narrow"])
def _sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in request.param.items():
        monkeypatch.setattr(listing_pages if hasattr(listing_pages, name) else walking, name, size)
    if request.param:
        monkeypatch.setattr(walking, "FEWEST", 2)


async def page_of(lists: Lists, body: dict[str, Any]) -> Page:
    asked = question(body)
    start = lists.start(asked)
    return (await lists.read(asked, start)).value


async def walk(lists: Lists, body: dict[str, Any]) -> list[str]:
    """The ids on all pages."""
    found: list[str] = []
    while True:
        page = await page_of(lists, body)
        assert len(page.documents) <= body.get("limit", 50)
        found += [msgspec.json.decode(one.document)["id"] for one in page.documents]
        if page.next is None:
            return found
        body = body | {"cursor": page.next, "limit": random.Random(len(found)).randint(1, 60)}


# --- the oracle -------------------------------------------------------------------------------------------------------


def expected(population: Sequence[View], body: dict[str, Any]) -> list[str]:
    chosen = [view for view in population if is_meant(view, body)]
    sort = body.get("sort", "relevance" if "q" in body else "-createdAt")
    key = order_of(population, sort.removeprefix("-"), body)
    return [str(view.id) for view in sorted(chosen, key=key, reverse=sort.startswith("-"))]


def is_meant(view: View, body: dict[str, Any]) -> bool:
    if view.status not in body.get("status", ["active", "suspended"]):
        return False
    times = {"createdAt": indexing.created_score(view), "updatedAt": indexing.updated_score(view)}
    for name, score in times.items():
        bounds = body.get(name, {})
        if "gte" in bounds and score < indexing.milliseconds(bounds["gte"]):
            return False
        if "lt" in bounds and score >= indexing.milliseconds(bounds["lt"]):
            return False
    if isinstance(view, ErasedView):
        return not (body.keys() - {"status", "sort", "limit", "createdAt", "updatedAt"})
    having: dict[str, set[Any]] = {
        "type": {view.type},
        "tag": {*view.tags},
        "country": {one.country for one in view.addresses},
        "region": {f"{one.country}-{one.region}" for one in view.addresses},
        "lifecycleStage": {view.lifecycle_stage},
        "locale": {view.locale},
        "externalSource": {one.source for one in view.external_ids},
        "hasConsent": {
            f"{one.purpose}/{one.channel}"
            for one in view.consents
            if one.state == "granted" and (one.expires_at is None or one.expires_at > timestamp(NOW))
        },
    }
    return (
        all(having[name].intersection(body[name]) for name in having if name in body)
        and {*view.tags} >= {*body.get("tagAll", [])}
        and body.get("hasIssues", bool(view.data_quality)) == bool(view.data_quality)
        and all(any(word.startswith(token) for word in words(view)) for token in tokens(body))
    )


def order_of(population: Sequence[View], sort: str, body: dict[str, Any]) -> Callable[[View], Any]:
    match sort:
        case "createdAt":
            return lambda view: (indexing.created_score(view), view.id.bytes)
        case "updatedAt":
            return lambda view: (indexing.updated_score(view), view.id.bytes)
        case "name":
            return lambda view: (
                isinstance(view, ErasedView),
                "" if isinstance(view, ErasedView) else indexing.folded(view.name),
                view.id.bytes,
            )
    everywhere = [word for view in population for word in words(view)]
    rarest = min(tokens(body), key=lambda token: sum(word.startswith(token) for word in everywhere))
    return lambda view: (min(word for word in words(view) if word.startswith(rarest)), view.id.bytes)


def words(view: View) -> list[str]:
    return [] if isinstance(view, ErasedView) else indexing.words(indexing.names(view))


def tokens(body: dict[str, Any]) -> list[str]:
    return indexing.words(indexing.folded(body.get("q", "")))


# --- questions --------------------------------------------------------------------------------------------------------

SORTS = ["createdAt", "updatedAt", "name"]
FILTERS: dict[str, Callable[[random.Random], Any]] = {
    "status": lambda chance: chance.sample(["active", "suspended", "archived", "erased"], chance.randint(1, 4)),
    "type": lambda chance: [chance.choice(["person", "company"])],
    "tag": lambda chance: chance.sample([*TAGS, "none"], chance.randint(1, 3)),
    "tagAll": lambda chance: chance.sample(TAGS, chance.randint(1, 2)),
    "country": lambda chance: chance.sample(["BR", "US", "PT"], chance.randint(1, 2)),
    "region": lambda chance: [chance.choice(["BR-SP", "US-CA"])],
    "lifecycleStage": lambda chance: ["lead"],
    "locale": lambda chance: ["pt-BR", "en"],
    "hasConsent": lambda chance: chance.sample(["marketing/email", "news:weekly/email"], chance.randint(1, 2)),
    "externalSource": lambda chance: ["erp"],
    "hasIssues": lambda chance: chance.random() < 0.5,
    "createdAt": lambda chance: bounds(chance),
    "updatedAt": lambda chance: bounds(chance),
}
TEXTS = ["ma", "maria", "MARIA si", "s\u00f8", "mar ma", "jose", "\u738b \u5c0f", "zz", "da costa", "si s"]


def bounds(chance: random.Random) -> dict[str, str]:
    lt, gte = (TIMES[at] for at in sorted(chance.sample(range(len(TIMES)), 2)))
    return chance.choice([{"gte": timestamp(gte), "lt": timestamp(lt)}, {"gte": timestamp(gte)}, {"lt": timestamp(lt)}])


def questions(chance: random.Random, number: int) -> Iterator[dict[str, Any]]:
    for _ in range(number):
        names = chance.sample([*FILTERS], chance.choice([0, 1, 1, 2, 2, 3]))
        body = {name: FILTERS[name](chance) for name in names} | {"limit": chance.choice([2, 10, 50, 200])}
        if chance.random() < 0.4:
            body["q"] = chance.choice(TEXTS)
        if chance.random() < 0.7:
            body["sort"] = chance.choice(["", "-"]) + chance.choice(SORTS)
        yield body


@pytest.mark.usefixtures("_sizes")
@pytest.mark.parametrize("seed", range(3))
async def test_all_pages_together_are_the_list(redis: Redis, lists: Lists, seed: int) -> None:
    chance = random.Random(seed)
    population = people(chance, 200)
    await populate(redis, population)
    for body in questions(chance, 50):
        assert await walk(lists, body) == expected(population, body), body


@pytest.mark.usefixtures("_sizes")
@pytest.mark.parametrize("sort", [direction + sort for sort in SORTS for direction in ("", "-")])
async def test_everybody_comes_once_in_every_order(redis: Redis, lists: Lists, sort: str) -> None:
    population = people(random.Random(sort), 250)
    await populate(redis, population)
    body = {"status": ["active", "suspended", "archived", "erased"], "sort": sort, "limit": 9}
    assert await walk(lists, body) == expected(population, body)


@pytest.mark.parametrize("descending", [False, True])
async def test_many_of_one_millisecond_are_gone_through(
    redis: Redis, lists: Lists, monkeypatch: pytest.MonkeyPatch, descending: bool
) -> None:
    monkeypatch.setattr(walking, "CHUNK", 10)
    monkeypatch.setattr(listing_pages, "GATHERED", 0)
    chance = random.Random(1)
    one = next(view for view in people(chance, 50) if isinstance(view, CustomerView) and view.status == "active")
    many: list[View] = [msgspec.structs.replace(one, id=UUID(int=chance.getrandbits(128))) for _ in range(500)]
    population = [*many, *people(chance, 60)]
    await populate(redis, population)
    for sort in ("createdAt", "updatedAt"):
        for more in ({}, {"createdAt": {"lt": timestamp(NOW)}}, {"status": [one.status, "archived"]}):
            body = {"sort": "-" * descending + sort, "limit": 5} | more
            assert await walk(lists, body) == expected(population, body)


async def test_who_comes_and_goes_between_pages_takes_no_place_from_others(redis: Redis, lists: Lists) -> None:
    chance = random.Random(2)
    staying, leaving = people(chance, 200), people(chance, 50)
    for sort in ("-createdAt", "updatedAt", "name"):
        await redis.flushdb()
        await populate(redis, [*staying, *leaving])
        body = {"status": ["active", "suspended", "archived", "erased"], "sort": sort, "limit": 7}
        found: list[str] = []
        place: dict[str, str] = {}
        while True:
            page = await page_of(lists, body | place)
            found += [msgspec.json.decode(one.document)["id"] for one in page.documents]
            if page.next is None:
                break
            place = {"cursor": page.next}
            await populate(redis, [somebody(chance)])
            for view in leaving[:2]:
                await remove(redis, view)
                leaving.remove(view)
        steady = {str(view.id) for view in staying}
        assert [one for one in found if one in steady] == expected(staying, body)
        assert len(found) == len({*found})
        leaving = people(chance, 50)


async def remove(redis: Redis, view: View) -> None:
    names = "" if isinstance(view, ErasedView) else indexing.names(view)
    await redis.zrem(views.key(GENERATION, "order:name"), indexing.name_member(names, view.id))
    for name in ("order:created", "order:updated", *(f"facet:{one}" for one in indexing.facets(view))):
        await redis.zrem(views.key(GENERATION, name), view.id.bytes)
    await redis.delete(views.customer_key(GENERATION, view.id))


@pytest.mark.parametrize("seed", range(3))
async def test_a_total_is_exact(redis: Redis, lists: Lists, seed: int) -> None:
    chance = random.Random(seed)
    population = people(chance, 300)
    await populate(redis, population)
    for body in questions(chance, 60):
        total = (await page_of(lists, body | {"count": "exact"})).total
        assert total == (len(expected(population, body)), "eq"), body


async def test_a_total_that_costs_too_much_is_a_lower_bound(
    redis: Redis, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing_pages, "COUNTED", 100)
    population = people(random.Random(3), 300)
    await populate(redis, population)
    body = {"type": ["person"], "count": "exact"}
    total = (await page_of(lists, body)).total
    assert total
    assert total.relation == "gte"
    assert 20 < total.value <= 100 < len(expected(population, body))
    assert (await page_of(lists, {"count": "exact"})).total == (len(expected(population, {})), "eq")


@pytest.mark.parametrize(
    "asked", [{"hasConsent": ["marketing/email"]}, {"tag": ["vip", "late", "new"], "type": ["person", "company"]}]
)
async def test_what_a_total_costs_is_bounded_by_look_ups(
    redis: Redis, lists: Lists, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    monkeypatch.setattr(walking, "CHUNK", 10)
    monkeypatch.setattr(listing_pages, "COUNTED", 300)
    population = people(random.Random(6), 290)  # all of whom may be looked at, but not as often as this takes
    await populate(redis, population)
    total = (await page_of(lists, asked | {"count": "exact"})).total
    assert total
    assert total.relation == "gte"
    assert 0 < total.value < len(expected(population, asked))


async def test_few_totals_are_counted_at_a_time(redis: Redis, lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait for a while; what need not be counted one by one, and pages without a total, do not wait."""
    monkeypatch.setattr(listing_pages, "COUNT_WAIT", 0.05)
    population = people(random.Random(7), 50)
    await populate(redis, population)
    counting, go_on, at_a_time = 0, asyncio.Event(), list[int]()
    run = script.run

    async def slow(redis: Redis, keys: Sequence[str], *asking: bytes) -> list[Any]:
        nonlocal counting
        if b"\xa8counting\xc3" not in asking[0]:
            return await run(redis, keys, *asking)
        counting += 1
        at_a_time.append(counting)
        await go_on.wait()
        counting -= 1
        return await run(redis, keys, *asking)

    monkeypatch.setattr(script, "run", slow)
    body: dict[str, Any] = {"type": ["person"], "count": "exact"}
    async with asyncio.TaskGroup() as group:
        begun = [group.create_task(page_of(lists, body)) for _ in range(listing_pages.COUNTS)]
        while counting < listing_pages.COUNTS:
            await asyncio.sleep(0)
        with pytest.raises(Problem) as caught:
            await page_of(lists, body)
        assert (caught.value.code, caught.value.headers) == ("busy", {"Retry-After": "1"})
        assert (await page_of(lists, {"count": "exact"})).total
        assert (await page_of(lists, {"type": ["person"]})).documents
        monkeypatch.setattr(listing_pages, "COUNT_WAIT", 30)
        waiting = [group.create_task(page_of(lists, body)) for _ in range(5)]
        await asyncio.sleep(0.2)
        waiting.pop().cancel()
        go_on.set()
    totals = [task.result().total for task in [*begun, *waiting]]
    assert totals == [(len(expected(population, body)), "eq")] * (listing_pages.COUNTS + 4)
    assert max(at_a_time) == listing_pages.COUNTS


async def test_only_the_first_forty_words_are_searched_for(redis: Redis, lists: Lists) -> None:
    """And of a long one its beginning, counted in characters, as the index has it."""
    long = "\u00e9\u0142\u738b" * 20
    texts = [
        " ".join(f"w{number:02}" for number in range(60)),
        " ".join(["same"] * 50 + ["last"]),
        " ".join([f"{long[:32]}{number}" for number in range(41)] + ["end"]),
        long,
    ]
    chance = random.Random(8)
    population: list[View] = [
        msgspec.structs.replace(customer(UUID(int=chance.getrandbits(128))), name=text, legal_name=f"{text} and more")
        for text in texts
    ]
    await populate(redis, population)
    for q in ("w39", "w40", "w59", "last", "sa la", "end", long[:32], long[:33], long[:31], "and", "more an"):
        for more in ({}, {"sort": "name"}, {"sort": "-createdAt", "type": ["person"]}):
            body = {"q": q} | more
            assert await walk(lists, body) == expected(population, body), body


async def test_a_page_looks_at_no_more_than_it_may(redis: Redis, lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_pages, "LOOKED_AT", 100)
    monkeypatch.setattr(listing_pages, "GATHERED", 0)
    population = people(random.Random(4), 300)
    await populate(redis, population)
    page = await page_of(lists, {"tagAll": ["vip", "rare", "late", "b2b"], "q": "ma", "sort": "name"})
    assert page.next is not None
    assert len(page.documents) < 5


async def test_a_page_is_whole_or_is_not_there(redis: Redis, model: ReadModel, lists: Lists) -> None:
    """Whatever happens between two commands of a page: another generation, an empty Redis, a document that is gone."""
    population, others = people(random.Random(5), 120), people(random.Random(6), 90)
    body = {"limit": 200, "q": "ma", "sort": "name"}
    asked = question(body)
    whole = [expected(population, body), expected(others, body)]

    async def switched() -> None:
        await populate(redis, others, generation=NEXT)
        await redis.unlink(*[key async for key in redis.scan_iter(f"cf:{GENERATION}:*")])

    async def flushed() -> None:
        await redis.flushdb()

    async def halved() -> None:
        await redis.delete(*(views.customer_key(GENERATION, view.id) for view in population[::2]))

    for disturb in (switched, flushed, halved):
        for at in range(1, 9):
            await redis.flushdb()
            await populate(redis, population)
            model.redis = disturbing = Disturbed(redis, disturb, at)  # type: ignore[assignment]  # stands for it
            try:
                page = (await lists.read(asked, None)).value
            except Rebuilding:
                continue
            finally:
                model.redis = disturbing.redis
            assert [msgspec.json.decode(one.document)["id"] for one in page.documents] in whole


class Disturbed:
    """Redis, and something that happens right before the command of this number."""

    def __init__(self, redis: Redis, happens: Any, at: int) -> None:
        self.redis, self._happens, self._left = redis, happens, at

    async def _tick(self) -> None:
        self._left -= 1
        if self._left == 0:
            await self._happens()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.redis, name)
        if name not in ("mget", "evalsha_ro", "eval_ro", "info"):
            return method

        async def disturbed(*arguments: Any, **options: Any) -> Any:
            await self._tick()
            return await method(*arguments, **options)

        return disturbed
