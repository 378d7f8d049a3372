"""Commands over HTTP: three in ten register, the others change; first as many as go, then half of that, by a clock."""

from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

from customerflow_bench import client, peer, processes, traffic
from customerflow_bench.bench import Bench
from customerflow_bench.figures import Measured, Row, Subject
from customerflow_bench.processes import ProgramFailed
from customerflow_bench.results import Bound, Place, Ratio, Result, Scenario, scenario
from customerflow_bench.system import System

OURS, API, DRIVER, PLAIN = "CustomerFlow", "CustomerFlow's command API", "bare driver", "plain service"
PEERS = {"eventsourcing": "eventsourcing", "python_cqrs": "python-cqrs"}
RATE, P50, P99 = "commands/s", "p50, ms", "p99, ms"
HALF, ALONE = "CustomerFlow at half of its rate", "bare commit, alone"


def run(bench: Bench) -> Scenario:
    notes: list[str] = []
    with ExitStack() as stack:
        system = stack.enter_context(bench.system())
        driver_url = system.empty_database("driver")
        ours = interface(system)
        subjects = [
            Subject(OURS, lambda: over_http(bench, system, ours)),
            Subject(API, lambda: _api_alone(bench, system, ours)),
            Subject(DRIVER, lambda: bare_driver(bench, driver_url, bench.clients)),
        ]
        try:
            plain = stack.enter_context(peer.plain_service(system))
            subjects.append(Subject(PLAIN, lambda: over_http(bench, system, plain)))
        except (ProgramFailed, OSError) as error:
            notes.append(f"{PLAIN}: not measured. {error}")
        for name, title in PEERS.items():
            try:
                peer.command(name)
            except (ProgramFailed, OSError) as error:
                notes.append(f"{title}: not measured. {error}")
            else:
                subjects.append(Subject(title, _in_process(bench, system, name)))
        rows = bench.alternate(subjects)
        (ours_at_most,) = [row.rounds for row in rows if (row.subject, row.figure) == (OURS, RATE)]
        half = median(ours_at_most) / 2
        rows += bench.alternate(
            [
                Subject(HALF, lambda: over_http(bench, system, ours, half)),
                Subject(ALONE, lambda: bare_driver(bench, driver_url, 1)),
            ]
        )
    ceilings = {DRIVER: 0.5, PLAIN: 4.0, "eventsourcing": 3.0, "python-cqrs": 3.0}
    return scenario(
        f"{bench.clients} clients, one API process, 30 % register, 70 % change",
        rows,
        ratios=[
            *(
                Ratio(over=Place(API, RATE), under=Place(name, RATE), at_least=least)
                for name, least in ceilings.items()
            ),
            *(Ratio(over=Place(OURS, RATE), under=Place(name, RATE)) for name in ceilings),
            *(Ratio(over=Place(HALF, one), under=Place(ALONE, P50)) for one in (P50, P99)),
        ],
        bounds=[Bound(of=Place(HALF, P50), at_most=5), Bound(of=Place(HALF, P99), at_most=25)],
        notes=notes,
    )


def compare_with_commands(result: Result) -> None:
    """What comes after a command must be faster than commands come, if all were measured."""
    measured = result.scenarios.get("commands")
    rate = measured.rounds(Place(OURS, RATE)) if measured else None
    for later in ("projection", "relay"):
        if rate and (found := result.scenarios.get(later)):
            found.rows.append(Row("commands over HTTP", RATE, rate))
            under = Place("commands over HTTP", RATE)
            found.ratios.append(Ratio(over=Place(OURS, "events/s"), under=under, at_least=3))


def interface(system: System) -> traffic.Interface:
    return traffic.Interface(system.port("command"), "/v1/customers", traffic.MERGE_PATCH)


def job(
    bench: Bench,
    system: System,
    where: traffic.Interface,
    rate: float | None,
    query_port: int | None = None,
    server: int | None = None,
) -> client.Commands:
    return client.Commands(
        port=where.port,
        customers=where.customers,
        change_type=where.change_type,
        first=system.new_numbers(),
        clients=bench.clients,
        warm_up=bench.warm_up,
        seconds=bench.seconds,
        rate=rate,
        query_port=query_port,
        server=server,
    )


def over_http(
    bench: Bench, system: System, where: traffic.Interface, rate: float | None = None, *, settle: bool = True
) -> Measured:
    found = bench.load(job(bench, system, where, rate))
    if settle:
        system.settle()
    return {RATE: found["a second"], P50: found["p50, ms"], P99: found["p99, ms"]}


def _api_alone(bench: Bench, system: System, where: traffic.Interface) -> Measured:
    """As its peers are: without relay and projector, which would take their share of the same cores."""
    others = ("relay", "projector")
    for program in others:
        system.stack.stop_service(program)
    try:
        return over_http(bench, system, where, settle=False)
    finally:
        for program in others:
            system.stack.start_service(program)
        system.settle()


def bare_driver(bench: Bench, url: str, clients: int) -> Measured:
    bounds = ["--seconds", str(bench.seconds), "--warm-up", str(bench.warm_up)]
    command = [*processes.module("ceilings.bare_driver"), "--mysql-url", url, "--clients", str(clients), *bounds]
    found = processes.call(command, seconds=bench.seconds + bench.warm_up)
    return {RATE: found["a second"], P50: found["p50, ms"], P99: found["p99, ms"]}


def _in_process(bench: Bench, system: System, name: str) -> Callable[[], Measured]:
    def measure() -> Measured:
        found = peer.send_commands(
            name,
            system.empty_database(name),
            clients=bench.clients,
            seconds=bench.seconds,
            warm_up=bench.warm_up,
            seed=system.new_numbers(),
        )
        return {RATE: found["commands"] / found["seconds"], P50: found["p50_ms"], P99: found["p99_ms"]}

    return measure
