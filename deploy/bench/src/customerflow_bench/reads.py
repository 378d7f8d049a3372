"""How long queries take with many customers, and with a hundred times as many: `make bench-reads`.

Two local systems of their own, kept afterwards, so that a second run measures at once. Each request is timed by its
client; what Redis itself took of it is the sum of its slow log, in which everything counts as slow meanwhile. The two
systems are asked in turn, round by round, so that a noisy neighbour meets both.
"""

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import rich_click as click
from customerflow_local.stack import Stack
from customerflow_shared import indexing, views
from redis import Redis
from rich.console import Console
from rich.progress import track

from customerflow_bench import people
from customerflow_bench.load import fill, open_stack

ROUNDS = 8
REQUESTS = 25  # of each kind in a round
WARM_UP = 10
SAMPLES = 300  # customers whose documents and timelines are weighed
DEEP = 20  # pages
LONGEST = 10_000  # commands that one request may give Redis

CUSTOMERS = "/v1/customers"


class Ask(NamedTuple):
    method: str
    path: str
    parameters: Mapping[str, str] | None = None
    body: dict[str, Any] | None = None


@dataclass
class Timed:
    """Microseconds: of the whole answer, and of Redis."""

    http: list[float] = field(default_factory=list)
    redis: list[float] = field(default_factory=list)


class Subject:
    """A system with so many customers."""

    def __init__(self, stack: Stack, customers: int) -> None:
        self.customers = customers
        self.http = httpx.Client(base_url=stack.url("query"), timeout=30)
        self.redis = Redis.from_url(stack.env["CF_REDIS_URL"])
        self.generation = self._text(views.LIVE)
        self.timed: dict[str, Timed] = defaultdict(Timed)
        active = views.facet_key(self.generation, indexing.status_facet("active"))
        drawn: Any = self.redis.zrandmember(active, SAMPLES)
        self.ids = [UUID(bytes=member) for member in drawn]

    def _text(self, key: str) -> str:
        held: Any = self.redis.get(key)
        return str(held, "ascii")

    def ask(self, ask: Ask) -> tuple[float, httpx.Response]:
        start = time.perf_counter_ns()
        answer = self.http.request(ask.method, ask.path, params=ask.parameters, json=ask.body)
        took = (time.perf_counter_ns() - start) / 1000
        if answer.status_code != 200:
            raise click.ClickException(f"{ask} was answered with {answer.status_code}: {answer.text}")
        return took, answer

    def measure(self, kind: str, asks: Iterator[Ask]) -> None:
        for ask in itertools.islice(asks, REQUESTS):
            self.redis.slowlog_reset()
            took, answer = self.ask(ask)
            slow: Any = self.redis.slowlog_get(LONGEST)
            assert answer.content
            self.timed[kind].http.append(took)
            self.timed[kind].redis.append(sum(entry["duration"] for entry in slow if _is_read(entry["command"])))


def _is_read(command: bytes) -> bool:
    """Not one of this program's own."""
    return not command.startswith((b"SLOWLOG", b"CONFIG"))


# --- what is asked ----------------------------------------------------------------------------------------------------


def kinds(subject: Subject) -> dict[str, Iterator[Ask]]:
    """By what the table calls them; each without end, and about other customers each time where it can be."""
    chance = random.Random(7)
    ids = itertools.cycle(subject.ids)

    def listed(**parameters: str) -> Iterator[Ask]:
        return itertools.repeat(Ask("GET", CUSTOMERS, parameters))

    def searched(*texts: str, **filters: str) -> Iterator[Ask]:
        return (Ask("POST", f"{CUSTOMERS}/search", body={"q": text, **filters}) for text in itertools.cycle(texts))

    def of_one(path: str, **parameters: str) -> Iterator[Ask]:
        return (Ask("GET", f"{CUSTOMERS}/{next(ids)}{path}", parameters) for _ in itertools.count())

    def looked_up() -> Iterator[Ask]:
        while True:
            address = people.life(chance.randrange(subject.customers)).registration.email
            yield Ask("POST", f"{CUSTOMERS}/lookup", body={"email": address})

    return {
        "detail": of_one(""),
        "list, newest first": listed(),
        f"list, page {DEEP}": itertools.repeat(_deep(subject)),
        f"list, tag of {people.RARE_TAGS}": listed(tag=people.RARE_TAG),
        "list, tag of 1 %": listed(tag=people.UNCOMMON_TAG),
        "list, tag of 30 %": listed(tag=people.COMMON_TAG),
        "list, status and country": listed(status="active", country="PT"),
        **{
            f"list, sort={sort}": listed(sort=sort)
            for sort in ("createdAt", "updatedAt", "-updatedAt", "name", "-name")
        },
        "list, tag of 30 %, by name": listed(tag=people.COMMON_TAG, sort="name"),
        "list, counted": listed(tag=people.UNCOMMON_TAG, count="exact"),
        "search, a frequent word": searched("maria", "silva", "jose", "ana"),
        "search, two words": searched("maria silva", "jose santos", "ana souza"),
        "search, beginnings": searched("ma si", "jo sa", "an so"),
        "search, a word with filters": searched("maria", "silva", country="PT", status="active"),
        "search, a rare name": searched(people.RARE_NAME.lower()),
        "search, nobody": searched("maria xyzzy"),
        "look-up by e-mail": looked_up(),
        "timeline": of_one("/timeline"),
        "as of version 1": of_one("", atVersion="1"),
        "statistics": itertools.repeat(Ask("GET", "/v1/stats/customers")),
    }


