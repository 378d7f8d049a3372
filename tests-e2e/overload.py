#!/usr/bin/env python
"""Ask for several times as much as one copy of each program can do, and see who is served, who is refused, and how.

First it is measured how much that is, by clients that ask as soon as they are answered. Then requests are due by a
clock, whether or not those before are answered, and count from when they were due. Only of single reads the load cannot
ask for so many on the same cores: there many times the clients ask as soon as they are answered. A stack of its own
under .run/overload; the load tells how late it was itself. Exit 0 when what was accepted came in time, the rest was
refused at once, memory stayed flat, and everything was as before within seconds.
"""

import argparse
import asyncio
import json
import random
import secrets
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import httpx
import uvloop
from blackbox.customers import MERGE_PATCH, a_customer
from blackbox.system import System, started
from blackbox.waiting import eventually
from customerflow_bench.figures import percentile
from customerflow_bench.http_wire import Answer, BadAnswer, Connection, request
from customerflow_local.instance import RUN
from customerflow_local.stack import Stack
from rich.console import Console
from rich.table import Table

What: TypeAlias = Literal["commands", "reads", "lists", "mixed"]

COPIES: Final = {"command": 1, "relay": 1, "projector": 1, "query": 1}
CLIENTS: Final = 64  # of whoever measures how much can be done
CONNECTIONS: Final = 1000  # that the load has open
CALM: Final = 0.5  # of what can be done
ACCEPTED_WITHIN: Final = 1.0  # seconds, 99 % of them
REFUSED_WITHIN: Final = 1.0
RECOVERED_WITHIN: Final = 5.0
GROWTH: Final = 1.1  # of memory, from the first half of the overload on
PEOPLE: Final = 500  # that are there to be read
LATE_AT_MOST: Final = 0.25  # seconds, the load itself
PIECE: Final = 0.5  # seconds
PATIENCE: Final = 15.0  # seconds for what is under way at the end


class Asked(NamedTuple):
    """When it was due, how late the load itself was, how long the answer took since it was due, and what it was."""

    due: float
    late: float
    took: float
    status: int
    told: str  # what a refusal says, with its Retry-After


class Commander:
    """Registers somebody, or changes somebody whom it has registered: one after the other, on its own connection."""

    def __init__(self, connection: Connection, chance: random.Random) -> None:
        self._connection = connection
        self._chance = chance
        self._known: list[list[str]] = []  # path, entity tag

    async def ask(self) -> Answer:
        if not self._known or self._chance.random() < 0.3:
            body = json.dumps(a_customer()).encode()
            answer = await self._connection.ask(request("POST", "/v1/customers", {"Content-Type": JSON}, body))
            if answer.status == 201:
                self._known.append([answer.header("location") or "", answer.header("etag") or ""])
            return answer
        known = self._chance.choice(self._known)
        body = json.dumps({"name": f"Name {secrets.token_hex(6)}"}).encode()
        headers = {"Content-Type": MERGE_PATCH, "If-Match": known[1]}
        answer = await self._connection.ask(request("PATCH", known[0], headers, body))
        if answer.status == 200:
            known[1] = answer.header("etag") or ""
        return answer


class Reader:
    """Asks for one customer after the other, for the newest fifty, or for either."""

    def __init__(self, connection: Connection, chance: random.Random, what: What, paths: Sequence[str]) -> None:
        self._connection = connection
        self._chance = chance
        self._lists = {"reads": 0.0, "lists": 1.0, "mixed": 0.5}[what]
        self._singles = [request("GET", path) for path in paths]

    async def ask(self) -> Answer:
        if self._chance.random() < self._lists:
            return await self._connection.ask(LIST)
        return await self._connection.ask(self._chance.choice(self._singles))


UNBOUNDED: Final = "reads"
JSON: Final = "application/json"
LIST: Final = request("GET", "/v1/customers?limit=50")
KINDS: Final[Sequence[What]] = ("commands", "reads", "lists", "mixed")


@dataclass
class Crowd:
    """Clients of one program, each with a connection: whoever has been free for the shortest time asks next."""

    what: What
    chance: random.Random
    asked: list[Asked] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    _free: asyncio.LifoQueue[Commander | Reader] = field(default_factory=asyncio.LifoQueue)

    @classmethod
    @asynccontextmanager
    async def of(cls, url: str, what: What, clients: int, paths: Sequence[str] = ()) -> AsyncIterator["Crowd"]:
        crowd, connections = cls(what, random.Random(7)), []
        try:
            for _ in range(clients):
                connections.append(connection := await Connection.open(urlsplit(url).port or 0))
                client = Commander if what == "commands" else partial(Reader, what=what, paths=paths)
                crowd._free.put_nowait(client(connection, crowd.chance))
            yield crowd
        finally:
            for connection in connections:
                connection.close()
            await asyncio.sleep(0)  # in which they are closed

    async def one(self, due: float) -> None:
        late = time.perf_counter() - due
        client = await self._free.get()
        try:
            answer = await client.ask()
        except BadAnswer as error:
            self.lost[str(error)] += 1
            return
        self._free.put_nowait(client)
        told = "" if answer.status < 400 else f"{_code(answer)}, Retry-After {answer.header('retry-after')}"
        self.asked.append(Asked(due, late, time.perf_counter() - due, answer.status, told))

    async def closed(self, seconds: float, clients: int = CLIENTS) -> Sequence[Asked]:
        """Requests of clients that ask as soon as they are answered."""
        ends, before = time.perf_counter() + seconds, len(self.asked)

        async def work() -> None:
            while (now := time.perf_counter()) < ends:
                await self.one(now)

        await asyncio.gather(*(work() for _ in range(clients)))
        return self.asked[before:]

    async def opened(self, rate: float, seconds: float) -> Sequence[Asked]:
        """Requests that are due so many times a second."""
        before, began, due = len(self.asked), time.perf_counter(), 0
        async with asyncio.timeout(seconds + PATIENCE), asyncio.TaskGroup() as group:
            while due < seconds * rate:
                while due < seconds * rate and due / rate <= time.perf_counter() - began:
                    group.create_task(self.one(began + due / rate))
                    due += 1
                await asyncio.sleep(0.001)
        return self.asked[before:]


