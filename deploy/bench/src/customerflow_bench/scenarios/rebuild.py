"""A rebuild of the read model of customers with three events each, and the same writes into Redis fed from memory.

Two rates: of the whole command, which starts, builds, compares with what is live, and switches; and of building alone,
from when the new generation is begun until all events are in it.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from customerflow_local.instance import RUN
from customerflow_shared import views

from customerflow_bench import backlog, processes
from customerflow_bench.bench import Bench
from customerflow_bench.figures import Measured, Row, Subject
from customerflow_bench.processes import ProgramFailed
from customerflow_bench.recording import Command, recorded
from customerflow_bench.results import Place, Ratio, Scenario, scenario
from customerflow_bench.system import System

OURS, MEMORY = "CustomerFlow", "the same writes, from memory"
WANTED, OF_MEMORY, ENOUGH = "0.6 of these writes, or 20,000/s if that is less", 0.6, 20_000
BUILDING, WHOLE = "events/s, building", "events/s, whole command"
_LOG: Final = RUN / "bench/logs/rebuild.log"
_LOOK_EVERY = 0.005
_AT_MOST: Final = 600.0  # seconds


def run(bench: Bench) -> Scenario:
    writes = RUN / "bench/writes.msgpack"
    with bench.system() as system:
        bench.told(f"storing {bench.customers:,} customers")
        backlog.store(system, bench.customers)
        system.settle()
        events = system.head()
        generation = _record(system, writes)

        def from_memory() -> Measured:
            command = [*processes.module("ceilings.lua_writes"), system.stack.env["CF_REDIS_URL"]]
            return {BUILDING: events / processes.call([*command, str(writes), generation], seconds=120)["seconds"]}

        rows = bench.alternate([Subject(OURS, lambda: _rebuild(system, events)), Subject(MEMORY, from_memory)])
    writes.unlink()
    (fed,) = [row.rounds for row in rows if row.subject == MEMORY]
    rows.append(Row(WANTED, BUILDING, tuple(min(OF_MEMORY * rate, ENOUGH) for rate in fed)))
    return scenario(
        f"{bench.customers:,} customers, {events:,} events",
        rows,
        ratios=[
            Ratio(over=Place(OURS, BUILDING), under=Place(WANTED, BUILDING), at_least=1),
            Ratio(over=Place(OURS, BUILDING), under=Place(MEMORY, BUILDING)),
            Ratio(over=Place(OURS, WHOLE), under=Place(MEMORY, BUILDING)),
        ],
    )


def _command(system: System, **settings: str) -> "subprocess.Popen[bytes]":
    with _LOG.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "customerflow_projector", "rebuild", "--afresh"],
            env={"PATH": os.environ["PATH"], **system.stack.env, **system.traced, "CF_KEEP_PREVIOUS": "0", **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _ended(process: "subprocess.Popen[bytes]") -> None:
    """Raises ProgramFailed."""
    try:
        process.wait(_AT_MOST)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        raise ProgramFailed(f"rebuild ended with {process.returncode}; see {_LOG}")


def _rebuild(system: System, events: int) -> Measured:
    """Raises ProgramFailed."""
    started = time.perf_counter()
    process = _command(system)
    begun = ended = 0.0
    try:
        while process.poll() is None and not ended:
            building = _building(system)
            now = time.perf_counter()
            begun = begun or (now if building.begun else 0.0)
            ended = now if begun and building.ended else 0.0
            time.sleep(_LOOK_EVERY)
    finally:
        _ended(process)
    whole = events / (time.perf_counter() - started)
    if not ended:
        raise ProgramFailed("nobody saw the rebuild build")
    return {BUILDING: events / (ended - begun), WHOLE: whole}


class _Building(NamedTuple):
    begun: bool
    ended: bool
    """All is in it that there was when it was begun; or it is there no longer, for it has become the live one."""


def _building(system: System) -> _Building:
    generation: Any = system.redis.get(views.BUILDING)
    if generation is None:
        return _Building(begun=False, ended=True)
    checkpoint: Any = system.redis.get(views.checkpoint_key(generation.decode()))
    return _Building(begun=True, ended=bool(int(checkpoint or 0)))


def _record(system: System, path: Path) -> str:
    """One rebuild's writes of customers into the file; the name of the generation that they are for."""
    writes: list[Command] = []

    def heard(command: Command) -> None:
        if command[0].upper() == b"EVALSHA" and b":customer:" in command[3]:
            writes.append(command)

    with recorded(system.stack.instance.ports["redis"], heard) as port:
        _ended(_command(system, CF_REDIS_URL=f"redis://127.0.0.1:{port}/0"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.msgpack.encode(writes))
    return writes[0][3].decode().split(":")[1]
