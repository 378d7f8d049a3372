"""Reads over HTTP: one customer, the same again with If-None-Match, a page of the list, a search."""

import asyncio
import time
from contextlib import ExitStack
from typing import Final

from customerflow_local.instance import RUN

from customerflow_bench import client, http_wire, peer, processes, traffic
from customerflow_bench.bench import Bench
from customerflow_bench.figures import Measured, Subject
from customerflow_bench.processes import ProgramFailed
from customerflow_bench.results import Place, Ratio, Scenario, scenario
from customerflow_bench.scenarios.commands import interface

CUSTOMERS: Final = 1000
OURS, BARE, PLAIN = "CustomerFlow, one customer", "bare ASGI, constant answer", "plain service, one customer"
UNCHANGED, LIST, SEARCH = "CustomerFlow, 304", "CustomerFlow, list of 50", "CustomerFlow, search"
RATE = "answers/s"
PAUSE: Final = 0.1  # seconds, after which a round's connections are closed


def run(bench: Bench) -> Scenario:
    notes: list[str] = []
    with ExitStack() as stack:
        system = stack.enter_context(bench.system())
        ids = asyncio.run(register(interface(system), system.new_numbers()))
        system.settle()
        port = system.port("query")
        paths = [f"/v1/customers/{one}" for one in ids]
        answers = asyncio.run(_answers(port, paths))
        tags = {path: answer.header("ETag") or "" for path, answer in answers.items()}
        size = sum(len(answer.body) for answer in answers.values()) // len(answers)
        bare = processes.free_port()
        command = [*processes.module("ceilings.bare_asgi"), str(bare), str(size)]
        stack.enter_context(processes.serving(command, bare, "/", log=RUN / "bench/logs/bare_asgi.log"))

        def reading(name: str, port: int, asks: list[client.Ask], status: int = 200) -> Subject:
            return Subject(name, lambda: read(bench, port, asks, status))

        ones = [client.Ask(method="GET", path=path) for path in paths]
        again = [client.Ask(method="GET", path=path, headers={"If-None-Match": tag}) for path, tag in tags.items()]
        page = [client.Ask(method="GET", path="/v1/customers?limit=50")]
        found = [
            client.Ask(method="POST", path="/v1/customers/search", headers=traffic.JSON, body=f'{{"q": "{text}"}}')
            for text in ("maria", "silva", "jose", "ana")
        ]
        subjects = [reading(OURS, port, ones), reading(BARE, bare, ones)]
        try:
            plain = stack.enter_context(peer.plain_service(system))
            theirs = asyncio.run(register(plain, system.new_numbers()))
            theirs_asked = [client.Ask(method="GET", path=f"{plain.customers}/{one}") for one in theirs]
            subjects.append(reading(PLAIN, plain.port, theirs_asked))
        except (ProgramFailed, OSError) as error:
            notes.append(f"plain service: not measured. {error}")
        subjects += [reading(UNCHANGED, port, again, 304), reading(LIST, port, page), reading(SEARCH, port, found)]
        rows = bench.alternate(subjects)
    return scenario(
        f"{bench.clients} clients, one query process, {CUSTOMERS:,} customers of {size:,} bytes",
        rows,
        ratios=[
            Ratio(over=Place(OURS, RATE), under=Place(BARE, RATE), at_least=0.7),
            Ratio(over=Place(OURS, RATE), under=Place(PLAIN, RATE), at_least=2.5),
            *(Ratio(over=Place(one, RATE), under=Place(BARE, RATE)) for one in (UNCHANGED, LIST, SEARCH)),
        ],
        notes=notes,
    )


async def register(where: traffic.Interface, first: int) -> list[str]:
    clients = await traffic.connect(where, 16, first, CUSTOMERS, seed=first)
    numbers = iter(range(CUSTOMERS))
    ids: list[str] = []

    async def work(one: traffic.Client) -> None:
        for _ in numbers:
            ids.append((await one.register()).customer)

    await asyncio.gather(*map(work, clients))
    for one in clients:
        one.close()
    return ids


async def _answers(port: int, paths: list[str]) -> dict[str, http_wire.Answer]:
    connection = await http_wire.Connection.open(port)
    answers = {path: await connection.ask(http_wire.request("GET", path)) for path in paths}
    connection.close()
    return answers


def read(bench: Bench, port: int, asks: list[client.Ask], status: int) -> Measured:
    found = bench.load(
        client.Reads(
            port=port, asks=asks, status=status, clients=bench.clients, warm_up=bench.warm_up, seconds=bench.seconds
        )
    )
    time.sleep(PAUSE)
    return {RATE: found["a second"], "p50, ms": found["p50, ms"], "p99, ms": found["p99, ms"]}