def _code(answer: Answer) -> str:
    with suppress(ValueError, KeyError):
        return f"{answer.status} {json.loads(answer.body)['code']}"
    return str(answer.status)


@dataclass
class Findings:
    what: What
    capacity: float
    seconds: float
    calm: Sequence[Asked]
    asked: Sequence[Asked]
    after: Sequence[Asked]
    before_kb: int
    memory: Sequence[tuple[float, int]]
    after_kb: int
    lost: Counter[str]

    @property
    def accepted(self) -> list[float]:
        return [one.took for one in self.asked if one.status < 400]

    @property
    def refused(self) -> list[float]:
        return [one.took for one in self.asked if one.status >= 400]

    @property
    def recovered(self) -> float:
        """Seconds after the overload from which on, in each half second, no more is refused than in any before it, and
        99 % come in thrice the time that they took then, or in a quarter of a second.
        """
        before = _pieces(self.calm)
        soon = max(0.25, 3 * _p99([one.took for one in self.calm]))
        usual = max(_refused(piece) for piece in before.values())
        bad = [
            number
            for number, piece in _pieces(self.after).items()
            if _refused(piece) > usual or _p99([one.took for one in piece]) > soon
        ]
        return PIECE * (max(bad) + 1) if bad else 0.0

    @property
    def halves(self) -> tuple[int, int]:
        """The most memory, in kB, in the first half of the overload and in the second."""
        middle = self.memory[0][0] + self.seconds / 2
        first = [size for when, size in self.memory if when < middle]
        second = [size for when, size in self.memory if when >= middle]
        return max(first), max(second)

    def violations(self, slack: float = 1.0) -> Iterator[str]:
        """`slack`: so many times longer, or fewer, may all be that depends on the machine."""
        if not self.refused and self.what != UNBOUNDED:
            yield "Nothing was refused: that was no overload."
        if not self.accepted or len(self.accepted) < 0.5 / slack * self.capacity * self.seconds:
            yield f"Only {len(self.accepted) / self.seconds:.0f} of {self.capacity:.0f} a second were accepted."
        if _p99(self.accepted) > slack * ACCEPTED_WITHIN:
            yield f"What was accepted took {_p99(self.accepted):.2f} s."
        if self.refused and _p99(self.refused) > slack * REFUSED_WITHIN:
            yield f"Who was refused was told so after {_p99(self.refused):.2f} s."
        for one in {one.told for one in self.asked if one.status >= 400}:
            if one[:3] not in ("503", "429") or one.endswith("None"):
                yield f"Refused by {one}."
        if self.lost:
            yield f"Answers were lost: {dict(self.lost)}."
        if self.recovered > slack * RECOVERED_WITHIN:
            yield f"It took {self.recovered:.1f} s to recover."
        first, second = self.halves
        if max(second, self.after_kb) > GROWTH * first:
            yield f"Memory has grown from {first} to {second} kB, and was {self.after_kb} kB afterwards."
        if self.late > slack * LATE_AT_MOST:
            yield f"The load itself was late by {self.late:.2f} s: nothing was shown."

    @property
    def late(self) -> float:
        return _p99([one.late for one in self.asked])

    def rows(self) -> dict[str, str]:
        first, second = self.halves
        told = Counter(one.told for one in self.asked if one.status >= 400)
        return {
            "can be done, a second": f"{self.capacity:.0f}",
            "asked for, a second": f"{len(self.asked) / self.seconds:.0f}",
            "  the load was late, p99": f"{1000 * self.late:.0f} ms",
            "served, a second": f"{len(self.accepted) / self.seconds:.0f}",
            "  p50, p99, most": _latencies(self.accepted),
            "refused, a second": f"{len(self.refused) / self.seconds:.0f}",
            "  p50, p99, most ": _latencies(self.refused),
            "  by": ", ".join(told),
            "before, at half of it": _latencies([one.took for one in self.calm]),
            "  refused": f"{_refused(self.calm)} of {len(self.calm)}",
            "after, at half of it": _latencies([one.took for one in self.after]),
            "  refused ": f"{_refused(self.after)} of {len(self.after)}",
            "recovered after": f"{self.recovered:.1f} s",
            "memory before": f"{self.before_kb // 1024} MB",
            "  most in each half": f"{first // 1024}, {second // 1024} MB",
            "  after": f"{self.after_kb // 1024} MB",
        }


