#!/usr/bin/env python
"""Kill every program again and again while commands arrive, then prove that nothing was lost.

Every command has an idempotency key, and one whose answer is lost is sent again until it is answered: so in the end
there is no unknown outcome, and every account must be exact. A stack of its own under .run/chaos; only its processes
are killed, by their pid. Exit 0 when every guarantee held.
"""

import argparse
import asyncio
import json
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
from blackbox.broker import Heard, listening, overtaken
from blackbox.customers import Customer, Customers, Json, a_customer
from blackbox.feed import Feed
from blackbox.fold import Document
from blackbox.ledger import Ledger, Life
from blackbox.load import AT_ONCE
from blackbox.system import REPLICAS, System, started
from blackbox.waiting import eventually
from customerflow_local.instance import RUN
from customerflow_local.stack import Stack
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

KILLED = ("command", "relay", "projector")
COMMANDS_LAST = 3.0  # seconds over which the commands between two kills are spread
QUIET_WITHIN = 45.0
AT_MOST = 230.0


@dataclass
class Chaos:
    """One run: clients send, the executioner kills, the auditor compares."""

    system: System
    stack: Stack
    customers: Customers
    chance: random.Random
    ledger: Ledger = field(default_factory=Ledger)
    kills: Counter[str] = field(default_factory=Counter)
    unreached: int = 0  # connections that no process took, so that nothing was sent

    # Clients

    async def client(self, turn: asyncio.Queue[bool], told: Callable[[], None]) -> None:
        """Send one command each time it is our turn, about customers that nobody else changes."""
        own: list[Life] = []
        while await turn.get():
            if not own or self.chance.random() < 0.3:
                own += await self.register()
            else:
                await self.change(self.chance.choice(own))
            told()

    async def register(self) -> list[Life]:
        body, life = a_customer(), Life(known={})
        answer = await self.send("POST", "/v1/customers", body, life, {**body, "status": "active"}, events=1)
        if answer is None:
            return []
        life.id = answer.json()["id"]
        self.ledger.lives.append(life)
        return [life]

    async def change(self, life: Life) -> None:
        path, archived = f"/v1/customers/{life.id}", life.known["status"] == "archived"
        wish = self.chance.random()
        if wish < 0.05:
            await self.refused("DELETE", path, None, f'"{life.version + 1}"', "412 version-mismatch")
        elif wish < 0.1:
            taken = a_customer(email=life.known["email"])
            await self.refused("POST", "/v1/customers", taken, None, "409 duplicate-key")
        elif archived:
            await self.send("POST", f"{path}/restore", None, life, {"status": "active"}, events=1)
        elif wish < 0.3:
            await self.send("DELETE", path, None, life, {"status": "archived"}, events=1)
        elif wish < 0.4:
            tag = secrets.token_hex(4)
            tags = [*life.known.get("tags", []), tag]
            await self.send("PUT", f"{path}/tags/{tag}", None, life, {"tags": tags}, events=1)
        else:
            fields = ("name", "email") if wish < 0.7 else ("name",)
            fresh = a_customer()
            patch = {name: fresh[name] for name in fields}
            await self.send("PATCH", path, patch, life, patch, events=len(fields))

    async def send(
        self, method: str, path: str, body: Json | None, life: Life, changed: Document, events: int
    ) -> httpx.Response | None:
        """Send what should succeed and note what was answered; returns the answer if it did."""
        answer = await self.answer(method, path, body, f'"{life.version}"' if life.version else None)
        if not answer.is_success:
            self.ledger.violation(f"{method} {path} was refused: {answer.status_code} {answer.json().get('code')}")
            return None
        version = int(answer.headers["ETag"].strip('"'))
        if version != life.version + events:
            self.ledger.violation(f"{method} {path} answered version {version} after {life.version}.")
        life.acknowledged(changed, version)
        self.ledger.acknowledged[method] += 1
        return answer

    async def refused(self, method: str, path: str, body: Json | None, if_match: str | None, expected: str) -> None:
        """Send what must not succeed."""
        answer = await self.answer(method, path, body, if_match)
        if answer.is_success:
            self.ledger.violation(f"{method} {path} should have been refused with {expected}.")
            return
        code = f"{answer.status_code} {answer.json().get('code')}"
        self.ledger.refused[code] += 1
        if code != expected:
            self.ledger.violation(f"{method} {path} was refused with {code} instead of {expected}.")

    async def answer(self, method: str, path: str, body: Json | None, if_match: str | None) -> httpx.Response:
        """Send the command under one key until an answer says what became of it."""
        self.ledger.sent += 1
        key = {"Idempotency-Key": secrets.token_hex(16)}
        while True:
            try:
                answer = await self.customers.send(method, path, body, if_match=if_match, headers=key)
            except httpx.ConnectError:
                self.unreached += 1
            except httpx.TransportError as lost:
                self.ledger.lost[type(lost).__name__] += 1
            else:
                self.ledger.replayed += "Idempotency-Replayed" in answer.headers
                if answer.is_success or "Retry-After" not in answer.headers:
                    return answer
                self.ledger.lost[f"{answer.status_code} {answer.json()['code']}"] += 1
            await asyncio.sleep(0.1)

    # The executioner

    async def kill(self, program: str) -> str:
        name = self.chance.choice([name for name in self.stack.services() if name.split("-")[0] == program])
        await asyncio.to_thread(self.stack.kill, name)
        self.kills[program] += 1
        return name

    async def run(self, commands: int, kills: int, progress: Progress) -> None:
        """Between two kills an equal share of the commands is sent, in bursts, the first one into the kill itself."""
        sending = progress.add_task("commands", total=commands)
        killing = progress.add_task("kills", total=kills * len(KILLED))
        turn: asyncio.Queue[bool] = asyncio.Queue()
        victims = [program for program in KILLED for _ in range(kills)]
        self.chance.shuffle(victims)
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self.client(turn, lambda: progress.advance(sending)))
            for number, victim in enumerate(victims):
                share = commands * (number + 1) // len(victims) - commands * number // len(victims)
                bursts = [min(AT_ONCE, share - begun) for begun in range(0, share, AT_ONCE)]
                killed = None
                for burst in bursts:
                    for _ in range(burst):
                        turn.put_nowait(True)
                    if killed is None:
                        await asyncio.sleep(self.chance.uniform(0.0, 0.05))
                        killed = await self.kill(victim)
                        progress.advance(killing)
                    await asyncio.sleep(COMMANDS_LAST / len(bursts))
                assert killed
                await asyncio.to_thread(self.stack.wait_ready, killed)
            for _ in range(AT_ONCE):
                turn.put_nowait(False)

    # The auditor

    async def audit(self, feed: Feed, after: int, heard: Heard) -> float:
        """Compare everything with everything; returns the seconds until all was quiet."""
        finished = time.monotonic()
        recorded = await feed.read(after)
        documents = self.ledger.compare(recorded, after)
        untold = {one.command_id for one in recorded}

        async def published() -> None:
            untold.difference_update({json.loads(message.body)["causationid"] for message in heard.messages})
            assert not untold

        async def shown(document: Document) -> None:
            assert await self.customers.read(Customer(document["id"], document["version"]), wait=2) == document

        turn = asyncio.Semaphore(AT_ONCE)

        async def visible(document: Document) -> None:
            async with turn:
                try:
                    await eventually(lambda: shown(document), within=finished + QUIET_WITHIN - time.monotonic())
                except AssertionError as differs:
                    self.ledger.violation(f"The read model is not the fold of the feed: {differs}")

        try:
            await eventually(published, within=QUIET_WITHIN)
        except AssertionError:
            self.ledger.violation(f"{len(untold)} commands were never published.")
        await asyncio.gather(*(visible(document) for document in documents.values()))
        quiet = time.monotonic() - finished
        self.ledger.violations += overtaken(heard.messages)
        if (head := await feed.head()) != after + len(recorded):
            self.ledger.violation(f"The feed went on to {head} after the last command.")
        return quiet


