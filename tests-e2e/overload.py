#!/usr/bin/env python
"""Ask for several times as much as one copy of each program can do, and see who is served, who is refused, and how.

First it is measured how much that is, by clients that ask as soon as they are answered. Then requests are due by a
clock, whether or not those before are answered, and count from when they were due. A stack of its own under
.run/overload, on the same cores as the load. Exit 0 when what was accepted came in time, the rest was refused at once,
memory stayed flat, and everything was as before within seconds.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import uvloop
from blackbox.customers import MERGE_PATCH, a_customer
from blackbox.system import System, started
from customerflow_bench.figures import percentile
from customerflow_bench.http_wire import Answer, BadAnswer, Connection, request
from customerflow_local.instance import RUN
from customerflow_local.stack import Stack
from rich.console import Console
from rich.table import Table

What: TypeAlias = Literal["commands", "lists"]

COPIES: Final = {"command": 1, "relay": 1, "projector": 1, "query": 1}
CLIENTS: Final = 64  # of whoever measures how much can be done
CONNECTIONS: Final = 1000  # that the load has open
CALM: Final = 0.5  # of what can be done
ACCEPTED_WITHIN: Final = 1.0  # seconds, 99 % of them
REFUSED_WITHIN: Final = 1.0
RECOVERED_WITHIN: Final = 5.0
GROWTH: Final = 1.1  # of the second half's memory over the first's
PIECE: Final = 0.5  # seconds
PATIENCE: Final = 15.0  # seconds for what is under way at the end


class Asked(NamedTuple):
    """When it was due, how long the answer took from there, and what it was."""

    due: float
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
    """Asks for the newest customers."""

    def __init__(self, connection: Connection, _: random.Random) -> None:
        self._connection = connection

    async def ask(self) -> Answer:
        return await self._connection.ask(request("GET", "/v1/customers?limit=50"))


JSON: Final = "application/json"
KINDS: Final[dict[What, type[Commander] | type[Reader]]] = {"commands": Commander, "lists": Reader}


@dataclass
class Crowd:
    """Clients of one program, each with a connection: whoever has been free for the shortest time asks next."""

    port: int
    what: What
    chance: random.Random
    asked: list[Asked] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    _free: asyncio.LifoQueue[Commander | Reader] = field(default_factory=asyncio.LifoQueue)

    async def connect(self, clients: int) -> "Crowd":
        for _ in range(clients):
            self._free.put_nowait(KINDS[self.what](await Connection.open(self.port), self.chance))
        return self

    async def one(self, due: float) -> None:
        client = await self._free.get()
        try:
            answer = await client.ask()
        except BadAnswer as error:
            self.lost[str(error)] += 1
            return
        self._free.put_nowait(client)
        told = "" if answer.status < 400 else f"{_code(answer)}, Retry-After {answer.header('retry-after')}"
        self.asked.append(Asked(due, time.perf_counter() - due, answer.status, told))

    async def closed(self, seconds: float) -> float:
        """Requests that are answered a second, to clients that ask as soon as they are answered."""
        ends, before = time.perf_counter() + seconds, len(self.asked)

        async def work() -> None:
            while (now := time.perf_counter()) < ends:
                await self.one(now)

        await asyncio.gather(*(work() for _ in range(CLIENTS)))
        return sum(one.status < 400 for one in self.asked[before:]) / seconds

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
    rate: float
    seconds: float
    calm: Sequence[Asked]
    asked: Sequence[Asked]
    after: Sequence[Asked]
    memory: Sequence[tuple[float, int]]
    lost: Counter[str]

    @property
    def accepted(self) -> list[float]:
        return [one.took for one in self.asked if one.status < 400]

    @property
    def refused(self) -> list[float]:
        return [one.took for one in self.asked if one.status >= 400]

    @property
    def recovered(self) -> float:
        """Seconds after the overload from which on nothing is refused, and 99 % of each half second come in thrice the
        calm before, or a quarter of a second.
        """
        soon, began = max(0.25, 3 * _p99([one.took for one in self.calm])), self.after[0].due
        pieces: dict[int, list[Asked]] = {}
        for one in self.after:
            pieces.setdefault(int((one.due - began) / PIECE), []).append(one)
        bad = [
            number
            for number, piece in pieces.items()
            if any(one.status >= 400 for one in piece) or _p99([one.took for one in piece]) > soon
        ]
        return PIECE * (max(bad) + 1) if bad else 0.0

    @property
    def halves(self) -> tuple[int, int]:
        """The most memory, in kB, in the first half of the overload and in the second."""
        middle = self.memory[0][0] + self.seconds / 2
        first = [size for when, size in self.memory if when < middle]
        second = [size for when, size in self.memory if when >= middle]
        return max(first), max(second)

    def violations(self) -> Iterator[str]:
        if not self.refused:
            yield "Nothing was refused: that was no overload."
        if not self.accepted or len(self.accepted) < 0.5 * self.capacity * self.seconds:
            yield f"Only {len(self.accepted) / self.seconds:.0f} of {self.capacity:.0f} a second were accepted."
        elif _p99(self.accepted) > ACCEPTED_WITHIN:
            yield f"What was accepted took {_p99(self.accepted):.2f} s."
        if self.refused and _p99(self.refused) > REFUSED_WITHIN:
            yield f"Who was refused was told so after {_p99(self.refused):.2f} s."
        for one in {one.told for one in self.asked if one.status >= 400}:
            if one[:3] not in ("503", "429") or one.endswith("None"):
                yield f"Refused by {one}."
        if self.lost:
            yield f"Answers were lost: {dict(self.lost)}."
        if self.recovered > RECOVERED_WITHIN:
            yield f"It took {self.recovered:.1f} s to recover."
        first, second = self.halves
        if second > GROWTH * first:
            yield f"Memory has grown from {first} to {second} kB."

    def rows(self) -> dict[str, str]:
        first, second = self.halves
        told = Counter(one.told for one in self.asked if one.status >= 400)
        return {
            "can be done, a second": f"{self.capacity:.0f}",
            "asked for, a second": f"{self.rate:.0f}",
            "accepted, a second": f"{len(self.accepted) / self.seconds:.0f}",
            "  p50, p99, most": _latencies(self.accepted),
            "refused, a second": f"{len(self.refused) / self.seconds:.0f}",
            "  p50, p99, most:": _latencies(self.refused),
            "  by": ", ".join(f"{one} ({times})" for one, times in told.most_common()),
            "before, at half of it, p50, p99": _latencies([one.took for one in self.calm]),
            "after, at half of it, p50, p99": _latencies([one.took for one in self.after]),
            "recovered after": f"{self.recovered:.1f} s",
            "memory, first and second half": f"{first // 1024} MB, {second // 1024} MB",
        }


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
    crowd = await Crowd(urlsplit(url).port or 0, what, random.Random(7)).connect(CONNECTIONS)
    measured = min(6.0, seconds)
    if what == "lists":  # which need somebody to show
        filling = await Crowd(urlsplit(system.command).port or 0, "commands", random.Random(8)).connect(CLIENTS)
        await filling.closed(1.0)
    await crowd.closed(measured / 2)  # to warm up
    capacity = await crowd.closed(measured)
    tell(f"{what}: {capacity:.0f} a second can be done; {times * capacity:.0f} a second are asked for now.")
    calm = await crowd.opened(CALM * capacity, measured)
    with watched(await asyncio.to_thread(stack.pid, program)) as memory:
        asked = await crowd.opened(times * capacity, seconds)
    after = await crowd.opened(CALM * capacity, RECOVERED_WITHIN + 3.0)
    return Findings(what, capacity, times * capacity, seconds, calm, asked, after, memory, crowd.lost)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--what", choices=[*KINDS], action="append", help="may be repeated (default: everything)")
    parser.add_argument("--times", type=float, default=3, help="how many times what can be done (default: 3)")
    parser.add_argument("--seconds", type=float, default=60, help="for how long (default: 60)")
    options = parser.parse_args()
    if options.times <= 1 or options.seconds < 4:
        parser.error("more than can be done, for at least 4 seconds")
    console, stack, good = Console(), Stack(RUN / "overload"), True
    try:
        with suppress(KeyboardInterrupt):
            system = started(stack, replicas=COPIES)
            whats: Sequence[What] = options.what or [*KINDS]
            for what in whats:
                run = overload(system, stack, what, times=options.times, seconds=options.seconds, tell=console.print)
                findings = uvloop.run(run)
                table = Table(title=f"Overload: {what}", show_header=False)
                for name, value in findings.rows().items():
                    table.add_row(name, value)
                console.print(table)
                for violation in findings.violations():
                    good = False
                    console.print(violation, style="red", markup=False)
            console.print("It bent, and did not break." if good else "A promise was broken.")
            return 0 if good else 1
        return 130
    finally:
        stack.stop()
        shutil.rmtree(stack.instance.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
