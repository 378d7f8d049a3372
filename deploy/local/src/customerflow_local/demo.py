"""The main job, driven over HTTP as a client would: commands in, and each one seen in the read model.

Every change is followed by a read that asks for its version. The time from the command's answer to that read's answer
is what a user waits to see a change; it is measured here, not estimated.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from statistics import median, quantiles
from typing import Any

import httpx
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from customerflow_local import gauges
from customerflow_local.errors import LocalStackError
from customerflow_local.names import Invented, invent

_AT_ONCE = 4
_VISIBLE_WITHIN = 20.0
_DELIVERED_WITHIN = 20.0
_WITHDRAWN = {"state": "withdrawn", "capturedAt": "2026-11-20T12:00:00Z", "source": "unsubscribe link"}


@dataclass(frozen=True)
class Interfaces:
    """Where the system is, and who stands in for services of others."""

    command: str
    query: str
    provider: str
    measured: tuple[str, ...] = ()
    """The programs that tell what they measure; it is shown while the customers live their lives."""


@dataclass
class Figures:
    """Seconds, one for each command, or for each code."""

    answered: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    elapsed: float = 0.0


@dataclass
class Known:
    """A customer as its client knows it."""

    id: str
    version: int

    @property
    def path(self) -> str:
        return f"/v1/customers/{self.id}"


class Client:
    """The two HTTP interfaces, as any client sees them, and the mailboxes of customers."""

    def __init__(self, command: httpx.AsyncClient, query: httpx.AsyncClient, provider: httpx.AsyncClient) -> None:
        self._command = command
        self._query = query
        self._provider = provider
        self._position = "0"
        self.figures = Figures()

    async def send(
        self, method: str, path: str, expected: int, body: object = None, *, version: int = 0, key: str = ""
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}
        if version:
            headers["If-Match"] = f'"{version}"'
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        sent = time.perf_counter()
        response = await self._command.request(method, path, json=body, headers=headers)
        self.figures.answered.append(time.perf_counter() - sent)
        if response.status_code != expected:
            raise LocalStackError(
                f"{method} {path} was answered with {response.status_code} instead of {expected}: {response.text}"
            )
        self._position = response.headers.get("CustomerFlow-Position", self._position)
        return response

    async def ask(self, path: str, body: object = None, **parameters: str | int) -> dict[str, Any]:
        """A question about any number of customers, whose answer has all of our own writes in it."""
        response = await self._query.request(
            "POST" if body else "GET",
            path,
            json=body,
            params={**parameters, "minPosition": self._position},
            headers={"Prefer": "wait=5"},
        )
        if response.status_code != 200:
            raise LocalStackError(f"{path} was answered with {response.status_code}: {response.text}")
        found: dict[str, Any] = response.json()
        return found

    async def register(self, customer: Invented) -> Known:
        answer = (await self.send("POST", "/v1/customers", 201, customer.body)).json()
        known = Known(answer["id"], answer["version"])
        await self.read(known)
        return known

    async def change(self, known: Known, method: str, to: str, expected: int = 200, body: object = None) -> Any:
        """A command on the customer, and a look at what became of it; returns the command's answer."""
        answer = await self.send(method, known.path + to, expected, body, version=known.version)
        known.version = int(answer.headers["ETag"].strip('"'))
        await self.read(known)
        return answer.json() if answer.content else None

    async def read(self, known: Known) -> dict[str, Any]:
        """The customer as it is at this version or later: read your own write."""
        answered = time.perf_counter()
        while True:
            response = await self._query.get(
                known.path, params={"minVersion": known.version}, headers={"Prefer": "wait=5"}
            )
            waited = time.perf_counter() - answered
            if response.status_code in (200, 410):
                self.figures.visible.append(waited)
                document: dict[str, Any] = response.json()
                return document
            if response.status_code != 503 or waited > _VISIBLE_WITHIN:
                raise LocalStackError(
                    f"{known} was not to be read after {waited:.1f} s: {response.status_code} {response.text}"
                )
            await asyncio.sleep(0.1)

    async def verify_email(self, known: Known, email: str) -> None:
        """By a code that is sent to the address."""
        await self.change(known, "POST", "/email/verification-code", 202)
        await self.change(known, "POST", "/email/confirmation", body={"code": await self._code_sent_to(email)})

    async def _code_sent_to(self, email: str) -> str:
        asked = time.perf_counter()
        while True:
            letters = (await self._provider.get("/v1/messages", params={"to": email})).raise_for_status().json()
            waited = time.perf_counter() - asked
            if letters:
                self.figures.delivered.append(waited)
                return str(letters[-1]["code"])
            if waited > _DELIVERED_WITHIN:
                raise LocalStackError(f"No code has come to the customer's mailbox after {waited:.1f} s")
            await asyncio.sleep(0.02)

    async def postal_code(self, digits: str) -> dict[str, Any]:
        answer = await self._command.get(f"/v1/postal-codes/BR/{digits}")
        if answer.status_code != 200:
            raise LocalStackError(f"{digits} was answered with {answer.status_code}: {answer.text}")
        found: dict[str, Any] = answer.json()
        return found


