"""Customers in the `eventsourcing` library, recorded by SQLAlchemy: what it takes to register and to change them.

python main.py --mysql-url mysql://user:password@host:port/database --clients 64 --seconds 10 --warm-up 2 --seed 1
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError
from eventsourcing.utils import get_topic
from eventsourcing_sqlalchemy.datastore import SQLAlchemyDatastore
from eventsourcing_sqlalchemy.factory import SQLAlchemyFactory
from eventsourcing_sqlalchemy.recorders import SQLAlchemyApplicationRecorder

Json = dict[str, Any]


class Customer(Aggregate):
    @event("Registered")
    def __init__(self, details: Json) -> None:
        self.details = details

    @event("Changed")
    def change(self, changes: Json) -> None:
        self.details = {**self.details, **changes}


class Customers(Application[UUID]):
    def register(self, details: Json) -> UUID:
        customer = Customer(details)
        self.save(customer)
        return customer.id

    def change(self, customer_id: UUID, changes: Json) -> int:
        """Return the number of lost races, after which it was tried again."""
        lost = 0
        while True:
            customer: Customer = self.repository.get(customer_id)
            customer.change(changes)
            try:
                self.save(customer)
            except IntegrityError:  # somebody else has saved this version
                lost += 1
            else:
                return lost


class PooledDatastore(SQLAlchemyDatastore):
    """One lasting connection for each thread; the library itself leaves SQLAlchemy's five."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(pool_size=32, max_overflow=0, isolation_level="READ COMMITTED", **settings)


class PooledFactory(SQLAlchemyFactory):
    datastore_class = PooledDatastore


def open_customers(mysql_url: str, cached: int) -> Customers:
    """The tables are made where they are missing.

    With the cache, and without fast-forward, a change reads nothing from the database: a customer that was changed
    elsewhere in the meantime is noticed when its events are recorded.
    """
    return Customers(
        env={
            "PERSISTENCE_MODULE": get_topic(PooledFactory),
            "SQLALCHEMY_URL": "mysql+pymysql://" + mysql_url.partition("://")[2],
            "AGGREGATE_CACHE_MAXSIZE": str(cached) if cached else "",
            "AGGREGATE_CACHE_FASTFORWARD": "n",
        }
    )


class Load:
    """Clients that give a command each, and the next one as soon as it is answered: 30 % register, 70 % change."""

    def __init__(self, customers: Customers, seed: int) -> None:
        self._customers = customers
        self._random = random.Random(seed)
        self._ids: list[UUID] = []
        self.lost_races = 0
        self.total = 0

    def prepare(self, count: int, threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda _: self._register(self._random), range(count)))

    def run(self, clients: int, threads: int, seconds: float) -> Json:
        waiting: SimpleQueue[float] = SimpleQueue()
        start = time.perf_counter()
        for _ in range(clients):
            waiting.put(start)
        randoms = [random.Random(self._random.random()) for _ in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            done = list(pool.map(lambda mine: self._work(waiting, start + seconds, mine), randoms))
        elapsed = time.perf_counter() - start
        latencies = sorted(taken for each in done for _, taken in each)
        registered = sum(kind == "registered" for each in done for kind, _ in each)
        return {
            "commands": len(latencies),
            "seconds": round(elapsed, 3),
            "registered": registered,
            "changed": len(latencies) - registered,
            "p50_ms": round(latencies[len(latencies) // 2] * 1000, 3),
            "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1000, 3),
        }

    def _work(self, waiting: SimpleQueue[float], until: float, mine: random.Random) -> list[tuple[str, float]]:
        done = []
        while time.perf_counter() < until:
            since = waiting.get()
            kind = self._register(mine) if mine.random() < 0.3 else self._change(mine)
            now = time.perf_counter()
            done.append((kind, now - since))
            waiting.put(now)
        return done

    def _register(self, mine: random.Random) -> str:
        self._ids.append(self._customers.register(registration(mine)))
        self.total += 1
        return "registered"

    def _change(self, mine: random.Random) -> str:
        lost = self._customers.change(mine.choice(self._ids), change(mine))
        self.lost_races += lost
        self.total += 1
        return "changed"


def registration(mine: random.Random) -> Json:
    number = mine.randrange(10**10)
    return {
        "type": "person",
        "name": f"Ana Souza {number}",
        "email": f"ana.{number}@example.com",
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


def check(customers: Customers, before: int, commands: int) -> None:
    """Every command has left one event, which the notification log, the library's outbox, tells; and of two who save
    the same version one fails.
    """
    assert count(customers) - before == commands, f"{count(customers) - before} events of {commands} commands"
    told, section = 0, customers.recorder.select_notifications(1, 1000)
    while section:
        told += len(section)
        section = customers.recorder.select_notifications(section[-1].id + 1, 1000)
    assert told == count(customers), f"{told} notifications of {count(customers)} events"

    customer_id = customers.register(registration(random.Random()))
    one: Customer = customers.repository.get(customer_id)
    other: Customer = customers.repository.get(customer_id)
    for copy in (one, other):
        copy.change({"name": "Ana"})
    customers.save(one)
    _must_raise(IntegrityError, lambda: customers.save(other))


def _must_raise(expected: type[Exception], do: Callable[[], object]) -> None:
    try:
        do()
    except expected:
        return
    raise AssertionError(f"no {expected.__name__}")


def count(customers: Customers) -> int:
    recorder = customers.recorder
    assert isinstance(recorder, SQLAlchemyApplicationRecorder)
    with recorder.transaction(commit=False) as session:
        return session.query(recorder.events_record_cls).count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mysql-url", required=True)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=16, choices=range(1, 33), metavar="1..32")
    parser.add_argument("--cached", type=int, default=10_000, help="customers in memory; 0: read before each change")
    parser.add_argument("--customers", type=int, default=500, help="registered before the warm-up")
    parser.add_argument("--check", action="store_true", help="count the rows afterwards")
    given = parser.parse_args()

    customers = open_customers(given.mysql_url, given.cached)
    before = count(customers)
    load = Load(customers, given.seed)
    load.prepare(given.customers, given.threads)
    if given.warm_up:
        load.run(given.clients, given.threads, given.warm_up)
    result = load.run(given.clients, given.threads, given.seconds)
    if given.check:
        print(f"{load.lost_races} lost races of {load.total} commands", file=sys.stderr)
        check(customers, before, load.total)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
