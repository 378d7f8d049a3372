#!/usr/bin/env python
"""Follow CustomerFlow as an outsider does, while relay and broker are killed, then account for every message.

The observer is plain pika and plain JSON, with a durable queue of its own. What it was delivered, and what the log
keeps, is held against the event feed, which does not come through the broker, and that against what clients were
acknowledged. A stack of its own under .run/observe; only its processes are killed, by their pid. Exit 0 when nothing
is missing, nothing invented, nothing told otherwise, and no first delivery overtook another of its customer.
"""

import argparse
import asyncio
import math
import os
import random
import shutil
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path

import httpx
import jsonschema_rs
from blackbox.account import Account, Delivery, Json, Version, compare, unlike_commands
from blackbox.customers import Customer, Customers
from blackbox.database import database
from blackbox.feed import Feed, Recorded
from blackbox.fold import Document
from blackbox.ledger import Life
from blackbox.load import AT_ONCE
from blackbox.subscriber import DURABLE, Subscriber, depth, log_end, read_log, subscribe, unsubscribe
from blackbox.system import System, started
from blackbox.waiting import eventually
from chaos import Chaos
from cloudevents.core.formats.json import JSONFormat
from customerflow_command.publishing import cloud_events
from customerflow_contract import cloud_event, schemas
from customerflow_local.instance import RUN
from customerflow_local.stack import Stack
from customerflow_shared import events
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

QUEUE = "observer"
QUIET_WITHIN = 120.0
KILLS = 10  # in all
FULL_LOAD_BEFORE = 10.0  # seconds of full load with every partner there, to compare with
LIMIT = 500  # messages that a stopped partner's queue keeps
PARTNERS: dict[str, Json] = {
    "observer.stopped.classic": {"x-queue-type": "classic", "x-max-length": LIMIT, "x-overflow": "drop-head"},
    "observer.stopped.quorum": {"x-queue-type": "quorum", "x-max-length": LIMIT, "x-overflow": "drop-head"},
}
MORE_LAG = 1.0  # seconds by which others may be told later, because a partner is stopped
MORE_MEMORY = 128.0  # MB


class Clients(Chaos):
    """They note what each acknowledged command is to be told as."""

    def __init__(self, system: System, stack: Stack, customers: Customers, chance: random.Random) -> None:
        super().__init__(system, stack, customers, chance)
        self.told_as: dict[Version, Json] = {}
        self.newest: Customer | None = None

    async def send(
        self, method: str, path: str, body: Json | None, life: Life, changed: Document, events: int
    ) -> httpx.Response | None:
        answer = await super().send(method, path, body, life, changed, events)
        if answer is not None:
            customer_id = life.id or answer.json()["id"]
            self.told_as[customer_id, life.version] = meaning(method, path, body)
            self.newest = Customer(customer_id, life.version)
        return answer

    async def work(self, turn: "asyncio.Queue[bool]", told: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self.client(turn, told))


def meaning(method: str, path: str, body: Json | None) -> Json:
    """What an accepted command is told as, in the words of the contract."""
    match method:
        case "POST" if path.endswith("/restore"):
            return {"type": "customer.status_changed.v1", "data": {"from": "archived", "to": "active"}}
        case "POST":
            return {"type": "customer.registered.v1", "data": {"type": "person", "status": "active"}}
        case "DELETE":
            return {"type": "customer.status_changed.v1", "data": {"from": "active", "to": "archived"}}
        case "PUT":
            return {"type": "customer.updated.v1", "data": {"changed": ["tags"]}}
        case _:
            return {"type": "customer.updated.v1", "data": {"changed": sorted(body or {})}}


def expected(recorded: Sequence[Recorded]) -> list[Json]:
    """What is to be told of the feed's events, in their order."""
    messages: list[Json] = []
    for _, command in groupby(recorded, lambda one: (one.customer_id, one.command_id)):
        known = [events.decode(one.line.encode()) for one in command]
        whole = [one for one in known if isinstance(one, events.Recorded)]
        assert len(whole) == len(known), "the feed has events that nobody knows"
        messages += [Delivery(0, cloud_event.encode(one), None, "", None).told for one in cloud_events(whole)]
    return messages


