"""Our own routes behind uvicorn and behind granian, each with uvloop and with asyncio's own event loop."""

import asyncio
import sysconfig
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from customerflow_local.instance import RUN

from customerflow_bench import client, environments, processes
from customerflow_bench.bench import Bench
from customerflow_bench.figures import Measured, Subject
from customerflow_bench.results import Place, Ratio, Scenario, scenario
from customerflow_bench.scenarios import commands, queries
from customerflow_bench.system import System

KINDS: Final = [(server, loop) for server in ("uvicorn", "granian") for loop in ("uvloop", "asyncio")]
ANSWERS, COMMANDS = "answers/s, one customer", "commands/s"
_FOLDER: Final = Path(__file__).parents[1] / "serving"


def run(bench: Bench) -> Scenario:
    python = environments.python("serving", _FOLDER / "requirements.txt")
    with ExitStack() as stack:
        system = stack.enter_context(bench.system())
        ids = asyncio.run(queries.register(commands.interface(system), system.new_numbers()))
        system.settle()
        asks = [client.Ask(method="GET", path=f"/v1/customers/{one}") for one in ids]
        subjects = []
        for server, loop in KINDS:
            ports = {}
            for program in ("command", "query"):
                ports[program] = port = processes.free_port()
                arguments = [str(_FOLDER / "serve.py"), sysconfig.get_paths()["purelib"], program, server, loop]
                env = {**system.stack.env, **system.traced, "CF_PORT": str(port)}
                log = RUN / f"bench/logs/{program}-{server}-{loop}.log"
                stack.enter_context(processes.serving([python, *arguments], port, "/health/ready", log=log, env=env))
            subjects.append(Subject(_named(server, loop), partial(_measure, bench, system, ports, asks)))
        rows = bench.alternate(subjects)
    first = _named(*KINDS[0])
    others = [_named(*kind) for kind in KINDS[1:]]
    return scenario(
        f"{bench.clients} clients, one process each",
        rows,
        ratios=[
            Ratio(over=Place(other, figure), under=Place(first, figure))
            for figure in (ANSWERS, COMMANDS)
            for other in others
        ],
    )


def _named(server: str, loop: str) -> str:
    return f"{server}, {loop}"


def _measure(bench: Bench, system: System, ports: dict[str, int], asks: list[client.Ask]) -> Measured:
    where = commands.interface(system)._replace(port=ports["command"])
    sent = commands.over_http(bench, system, where)
    read = queries.read(bench, ports["query"], asks, 200)
    return {ANSWERS: read[queries.RATE], COMMANDS: sent[commands.RATE]}
