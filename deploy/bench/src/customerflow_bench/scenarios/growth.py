"""What growth costs: the same with few customers and with many, with short streams and with long ones; how much memory
each program takes then, and how long it takes to start.

The two systems are those of `make bench-reads`; their data is kept, and new customers of every run stay in it.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from statistics import median
from typing import Final

from customerflow_bench import client, http_wire, reads, system, traffic
from customerflow_bench.bench import Bench
from customerflow_bench.figures import Measured, Row, Subject
from customerflow_bench.load import fill, open_stack
from customerflow_bench.results import Place, Ratio, Scenario, scenario
from customerflow_bench.scenarios import commands, queries
from customerflow_bench.system import System

LENGTHS: Final = (10, 100, 1000)  # events
EACH: Final = 8  # customers with a stream of that length
WARM: Final = 20  # changes of each
PROGRAMS: Final = ("command", "relay", "projector", "query")
COMMANDS, DETAIL = "commands/s", "details/s"
_BEYOND: Final = 20_000_000  # numbers that no load has come to
_CHANGE = {"Content-Type": traffic.MERGE_PATCH}


def run(bench: Bench, small: int, large: int) -> Scenario:
    with ExitStack() as stack:
        traced = stack.enter_context(system.tracing())
        few, many = [stack.enter_context(_filled(bench, number, traced)) for number in (small, large)]
        rows = bench.alternate([_subject(bench, few, small), _subject(bench, many, large)])
        asked = [reads.Subject(few.stack, small), reads.Subject(many.stack, large)]
        reads.measure(asked, bench.console)
        for one in asked:
            rows += _read(one)
        for number, grown in ((small, few), (large, many)):
            rows += _programs(bench, grown, _named(number))
        bench.told("long streams")
        rows += _streams(few)
    ratios = [
        Ratio(over=Place(_named(large), COMMANDS), under=Place(_named(small), COMMANDS), at_least=0.9),
        Ratio(over=Place(_named(large), DETAIL), under=Place(_named(small), DETAIL), at_least=0.9),
    ]
    kinds = [f"{kind}, ms" for kind in asked[0].timed if kind.startswith(("list", "search"))]
    ratios += [
        Ratio(over=Place(_named(small), kind), under=Place(_named(large), kind), at_least=1 / 3) for kind in kinds
    ]
    return scenario(f"{small:,} customers and {large:,}", rows, ratios=ratios)


@contextmanager
def _filled(bench: Bench, customers: int, traced: dict[str, str]) -> Iterator[System]:
    stack = open_stack(f"bench-reads-{customers}", bench.console)
    try:
        fill(stack, customers, bench.console)
        stack.start_programs(extra_env=traced)
        # a run has numbers of its own: a hundred thousand for each second since some day
        first = _BEYOND + int(time.time()) % 9_000 * 100_000
        yield System(stack, traced, first=first)
    finally:
        stack.stop()


def _named(customers: int) -> str:
    return f"{customers:,} customers"


def _subject(bench: Bench, grown: System, customers: int) -> Subject:
    drawn = reads.Subject(grown.stack, customers).ids
    asks = [client.Ask(method="GET", path=f"/v1/customers/{one}") for one in drawn]

    def measure() -> Measured:
        sent = commands.over_http(bench, grown, commands.interface(grown))
        read = queries.read(bench, grown.port("query"), asks, 200)
        return {COMMANDS: sent[commands.RATE], DETAIL: read[queries.RATE]}

    return Subject(_named(customers), measure)


def _read(one: reads.Subject) -> Iterator[Row]:
    """The medians of its rounds."""
    for kind, timed in one.timed.items():
        starts = range(0, len(timed.http), reads.REQUESTS)
        rounds = tuple(median(timed.http[start : start + reads.REQUESTS]) / 1000 for start in starts)
        yield Row(_named(one.customers), f"{kind}, ms", rounds)


def _programs(bench: Bench, grown: System, name: str) -> list[Row]:
    memory = [Row(name, f"memory of {one}, MB", (float(grown.resident(one)),)) for one in PROGRAMS]
    started = [partial(_started, grown, one) for one in PROGRAMS]
    return memory + bench.alternate(
        [
            Subject(name, partial(_timed, f"start of {one}, s", start))
            for one, start in zip(PROGRAMS, started, strict=True)
        ]
    )


def _timed(figure: str, start: partial[float]) -> Measured:
    return {figure: start()}


def _started(grown: System, program: str) -> float:
    """Seconds until it is ready."""
    grown.stack.stop_service(program)
    began = time.perf_counter()
    grown.stack.start_service(program)
    grown.stack.wait_ready(program)
    return time.perf_counter() - began


# --- long streams -----------------------------------------------------------------------------------------------------


def _streams(grown: System) -> Iterator[Row]:
    """A change by a process that has not seen the customer, then by one that has; and looks back."""
    where, first = commands.interface(grown), grown.new_numbers()
    streams = asyncio.run(_grow(where, first))
    grown.settle()
    _started(grown, "command")
    for length, ids in streams.items():
        name = f"streams of {length:,} events"
        changed = asyncio.run(_change(where.port, ids, length))
        yield Row(name, "first change after a start, ms", tuple(changed[0]))
        yield Row(name, "change, ms", tuple(changed[1]))
        grown.settle()
        for kind, path in (("timeline", "/timeline"), ("as of the middle", f"?atVersion={length // 2}")):
            took = asyncio.run(_ask(grown.port("query"), [f"/v1/customers/{one}{path}" for one in ids * WARM]))
            yield Row(name, f"{kind}, ms", tuple(took))


async def _grow(where: traffic.Interface, first: int) -> dict[int, list[str]]:
    clients = await traffic.connect(where, len(LENGTHS) * EACH, first, len(LENGTHS) * EACH, seed=first)
    lengths = [length for length in LENGTHS for _ in range(EACH)]

    async def grow(one: traffic.Client, length: int) -> tuple[int, str]:
        done = await one.register()
        while done.version < length:
            done = await one.change()
        return length, done.customer

    grown = await asyncio.gather(*map(grow, clients, lengths))
    for one in clients:
        one.close()
    return {length: [customer for long, customer in grown if long == length] for length in LENGTHS}


async def _change(port: int, ids: list[str], version: int) -> tuple[list[float], list[float]]:
    """Milliseconds: of each customer's first change, and of those after it."""
    connection = await http_wire.Connection.open(port)
    cold: list[float] = []
    warm: list[float] = []
    for one in ids:
        for number in range(1 + WARM):
            body = json.dumps({"attributes": {"number": number}}).encode()
            asked = http_wire.request("PATCH", f"/v1/customers/{one}", {**_CHANGE, "If-Match": "*"}, body)
            began = time.perf_counter()
            answer = await connection.ask(asked)
            (warm if number else cold).append((time.perf_counter() - began) * 1000)
            if answer.status != 200:
                raise traffic.Refused(f"{answer.status}: {answer.body!r}")
    connection.close()
    return cold, warm


async def _ask(port: int, paths: list[str]) -> list[float]:
    connection = await http_wire.Connection.open(port)
    took = []
    for path in paths:
        began = time.perf_counter()
        answer = await connection.ask(http_wire.request("GET", path))
        took.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise traffic.Refused(f"{answer.status}: {answer.body!r}")
    connection.close()
    return took