def refused_by_sdk(deliveries: Sequence[Delivery]) -> list[str]:
    """Messages that the CloudEvents SDK does not read, or reads otherwise."""
    wrong = []
    for delivery in deliveries:
        told = delivery.told
        try:
            event = JSONFormat().read(None, delivery.body)
            attributes = {name: value for name, value in event.get_attributes().items() if name != "time"}
            assert {**attributes, "data": event.get_data()} == {n: v for n, v in told.items() if n != "time"}
            assert event.get_time() == datetime.fromisoformat(told["time"])
        except Exception as error:
            wrong.append(f"The CloudEvents SDK refuses {told.get('type')} {told.get('id')}: {error!r}")
    return wrong


def refused_by_schema(deliveries: Sequence[Delivery]) -> list[str]:
    """Messages that an outside validator does not accept, each with the schemas of its message and of its data."""
    published = schemas.documents()
    validators = {name: jsonschema_rs.validator_for(schema) for name, schema in published.items()}
    wrong = []
    for delivery in deliveries:
        told, kind = delivery.told, delivery.routing_key
        for name, part in ((f"{kind}.cloudevent", told), (kind, told.get("data"))):
            if name not in validators:
                wrong.append(f"There is no schema {name}.")
            elif not validators[name].is_valid(part):
                wrong.append(f"The schema {name} refuses {told.get('id')}.")
    return wrong


@dataclass
class Findings:
    """What came of a run."""

    clients: Clients
    observed: Account
    logged: Account
    seconds: float  # in which commands were sent
    quiet: float  # seconds after which everything was told
    deliveries: Sequence[Delivery]
    violations: list[str] = field(default_factory=list)


# Relay and broker are killed


