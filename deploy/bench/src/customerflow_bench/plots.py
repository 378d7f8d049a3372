"""Plots of a result, by matplotlib in an environment of its own: what was wanted of everything, then each scenario's
rates, latencies and ratios, all with the spread of their rounds.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from customerflow_local.instance import PROJECT

from customerflow_bench import environments, tables
from customerflow_bench.figures import Row, spread
from customerflow_bench.results import Bound, Place, Ratio, Result, Scenario

FOLDER: Final = PROJECT / "deploy/bench/plots"
_DRAWING: Final = Path(__file__).parent / "drawing"
_OURS: Final = "CustomerFlow"

Line = dict[str, Any]


def draw(result: Result, folder: Path = FOLDER) -> list[str]:
    """The names of the files; those of an earlier result go. Raises ProgramFailed, CalledProcessError."""
    python = environments.python("drawing", _DRAWING / "requirements.txt")
    plots = list(plotted(result))
    for old in folder.glob("*.svg"):
        old.unlink()
    subprocess.run([python, str(_DRAWING / "draw.py"), str(folder)], input=msgspec.json.encode(plots), check=True)
    return [f"{plot['name']}.svg" for plot in plots]


def plotted(result: Result) -> Iterator[dict[str, Any]]:
    """See `drawing/draw.py`. Rates and latencies are apart, for they are of other units."""
    source = f"{tables.source(result)}. Medians, and the least and the most, of {_rounds(result)} rounds."
    judged = [line for name, scenario in result.scenarios.items() for line in _judged(name, scenario)]
    if judged:
        title = "What was reached, as so many times what was wanted"
        yield {"name": "targets", "kind": "reached", "title": title, "source": source, "lines": judged}
    for name, scenario in result.scenarios.items():
        for kind, told in _KINDS.items():
            if lines := list(told(scenario)):
                title = f"{name}, {kind}: {scenario.title}"
                yield {"name": f"{name}-{kind}", "kind": kind, "title": title, "source": source, "lines": lines}


def _rounds(result: Result) -> str:
    return result.settings.get("rounds", "?")


def _judged(name: str, scenario: Scenario) -> Iterator[Line]:
    """More is better, and one is what was wanted."""
    for what, values, one in tables.targets(scenario):
        if one.at_least:
            wanted, reached = f">= {tables.number(one.at_least)}", [value / one.at_least for value in values]
        elif one.at_most:
            wanted, reached = f"<= {tables.number(one.at_most)}", [one.at_most / value for value in values]
        else:
            continue
        told = f"{tables.number(spread(values).middle)}, wanted {wanted}"
        yield _line(f"{name}: {what}", [_mark(reached, 1)], told=told, missed=_is_missed(values, one))


def _rates(scenario: Scenario) -> Iterator[Line]:
    rates = [row for row in scenario.rows if "/s" in row.figure]
    of_one_kind = len({row.figure for row in rates}) == 1
    for row in rates:
        name = row.subject if of_one_kind else f"{row.subject}, {row.figure}"
        yield _line(name, [_mark(row.rounds, _wanted(scenario, row))], ours=_is_ours(scenario, row.subject))


def _latencies(scenario: Scenario) -> Iterator[Line]:
    """Median and 99 % of the same are one line."""
    together: dict[tuple[str, str], list[Row]] = {}
    for row in scenario.rows:
        if row.figure.endswith(", ms"):
            what = row.figure.removesuffix(", ms").removesuffix("p50").removesuffix("p99").strip()
            together.setdefault((row.subject, what), []).append(row)
    for (subject, what), rows in together.items():
        marks = [_mark(row.rounds, _wanted(scenario, row)) for row in rows]
        yield _line(", ".join(filter(None, (subject, what))), marks, ours=_is_ours(scenario, subject))


def _ratios(scenario: Scenario) -> Iterator[Line]:
    for what, values, one in tables.targets(scenario):
        if isinstance(one, Ratio):
            yield _line(what, [_mark(values, one.at_least or one.at_most)], missed=_is_missed(values, one))


_KINDS: Final[dict[str, Callable[[Scenario], Iterator[Line]]]] = {
    "rates": _rates,
    "latencies": _latencies,
    "ratios": _ratios,
}


def _is_missed(values: Sequence[float], one: Ratio | Bound) -> bool:
    return tables.verdict(spread(values).middle, one) == tables.MISSED


def _line(
    name: str, marks: Sequence[dict[str, Any]], *, ours: bool = True, told: str = "", missed: bool = False
) -> Line:
    told = told or " / ".join(tables.number(mark["middle"]) for mark in marks)
    return {"name": name, "ours": ours, "missed": missed, "marks": marks, "told": told}


def _mark(values: Sequence[float], wanted: float | None) -> dict[str, Any]:
    least, middle, most = spread(values)
    return {"least": least, "middle": middle, "most": most, "wanted": wanted}


def _is_ours(scenario: Scenario, subject: str) -> bool:
    """What bears our name; if nothing does, all is ours."""
    return subject.startswith(_OURS) or not any(row.subject.startswith(_OURS) for row in scenario.rows)


def _wanted(scenario: Scenario, row: Row) -> float | None:
    found = (one.at_least or one.at_most for one in scenario.bounds if one.of == Place(row.subject, row.figure))
    return next(found, None)
