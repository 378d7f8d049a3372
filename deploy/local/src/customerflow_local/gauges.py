"""Rates and lags while the system works, out of what its programs tell on `/metrics`."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

EVERY = 1.0  # seconds

_RATES = {
    "commands": "customerflow_commands_total",
    "messages sent": "messaging_client_sent_messages_total",
    "events projected": "customerflow_projection_lag_seconds_count",
    "reads of a customer": "customerflow_reads_total",
}
_NOW = {
    "waiting to be written": "customerflow_commit_waiting",
    "waiting in the outbox": "customerflow_outbox_backlog",
    "waiting in the queues": "customerflow_queue_backlog",
    "parked": "customerflow_projection_parked",
}
_TIMES = {
    "from a command to its answer": ("http_server_request_duration_seconds", "customerflow-command"),
    "from commit to confirmed": ("customerflow_outbox_wait_seconds", ""),
    "from commit to visible": ("customerflow_projection_lag_seconds", ""),
}
Buckets = Mapping[float, float]
"""How many were at most as long, by seconds."""


@dataclass
class Sums:
    """What all programs have told at a time."""

    at: float = field(default_factory=time.monotonic)
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    buckets: dict[tuple[str, str], dict[float, float]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(float))
    )

    def add(self, text: str) -> None:
        """What one program tells."""
        samples: list[Sample] = [one for family in text_string_to_metric_families(text) for one in family.samples]
        (service,) = (one.labels["service_name"] for one in samples if one.name == "target_info")
        for one in samples:
            if "le" in one.labels:
                self.buckets[one.name.removesuffix("_bucket"), service][float(one.labels["le"])] += one.value
            else:
                self.sums[one.name] += one.value

    def of(self, name: str, service: str) -> Buckets:
        """Of this service, or, if none is named, of all."""
        found: dict[float, float] = defaultdict(float)
        for (metric, told_by), buckets in self.buckets.items():
            if metric == name and service in ("", told_by):
                for bound, number in buckets.items():
                    found[bound] += number
        return found


def quantile(q: float, buckets: Buckets) -> float | None:
    """Within its bucket as if all were spread evenly; of the last one, where it begins. None: there were none."""
    ordered = sorted(buckets.items())
    wanted = q * ordered[-1][1] if ordered else 0.0
    if not wanted:
        return None
    lower, below = 0.0, 0.0
    for bound, number in ordered:
        if number >= wanted:
            return lower if bound == float("inf") else lower + (bound - lower) * (wanted - below) / (number - below)
        lower, below = bound, number
    return lower


class Gauges:
    """A table that is drawn anew whenever somebody looks at it; `read` brings it up to date."""

    def __init__(self, programs: Sequence[str]) -> None:
        self._programs = programs
        self._first: Sums | None = None
        self._before = self._now = Sums()

    async def read(self, client: httpx.AsyncClient) -> None:
        now = Sums()
        for told in await asyncio.gather(*(client.get(f"{program}/metrics") for program in self._programs)):
            now.add(told.raise_for_status().text)
        self._before, self._now = self._now, now
        self._first = self._first or now

    def __rich__(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for _ in range(4):
            table.add_column()
        if self._first is None or self._first is self._now:
            return table
        rates, levels, times = [*self._rates()], [*self._levels()], [*self._times(self._first)]
        for row in range(max(len(rates), len(levels))):
            table.add_row(
                *(cell for column in (rates, levels) for cell in (column[row] if row < len(column) else ("", "")))
            )
        for name, figures in times:
            table.add_row(name, figures)
        return table

    def _rates(self) -> Iterable[tuple[str, str]]:
        seconds = self._now.at - self._before.at
        for name, metric in _RATES.items():
            yield name, f"{(self._now.sums[metric] - self._before.sums[metric]) / seconds:.0f}/s"

    def _levels(self) -> Iterable[tuple[str, str]]:
        for name, metric in _NOW.items():
            yield name, f"{self._now.sums[metric]:.0f}"

    def _times(self, first: Sums) -> Iterable[tuple[str, str]]:
        for name, (metric, service) in _TIMES.items():
            before = first.of(metric, service)
            since = {bound: number - before.get(bound, 0) for bound, number in self._now.of(metric, service).items()}
            figures = [quantile(q, since) for q in (0.5, 0.99)]
            yield (
                name,
                ", ".join(
                    f"{label} {figure * 1000:.0f} ms"
                    for label, figure in zip(("50 %", "99 %"), figures, strict=True)
                    if figure
                ),
            )


@asynccontextmanager
async def beside(other: RenderableType, programs: Sequence[str], console: Console) -> AsyncIterator[Gauges]:
    """Shown below something else, and kept up to date meanwhile; while a program does not answer it stays as it was."""
    gauges = Gauges(programs)

    async def keep() -> None:
        async with httpx.AsyncClient(timeout=5) as client:
            while True:
                with suppress(httpx.HTTPError):
                    await gauges.read(client)
                await asyncio.sleep(EVERY)

    task = asyncio.create_task(keep())
    try:
        with Live(Group(other, gauges), console=console, transient=True):
            yield gauges
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