class Killing:
    """Between two kills an equal share of the commands is sent, as fast as they are answered; each kill comes into the
    middle of its share.
    """

    def __init__(self, clients: Clients, stack: Stack, chance: random.Random, kills: int) -> None:
        self._clients = clients
        self._stack = stack
        self._chance = chance
        self._victims = ["broker" if number % 2 else "relay" for number in range(kills)]

    async def run(self, commands: int, progress: Progress) -> None:
        sending = progress.add_task("commands", total=commands)
        killing = progress.add_task("kills", total=len(self._victims))
        turn: asyncio.Queue[bool] = asyncio.Queue()
        done = 0

        def told() -> None:
            nonlocal done
            done += 1
            progress.advance(sending)

        async def reached(count: int) -> None:
            assert done >= count

        async with asyncio.TaskGroup() as group:
            group.create_task(self._clients.work(turn, told))
            ends = [commands * number // len(self._victims) for number in range(len(self._victims) + 1)]
            for victim, (start, end) in zip(self._victims, pairwise(ends), strict=True):
                for _ in range(end - start):
                    turn.put_nowait(True)
                into = start + int((end - start) * self._chance.uniform(0.1, 0.5))
                await eventually(lambda into=into: reached(into), within=math.inf, every=0.005)  # type: ignore[misc]
                await self._kill(victim)
                progress.advance(killing)
                await eventually(lambda end=end: reached(end), within=math.inf)  # type: ignore[misc]
            for _ in range(AT_ONCE):
                turn.put_nowait(False)

    async def _kill(self, victim: str) -> None:
        """The relay that is active, or the broker; returns when it is back."""
        name = "rabbitmq" if victim == "broker" else await self._active_relay()
        await asyncio.to_thread(self._stack.kill, name)
        self._clients.kills[victim] += 1
        if victim == "broker":
            await asyncio.to_thread(self._stack.wait_server_ready, "rabbitmq")
        for relay in self._relays():
            await asyncio.to_thread(self._stack.wait_ready, relay)

    def _relays(self) -> list[str]:
        return [name for name in self._stack.services() if name.split("-")[0] == "relay"]

    async def _active_relay(self) -> str:
        async with database(self._clients.system.mysql_owner) as own:
            ((holder,),) = await own.rows("SELECT holder FROM cf_leases WHERE name = 'relay'")
        by_pid = {self._stack.pid(name): name for name in self._relays()}
        return by_pid.get(int(holder.rpartition(":")[2]), "relay")


async def observe(system: System, stack: Stack, commands: int, kills: int, seed: int, progress: Progress) -> Findings:
    chance = random.Random(seed)
    async with Customers(system) as customers, Feed(system) as feed:
        clients = Clients(system, stack, customers, chance)
        after, log_from = await feed.head(), await asyncio.to_thread(log_end, system.amqp)
        await asyncio.to_thread(subscribe, system.amqp, QUEUE, DURABLE)
        began = time.monotonic()
        with Subscriber(system.amqp, QUEUE) as observer:
            await Killing(clients, stack, chance, kills).run(commands, progress)
            seconds = time.monotonic() - began
            recorded, quiet = await everything_is_told(feed, after, observer)
        findings = await account(clients, recorded, after, observer.deliveries, log_from)
        await asyncio.to_thread(unsubscribe, system.amqp, QUEUE)
    findings.seconds, findings.quiet = seconds, quiet
    return findings


async def everything_is_told(feed: Feed, after: int, observer: Subscriber) -> tuple[list[Recorded], float]:
    """What happened after this position, when the observer has heard of it, or has not for long; and seconds."""
    began = time.monotonic()
    recorded = await feed.read(after)
    wanted = {one["id"] for one in expected(recorded)}

    async def told() -> None:
        wanted.difference_update({delivery.message_id for delivery in observer.deliveries})
        assert not wanted

    with suppress(AssertionError):  # what is missing is accounted for
        await eventually(told, within=QUIET_WITHIN, every=0.2)
    quiet = time.monotonic() - began
    await asyncio.sleep(2)  # for whatever should not come any more
    return recorded, quiet


async def account(
    clients: Clients, recorded: list[Recorded], after: int, deliveries: list[Delivery], log_from: int
) -> Findings:
    wanted = expected(recorded)
    clients.ledger.compare(recorded, after)
    logged = compare(wanted, await asyncio.to_thread(read_log, clients.system.amqp, log_from))
    findings = Findings(clients, compare(wanted, deliveries), logged, 0, 0, deliveries)
    findings.violations = [
        *findings.observed.violations,
        *(f"In the log: {violation}" for violation in logged.violations),
        *unlike_commands(clients.told_as, wanted),
        *clients.ledger.violations,
        *refused_by_sdk(findings.observed.firsts),
        *refused_by_schema(findings.observed.firsts),
    ]
    return findings


def report(findings: Findings, more: Mapping[str, str], console: Console) -> None:
    clients, observed, logged = findings.clients, findings.observed, findings.logged
    lags = sorted(delivery.lag for delivery in observed.firsts)
    again = sum(delivery.again for delivery in findings.deliveries)
    sent, told = clients.ledger.sent, len(observed.firsts)
    table = Table(title="An observer in plain pika", show_header=False)
    rows: dict[str, object] = {
        "commands": f"{sent} in {findings.seconds:.0f} s, {sent / findings.seconds:.0f}/s",
        "answers lost": f"{clients.ledger.lost.total()}, each settled under its key",
        "kills": _each(clients.kills) or "none",
        "messages": f"{told}, {told / (findings.seconds + findings.quiet):.0f}/s",
        "missing": f"{len(observed.missing)}; in the log {len(logged.missing)}",
        "phantom": f"{len(observed.phantom)}; in the log {len(logged.phantom)}",
        "told otherwise": f"{len(observed.altered)}; in the log {len(logged.altered)}",
        "overtaken": f"{len(observed.overtaken)}; in the log {len(logged.overtaken)}",
        "duplicates": f"{observed.duplicates}, {again} of all deliveries marked as such by the broker; "
        f"in the log {logged.duplicates}",
        "lag": f"median {statistics.median(lags) * 1000:.0f} ms, 99 % {_quantile(lags, 0.99):.1f} s, "
        f"longest {lags[-1]:.1f} s",
        "all told after": f"{findings.quiet:.1f} s",
        **more,
        "violations": len(findings.violations),
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    console.print(table)
    conclude(findings.violations, console)


def conclude(violations: Sequence[str], console: Console) -> None:
    for violation in violations[:20]:
        console.print(violation, style="red", markup=False)
    console.print("Every message is accounted for." if not violations else "A guarantee was broken.")


def _each(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# A partner is stopped


@dataclass
class Watched:
    """Others' lag and the broker's memory, each with the time at which it was so."""

    memory: list[tuple[float, float]] = field(default_factory=list)  # MB
    reading: list[tuple[float, float]] = field(default_factory=list)  # seconds until a read shows what was acknowledged


async def watch(system: System, clients: Clients, broker: int, watched: Watched) -> None:
    while True:
        watched.memory.append((time.time(), memory_of(broker)))
        if newest := clients.newest:
            asked = time.monotonic()
            answer = await clients.customers.get(newest, at_least=newest.version, wait=10)
            lag = time.monotonic() - asked if answer.is_success else math.inf
            watched.reading.append((time.time(), lag))
        await asyncio.sleep(0.1)


def memory_of(pid: int) -> float:
    """Resident, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@asynccontextmanager
async def full_load(clients: Clients) -> AsyncIterator[None]:
    """As many commands as are answered, until the block ends."""
    turn: asyncio.Queue[bool] = asyncio.Queue()
    for _ in range(AT_ONCE):
        turn.put_nowait(True)
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.work(turn, lambda: turn.put_nowait(True)))
        try:
            yield
        finally:
            while not turn.empty():
                turn.get_nowait()
            for _ in range(2 * AT_ONCE):  # who is at work puts one more
                turn.put_nowait(False)


@dataclass
class Stopped:
    """What came of it."""

    findings: Findings
    rows: dict[str, str]


async def stop_partners(system: System, stack: Stack, before: float, seconds: float, seed: int) -> Stopped:
    """Two partners, with a classic queue and a quorum queue, read for a while and then no more; when all is told, they
    come back.
    """
    watched, url = Watched(), system.amqp
    async with Customers(system) as customers, Feed(system) as feed:
        clients = Clients(system, stack, customers, random.Random(seed))
        after, log_from = await feed.head(), await asyncio.to_thread(log_end, url)
        for queue, arguments in {QUEUE: DURABLE, **PARTNERS}.items():
            await asyncio.to_thread(subscribe, url, queue, arguments)
        began = time.monotonic()
        with Subscriber(url, QUEUE) as observer:
            watching = asyncio.create_task(watch(system, clients, stack.pid("rabbitmq"), watched))
            async with full_load(clients):
                with ExitStack() as partners:
                    reading = {queue: partners.enter_context(Subscriber(url, queue)) for queue in PARTNERS}
                    await asyncio.sleep(before)
                stopped_at = datetime.now(UTC)
                await asyncio.sleep(seconds)
                returned_at = datetime.now(UTC)
            watching.cancel()
            spent = time.monotonic() - began
            recorded, quiet = await everything_is_told(feed, after, observer)
        findings = await account(clients, recorded, after, observer.deliveries, log_from)
        findings.seconds, findings.quiet = spent, quiet
        rows, phases = {}, (stopped_at.timestamp(), returned_at.timestamp())
        for queue, partner in reading.items():
            # not from the time at which it stopped: what waited then may have been dropped since
            last_handled = datetime.fromisoformat(partner.deliveries[-1].told["time"])
            caught_up = await asyncio.to_thread(read_log, url, last_handled)
            waiting = await asyncio.to_thread(depth, url, queue)
            kept = await asyncio.to_thread(rest_of, url, queue)
            rows[queue] = f"{waiting} kept of {LIMIT} at most, {len(caught_up)} in the log since it read last"
            findings.violations += [
                f"{queue}: {one}" for one in after_return(partner.deliveries, kept, caught_up, observer.deliveries)
            ]
            await asyncio.to_thread(unsubscribe, url, queue)
        await asyncio.to_thread(unsubscribe, url, QUEUE)
    lags = [(delivery.at - delivery.lag, delivery.lag) for delivery in findings.observed.firsts]
    for name, values in {"lag of the observer": lags, "lag of the read model": watched.reading}.items():
        rows[name], violations = compare_lags(name, values, *phases)
        findings.violations += violations
    rows["memory of the broker"], violations = compare_memory(watched.memory, *phases)
    findings.violations += violations
    return Stopped(findings, rows)


def rest_of(url: str, queue: str) -> list[Delivery]:
    with Subscriber(url, queue) as partner:
        heard = -1
        while len(partner.deliveries) > heard:
            heard = len(partner.deliveries)
            time.sleep(1)
    return partner.deliveries


def after_return(
    before: Sequence[Delivery], kept: Sequence[Delivery], log: Sequence[Delivery], everything: Sequence[Delivery]
) -> list[str]:
    """The queue has the newest messages up to its limit, in order; with what was read before and the log, all of it."""
    wrong, told = [], [one.message_id for one in everything]
    if [one.message_id for one in kept] != told[-LIMIT:]:
        wrong.append(f"the {len(kept)} that were kept are not the last {min(LIMIT, len(told))} that were told")
    if lost := set(told) - {one.message_id for part in (before, log, kept) for one in part}:
        wrong.append(f"{len(lost)} are neither in the queue nor in the log")
    return wrong


def compare_lags(
    name: str, values: Sequence[tuple[float, float]], stopped: float, returned: float
) -> tuple[str, list[str]]:
    """The 99 % of every second while partners are stopped, beside that of the whole time before."""
    earlier = [lag for at, lag in values if at < stopped]
    seconds = groupby(sorted(one for one in values if stopped <= one[0] < returned), lambda one: int(one[0] - stopped))
    each = [_quantile([lag for _, lag in group], 0.99) for _, group in seconds]
    usual, worst = _quantile(earlier, 0.99), max(each)
    shown = f"99 %: {usual * 1000:.0f} ms before, {worst * 1000:.0f} ms in the worst second with partners stopped"
    return shown, [f"{name} grew: {shown}."] if worst > usual + MORE_LAG else []


def compare_memory(values: Sequence[tuple[float, float]], stopped: float, returned: float) -> tuple[str, list[str]]:
    """Of the first and of the last quarter of the time in which partners are stopped."""
    quarter = (returned - stopped) / 4
    first = statistics.mean(size for at, size in values if stopped <= at < stopped + quarter)
    last = statistics.mean(size for at, size in values if returned - quarter <= at < returned)
    most = max(size for at, size in values if stopped <= at < returned)
    shown = f"{first:.0f} MB in the first quarter, {last:.0f} MB in the last, at most {most:.0f} MB"
    return shown, [f"The broker's memory grew: {shown}."] if last > first + MORE_MEMORY else []


def own(folder: Path) -> Stack:
    if not Stack(folder).running():
        shutil.rmtree(folder)  # of an earlier run
    return Stack(folder)


async def drive(stack: Stack, options: argparse.Namespace, seed: int, console: Console) -> bool:
    console.print(f"Starting the stack; seed {seed}.")
    system = await asyncio.to_thread(started, stack)
    if options.stopped_partner:
        console.print(
            f"Partners read for {FULL_LOAD_BEFORE:.0f} s and stand still for {options.stopped_partner:.0f} s."
        )
        stopped = await stop_partners(system, stack, FULL_LOAD_BEFORE, options.stopped_partner, seed)
        report(stopped.findings, stopped.rows, console)
        return not stopped.findings.violations
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        findings = await observe(system, stack, options.commands, options.kills, seed, progress)
    report(findings, {}, console)
    return not findings.violations


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--commands", type=int, default=20_000, help="how many commands to send (default: 20000)")
    parser.add_argument("--kills", type=int, default=KILLS, help="of relay and broker in turn (default: 10 in all)")
    parser.add_argument(
        "--stopped-partner",
        type=float,
        nargs="?",
        const=30.0,
        metavar="SECONDS",
        help="kill nobody; let two partners stop reading for so long, at full load (default: 30)",
    )
    parser.add_argument("--seed", type=int, default=None, help="what happens when; a new one each time by default")
    options = parser.parse_args()
    if (
        options.commands < 1
        or options.kills < 1
        or (options.stopped_partner is not None and options.stopped_partner < 4)
    ):
        parser.error("at least one command and one kill, or four seconds")
    seed = random.randrange(10**6) if options.seed is None else options.seed
    stack = own(RUN / "observe")
    try:
        with suppress(KeyboardInterrupt):
            return 0 if asyncio.run(drive(stack, options, seed, Console())) else 1
        return 130
    finally:
        stack.stop()


if __name__ == "__main__":
    sys.exit(main())