def _deep(subject: Subject) -> Ask:
    parameters: dict[str, str] = {}
    for _ in range(DEEP - 1):
        _, answer = subject.ask(Ask("GET", CUSTOMERS, parameters))
        parameters = {"cursor": answer.json()["next"]}
    return Ask("GET", CUSTOMERS, parameters)


def measure(subjects: list[Subject], console: Console) -> None:
    asked = [(subject, kinds(subject)) for subject in subjects]
    for subject, asks in asked:
        for every in asks.values():
            for ask in itertools.islice(every, WARM_UP):
                subject.ask(ask)
    for kind in track([*asked[0][1]] * ROUNDS, description="asking", console=console):
        for subject, asks in asked:
            with everything_is_slow(subject.redis):
                subject.measure(kind, asks[kind])


@contextmanager
def everything_is_slow(redis: Redis) -> Iterator[None]:
    """While this lasts Redis writes down how long each command takes."""
    before: Any = redis.config_get("slowlog-*")
    redis.config_set("slowlog-max-len", LONGEST)
    redis.config_set("slowlog-log-slower-than", 0)
    try:
        yield
    finally:
        for name, value in before.items():
            redis.config_set(name, value)


# --- what is told -----------------------------------------------------------------------------------------------------


def table(small: Subject, large: Subject) -> Iterator[str]:
    """Markdown: milliseconds, and how many times longer the median takes where there are more customers."""
    titles = [f"{one.customers:,}: {what}" for one in (small, large) for what in ("answer", "Redis")]
    yield f"| median / 99 %, ms | {' | '.join(titles)} | answer | Redis |"
    yield "| --- |" + " ---: |" * 6
    for kind, few in small.timed.items():
        many = large.timed[kind]
        cells = [_cell(times) for times in (few.http, few.redis, many.http, many.redis)]
        ratios = [
            f"{median(more) / median(less):.1f}x" for less, more in ((few.http, many.http), (few.redis, many.redis))
        ]
        yield f"| {kind} | {' | '.join(cells + ratios)} |"


def _cell(microseconds: Sequence[float]) -> str:
    return f"{median(microseconds) / 1000:.2f} / {quantiles(microseconds, n=100)[98] / 1000:.2f}"


def weights(small: Subject, large: Subject) -> Iterator[str]:
    """Markdown: bytes per customer in Redis, of each kind of key, as its own `MEMORY USAGE` tells from samples."""
    used = [int(one.redis.info("memory")["used_memory"]) for one in (small, large)]
    yield "| bytes per customer | |"
    yield "| --- | ---: |"
    for kind, weight in weighed(large).items():
        yield f"| {kind} | {weight:,.0f} |"
    each = (used[1] - used[0]) / (large.customers - small.customers)
    yield f"| all, measured by the growth of `used_memory` | {each:,.0f} |"


def weighed(subject: Subject) -> Mapping[str, float]:
    def of(*keys: str) -> int:
        usages: list[Any] = [subject.redis.memory_usage(key, samples=500) for key in keys]
        return sum(usage or 0 for usage in usages)

    generation, ids = subject.generation, subject.ids
    facets = subject.redis.scan_iter(match=views.facet_key(generation, "*"), count=10_000)
    whole = {
        "facets": [str(key, "utf-8") for key in facets],
        "look-ups": [views.key(generation, "lookup")],
        "words": [views.key(generation, "words")],
        "names": [views.key(generation, "names")],
        "orders": [views.key(generation, f"order:{order}") for order in ("created", "updated", "name")],
        "changes (a fixed number)": [views.key(generation, "changes")],
    }
    documents = of(*(views.customer_key(generation, one) for one in ids)) / len(ids)
    timelines = [key(generation, one) for one in ids for key in (views.timeline_key, views.blocks_key)]
    return {"documents": documents, "timelines": of(*timelines) / len(ids)} | {
        kind: of(*keys) / subject.customers for kind, keys in whole.items()
    }


def filled(customers: int, console: Console) -> Subject:
    stack = open_stack(f"bench-reads-{customers}", console)
    fill(stack, customers, console)
    return Subject(stack, customers)


@click.command()
@click.option("--small", default=10_000, show_default=True, type=click.IntRange(2000))
@click.option("--large", default=1_000_000, show_default=True, type=click.IntRange(2000))
def main(small: int, large: int) -> None:
    """Ask two systems the same; their instances stay up, below .run/bench-reads-*."""
    if small >= large:
        raise click.BadParameter("SMALL must be smaller than LARGE.")
    console = Console(stderr=True)
    subjects = [filled(customers, console) for customers in (small, large)]
    measure(subjects, console)
    for line in (*table(*subjects), "", *weights(*subjects)):
        print(line)


if __name__ == "__main__":
    main(prog_name="make bench-reads")
