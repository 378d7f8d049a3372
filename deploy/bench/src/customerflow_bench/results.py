"""What a run has found, as JSON below .run/bench/results; read again for tables, plots and comparisons."""

import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
from customerflow_local.instance import PROJECT, RUN

from customerflow_bench.figures import Row, ratios

FOLDER: Final = RUN / "bench/results"


class Place(msgspec.Struct, frozen=True):
    subject: str
    figure: str


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """One figure as so many times another one of the same rounds, and what it should come to."""

    over: Place
    under: Place
    at_least: float | None = None
    at_most: float | None = None


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure should come to."""

    of: Place
    at_most: float | None = None
    at_least: float | None = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    rows: list[Row]
    ratios: list[Ratio] = []
    bounds: list[Bound] = []
    notes: list[str] = []
    """What could not be measured, and why."""

    def rounds(self, place: Place) -> tuple[float, ...] | None:
        found = (row.rounds for row in self.rows if (row.subject, row.figure) == (place.subject, place.figure))
        return next(found, None)

    def times(self, ratio: Ratio) -> list[float]:
        """Round by round. Raises ValueError if not both have been measured in all of them."""
        return ratios(self.rounds(ratio.over) or (), self.rounds(ratio.under) or ())


class Result(msgspec.Struct, frozen=True, kw_only=True):
    commit: str
    dirty: bool
    at: str
    machine: dict[str, str]
    settings: dict[str, str]
    scenarios: dict[str, Scenario]

    @property
    def name(self) -> str:
        return f"{self.commit}{'-dirty' if self.dirty else ''}-{self.at}"


def begun(machine: dict[str, str], settings: dict[str, str]) -> Result:
    """Without scenarios yet."""
    return Result(
        commit=_git("rev-parse", "--short=12", "HEAD"),
        dirty=bool(_git("status", "--porcelain", "--untracked-files=no")),
        at=datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        machine=machine,
        settings=settings,
        scenarios={},
    )


def machine() -> dict[str, str]:
    """What figures depend on; nothing that tells which machine it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory / 2**30:.0f} GiB",
        "kernel": platform.release().split("-")[0],
        "Python": platform.python_version(),
        **{name: version(name) for name in ("uvicorn", "uvloop", "aio-pika", "asyncmy", "redis")},
    }


def save(result: Result) -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{result.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    return path


def load(path: Path) -> Result:
    return msgspec.json.decode(path.read_bytes(), type=Result)


def newest(commit: str = "") -> Result | None:
    """Of that commit, if one is named: of its code as it was committed."""
    found = [load(path) for path in FOLDER.glob("*.json")]
    fit = [one for one in found if not commit or (one.commit == commit and not one.dirty)]
    return max(fit, key=lambda one: one.at, default=None)


def commit_of(name: str) -> str:
    """Raises ValueError if git does not know it."""
    try:
        return _git("rev-parse", "--short=12", f"{name}^{{commit}}")
    except subprocess.CalledProcessError:
        raise ValueError(f"{name} is neither a file nor a commit") from None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def every_row(result: Result) -> Iterator[tuple[str, Row]]:
    for name, scenario in result.scenarios.items():
        for row in scenario.rows:
            yield name, row


def scenario(
    title: str,
    rows: Sequence[Row],
    *,
    ratios: Sequence[Ratio] = (),
    bounds: Sequence[Bound] = (),
    notes: Sequence[str] = (),
) -> Scenario:
    """Ratios and bounds of what was not measured are left out."""
    whole = Scenario(title=title, rows=list(rows), notes=list(notes))
    kept = [one for one in ratios if whole.rounds(one.over) and whole.rounds(one.under)]
    return msgspec.structs.replace(whole, ratios=kept, bounds=[one for one in bounds if whole.rounds(one.of)])