async def live(client: Client, number: int, customer: Invented) -> Known:
    """One customer's story; every eighth ends as registered."""
    known = await client.register(customer)
    match number % 8:
        case 1:
            await client.change(known, "PATCH", "", body={"lifecycleStage": "customer", "attributes": {"since": 2026}})
        case 2:
            move = {"line1": "Rua Nova", "number": "7"}
            (address,) = (await client.read(known))["addresses"]
            await client.change(known, "PATCH", f"/addresses/{address['id']}", body=move)
            await client.change(known, "PUT", "/default-addresses/billing", body={"addressId": address["id"]})
        case 3:
            await client.change(known, "PUT", "/consents/newsletter/email", body=_WITHDRAWN)
        case 4:
            await client.change(known, "PUT", "/tags/vip", 204)
        case 5:
            await client.change(known, "POST", "/suspend", body={"reason": "an invoice is open"})
            await client.change(known, "POST", "/reactivate", body={"reason": "it is paid"})
        case 6:
            await client.change(known, "DELETE", "", 204)
            await client.change(known, "POST", "/restore")
        case 7:
            await client.verify_email(known, customer.email)
    return known


async def scenes(client: Client, newcomer: Invented, taken: Invented) -> AsyncIterator[tuple[str, str]]:
    """What the system does for a client, and what it does not: what is asked, and what is answered."""
    key, body = secrets.token_hex(16), newcomer.body
    first = await client.send("POST", "/v1/customers", 201, body, key=key)
    again = await client.send("POST", "/v1/customers", 201, body, key=key)
    same = "the same customer" if first.content == again.content else "ANOTHER CUSTOMER"
    yield "the same registration again, under its Idempotency-Key", f"201, {same}, no second effect"

    known = Known(first.json()["id"], 1)
    upsert = f"/v1/external/erp/{newcomer.erp}"
    synchronised = [await client.send("PATCH", upsert, 200, {"lifecycleStage": "customer"}) for _ in range(2)]
    known.version = int(synchronised[-1].headers["ETag"].strip('"'))
    yield "an ERP synchronises it by its own number, twice", f"200, version {known.version} both times"

    await client.verify_email(known, newcomer.email)
    came = f"it came after {client.figures.delivered[-1]:.2f} s, by the provider of e-mail"
    yield "a code that shows that the e-mail address is the customer's", f"202, {came}; with it 200, verified"
    place = await client.postal_code("01310-100")
    where = ", ".join(place[name] for name in ("street", "district", "city", "region"))
    yield "what a postal code says, by a provider of those", f"200, {where}"

    refused = await client.send("POST", "/v1/customers", 409, {**body, "email": taken.email})
    yield "a customer with what others have already", f"409\n{_faults(refused)}"
    unfit = {"type": "person", "name": " ", "email": "ana@", "taxIds": [{"type": "br_cpf", "value": "123.456.789-00"}]}
    yield "a registration full of faults", f"422\n{_faults(await client.send('POST', '/v1/customers', 422, unfit))}"
    refused = await client.send("PATCH", known.path, 412, {"name": "Too Late"}, version=1)
    yield "a change of what was not read", f"412, the current version is {refused.json()['currentVersion']}"

    asked = await client.change(known, "POST", "/erasure", 202, {"graceDays": 7, "requestRef": "DSR-2026/17"})
    yield "an erasure after 7 days of grace", f"202, due {asked['dueAt'][:10]}"
    await client.change(known, "POST", "/erasure", 200, {"graceDays": 0})
    gone = await client.read(known)
    yield "the same at once, then a look", f"410 {gone['code']}: its history can be read no more"
    await client.send("POST", "/v1/customers", 201, body)
    yield "the same e-mail, tax id and number for somebody new", "201: the erased customer holds nothing"


