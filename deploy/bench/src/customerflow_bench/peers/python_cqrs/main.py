"""Customers behind `python-cqrs`: what it takes to register and to change them, each with an event in its outbox, and
how fast its producer brings those to RabbitMQ.

    python main.py --mysql-url mysql://user:password@host:port/database --clients 64 --seconds 10 --warm-up 2 --seed 1
    python main.py relay --mysql-url mysql://... --amqp-url amqp://... --seconds 10
"""

import argparse
import asyncio
import json
import logging
import random
import sys
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import cqrs
import di
import uvloop
from cqrs.adapters.amqp import amqp_publisher_factory
from cqrs.bootstrap import requests as bootstrap
from cqrs.container.di import DIContainer
from cqrs.container.scope import ScopeStrategy
from cqrs.message_brokers.amqp import AMQPMessageBroker
from cqrs.outbox.sqlalchemy import Base, OutboxModel, SqlAlchemyOutboxedEventRepository
from di import bind_by_type
from di.dependent import Dependent
from sqlalchemy import JSON, Column, Integer, String, Table, Uuid, bindparam, func, insert, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

Json = dict[str, Any]

TOPIC = "customers"

customers = Table(
    "customers",
    Base.metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("email", String(254), unique=True),
    Column("details", JSON, nullable=False),
)
READ = select(customers.c.version, customers.c.details).where(customers.c.id == bindparam("customer"))
WRITE = (
    update(customers)
    .where(customers.c.id == bindparam("customer"), customers.c.version == bindparam("expected"))
    .values(version=bindparam("next"), details=bindparam("changed"))
)


class VersionConflict(Exception):
    """Somebody else has changed the customer."""


class Done(cqrs.Response):
    id: UUID
    version: int


class RegisterCustomer(cqrs.Request[Done]):
    details: Json


class ChangeCustomer(cqrs.Request[Done]):
    customer_id: UUID
    changes: Json


class CustomerEvent(cqrs.NotificationEvent[Json]):
    topic: str = TOPIC


for event_name in ("CustomerRegistered", "CustomerChanged"):
    cqrs.OutboxedEventMap.register(event_name, CustomerEvent)


class RegisterCustomerHandler(cqrs.RequestHandler[RegisterCustomer]):
    def __init__(self, session: AsyncSession, outbox: cqrs.OutboxedEventRepository) -> None:
        self._session = session
        self._outbox = outbox

    async def handle(self, request: RegisterCustomer) -> Done:
        done = Done(id=uuid4(), version=1)
        await self._session.execute(
            insert(customers),
            {"id": done.id, "version": 1, "email": request.details["email"], "details": request.details},
        )
        _record(self._outbox, "CustomerRegistered", done, request.details)
        await self._session.commit()
        return done


class ChangeCustomerHandler(cqrs.RequestHandler[ChangeCustomer]):
    def __init__(self, session: AsyncSession, outbox: cqrs.OutboxedEventRepository) -> None:
        self._session = session
        self._outbox = outbox

    async def handle(self, request: ChangeCustomer) -> Done:
        found = (await self._session.execute(READ, {"customer": request.customer_id})).one()
        done = Done(id=request.customer_id, version=found.version + 1)
        written: Any = await self._session.execute(
            WRITE,
            {
                "customer": request.customer_id,
                "expected": found.version,
                "next": done.version,
                "changed": {**found.details, **request.changes},
            },
        )
        if written.rowcount == 0:
            raise VersionConflict
        _record(self._outbox, "CustomerChanged", done, request.changes)
        await self._session.commit()
        return done


def _record(outbox: cqrs.OutboxedEventRepository, name: str, done: Done, data: Json) -> None:
    payload = {"customerId": str(done.id), "version": done.version, "data": data}
    outbox.add(CustomerEvent(event_name=name, payload=payload))


