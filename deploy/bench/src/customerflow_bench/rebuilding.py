"""A rebuild of the read model beside commands and readers: `make bench-rebuild`.

A local system of its own, kept afterwards. Commands arrive over HTTP at a fixed rate, whether or not those before are
answered; readers ask for customers, a list and a search of which it is known what they must answer. What is missing
from an answer, or older than what was stored before, counts as incomplete. In the end `verify` compares all there is.
"""

import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any
from uuid import UUID

import httpx
import rich_click as click
import uvloop
from customerflow_shared import indexing, views
from redis.asyncio import Redis
from rich.console import Console

from customerflow_bench import people
from customerflow_bench.load import Loader, applied, fill, loading, open_stack

CUSTOMERS = "/v1/customers"
READERS = 2  # of each kind
PAUSE = 0.05  # seconds between an answer and the reader's next question
AT_MOST = 1800.0  # seconds for a rebuild
CAUGHT_UP_WITHIN = 120.0
SETTLE = 5.0  # seconds of commands and readers before and after the rebuild
CHANGED = 10_000  # of the loaded customers, drawn by lot, are changed and looked at
EVENTS = 3  # of a loaded customer
RARE_WITHIN = 100 * max(people.RARE_TAGS, people.RARE_NAMES)

_CONSENT = {"state": "granted", "capturedAt": "2026-01-01T00:00:00Z", "source": "checkout"}


@dataclass
class Figures:
    """Seconds that answers took, and what was wrong with them."""

    took: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    async def time(self, attempt: Awaitable[str]) -> None:
        """`attempt` returns what was wrong, which may be nothing."""
        start = time.perf_counter()
        try:
            wrong = await attempt
        except httpx.HTTPError as error:
            wrong = type(error).__name__
        self.took.append(time.perf_counter() - start)
        if wrong:
            self.wrong[wrong] += 1


