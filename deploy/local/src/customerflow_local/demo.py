"""The main job, driven over HTTP as a client would: commands in, and each one seen in the read model.

Every change is followed by a read that asks for its version. The time from the command's answer to that read's answer
is what a user waits to see a change; it is measured here, not estimated.
"""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from itertools import islice
from statistics import median, quantiles
from typing import Any

import httpx
from rich.console import Console
from rich.json import JSON
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from customerflow_local.errors import LocalStackError
from customerflow_local.names import Invented, invent

_AT_ONCE = 4
_VISIBLE_WITHIN = 20.0


@dataclass
class Figures:
    """Seconds, one for each command."""

    answered: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    elapsed: float = 0.0


class Client:
    """The two HTTP interfaces, as any client sees them."""

    def __init__(self, command: httpx.AsyncClient, query: httpx.AsyncClient) -> None:
        self._command = command
        self._query = query
        self.figures = Figures()

    async def send(
        self, method: str, path: str, expected: int, *, body: object = None, if_match: int | None = None
    ) -> httpx.Response:
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        sent = time.perf_counter()
        response = await self._command.request(method, path, json=body, headers=headers)
        self.figures.answered.append(time.perf_counter() - sent)
        if response.status_code != expected:
            raise LocalStackError(
                f"{method} {path} was answered with {response.status_code} instead of {expected}: {response.text}"
            )
        return response

    async def read(self, customer: str, version: int) -> dict[str, Any]:
        """The customer as it is at this version or later: read your own write."""
        answered = time.perf_counter()
        while True:
            response = await self._query.get(
                f"/v1/customers/{customer}", params={"minVersion": version}, headers={"Prefer": "wait=5"}
            )
            waited = time.perf_counter() - answered
            if response.status_code == 200:
                self.figures.visible.append(waited)
                document: dict[str, Any] = response.json()
                return document
            if response.status_code != 503 or waited > _VISIBLE_WITHIN:
                raise LocalStackError(
                    f"Customer {customer} at version {version} was not to be read after {waited:.1f} s: "
                    f"{response.status_code} {response.text}"
                )
            await asyncio.sleep(0.1)


async def live(client: Client, number: int, customer: Invented) -> str:
    """One customer's story; every fourth ends as registered, the others go on. Returns the id."""
    body = {"type": customer.type, "name": customer.name, "email": customer.email}
    registered = (await client.send("POST", "/v1/customers", 201, body=body)).json()
    path, version = f"/v1/customers/{registered['id']}", int(registered["version"])
    await client.read(registered["id"], version)

    async def change(method: str, to: str, expected: int, body: object = None) -> None:
        nonlocal version
        await client.send(method, path + to, expected, body=body, if_match=version)
        version += 1
        await client.read(registered["id"], version)

    if number % 4 == 1:
        await change("PATCH", "", 200, body={"name": f"{customer.name} Jr."})
    elif number % 4 == 2:
        await change("PATCH", "", 200, body={"email": f"new.{customer.email}"})
    elif number % 4 == 3:
        await change("DELETE", "", 204)
        if number % 8 == 3:
            await change("POST", "/restore", 200)
    return str(registered["id"])


async def show_refusals(client: Client, customer: Invented, known: str) -> None:
    """What the system must not accept: an address that is taken, and a change of what was not read."""
    body = {"type": "person", "name": "Somebody Else", "email": customer.email}
    await client.send("POST", "/v1/customers", 409, body=body)
    await client.send("PATCH", f"/v1/customers/{known}", 412, body={"name": "Too Late"}, if_match=99)


async def drive(command_url: str, query_url: str, customers: int, console: Console) -> None:
    """Run the demonstration and print what it shows; raise at the first answer that is not as it should be."""
    invented = list(islice(invent(secrets.token_hex(3)), customers))
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    async with (
        httpx.AsyncClient(base_url=command_url, timeout=30) as command,
        httpx.AsyncClient(base_url=query_url, timeout=30) as query,
    ):
        client = Client(command, query)
        turn = asyncio.Semaphore(_AT_ONCE)
        with progress:
            task = progress.add_task("customers live their lives", total=customers)

            async def one(number: int, customer: Invented) -> str:
                async with turn:
                    known = await live(client, number, customer)
                progress.advance(task)
                return known

            started = time.perf_counter()
            ids = await asyncio.gather(*(one(number, customer) for number, customer in enumerate(invented)))
            client.figures.elapsed = time.perf_counter() - started
        _print_figures(client.figures, customers, console)
        await show_refusals(client, invented[0], ids[0])
        console.print("Refused as they should be: a taken e-mail address (409), a change of a stale version (412).")
        document = await client.read(ids[1 % customers], 1)
        console.print(Panel(JSON.from_data(document), title="One customer, as the query service answers"))


def _print_figures(figures: Figures, customers: int, console: Console) -> None:
    table = Table(title=f"{customers} customers, {len(figures.answered)} commands, {_AT_ONCE} clients at once")
    for column in ("", "median", "99 %", "slowest"):
        table.add_column(column, justify="left" if not column else "right")
    for label, seconds in (
        ("command sent to answered", figures.answered),
        ("answered to visible in the read model", figures.visible),
    ):
        worst = quantiles(seconds, n=100)[98] if len(seconds) > 1 else seconds[0]
        table.add_row(label, *(f"{value * 1000:.1f} ms" for value in (median(seconds), worst, max(seconds))))
    console.print(table)
    console.print(f"{len(figures.answered) / figures.elapsed:.0f} commands a second, each seen by its client.")