def create_mediator(engine: AsyncEngine) -> cqrs.RequestMediator:
    """Handler and outbox of one command share a session. The library's logging of every request is left out."""
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    def outbox(session: AsyncSession) -> SqlAlchemyOutboxedEventRepository:
        return SqlAlchemyOutboxedEventRepository(session)

    external = di.Container()
    external.bind(bind_by_type(Dependent(session, scope="request"), AsyncSession))
    external.bind(bind_by_type(Dependent(outbox, scope="request"), cqrs.OutboxedEventRepository))
    container = DIContainer()
    container.attach_external_container(external)

    def commands(mapper: cqrs.RequestMap[Any]) -> None:
        mapper.bind(RegisterCustomer, RegisterCustomerHandler)
        mapper.bind(ChangeCustomer, ChangeCustomerHandler)

    emitter = bootstrap.setup_event_emitter(container, scope_strategy=ScopeStrategy.SEND)
    return bootstrap.setup_mediator(
        emitter, container, middlewares=[], commands_mapper=commands, scope_strategy=ScopeStrategy.SEND
    )


def open_engine(mysql_url: str, connections: int) -> AsyncEngine:
    return create_async_engine(
        make_url(mysql_url).set(drivername="mysql+asyncmy"),
        pool_size=connections,
        max_overflow=0,
        isolation_level="READ COMMITTED",
    )


