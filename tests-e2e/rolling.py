#!/usr/bin/env python
"""Restart every program again and again, one copy at a time, while clients work, then prove that nobody noticed.

A client that meets a closed port tries another copy; there is no other fault that it may meet. In the end every account
must be exact, and every copy must have left by itself. A stack of its own under .run/rolling. Exit 0 when that is so.
"""

import argparse
import asyncio
import random
import re
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
from blackbox.broker import Heard, listening
from blackbox.customers import Customer, Customers
from blackbox.feed import Feed
from blackbox.ledger import Life
from blackbox.system import System, started
from chaos import Chaos, report
from customerflow_local.instance import RUN
from customerflow_local.stack import Stack
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

RESTARTED = ("command", "relay", "projector", "query")
COPIES = {program: 2 for program in RESTARTED}
CLIENTS = 16
READERS = 8
READ_EVERY = 0.1  # seconds, each reader


@dataclass
class Rolling(Chaos):
    """As `Chaos`, but that nothing is killed: so no answer may be lost, and nothing may be refused for a while."""

    reads: int = 0
    leaving: list[float] = field(default_factory=list)  # seconds that each copy has taken to leave

    async def run_for(self, seconds: float, every: float, rate: float, progress: Progress) -> None:
        sending = progress.add_task("commands", total=round(seconds * rate))
        restarting = progress.add_task("restarts", total=int(seconds / every) * len(RESTARTED))
        turn: asyncio.Queue[bool] = asyncio.Queue()
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self.client(turn, lambda: progress.advance(sending)))
            for _ in range(READERS):
                group.create_task(self.reader(over))
            beats = group.create_task(self._beat(turn, rate))
            for number in range(int(seconds / every)):
                due = time.monotonic() + every
                copies = [f"{program}{'-2' if number % 2 else ''}" for program in RESTARTED]
                await asyncio.gather(*(self.restart(copy) for copy in copies))
                progress.advance(restarting, len(copies))
                await asyncio.sleep(due - time.monotonic())
            beats.cancel()
            over.set()
            for _ in range(CLIENTS):
                turn.put_nowait(False)

    @staticmethod
    async def _beat(turn: asyncio.Queue[bool], rate: float) -> None:
        begun, beaten = time.monotonic(), 0
        while True:
            while beaten < (time.monotonic() - begun) * rate:
                turn.put_nowait(True)
                beaten += 1
            await asyncio.sleep(0.01)

    async def restart(self, copy: str) -> None:
        """Ask it to leave; supervisord starts it again."""
        before, asked = self.stack.pid(copy), time.monotonic()
        self.stack.send(copy, signal.SIGTERM)
        while await asyncio.to_thread(self.stack.pid, copy) == before:
            await asyncio.sleep(0.05)
        self.leaving.append(time.monotonic() - asked)
        self.kills[copy.split("-")[0]] += 1
        await asyncio.to_thread(self.stack.wait_ready, copy)

    async def reader(self, over: asyncio.Event) -> None:
        """Read what somebody was told, at the version that he was told, until it is over."""
        while not over.is_set():
            await asyncio.sleep(READ_EVERY)
            if self.ledger.lives:
                life = self.chance.choice(self.ledger.lives)
                version, answer = life.version, await self.read(life)
                self.reads += 1
                if answer.status_code != 200 or answer.json()["version"] < version:
                    self.ledger.violation(f"{life} at {version} was shown as {answer.status_code} {answer.text}")

    async def read(self, life: Life) -> httpx.Response:
        while True:
            try:
                assert life.id is not None
                return await self.customers.get(Customer(life.id, life.version), at_least=life.version)
            except httpx.ConnectError:
                self.unreached += 1
            except httpx.TransportError as lost:
                self.ledger.lost[f"of a query, {type(lost).__name__}"] += 1
            await asyncio.sleep(0.02)

    def judge(self, left: Sequence[tuple[str, str]]) -> None:
        """What chaos may do, and a restart may not; `left` are those who have left, and how."""
        for what, times in self.ledger.lost.items():
            self.ledger.violation(f"{times} answers were lost: {what}.")
        if self.ledger.replayed:
            self.ledger.violation(f"{self.ledger.replayed} commands had to be sent again.")
        if not self.reads or not self.ledger.acknowledged or not self.unreached:
            self.ledger.violation("Nothing was shown: nobody has met a copy that was away.")
        for copy, how in left:
            if how != "exit status 0":
                self.ledger.violation(f"{copy} left by {how}.")
        if len(left) < self.kills.total():
            self.ledger.violation(f"Only {len(left)} have left.")


def ways_out(stack: Stack) -> list[tuple[str, str]]:
    """Which copies have left, and how."""
    log = (stack.instance.folder / "logs/supervisord.log").read_text()
    return [
        (name, how)
        for name, how in re.findall(r"exited: (\S+) \((.*?)(?:;.*)?\)", log)
        if name.split("-")[0] in RESTARTED
    ]


async def roll(
    system: System, stack: Stack, *, seconds: float, every: float, rate: float, seed: int, progress: Progress
) -> tuple[Rolling, Heard, float]:
    async with Customers(system) as customers, Feed(system) as feed:
        rolling = Rolling(system, stack, customers, random.Random(seed))
        after, before = await feed.head(), len(ways_out(stack))
        async with listening(system.amqp) as heard:
            with progress:
                await rolling.run_for(seconds, every, rate, progress)
            quiet = await rolling.audit(feed, after, heard)
    rolling.judge(ways_out(stack)[before:])
    return rolling, heard, quiet


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300, help="how long (default: 300)")
    parser.add_argument("--every", type=float, default=10, help="seconds between two restarts (default: 10)")
    parser.add_argument("--rate", type=float, default=60, help="commands a second (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="what happens when; a new one each time by default")
    options = parser.parse_args()
    if options.seconds < options.every or options.every <= 0 or options.rate <= 0:
        parser.error("at least one restart, and some commands")
    seed = random.randrange(10**6) if options.seed is None else options.seed
    console = Console()
    console.print(f"Restarting one of two copies of each program every {options.every:g} s; seed {seed}.")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True)
    stack = Stack(RUN / "rolling")
    try:
        with suppress(KeyboardInterrupt):
            system = started(stack, replicas=COPIES)
            run = roll(
                system,
                stack,
                seconds=options.seconds,
                every=options.every,
                rate=options.rate,
                seed=seed,
                progress=progress,
            )
            rolling, heard, quiet = asyncio.run(run)
            further = {"queries": rolling.reads, "left within": f"{max(rolling.leaving):.1f} s"}
            report(rolling, heard, quiet, console, "Rolling restart", "restarts", further)
            return 0 if not rolling.ledger.violations else 1
        return 130
    finally:
        stack.stop()


if __name__ == "__main__":
    sys.exit(main())
