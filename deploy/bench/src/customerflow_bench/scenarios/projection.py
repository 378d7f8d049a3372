"""Domain events of new customers wait in the shard queues; how fast the projector brings them into the read model, and
how fast a client library alone takes and acknowledges the very same messages from queues of the same kind.
"""

import asyncio
from functools import partial
from typing import Final

import aio_pika
from customerflow_shared import messaging

from customerflow_bench import backlog, processes
from customerflow_bench.bench import Bench
from customerflow_bench.ceilings import topology
from customerflow_bench.figures import Measured, Subject
from customerflow_bench.results import Place, Ratio, Scenario, scenario
from customerflow_bench.system import System

CUSTOMERS: Final = 2500
OURS, RATE = "CustomerFlow", "events/s"
LIBRARIES = ("aio-pika", "aiormq")


def run(bench: Bench) -> Scenario:
    with bench.system() as system:
        url = system.stack.env["CF_AMQP_URL"]
        asyncio.run(_declare(url))
        waiting = system.applied()

        def pile_up() -> None:
            nonlocal waiting
            waiting = system.applied()
            backlog.pile_up(system, "projector", CUSTOMERS)
            waiting = system.head() - waiting

        def alone(library: str) -> Measured:
            command = [*processes.module("ceilings.consuming"), url, _prefix(library), str(waiting), library]
            return {RATE: processes.call(command, seconds=120)["a second"]}

        rows = bench.alternate(
            [
                Subject(OURS, lambda: _project(system)),
                *(Subject(f"{one} alone", partial(alone, one)) for one in LIBRARIES),
            ],
            before=pile_up,
        )
    return scenario(
        f"{CUSTOMERS * backlog.EVENTS:,} events of {CUSTOMERS:,} customers wait",
        rows,
        ratios=[
            Ratio(over=Place(OURS, RATE), under=Place("aio-pika alone", RATE), at_least=0.8),
            Ratio(over=Place("aiormq alone", RATE), under=Place("aio-pika alone", RATE)),
        ],
    )


def _project(system: System) -> Measured:
    return backlog.drained(system, "projector", system.applied, system.head())


def _prefix(library: str) -> str:
    return f"bench.{library}"


async def _declare(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for library in LIBRARIES:
            await topology.declare_shards(channel, _prefix(library), messaging.DOMAIN)
