"""The load, a process of its own: a job in JSON on standard input, its figures in JSON on standard output."""

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import uvloop

from customerflow_bench import http_wire, loads, traffic
from customerflow_bench.figures import percentile

_PREPARED_A_SECOND: Final = 1200  # registrations, in closed loop
_AT_ONCE: Final = 256  # in open loop
_PAUSE: Final = 0.001  # seconds
_AFTER_ALL: Final = 2.0  # seconds for the last one to become visible


class Commands(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """In open loop if there is a `rate`. With the port of a query service one command after the other is followed until
    that shows it.
    """

    port: int
    customers: str
    change_type: str
    first: int
    clients: int
    warm_up: float
    seconds: float
    rate: float | None = None
    query_port: int | None = None
    server: int | None = None
    """The process that answers: in closed loop it is told what that computes for a command."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    path: str
    headers: dict[str, str] = {}
    body: str = ""


class Reads(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Closed loop: any of `asks`, each answered with `status`."""

    port: int
    asks: list[Ask]
    status: int
    clients: int
    warm_up: float
    seconds: float
    server: int | None = None


Job = Commands | Reads


async def send_commands(job: Commands) -> dict[str, float]:
    interface = traffic.Interface(job.port, job.customers, job.change_type)
    if job.rate is None:
        prepared = round((job.warm_up + job.seconds) * _PREPARED_A_SECOND)
        clients = await traffic.connect(interface, job.clients, job.first, prepared, seed=job.first)
        sending = [client.send for client in clients]
        return _told(await loads.closed(sending, warm_up=job.warm_up, seconds=job.seconds, server=job.server))
    prepared = round((job.warm_up + job.seconds) * job.rate)
    clients = await traffic.connect(interface, _AT_ONCE, job.first, prepared, seed=job.first)
    # whoever is new has nobody to change: all have sent something before the clock begins
    await asyncio.gather(*(client.send() for client in clients))
    follower = await Follower.open(job.query_port) if job.query_port else None
    send = traffic.in_turn(clients, follower.follow if follower else lambda _: None)
    took = await loads.opened(send, rate=job.rate, warm_up=job.warm_up, seconds=job.seconds)
    figures = _told(took)
    return figures | await follower.figures(since=took.seconds) if follower else figures


class Follower:
    """Asks for one customer, a millisecond after each answer, until what was done to it is there; then for the next.

    Without the pause it would take half a core from what it measures.
    """

    def __init__(self, connection: http_wire.Connection) -> None:
        self._connection = connection
        self._following: asyncio.Task[None] | None = None
        self._took: list[tuple[float, float]] = []  # when, and how long

    @classmethod
    async def open(cls, port: int) -> "Follower":
        return cls(await http_wire.Connection.open(port))

    def follow(self, done: traffic.Done) -> None:
        """From now, when the command is answered, unless it is after another one."""
        if self._following is None:
            self._following = asyncio.create_task(self._until_visible(done, time.perf_counter()))

    async def _until_visible(self, done: traffic.Done, since: float) -> None:
        prepared = http_wire.request("GET", f"/v1/customers/{done.customer}")
        while True:
            if _shows(await self._connection.ask(prepared), done.version):
                break
            await asyncio.sleep(_PAUSE)
        self._took.append((since, time.perf_counter() - since))
        self._following = None

    async def figures(self, since: float) -> dict[str, float]:
        if self._following:
            await asyncio.wait_for(self._following, _AFTER_ALL)
        last = self._took[-1][0]
        measured = [took for when, took in self._took if when >= last - since]
        return {
            "visible p50, ms": percentile(measured, 0.5) * 1000,
            "visible p99, ms": percentile(measured, 0.99) * 1000,
            "followed": len(measured),
        }


def _shows(answer: http_wire.Answer, version: int) -> bool:
    if answer.status == 404:
        return False
    if answer.status != 200:
        raise traffic.Refused(f"{answer.status}: {answer.body[:500]!r}")
    return int((answer.header("ETag") or "0").split('"')[1].split("-")[0]) >= version


async def read(job: Reads) -> dict[str, float]:
    prepared = [http_wire.request(a.method, a.path, a.headers, a.body.encode()) for a in job.asks]
    chance = random.Random(7)

    def client(connection: http_wire.Connection) -> Callable[[], Awaitable[None]]:
        async def ask() -> None:
            answer = await connection.ask(chance.choice(prepared))
            if answer.status != job.status:
                raise traffic.Refused(f"{answer.status}: {answer.body[:500]!r}")

        return ask

    clients = [client(await http_wire.Connection.open(job.port)) for _ in range(job.clients)]
    return _told(await loads.closed(clients, warm_up=job.warm_up, seconds=job.seconds, server=job.server))


def _told(took: loads.Took) -> dict[str, float]:
    return {
        "a second": took.rate,
        "p50, ms": percentile(took.latencies, 0.5) * 1000,
        "p99, ms": percentile(took.latencies, 0.99) * 1000,
        "load's share of a core": took.cpu / took.seconds,
        "CPU of the server, ms": took.served_with / max(1, len(took.latencies)) * 1000,
    }


async def work(job: Job) -> dict[str, float]:
    return await (send_commands(job) if isinstance(job, Commands) else read(job))


if __name__ == "__main__":
    asked: Job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(work(asked))))