class Load:
    """Clients that give a command each, and the next one as soon as it is answered: 30 % register, 70 % change."""

    def __init__(self, mediator: cqrs.RequestMediator, seed: int) -> None:
        self._mediator = mediator
        self._random = random.Random(seed)
        self._ids: list[UUID] = []
        self.lost_races = 0
        self.total = 0

    async def prepare(self, count: int) -> None:
        await asyncio.gather(*(self._register() for _ in range(count)))

    async def run(self, clients: int, seconds: float) -> Json:
        start = time.perf_counter()
        each = await asyncio.gather(*(self._client(start + seconds) for _ in range(clients)))
        elapsed = time.perf_counter() - start
        done = [one for client in each for one in client]
        latencies = sorted(taken for _, taken in done)
        registered = sum(kind == "registered" for kind, _ in done)
        return {
            "commands": len(done),
            "seconds": round(elapsed, 3),
            "registered": registered,
            "changed": len(done) - registered,
            "p50_ms": round(latencies[len(latencies) // 2] * 1000, 3),
            "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1000, 3),
        }

    async def _client(self, until: float) -> list[tuple[str, float]]:
        done = []
        now = time.perf_counter()
        while now < until:
            since = now
            kind = await (self._register() if self._random.random() < 0.3 else self._change())
            now = time.perf_counter()
            done.append((kind, now - since))
        return done

    async def _register(self) -> str:
        done = await self._mediator.send(RegisterCustomer(details=registration(self._random)))
        self._ids.append(done.id)
        self.total += 1
        return "registered"

    async def _change(self) -> str:
        await self.change(self._random.choice(self._ids))
        return "changed"

    async def change(self, customer_id: UUID) -> None:
        request = ChangeCustomer(customer_id=customer_id, changes=change(self._random))
        while True:
            try:
                await self._mediator.send(request)
            except VersionConflict:
                self.lost_races += 1
            else:
                self.total += 1
                return

    async def race(self, clients: int) -> UUID:
        """All clients change one customer at the same time."""
        await self._register()
        customer_id = self._ids[-1]
        await asyncio.gather(*(self.change(customer_id) for _ in range(clients)))
        return customer_id


def registration(mine: random.Random) -> Json:
    number = mine.randrange(10**10)
    return {
        "type": "person",
        "name": f"Ana Souza {number}",
        "email": f"ana.{uuid4().hex}@example.com",
        "phone": f"+55119{number % 10**8:08}",
        "locale": "pt-BR",
        "timezone": "America/Sao_Paulo",
        "taxIds": [{"type": "br_cpf", "value": f"{number:011}"}],
        "addresses": [
            {
                "label": "casa",
                "roles": ["billing", "shipping"],
                "country": "BR",
                "postalCode": "01310-100",
                "line1": "Av. Paulista",
                "number": str(number % 2000),
                "district": "Bela Vista",
                "city": "São Paulo",
                "region": "SP",
            }
        ],
        "consents": [
            {
                "purpose": "newsletter",
                "channel": "email",
                "state": "granted",
                "capturedAt": "2026-11-22T15:00:00.000Z",
                "source": "checkout",
            }
        ],
    }


def change(mine: random.Random) -> Json:
    return {"name": f"Ana Lima {mine.randrange(10**10)}", "socialName": "Ana"}


async def rows(engine: AsyncEngine) -> tuple[int, int]:
    """Versions of all customers, of which each stands for an event, and events in the outbox."""
    async with engine.connect() as connection:
        versions = await connection.scalar(select(func.coalesce(func.sum(customers.c.version), 0)))
        outbox = await connection.scalar(select(func.count()).select_from(OutboxModel))
    return int(versions or 0), int(outbox or 0)


async def commands(given: argparse.Namespace) -> Json:
    engine = open_engine(given.mysql_url, given.connections)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    before = await rows(engine)
    load = Load(create_mediator(engine), given.seed)
    await load.prepare(given.customers)
    if given.warm_up:
        await load.run(given.clients, given.warm_up)
    result = await load.run(given.clients, given.seconds)
    if given.check:
        customer_id = await load.race(8)
        async with engine.connect() as connection:
            version = await connection.scalar(select(customers.c.version).where(customers.c.id == customer_id))
        assert version == 9, f"version {version} after a registration and 8 changes"
        print(f"{load.lost_races} lost races of {load.total} commands", file=sys.stderr)
        after = await rows(engine)
        found = [now - then for now, then in zip(after, before, strict=True)]
        assert found == [load.total] * 2, f"{found} versions and outbox rows of {load.total} commands"
    await engine.dispose()
    return result


async def relay(given: argparse.Namespace) -> Json:
    """Until the outbox has nothing new, or time is up."""
    engine = open_engine(given.mysql_url, 1)
    broker = AMQPMessageBroker(amqp_publisher_factory(given.amqp_url), exchange_name="customers")
    messages, start = 0, time.perf_counter()
    async with AsyncSession(engine) as session:
        outbox = SqlAlchemyOutboxedEventRepository(session)
        producer = cqrs.EventProducer(broker, outbox)
        async for batch in producer.event_batch_generator(given.batch):
            for event in batch:
                await producer.send_message(event)
            await session.commit()
            messages += len(batch)
            if not batch or time.perf_counter() - start > given.seconds:
                break
    elapsed = time.perf_counter() - start
    if messages:
        await _check_and_empty_queue(given.amqp_url, messages)
    await engine.dispose()
    return {"messages": messages, "seconds": round(elapsed, 3)}


async def _check_and_empty_queue(amqp_url: str, expected: int) -> None:
    """The producer logs what it could not send, and goes on."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(TOPIC, passive=True)
        found = queue.declaration_result.message_count or 0
        await queue.purge()
    assert found >= expected, f"{found} messages in the queue of {expected} sent"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["commands", "relay"], default="commands")
    parser.add_argument("--mysql-url", required=True)
    parser.add_argument("--amqp-url", default="amqp://guest:guest@127.0.0.1/")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--customers", type=int, default=500, help="registered before the warm-up")
    parser.add_argument("--batch", type=int, default=100, help="events that the relay reads at once")
    parser.add_argument("--check", action="store_true", help="count the rows afterwards")
    given = parser.parse_args()
    logging.getLogger("cqrs").setLevel(logging.WARNING)
    print(json.dumps(uvloop.run((relay if given.what == "relay" else commands)(given))))


if __name__ == "__main__":
    main()
