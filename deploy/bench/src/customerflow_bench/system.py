"""The system that is measured: a local stack of its own, traced as in production, gone afterwards."""

import asyncio
import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiormq
import pymysql
from customerflow_local.errors import LocalStackError
from customerflow_local.instance import RUN
from customerflow_local.stack import Stack
from customerflow_shared import views
from redis import Redis
from rich.console import Console

from customerflow_bench import processes

SAMPLED: Final = "0.1"
SETTLED_WITHIN = 120.0
_NUMBERS_APART = 100_000


class NotSettled(Exception):
    """What was stored does not become visible."""


class System:
    """CustomerFlow and its servers. `stack` runs; `traced` are the settings with which its programs are traced."""

    def __init__(self, stack: Stack, traced: Mapping[str, str], *, first: int = 0) -> None:
        self.stack = stack
        self.traced = traced
        self.redis = Redis.from_url(stack.env["CF_REDIS_URL"])
        self._first = first

    def port(self, program: str) -> int:
        return self.stack.instance.ports[program]

    def new_numbers(self) -> int:
        """The first of a hundred thousand numbers of customers (see `people`) that nobody has used."""
        self._first += _NUMBERS_APART
        return self._first

    # the write side

    @contextmanager
    def database(self, name: str = "customerflow") -> Iterator["pymysql.cursors.Cursor"]:
        url = urlsplit(self.owner_url(name))
        connection = pymysql.connect(
            host=url.hostname or "", port=url.port or 0, user=url.username, password=url.password or "", database=name
        )
        with connection, connection.cursor() as cursor:
            yield cursor
            connection.commit()

    def owner_url(self, database: str) -> str:
        return self.stack.env["CF_MYSQL_OWNER_URL"].removesuffix("customerflow") + database

    def empty_database(self, name: str) -> str:
        """A database of that name with nothing in it; its URL."""
        name = f"customerflow_bench_{name}"
        with self.database() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return self.owner_url(name)

    def number(self, question: str) -> int:
        with self.database() as cursor:
            cursor.execute(question)
            (row,) = cursor.fetchall()
            return int(row[0])

    def head(self) -> int:
        return self.number("SELECT head FROM cf_position")

    def unsent(self) -> int:
        return self.number("SELECT COUNT(*) FROM cf_outbox")

    # the read side

    def applied(self) -> int:
        """The position up to which the read model shows every event; 0 while there is none."""
        generation: Any = self.redis.get(views.LIVE)
        place: Any = self.redis.get(views.key(generation.decode(), "applied")) if generation else None
        return int(place.split()[0]) if place else 0

    def customers(self) -> int:
        """Whom the read model shows."""
        generation: Any = self.redis.get(views.LIVE)
        shown: Any = self.redis.zcard(views.key(generation.decode(), "order:created"))
        return int(shown)

    def settle(self) -> None:
        """Return when nothing is under way from the event store to the read model. Raises NotSettled."""
        wait_until(lambda: self.unsent() == 0 and self.applied() >= self.head())

    # the machine

    def versions(self) -> dict[str, str]:
        """Of the servers."""
        with self.database() as cursor:
            cursor.execute("SELECT VERSION()")
            (mysql,) = cursor.fetchone() or ("",)
        redis: Any = self.redis.info("server")
        broker = asyncio.run(_broker(self.stack.env["CF_AMQP_URL"]))
        return {"MySQL": mysql, "Redis": redis["redis_version"], "RabbitMQ": broker}

    def resident(self, program: str) -> int:
        """Megabytes of memory."""
        with open(f"/proc/{self.stack.pid(program)}/status") as status:
            (line,) = [line for line in status if line.startswith("VmRSS:")]
        return int(line.split()[1]) // 1024


async def _broker(url: str) -> str:
    connection = await aiormq.connect(url)
    version = str(connection.server_properties["version"])
    await connection.close()
    return version


def wait_until(done: Callable[[], bool], *, within: float = SETTLED_WITHIN, every: float = 0.05) -> None:
    """Raises NotSettled."""
    deadline = time.monotonic() + within
    while not done():
        if time.monotonic() > deadline:
            raise NotSettled
        time.sleep(every)


@contextmanager
def tracing() -> Iterator[dict[str, str]]:
    """The settings with which a program samples its traces and sends them to somebody who takes them."""
    port = processes.free_port()
    with processes.serving([*processes.module("sink"), str(port)], port, "/", log=RUN / "bench/logs/sink.log"):
        yield {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": SAMPLED,
        }


@contextmanager
def fresh(console: Console, name: str = "bench-stack") -> Iterator[System]:
    """Empty, and removed afterwards. Raises LocalStackError if another run has the one of that name."""
    folder = RUN / name
    with alone(RUN / "bench" / f"{name}.lock"):
        if folder.exists():  # of a run that was killed
            Stack(folder, console=console).stop()
            shutil.rmtree(folder)
        stack = Stack(folder, console=console)
        with tracing() as traced:  # until the programs have sent their last traces
            try:
                with console.status("starting CustomerFlow and its servers"):
                    stack.start_servers()
                    stack.start_programs(extra_env=traced)
                system = System(stack, traced)
                try:
                    yield system
                finally:
                    system.redis.close()
            finally:
                with console.status("stopping everything"):
                    stack.stop()
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Raises LocalStackError if somebody else is at it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalStackError("Another benchmark is running here.") from None
        yield
