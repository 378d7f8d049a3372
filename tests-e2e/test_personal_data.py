"""Personal data stands in clear nowhere but in Redis and in messages on their way to the projector."""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator

import pytest
from blackbox.broker import Heard, drain, listening
from blackbox.customers import Customers
from blackbox.database import database
from blackbox.sink import Sink
from blackbox.system import System
from blackbox.waiting import eventually

CUSTOMERS = 20


class Canary:
    """Values that occur nowhere else, and every spelling in which they might be kept."""

    def __init__(self) -> None:
        self.name = f"Naïve {secrets.token_hex(10)}"
        self.email = f"{secrets.token_hex(10)}@example.com"

    def spellings(self) -> Iterator[bytes]:
        for token in (self.name.split()[1], self.email.split("@")[0]):
            plain = token.encode()
            yield from (plain, plain.upper(), plain[::-1], plain.hex().encode(), plain.hex().upper().encode())
            for shift in range(3):  # wherever the token begins within a group of three bytes
                encoded = base64.b64encode(b"\0" * shift + plain)
                yield encoded[4 if shift else 0 : -4]


def found(canaries: Iterable[Canary], haystack: bytes) -> list[bytes]:
    return [spelling for canary in canaries for spelling in canary.spellings() if spelling in haystack]


@pytest.fixture(scope="module")
async def told(system: System) -> AsyncIterator[Heard]:
    """What other systems are told meanwhile."""
    async with listening(system.amqp) as heard:
        yield heard


@pytest.fixture(scope="module")
async def canaries(customers: Customers, told: Heard) -> list[Canary]:
    """Registered, changed, refused for a duplicate and for faults: everything that touches personal data."""
    canaries = [Canary() for _ in range(CUSTOMERS)]
    for canary, after in zip(canaries[::2], canaries[1::2], strict=True):
        customer = await customers.register(name=canary.name, email=canary.email)
        customer = await customers.patch(customer, name=after.name, email=after.email)
        body = {"type": "person", "name": canary.name, "email": after.email}
        assert (await customers.send("POST", "/v1/customers", body)).status_code == 409
        body = {"type": "person", "name": canary.name + "\0", "email": f"{canary.email}@", canary.name: canary.email}
        assert (await customers.send("POST", "/v1/customers", body)).status_code == 422
        stale = await customers.send("PATCH", customer.path, {"name": canary.name}, if_match='"1"')
        assert stale.status_code == 412
        await customers.query.get(f"/v1/customers/{canary.email}", params={canary.name: canary.email})
        assert (await customers.read(customer))["name"] == after.name
    return canaries


async def test_the_tokens_would_be_found_if_they_were_there(canaries: list[Canary]) -> None:
    for canary in canaries:
        for kept in (canary.name.encode(), base64.b64encode(b"x" + canary.name.encode() + b"yz")):
            assert found([canary], kept)


async def test_no_table_holds_personal_data(system: System, canaries: list[Canary]) -> None:
    async with database(system.mysql_owner or system.mysql) as observer:
        tables = await observer.tables()
        assert {"cf_events", "cf_outbox", "cf_claims", "cf_customer_keys"} <= set(tables)
        for table in tables:
            dump = repr(await observer.rows(f"SELECT * FROM {table}")).encode()
            assert found(canaries, dump) == [], table


async def test_claims_hold_hashes_only(system: System, canaries: list[Canary]) -> None:
    async with database(system.mysql_owner or system.mysql) as observer:
        rows = await observer.rows("SELECT * FROM cf_claims")
    assert len(rows) >= len(canaries) // 2
    for row in rows:
        claimed = [value for value in row if isinstance(value, bytes) and len(value) != 16]
        assert [len(value) for value in claimed] == [32]
        assert "@" not in "".join(value for value in row if isinstance(value, str))


async def test_no_log_holds_personal_data(system: System, canaries: list[Canary]) -> None:
    if system.stack is None:
        pytest.skip("the logs of a given system are not ours to read")
    await asyncio.sleep(0.5)  # whatever is still on its way to a log
    for name in system.stack.services():
        log = system.stack.log(name)
        assert log or name == "epmd"
        assert found(canaries, log.encode()) == [], name


async def test_no_trace_and_no_metric_holds_personal_data(system: System, sink: Sink, canaries: list[Canary]) -> None:
    if system.stack is None:
        pytest.skip("a given system reports elsewhere")
    so_far = len(sink.bodies)

    async def reported() -> None:
        assert len(sink.bodies) > so_far + 3

    await eventually(reported, within=15)
    for path, body in sink.bodies:
        assert found(canaries, body) == [], path


async def test_no_integration_event_holds_personal_data(canaries: list[Canary], told: Heard) -> None:
    assert len(told.messages) >= len(canaries) // 2
    for message in told.messages:
        envelope = json.dumps([message.headers, message.routing_key, message.info()], default=str)
        assert found(canaries, message.body + envelope.encode()) == []


async def test_nothing_was_left_dead_on_the_way(system: System, canaries: list[Canary]) -> None:
    assert await drain(system.amqp, "customerflow.dead", quiet=0) == []


async def test_redis_is_where_it_stands(customers: Customers, canaries: list[Canary]) -> None:
    """The one allowed place, so that the search above is known to look for the right thing."""
    customer = await customers.register(name=canaries[0].name)
    assert (await customers.read(customer))["name"] == canaries[0].name
