"""What the driver alone can commit: one transaction for each command, 64 at the same time, in one process.

A transaction is one event, whose unique index is the version check, and one row of an outbox. Nothing is read,
validated, encrypted or traced. Three in ten events are as long as those of a registration, the others as those of a
change.
"""

import argparse
import json
import os
from typing import Any
from urllib.parse import urlsplit

import asyncmy
import uvloop

from customerflow_bench import loads, traffic
from customerflow_bench.figures import percentile

TABLES = (
    """CREATE TABLE IF NOT EXISTS bench_events (
        position BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        customer_id BINARY(16) NOT NULL,
        version INT UNSIGNED NOT NULL,
        data MEDIUMTEXT NOT NULL,
        UNIQUE KEY bench_events_stream (customer_id, version)
    ) ENGINE=InnoDB""",
    """CREATE TABLE IF NOT EXISTS bench_outbox (
        position BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        customer_id BINARY(16) NOT NULL
    ) ENGINE=InnoDB""",
)
EVENT = "INSERT INTO bench_events (customer_id, version, data) VALUES (%s, %s, %s)"
POINTER = "INSERT INTO bench_outbox (customer_id) VALUES (%s)"


class Client:
    def __init__(self, connection: Any, long: str, short: str) -> None:
        self._connection = connection
        self._long, self._short = long, short
        self._number = 0
        self._customer, self._version = b"", 0

    async def commit(self) -> None:
        self._number += 1
        if self._number % 10 in (1, 4, 7):
            self._customer, self._version = os.urandom(16), 0
        self._version += 1
        async with self._connection.cursor() as cursor:
            data = self._short if self._version > 1 else self._long
            await cursor.execute(EVENT, (self._customer, self._version, data))
            await cursor.execute(POINTER, (self._customer,))
        await self._connection.commit()


async def run(url: str, clients: int, warm_up: float, seconds: float) -> dict[str, float]:
    where = urlsplit(url)
    connect = {
        "host": where.hostname,
        "port": where.port,
        "user": where.username,
        "password": where.password,
        "db": where.path.strip("/"),
    }
    # outside of any loop, as the time that it takes is not the driver's
    long, short = traffic.registration(1).decode(), next(traffic.changes(1)).decode()
    async with asyncmy.connect(**connect, binary_prefix=True) as connection, connection.cursor() as cursor:
        await cursor.execute("SET SESSION sql_notes = 0")  # that a table is there already is no news
        for table in TABLES:
            await cursor.execute(table)
    connections = [await asyncmy.connect(**connect, binary_prefix=True) for _ in range(clients)]
    committing = [Client(one, long, short).commit for one in connections]
    took = await loads.closed(committing, warm_up=warm_up, seconds=seconds)
    for connection in connections:
        await connection.ensure_closed()
    return {
        "a second": took.rate,
        "p50, ms": percentile(took.latencies, 0.5) * 1000,
        "p99, ms": percentile(took.latencies, 0.99) * 1000,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mysql-url", required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=float, required=True)
    given = parser.parse_args()
    print(json.dumps(uvloop.run(run(given.mysql_url, given.clients, given.warm_up, given.seconds))))
