"""What telemetry costs: the same programs side by side, with everything on and with all of it off.

On: a tenth of the requests is traced and sent, all are counted, `/metrics` is read every few seconds, and metrics and
logs are sent too. Off is what one setting of OpenTelemetry's switches off: nothing is counted, traced or sent.

Beside how many are answered stands what the process computes for each, which hardly depends on what else the machine
does meanwhile.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Final, NamedTuple

import httpx
from customerflow_local import programs
from customerflow_local.instance import RUN

from customerflow_bench import client, processes, traffic
from customerflow_bench.bench import Bench
from customerflow_bench.figures import Measured, Subject
from customerflow_bench.results import Place, Ratio, Scenario, scenario
from customerflow_bench.scenarios import commands, queries
from customerflow_bench.system import System

OFF: Final = {"OTEL_SDK_DISABLED": "true"}
SCRAPED_EVERY = 5.0  # seconds
LEAST = 0.9
CPU: Final = "CPU, ms each"


class Process(NamedTuple):
    port: int
    pid: int


def run(bench: Bench) -> Scenario:
    with ExitStack() as stack:
        system = stack.enter_context(bench.system())
        ids = asyncio.run(queries.register(commands.interface(system), system.new_numbers()))
        system.settle()
        asks = [client.Ask(method="GET", path=f"/v1/customers/{one}") for one in ids]
        on, off = (
            {name: stack.enter_context(_beside(system, name, telemetry)) for name in ("command", "query")}
            for telemetry in (system.traced, OFF)
        )
        for process in on.values():
            stack.enter_context(_scraped(process.port))
        rows = bench.alternate(
            [
                Subject(f"{what}, {how}", measure)
                for how, processes in (("on", on), ("off", off))
                for what, measure in (
                    ("commands", _commanding(bench, system, processes["command"])),
                    ("reads", _reading(bench, processes["query"], asks)),
                )
            ]
        )
    return scenario(
        f"{bench.clients} clients, one process of each, a tenth of the requests traced",
        rows,
        ratios=[
            ratio
            for what, rate in (("commands", commands.RATE), ("reads", queries.RATE))
            for ratio in (
                Ratio(over=Place(f"{what}, on", rate), under=Place(f"{what}, off", rate), at_least=LEAST),
                Ratio(over=Place(f"{what}, off", CPU), under=Place(f"{what}, on", CPU), at_least=LEAST),
            )
        ],
    )


def _commanding(bench: Bench, system: System, process: Process) -> Callable[[], Measured]:
    where = traffic.Interface(process.port, "/v1/customers", traffic.MERGE_PATCH)

    def measure() -> Measured:
        found = bench.load(commands.job(bench, system, where, None, server=process.pid))
        system.settle()
        return _figures(commands.RATE, found)

    return measure


def _reading(bench: Bench, process: Process, asks: list[client.Ask]) -> Callable[[], Measured]:
    job = client.Reads(
        port=process.port,
        asks=asks,
        status=200,
        clients=bench.clients,
        warm_up=bench.warm_up,
        seconds=bench.seconds,
        server=process.pid,
    )

    def measure() -> Measured:
        found = bench.load(job)
        time.sleep(queries.PAUSE)
        return _figures(queries.RATE, found)

    return measure


def _figures(rate: str, found: Mapping[str, float]) -> Measured:
    p50, p99 = commands.P50, commands.P99
    return {rate: found["a second"], CPU: found["CPU of the server, ms"], p50: found[p50], p99: found[p99]}


@contextmanager
def _beside(system: System, name: str, telemetry: Mapping[str, str]) -> Iterator[Process]:
    """One more of the program."""
    port = processes.free_port()
    (program,) = (one for one in programs.PROGRAMS if one.name == name)
    env = {setting: system.stack.env[setting] for setting in program.settings}
    env |= {"CF_HOST": "127.0.0.1", "CF_PORT": str(port), **telemetry}
    command = [sys.executable, "-m", *program.arguments]
    log = RUN / f"bench/logs/{name}-{os.getpid()}-{port}.log"
    with processes.serving(command, port, "/health/ready", log=log, env=env) as pid:
        yield Process(port, pid)


@contextmanager
def _scraped(port: int) -> Iterator[None]:
    """Its metrics are read by somebody meanwhile."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(SCRAPED_EVERY):
            with suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5)

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
