"""What telemetry costs: the same programs side by side, with everything on and with all of it off.

On: a tenth of the requests is traced and sent, all are counted, `/metrics` is read every few seconds.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

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
        for port in on.values():
            stack.enter_context(_scraped(port))
        rows = bench.alternate(
            [
                Subject(f"{what}, {how}", measure)
                for how, ports in (("on", on), ("off", off))
                for what, measure in (
                    ("commands", _commanding(bench, system, ports["command"])),
                    ("reads", _reading(bench, ports["query"], asks)),
                )
            ]
        )
    return scenario(
        f"{bench.clients} clients, one process of each, a tenth of the requests traced",
        rows,
        ratios=[
            Ratio(over=Place(f"{what}, on", rate), under=Place(f"{what}, off", rate), at_least=LEAST)
            for what, rate in (("commands", commands.RATE), ("reads", queries.RATE))
        ],
    )


def _commanding(bench: Bench, system: System, port: int) -> Callable[[], Measured]:
    where = traffic.Interface(port, "/v1/customers", traffic.MERGE_PATCH)
    return lambda: commands.over_http(bench, system, where)


def _reading(bench: Bench, port: int, asks: list[client.Ask]) -> Callable[[], Measured]:
    return lambda: queries.read(bench, port, asks, 200)


@contextmanager
def _beside(system: System, name: str, telemetry: Mapping[str, str]) -> Iterator[int]:
    """One more process of the program; its port."""
    port = processes.free_port()
    (program,) = (one for one in programs.PROGRAMS if one.name == name)
    env = {setting: system.stack.env[setting] for setting in program.settings}
    env |= {"CF_HOST": "127.0.0.1", "CF_PORT": str(port), **telemetry}
    command = [sys.executable, "-m", *program.arguments]
    log = RUN / f"bench/logs/{name}-{os.getpid()}-{port}.log"
    with processes.serving(command, port, "/health/ready", log=log, env=env):
        yield port


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