async def questions(client: Client, moved: Known, somebody: Invented) -> AsyncIterator[tuple[str, str]]:
    """What can be found, and what can be looked back at."""
    words = " ".join(word[:3].lower() for word in somebody.name.split()[:2])
    found = await client.ask("/v1/customers/search", {"q": words, "count": "exact", "limit": 3})
    yield f'whose names have words that begin with "{words}"', _listed(found)
    found = await client.ask("/v1/customers", tag="vip", sort="name", count="exact", limit=3)
    yield "who is tagged vip, by name", _listed(found)
    found = await client.ask("/v1/customers/lookup", {"email": somebody.email.upper()})
    yield "who has an e-mail address, however it is written", _listed(found)
    told = await client.ask(f"{moved.path}/timeline")
    yield "what happened to a customer", "\n".join(_told(entry) for entry in told["data"])
    before = await client.ask(moved.path, atVersion=1)
    yield "the customer as it was at version 1", f"{before['name']}, {before['addresses'][0]['line1']}"
    totals = await client.ask("/v1/stats/customers")
    by_status = ", ".join(f"{status} {number}" for status, number in totals["byStatus"].items())
    yield "how many there are", f"{by_status}; all up to {totals['projectionLag']:.3f} s ago"


def _listed(found: dict[str, Any]) -> str:
    names = [one["name"] for one in found["data"]]
    more = found["total"]["value"] - len(names) if "total" in found else 0
    return "\n".join([*names, *([f"and {more} more"] if more else [])])


def _told(entry: dict[str, Any]) -> str:
    paths = sorted({change["path"].partition("/")[0] for change in entry["changes"]})
    return f"{entry['version']} {entry['type']}: {', '.join(paths)}"


def _faults(refused: httpx.Response) -> str:
    return "\n".join(f"{fault['pointer']} {fault['code']}" for fault in refused.json()["errors"])


async def drive(interfaces: Interfaces, customers: int, console: Console) -> None:
    """Run the demonstration and print what it shows; raise at the first answer that is not as it should be."""
    *invented, newcomer = islice(invent(secrets.token_hex(3)), customers + 1)
    async with _client(interfaces) as client:
        known = await _lives(client, invented, console, interfaces.measured)
        _print_figures(client.figures, customers, console)
        table = Table("asked", "answered")
        async for asked, answered in scenes(client, newcomer, invented[0]):
            table.add_row(asked, answered)
        console.print(table)
        table = Table("asked", "found")
        async for asked, answered in questions(client, known[2], invented[0]):
            table.add_row(asked, answered)
        console.print(table)
        document = _worded(await client.read(known[-1]))
        console.print(Panel(document, title="One customer, as the query service answers", title_align="left"))


def _worded(document: dict[str, Any]) -> Text:
    """A line for each field."""
    fields = (f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in document.items())
    return JSONHighlighter()("{\n" + ",\n".join(fields) + "\n}")


@asynccontextmanager
async def _client(interfaces: Interfaces) -> AsyncIterator[Client]:
    async with (
        httpx.AsyncClient(base_url=interfaces.command, timeout=30) as command,
        httpx.AsyncClient(base_url=interfaces.query, timeout=30) as query,
        httpx.AsyncClient(base_url=interfaces.provider, timeout=30) as provider,
    ):
        yield Client(command, query, provider)


async def _lives(
    client: Client, invented: list[Invented], console: Console, measured: Sequence[str] = ()
) -> list[Known]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    turn = asyncio.Semaphore(_AT_ONCE)
    progress = Progress(*columns, console=console)
    async with gauges.beside(progress, measured, console):
        task = progress.add_task("customers live their lives", total=len(invented))

        async def one(number: int, customer: Invented) -> Known:
            async with turn:
                known = await live(client, number, customer)
            progress.advance(task)
            return known

        started = time.perf_counter()
        known = await asyncio.gather(*(one(number, customer) for number, customer in enumerate(invented)))
        client.figures.elapsed = time.perf_counter() - started
    return known


def _print_figures(figures: Figures, customers: int, console: Console) -> None:
    table = Table(title=f"{customers} customers, {len(figures.answered)} commands, {_AT_ONCE} clients at once")
    for column in ("", "median", "99 %", "slowest"):
        table.add_column(column, justify="left" if not column else "right")
    for label, seconds in (
        ("command sent to answered", figures.answered),
        ("answered to visible in the read model", figures.visible),
        ("code asked for to received", figures.delivered),
    ):
        if not seconds:
            continue
        worst = quantiles(seconds, n=100)[98] if len(seconds) > 1 else seconds[0]
        table.add_row(label, *(f"{value * 1000:.1f} ms" for value in (median(seconds), worst, max(seconds))))
    console.print(table)
    console.print(f"{len(figures.answered) / figures.elapsed:.0f} commands a second, each seen by its client.")
