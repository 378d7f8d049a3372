"""What growth costs: the same with few customers and with many, with short streams and with long ones; how much memory
each program takes then, and how long it takes to start.

The two systems are those of `make bench-reads`; their data is kept, and new customers of every run stay in it.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from statistics import median
from typing import Any, Final

from customerflow_bench import client, http_wire, reads, system, traffic
from customerflow_bench.bench import Bench
from customerflow_bench.figures import Measured, Row, Subject, percentile
from customerflow_bench.load import fill, open_stack
from customerflow_bench.results import Place, Ratio, Scenario, scenario
from customerflow_bench.scenarios import commands, queries
from customerflow_bench.system import System

LENGTHS: Final = (10, 100, 1000)  # events
EACH: Final = 8  # customers with a stream of that length
WARM: Final = 20  # changes of each
PROGRAMS: Final = ("command", "relay", "projector", "query")
COMMANDS, DETAIL, P50, P99 = "commands/s", "details/s", "p50, ms", "p99, ms"
_BEYOND: Final = 20_000_000  # numbers that no load has come to
_CHANGE = {"Content-Type": traffic.MERGE_PATCH}


def run(bench: Bench, small: int, large: int) -> Scenario:
    with ExitStack() as stack:
        traced = stack.enter_context(system.tracing())
        few, many = [stack.enter_context(_filled(bench, number, traced)) for number in (small, large)]
        rows = bench.alternate([_subject(bench, few, small), _subject(bench, many, large)])
        asked = [reads.Subject(few.stack, small), reads.Subject(many.stack, large)]
        reads.measure(asked, bench.console)
        rows += _read(asked)
        for number, grown in ((small, few), (large, many)):
            rows += _memory(grown, _named(number))
        for number, grown in ((small, few), (large, many)):
            rows += _starts(bench, grown, _named(number))
        bench.told("long streams")
        rows += streams(few)
    less, more = _named(small), _named(large)
    kinds = [row.figure for row in rows if row.subject == less and row.figure.endswith(P50)]
    listed = [kind for kind in kinds if kind.startswith(("list", "search"))]
    return scenario(
        f"{small:,} customers and {large:,}",
        rows,
        ratios=[
            *(Ratio(over=Place(more, one), under=Place(less, one), at_least=0.9) for one in (COMMANDS, DETAIL)),
            *(Ratio(over=Place(more, one), under=Place(less, one), at_most=3) for one in listed),
        ],
    )


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
        return {
            COMMANDS: sent[commands.RATE],
            **{f"commands {one}": sent[one] for one in (P50, P99)},
            DETAIL: read[queries.RATE],
            **{f"details {one}": read[one] for one in (P50, P99)},
        }

    return Subject(_named(customers), measure)


def _read(asked: list[reads.Subject]) -> Iterator[Row]:
    """Medians by round; the 99 % of all rounds, for one of them has too few requests for it."""
    for kind in asked[0].timed:
        for one in asked:
            took = [microseconds / 1000 for microseconds in one.timed[kind].http]
            rounds = [took[start : start + reads.REQUESTS] for start in range(0, len(took), reads.REQUESTS)]
            yield Row(_named(one.customers), f"{kind} {P50}", tuple(map(median, rounds)))
            yield Row(_named(one.customers), f"{kind} {P99}", (percentile(took, 0.99),))


def _memory(grown: System, name: str) -> Iterator[Row]:
    for one in PROGRAMS:
        yield Row(name, f"memory of {one}, MB", (float(grown.resident(one)),))
    told: Any = grown.redis.info("memory")
    yield Row(name, "memory of Redis, MB", (told["used_memory_rss"] / 2**20,))
    yield Row(name, "memory of Redis, bytes a customer", (told["used_memory"] / grown.customers(),))


def _starts(bench: Bench, grown: System, name: str) -> list[Row]:
    return bench.alternate([Subject(name, partial(_timed, grown, one)) for one in PROGRAMS])


def _timed(grown: System, program: str) -> Measured:
    return {f"start of {program}, s": _started(grown, program)}


def _started(grown: System, program: str) -> float:
    """Seconds until it is ready."""
    grown.stack.stop_service(program)
    began = time.perf_counter()
    grown.stack.start_service(program)
    grown.stack.wait_ready(program)
    return time.perf_counter() - began


# --- long streams -----------------------------------------------------------------------------------------------------


def streams(grown: System) -> Iterator[Row]:
    """A change by a process that has not seen the customer, from its snapshot and what came after that; then by one
    that has; and what is asked about him.
    """
    where = commands.interface(grown)
    long = asyncio.run(_grow(where, grown.new_numbers(), [length for length in LENGTHS for _ in range(EACH)]))
    grown.settle()
    _started(grown, "command")
    asyncio.run(_grow(where, grown.new_numbers(), [2] * EACH))  # what a process does first takes longer, for anybody
    for length in LENGTHS:
        name = f"streams of {length:,} events"
        ids = [customer for version, customer in long if version == length]
        cold, warm = asyncio.run(_change(where.port, ids))
        yield Row(name, "first change after a start, ms", tuple(cold))
        yield Row(name, "change, ms", tuple(warm))
        grown.settle()
        asked = {"detail": "", "timeline": "/timeline", "as of the middle": f"?atVersion={length // 2}"}
        for kind, path in asked.items():
            took = asyncio.run(_ask(grown.port("query"), [f"/v1/customers/{one}{path}" for one in ids * WARM]))
            yield Row(name, f"{kind}, ms", tuple(took))


async def _grow(where: traffic.Interface, first: int, lengths: Sequence[int]) -> list[tuple[int, str]]:
    """A new customer for each length, by its version."""
    clients = await traffic.connect(where, len(lengths), first, len(lengths), seed=first)

    async def grow(one: traffic.Client, length: int) -> tuple[int, str]:
        done = await one.register()
        while done.version < length:
            done = await one.change()
        return done.version, done.customer

    grown = await asyncio.gather(*map(grow, clients, lengths))
    for one in clients:
        one.close()
    return grown


async def _change(port: int, ids: list[str]) -> tuple[list[float], list[float]]:
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