@asynccontextmanager
async def meanwhile(*work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run all of it again and again until the block ends."""

    async def forever(one: Callable[[], Awaitable[None]]) -> None:
        while True:
            await one()

    tasks = [asyncio.create_task(forever(one)) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if result and not isinstance(result, asyncio.CancelledError):
                raise result


# --- commands ---------------------------------------------------------------------------------------------------------


class Clients:
    """Send `rate` commands a second: a fifth registers, the others change somebody."""

    def __init__(self, http: httpx.AsyncClient, ids: list[str], rate: float) -> None:
        self._http = http
        self._ids = ids
        self._rate = rate
        self._chance = random.Random()
        self._due = 0.0
        self._on_their_way: set[asyncio.Task[None]] = set()
        self.before = self.figures = Figures()
        self.during = Figures()

    async def send_next(self) -> None:
        now = asyncio.get_running_loop().time()
        self._due = max(self._due, now - 1) + 1 / self._rate
        task = asyncio.create_task(self.figures.time(self._send()))
        self._on_their_way.add(task)
        task.add_done_callback(self._on_their_way.discard)
        await asyncio.sleep(self._due - now)

    async def all_answered(self) -> None:
        await asyncio.gather(*self._on_their_way)

    async def _send(self) -> str:
        token, customer = f"{self._chance.getrandbits(64):016x}", self._chance.choice(self._ids)
        match self._chance.randrange(5):
            case 0:
                body = {"type": "person", "name": "Rosa Nova", "email": f"rosa.{token}@example.com", "tags": ["new"]}
                answer = await self._http.post(CUSTOMERS, json=body)
            case 1 | 2:
                answer = await self._http.put(f"{CUSTOMERS}/{customer}/tags/t-{token[:3]}")
            case _:
                answer = await self._http.put(
                    f"{CUSTOMERS}/{customer}/consents/survey-{token[:3]}/email", json=_CONSENT
                )
        return _wrong(answer)


def _wrong(answer: httpx.Response) -> str:
    return "" if answer.is_success else f"{answer.status_code} {answer.json().get('code')}"


# --- readers ----------------------------------------------------------------------------------------------------------


class Readers:
    """`listed` and `found` are how many customers the list and the search must have."""

    def __init__(self, http: httpx.AsyncClient, ids: list[str], listed: int, found: int) -> None:
        self._http = http
        self._ids = ids
        self._listed = listed
        self._found = found
        self._seen: dict[str, int] = {}
        self.figures = {kind: Figures() for kind in ("detail", "list of three pages", "search")}

    async def look(self) -> None:
        await self.figures["detail"].time(self._detail(random.choice(self._ids)))
        await asyncio.sleep(PAUSE)

    async def list(self) -> None:
        await self.figures["list of three pages"].time(self._pages())
        await asyncio.sleep(PAUSE)

    async def search(self) -> None:
        await self.figures["search"].time(self._search())
        await asyncio.sleep(PAUSE)

    async def _detail(self, customer: str) -> str:
        seen = self._seen.get(customer, EVENTS)
        answer = await self._http.get(f"{CUSTOMERS}/{customer}")
        if answer.is_success:
            version = int(answer.json()["version"])
            if version < seen:
                return "older than before"
            self._seen[customer] = max(version, self._seen.get(customer, 0))
        return _wrong(answer)

    async def _pages(self) -> str:
        parameters, ids = {"tag": people.RARE_TAG, "limit": str(self._listed // 3 + 1)}, set[str]()
        while parameters:
            answer = await self._http.get(CUSTOMERS, params=parameters)
            if not answer.is_success:
                return _wrong(answer)
            page = answer.json()
            ids |= {customer["id"] for customer in page["data"]}
            parameters = {**parameters, "cursor": page["next"]} if "next" in page else {}
        return "" if len(ids) == self._listed else f"{len(ids)} of {self._listed}"

    async def _search(self) -> str:
        answer = await self._http.post(f"{CUSTOMERS}/search", json={"q": people.RARE_NAME, "limit": 200})
        if not answer.is_success:
            return _wrong(answer)
        found = len(answer.json()["data"])
        return "" if found == self._found else f"{found} of {self._found}"


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass
class Rebuilt:
    events: int
    seconds: float
    said: str
    verified: str
    differs: bool
    figures: Mapping[str, Figures]


async def run(env: Mapping[str, str], command_url: str, query_url: str, customers: int, rate: float) -> Rebuilt:
    everybody = [people.eventful_life(number).registration for number in range(min(customers, RARE_WITHIN))]
    redis = Redis.from_url(env["CF_REDIS_URL"])
    drawn = await _drawn(redis)
    limits = httpx.Limits(max_connections=200)
    async with (
        httpx.AsyncClient(base_url=command_url, timeout=30, limits=limits) as commands,
        httpx.AsyncClient(base_url=query_url, timeout=30) as queries,
        loading(env) as store,
    ):
        clients = Clients(commands, drawn, rate)
        readers = Readers(
            queries,
            drawn,
            listed=sum(people.RARE_TAG in one.tags for one in everybody),
            found=sum(people.RARE_NAME in one.name.split() for one in everybody),
        )
        looking = [readers.look, readers.list, readers.search] * READERS
        async with meanwhile(*looking):
            async with meanwhile(clients.send_next):
                await asyncio.sleep(SETTLE)
                began, clients.figures = time.monotonic(), clients.during
                said = await _projector(env, "rebuild")
                seconds, events = time.monotonic() - began, await store.head()
                await asyncio.sleep(SETTLE)
            await clients.all_answered()
            await _caught_up(redis, store)
        verified = await _projector(env, "verify")
    await redis.aclose()
    figures = {
        f"commands, {rate:.0f}/s, before it": clients.before,
        f"commands, {rate:.0f}/s": clients.during,
        **readers.figures,
    }
    return Rebuilt(events, seconds, said[1], verified[1], said[0] + verified[0] > 0, figures)


async def _caught_up(redis: Redis, store: Loader) -> None:
    deadline = time.monotonic() + CAUGHT_UP_WITHIN
    while await applied(redis) < await store.head():
        if time.monotonic() > deadline:
            raise click.ClickException("The projector does not catch up.")
        await asyncio.sleep(0.2)


async def _drawn(redis: Redis) -> list[str]:
    """Customers of the load, for only they have its tag."""
    generation: Any = await redis.get(views.LIVE)
    loaded = views.facet_key(generation.decode(), indexing.tag_facet("returning"))
    members: Any = await redis.zrandmember(loaded, CHANGED)
    return [str(UUID(bytes=member)) for member in members]


async def _projector(env: Mapping[str, str], command: str) -> tuple[int, str]:
    """Its exit code, and what it says last."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "customerflow_projector", command),
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
    )
    try:
        async with asyncio.timeout(AT_MOST):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    lines = output.decode().strip().splitlines()
    return process.returncode or 0, lines[-1] if lines else f"exit code {process.returncode}"


def table(rebuilt: Rebuilt) -> Iterator[str]:
    """Markdown."""
    yield "| | answers | median / 99 %, ms | wrong |\n| --- | ---: | ---: | --- |"
    for kind, figures in rebuilt.figures.items():
        took = f"{median(figures.took) * 1000:.1f} / {quantiles(figures.took, n=100)[98] * 1000:.1f}"
        wrong = ", ".join(f"{number} times {what}" for what, number in figures.wrong.items())
        yield f"| {kind} | {len(figures.took):,} | {took} | {wrong or 0} |"
    rate = rebuilt.events / rebuilt.seconds
    yield f"\nrebuild: {rebuilt.events:,} events in {rebuilt.seconds:.1f} s, {rate:,.0f} events/s; {rebuilt.said}"
    yield f"verify: {rebuilt.verified}"


@click.command()
@click.option("--customers", default=100_000, show_default=True, type=click.IntRange(2000))
@click.option("--rate", default=100.0, show_default=True, type=click.FloatRange(1, 1000))
def main(customers: int, rate: float) -> None:
    """Load, rebuild under load, compare; the instance stays up, below .run/bench-rebuild-*."""
    console = Console(stderr=True)
    stack = open_stack(f"bench-rebuild-{customers}", console)
    fill(stack, customers, console, people.eventful_life)
    rebuilt = uvloop.run(run(stack.env, stack.url("command"), stack.url("query"), customers, rate))
    for line in table(rebuilt):
        print(line)
    if rebuilt.differs or any(figures.wrong for figures in rebuilt.figures.values()):
        raise click.ClickException("This must not be.")


if __name__ == "__main__":
    main(prog_name="make bench-rebuild")