def report(
    chaos: Chaos,
    heard: Heard,
    quiet: float,
    console: Console,
    title: str = "Chaos",
    done: str = "kills",
    further: Mapping[str, object] | None = None,
) -> None:
    ledger = chaos.ledger
    table = Table(title=title, show_header=False)
    rows: dict[str, object] = {
        "commands sent": ledger.sent,
        "acknowledged": f"{ledger.acknowledged.total()}  {_each(ledger.acknowledged)}",
        "refused": f"{ledger.refused.total()}  {_each(ledger.refused)}",
        "answers lost": f"{ledger.lost.total()}  {_each(ledger.lost)}",
        "settled by a replay": ledger.replayed,
        "unknown outcome": ledger.sent - ledger.acknowledged.total() - ledger.refused.total(),
        "connections refused": f"{chaos.unreached}, each tried again",
        "customers": len(ledger.lives),
        done: f"{chaos.kills.total()}  {_each(chaos.kills)}",
        **(further or {}),
        "messages heard": len(heard.messages),
        "of these repeated": len(heard.messages) - len({message.message_id for message in heard.messages}),
        "quiet after": f"{quiet:.1f} s",
        "violations": len(ledger.violations),
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    console.print(table)
    for violation in ledger.violations[:20]:
        console.print(violation, style="red", markup=False)
    console.print("Nothing was lost." if not ledger.violations else "A guarantee was broken.")


def _each(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


async def drive(stack: Stack, commands: int, kills: int, seed: int, console: Console) -> bool:
    console.print(f"Starting {', '.join(f'{count} {name}s' for name, count in REPLICAS.items())}; seed {seed}.")
    system = await asyncio.to_thread(started, stack)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with asyncio.timeout(AT_MOST), Customers(system) as customers, Feed(system) as feed:
        chaos = Chaos(system, stack, customers, random.Random(seed))
        after = await feed.head()
        async with listening(system.amqp) as heard:
            with Progress(*columns, console=console, transient=True) as progress:
                await chaos.run(commands, kills, progress)
            quiet = await chaos.audit(feed, after, heard)
        report(chaos, heard, quiet, console)
    return not chaos.ledger.violations


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--commands", type=int, default=2000, help="how many commands to send (default: 2000)")
    parser.add_argument("--kills", type=int, default=5, help="how often to kill each program (default: 5)")
    parser.add_argument("--seed", type=int, default=None, help="what happens when; a new one each time by default")
    options = parser.parse_args()
    if options.commands < 1 or options.kills < 1:
        parser.error("at least one command and one kill")
    seed = random.randrange(10**6) if options.seed is None else options.seed
    stack = Stack(RUN / "chaos")
    try:
        with suppress(KeyboardInterrupt):
            return 0 if asyncio.run(drive(stack, options.commands, options.kills, seed, Console())) else 1
        return 130
    finally:
        stack.stop()


if __name__ == "__main__":
    sys.exit(main())