def told(findings: Sequence[Findings]) -> Table:
    table = Table(title=f"Overload for {findings[0].seconds:g} s")
    table.add_column("")
    for one in findings:
        table.add_column(one.what, justify="right")
    for name in findings[0].rows():
        table.add_row(name, *(one.rows()[name] for one in findings))
    return table


def _pieces(asked: Sequence[Asked]) -> dict[int, list[Asked]]:
    """By the half second in which they were due."""
    began = min(one.due for one in asked)
    pieces: dict[int, list[Asked]] = {}
    for one in asked:
        pieces.setdefault(int((one.due - began) / PIECE), []).append(one)
    return pieces


def _refused(asked: Sequence[Asked]) -> int:
    return sum(one.status >= 400 for one in asked)


def _p99(took: Sequence[float]) -> float:
    return percentile(took, 0.99) if took else 0.0


def _latencies(took: Sequence[float]) -> str:
    if not took:
        return "none"
    return ", ".join(f"{1000 * one:.0f}" for one in (percentile(took, 0.5), _p99(took), max(took))) + " ms"


def resident(pid: int) -> int:
    """Kilobytes of memory."""
    with open(f"/proc/{pid}/status") as status:
        (line,) = [line for line in status if line.startswith("VmRSS:")]
    return int(line.split()[1])


@contextmanager
def watched(pid: int) -> Iterator[list[tuple[float, int]]]:
    """The memory of a process, twice a second."""
    sizes: list[tuple[float, int]] = [(time.perf_counter(), resident(pid))]

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.5)
            sizes.append((time.perf_counter(), resident(pid)))

    watching = asyncio.create_task(watch())
    try:
        yield sizes
    finally:
        watching.cancel()


async def overload(
    system: System, stack: Stack, what: What, *, times: float, seconds: float, tell: Callable[[str], None]
) -> Findings:
    program, url = ("command", system.command) if what == "commands" else ("query", system.query)
    paths = [] if what == "commands" else await people(system)
    measured, pid = min(6.0, seconds), await asyncio.to_thread(stack.pid, program)
    async with Crowd.of(url, what, CONNECTIONS, paths) as crowd:
        await crowd.closed(measured / 2)  # to warm up
        capacity = sum(one.status < 400 for one in await crowd.closed(measured)) / measured
        wish = f"{CONNECTIONS} clients" if what == UNBOUNDED else f"{times * capacity:.0f} a second"
        tell(f"{what}: {capacity:.0f} a second can be done; now it is asked by {wish} for {seconds:g} s.")
        calm = await crowd.opened(CALM * capacity, measured)
        before = resident(pid)
        with watched(pid) as memory:
            asked = await (
                crowd.closed(seconds, CONNECTIONS) if what == UNBOUNDED else crowd.opened(times * capacity, seconds)
            )
        after = await crowd.opened(CALM * capacity, RECOVERED_WITHIN + 3.0)
    return Findings(what, capacity, seconds, calm, asked, after, before, memory, resident(pid), crowd.lost)


async def people(system: System) -> list[str]:
    """Paths of customers that can be read."""
    async with httpx.AsyncClient() as client:

        async def register() -> str:
            answer = await client.post(f"{system.command}/v1/customers", json=a_customer())
            return str(answer.raise_for_status().headers["location"])

        paths = [path for _ in range(PEOPLE // 20) for path in await asyncio.gather(*(register() for _ in range(20)))]

        async def visible() -> None:
            for path in paths[-20:]:
                assert (await client.get(f"{system.query}{path}")).is_success

        await eventually(visible, within=10)
    return paths


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--what", choices=KINDS, action="append", help="may be repeated (default: everything)")
    parser.add_argument("--times", type=float, default=3, help="how many times what can be done (default: 3)")
    parser.add_argument("--seconds", type=float, default=60, help="for how long (default: 60)")
    options = parser.parse_args()
    if options.times <= 1 or options.seconds < 4:
        parser.error("more than can be done, for at least 4 seconds")
    console, stack, good = Console(), Stack(RUN / "overload"), True
    try:
        with suppress(KeyboardInterrupt):
            system = started(stack, replicas=COPIES)
            findings = []
            for what in options.what or KINDS:
                run = overload(system, stack, what, times=options.times, seconds=options.seconds, tell=console.print)
                try:
                    findings.append(uvloop.run(run))
                except TimeoutError:
                    good = False
                    console.print(f"{what}: not everything was answered.", style="red")
            if findings:
                console.print(told(findings))
            for one in findings:
                for violation in one.violations():
                    good = False
                    console.print(f"{one.what}: {violation}", style="red", markup=False)
            console.print("It bent, and did not break." if good else "A promise was broken.")
            return 0 if good else 1
        return 130
    finally:
        stack.stop()
        shutil.rmtree(stack.instance.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
