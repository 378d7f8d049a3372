"""From a command's answer until the query service shows what it did, at fixed rates. One command after the other is
followed, by one who asks a millisecond after each answer; the others are only load.
"""

from functools import partial
from typing import Final

from customerflow_bench.bench import Bench
from customerflow_bench.figures import Measured, Subject
from customerflow_bench.results import Bound, Place, Scenario, scenario
from customerflow_bench.scenarios.commands import interface, job
from customerflow_bench.system import System

RATES: Final = (100, 300)
P50, P99 = "visible p50, ms", "visible p99, ms"


def run(bench: Bench) -> Scenario:
    with bench.system() as system:
        rows = bench.alternate([Subject(_named(rate), partial(_measure, bench, system, rate)) for rate in RATES])
    target = _named(300)
    return scenario(
        "from a command's answer to visible in the query service",
        rows,
        bounds=[Bound(of=Place(target, P50), at_most=8), Bound(of=Place(target, P99), at_most=30)],
    )


def _named(rate: int) -> str:
    return f"{rate} commands/s"


def _measure(bench: Bench, system: System, rate: int) -> Measured:
    found = bench.load(job(bench, system, interface(system), rate, system.port("query")))
    system.settle()
    answered = {"answered p50, ms": found["p50, ms"], "answered p99, ms": found["p99, ms"]}
    return {P50: found[P50], P99: found[P99], **answered, "followed": found["followed"]}
