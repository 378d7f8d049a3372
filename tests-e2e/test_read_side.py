"""Who writes sees it everywhere, whatever is counted is counted once, and nothing is left of who is erased."""

import asyncio
import secrets
import time

import pytest
from blackbox.bad_inputs import CONSENT
from blackbox.customers import Customer, Customers, Json, a_customer, an_address
from blackbox.feed import Feed
from blackbox.problems import problem
from blackbox.questions import LIST, LOOKUP, SEARCH, STATISTICS, ask, position_of
from blackbox.stream import Stream
from blackbox.system import System


async def test_who_presents_the_position_of_a_command_sees_it_in_every_list(customers: Customers) -> None:
    token = secrets.token_hex(5)
    tag = f"own-{token}"
    for number in range(1, 31):
        answer = await customers.send("POST", LIST, a_customer(name=f"Own {token} {number}", tags=[tag]))
        assert answer.status_code == 201
        position = position_of(answer)
        listed, searched, counted = await asyncio.gather(
            ask(customers, LIST, tag=tag, limit=200, minPosition=position),
            ask(customers, SEARCH, {"q": token, "limit": 200}, minPosition=position),
            ask(customers, STATISTICS, minPosition=position),
        )
        assert len(listed.json()["data"]) == len(searched.json()["data"]) == number
        for told in (listed, searched, counted):
            assert position_of(told) >= position
            assert float(told.headers["CustomerFlow-Projection-Lag"]) >= 0
        assert counted.json()["position"] >= position


async def test_a_position_that_is_not_there_is_not_waited_for_without_end(customers: Customers, feed: Feed) -> None:
    beyond = {"minPosition": await feed.head() + 10**6}
    for path in (LIST, STATISTICS):
        began = time.monotonic()
        answer = await customers.query.get(path, params=beyond, headers={"Prefer": "wait=1"})
        told = problem(answer, 503, "projection-behind")
        assert told["currentPosition"] < beyond["minPosition"]
        assert answer.headers["Retry-After"]
        assert 0.5 < time.monotonic() - began < 5


async def test_statistics_count_every_change_once(customers: Customers) -> None:
    stage = f"stage-{secrets.token_hex(5)}"
    purpose = f"purpose-{stage}"

    async def numbers(customer: Customer | None = None) -> Json:
        position = 0
        if customer:
            tagged = await customers.send("PUT", f"{customer.path}/tags/counted")
            position = position_of(tagged)
        told: Json = (await ask(customers, STATISTICS, minPosition=position)).json()
        return told

    before = await numbers(await customers.register())
    many = [
        await customers.register(
            type="company",
            lifecycleStage=stage,
            addresses=[an_address(), an_address()],
            consents=[{"purpose": purpose, "channel": "web", **CONSENT}],
        )
        for _ in range(4)
    ]
    await customers.archive(many[0])
    await customers.suspend(many[1])
    await customers.request_erasure(many[2], grace_days=0)
    many[3] = await customers.consent(many[3], purpose, "web", **{**CONSENT, "state": "withdrawn"})
    after = await numbers(many[3])

    assert after["total"] - before["total"] == 3
    assert _grown(before, after, "byStatus") == {"active": 1, "archived": 1, "suspended": 1, "erased": 1}
    assert _grown(before, after, "byType") == {"company": 3}
    assert _grown(before, after, "byCountry") == {"BR": 3}
    assert after["byLifecycleStage"][stage] == 3
    assert [one for one in after["consents"] if one["purpose"] == purpose] == [
        {"purpose": purpose, "channel": "web", "granted": 2, "withdrawn": 1, "pending": 0, "rate": 0.6667}
    ]
    days = [sum(day["customers"] for day in told["registrationsPerDay"]) for told in (before, after)]
    assert days[1] - days[0] == 4
    assert len(after["registrationsPerDay"]) == 90
    asked = await customers.send("POST", f"{many[3].path}/erasure", {"graceDays": 30})
    pending = (await ask(customers, STATISTICS, minPosition=position_of(asked))).json()["erasuresPending"]
    assert pending - after["erasuresPending"] == 1


def _grown(before: Json, after: Json, kind: str) -> Json:
    names = {*before[kind], *after[kind]}
    grown = {name: after[kind].get(name, 0) - before[kind].get(name, 0) for name in names}
    return {name: number for name, number in grown.items() if number}


@pytest.fixture
async def gone(customers: Customers, system: System, feed: Feed) -> tuple[Customer, str, int, Stream]:
    """A customer who was full of a token, and is erased; the stream that has told of it, and the last position."""
    token = secrets.token_hex(8)
    stream = Stream(system, await feed.head())
    customer = await customers.register(
        name=f"Gone {token}", email=f"{token}@example.com", tags=["gone"], attributes={token: token}
    )
    customer = await customers.patch(customer, name=f"Long Gone {token}", email=f"other.{token}@example.com")
    customer = await customers.link(customer, "loyalty", f"{token}@example.com")
    answer = await customers.send(
        "POST", f"{customer.path}/erasure", {"graceDays": 0, "reason": token}, if_match=customer.etag
    )
    assert answer.status_code == 200
    return Customer(customer.id, answer.json()["version"]), token, position_of(answer), stream


async def test_nothing_is_left_of_an_erased_customer(
    customers: Customers, gone: tuple[Customer, str, int, Stream]
) -> None:
    customer, token, position, stream = gone
    every = ["active", "suspended", "archived", "erased"]
    listed = await ask(customers, LIST, status="erased", sort="-updatedAt", limit=50, minPosition=position)
    (shown,) = [one for one in listed.json()["data"] if one["id"] == customer.id]
    assert set(shown) == {"id", "version", "status", "erasedAt"}
    assert token not in listed.text
    for parameters in ({"tag": "gone"}, {"tag": "gone", "status": every}, {}):
        found = await ask(customers, LIST, sort="-updatedAt", limit=200, **parameters)
        assert customer.id not in {one["id"] for one in found.json()["data"] if one["status"] != "erased"}
    for q in (token, f"gone {token}"):
        assert (await ask(customers, SEARCH, {"q": q, "status": every})).json()["data"] == []
    for body in (
        {"email": f"{token}@example.com"},
        {"email": f"other.{token}@example.com"},
        {"externalId": {"source": "loyalty", "value": f"{token}@example.com"}},
    ):
        assert (await ask(customers, LOOKUP, body)).json() == {"data": []}

    told = await ask(customers, f"{customer.path}/timeline", limit=200)
    entries = told.json()["data"]
    assert [entry["version"] for entry in entries] == list(range(customer.version, 0, -1))
    assert all(entry["redacted"] and not entry.get("changes") for entry in entries)
    assert token not in told.text
    for to in ("", "?atVersion=1", "/diff?from=1&to=2", "/history?field=name"):
        problem(await customers.query.get(customer.path + to), 410, "customer-erased")

    changes = await stream.until(position)
    assert [one["version"] for one in changes if one["customerId"] == customer.id] == list(
        range(1, customer.version + 1)
    )
    assert token not in stream.text
