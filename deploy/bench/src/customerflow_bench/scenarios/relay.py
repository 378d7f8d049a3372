"""Events of new customers wait in the outbox; how fast the relay publishes them, and how fast a client library alone
publishes messages of the same sizes, confirmed and in batches.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, Final

import aio_pika
import msgspec
from customerflow_local.instance import RUN
from customerflow_shared import messaging

from customerflow_bench import backlog, peer, processes
from customerflow_bench.bench import Bench
from customerflow_bench.ceilings.publishing import Captured
from customerflow_bench.figures import Measured, Subject
from customerflow_bench.processes import ProgramFailed
from customerflow_bench.results import Place, Ratio, Scenario, scenario
from customerflow_bench.system import System

CUSTOMERS: Final = 2500
CAPTURED: Final = 600  # customers whose messages are the ceiling's
OURS, EVENTS, MESSAGES = "CustomerFlow", "events/s", "messages/s"
PEER: Final = "python_cqrs"
LIBRARIES = ("aio-pika", "aiormq")
_FILLING = 2.0  # seconds of a peer's commands
TAPS = ("bench.tap.domain", "bench.tap.integration")


def run(bench: Bench) -> Scenario:
    messages = RUN / "bench/messages.msgpack"
    notes: list[str] = []
    with bench.system() as system:
        url = system.stack.env["CF_AMQP_URL"]
        each = _captured(system, url, messages)
        system.settle()
        system.stack.stop_service("projector")  # publishing alone

        def alone(library: str) -> Measured:
            number = round(CUSTOMERS * backlog.EVENTS * each)
            command = [*processes.module("ceilings.publishing"), url, str(messages), str(number), library]
            return {MESSAGES: processes.call(command, seconds=120)["a second"]}

        subjects = [
            Subject(OURS, lambda: _publish(system, each)),
            *(Subject(f"{one} alone", partial(alone, one)) for one in LIBRARIES),
        ]
        try:
            peer.command(PEER)
        except (ProgramFailed, OSError) as error:
            notes.append(f"python-cqrs: not measured. {error}")
        else:
            subjects.append(Subject("python-cqrs", lambda: _peer(bench, system, url)))
        rows = bench.alternate(subjects)
    messages.unlink()
    return scenario(
        f"{CUSTOMERS * backlog.EVENTS:,} events of {CUSTOMERS:,} customers wait, {each:.2f} messages for each",
        rows,
        ratios=[
            Ratio(over=Place(OURS, MESSAGES), under=Place("aio-pika alone", MESSAGES), at_least=0.6),
            Ratio(over=Place(OURS, MESSAGES), under=Place("python-cqrs", MESSAGES)),
            Ratio(over=Place("aiormq alone", MESSAGES), under=Place("aio-pika alone", MESSAGES)),
        ],
        notes=notes,
    )


def _peer(bench: Bench, system: System, url: str) -> Measured:
    """Its relay, after its commands have filled its outbox."""
    database = system.empty_database(PEER)
    peer.send_commands(PEER, database, clients=bench.clients, seconds=_FILLING, warm_up=0, seed=system.new_numbers())
    bounds = ["--mysql-url", database, "--amqp-url", url, "--seconds", str(bench.seconds)]
    found = processes.call(peer.command(PEER, "relay", *bounds), seconds=bench.seconds)
    return {MESSAGES: found["messages"] / found["seconds"]}


def _publish(system: System, each: float) -> Measured:
    backlog.pile_up(system, "relay", CUSTOMERS)
    upto = system.head()

    def sent() -> int:
        return system.number(f"SELECT COALESCE(MIN(position) - 1, {upto}) FROM cf_outbox")

    found = backlog.drained(system, "relay", sent, upto)
    return {**found, MESSAGES: found[EVENTS] * each}


def _captured(system: System, url: str, path: Path) -> float:
    """Messages of some customers, as the relay publishes them, into the file; how many there are to an event."""
    asyncio.run(_tap(url))
    events = backlog.store(system, CAPTURED)
    system.settle()
    found = asyncio.run(_taken(url))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.msgpack.encode(found))
    return len(found) / events


async def _tap(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        domain, integration = [await channel.declare_queue(name) for name in TAPS]
        for shard in range(messaging.SHARDS):
            await domain.bind(messaging.DOMAIN, str(shard))
        await integration.bind(messaging.INTEGRATION, "#")


async def _taken(url: str) -> list[Captured]:
    found: list[Captured] = []
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for name in TAPS:
            queue = await channel.get_queue(name)
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                headers: dict[str, Any] = {key: value for key, value in message.headers.items() if value is not None}
                found.append(
                    Captured(
                        name == TAPS[0],
                        message.routing_key or "",
                        message.body,
                        message.message_id or "",
                        message.content_type or "",
                        message.type,
                        headers,
                    )
                )
            await queue.delete()
    return found
