"""What a scenario is given: bounds, a system when it asks for one, and somebody to tell how far it is."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from rich.console import Console

from customerflow_bench import client, processes, system
from customerflow_bench.figures import Row, Subject, alternate


@dataclass(frozen=True)
class Bench:
    rounds: int
    seconds: float
    """Of each measurement."""
    warm_up: float
    clients: int
    customers: int
    """Of the rebuild."""
    console: Console
    told: Callable[[str], None]
    facts: dict[str, str] = field(default_factory=dict)
    """What figures depend on; completed by whoever learns of it."""

    @contextmanager
    def system(self) -> Iterator[system.System]:
        with system.fresh(self.console) as started:
            self.facts.update(started.versions())
            yield started

    def alternate(self, subjects: Sequence[Subject], before: Callable[[], None] = lambda: None) -> list[Row]:
        return alternate(subjects, self.rounds, self.told, before)

    def load(self, job: client.Job) -> Any:
        """What the load, a process of its own, has found. Raises ProgramFailed."""
        seconds = job.warm_up + job.seconds
        return processes.call(processes.module("client"), given=msgspec.json.encode(job), seconds=seconds)

    def settings(self) -> dict[str, str]:
        return {
            "rounds": str(self.rounds),
            "seconds": f"{self.seconds:g}",
            "warm-up": f"{self.warm_up:g}",
            "clients": str(self.clients),
            "rebuilt": str(self.customers),
            "traces sampled": system.SAMPLED,
        }
