"""Plots of a result, by matplotlib in an environment of its own: figures, ratios and latencies with their spread."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from customerflow_local.instance import PROJECT

from customerflow_bench import environments, tables
from customerflow_bench.figures import spread
from customerflow_bench.results import Ratio, Result, Scenario

FOLDER: Final = PROJECT / "deploy/bench/plots"
_DRAWING: Final = Path(__file__).parent / "drawing"

Plot = dict[str, Any]


def draw(result: Result, folder: Path = FOLDER) -> list[str]:
    """The names of the files. Raises ProgramFailed, CalledProcessError."""
    python = environments.python("drawing", _DRAWING / "requirements.txt")
    plots = [plot for name, scenario in result.scenarios.items() for plot in plotted(name, scenario)]
    subprocess.run([python, str(_DRAWING / "draw.py"), str(folder)], input=msgspec.json.encode(plots), check=True)
    return [f"{plot['name']}.svg" for plot in plots]


def plotted(name: str, scenario: Scenario) -> Iterator[Plot]:
    """Rates and latencies apart, for they are of other units; and how they compare."""
    rates = [row for row in scenario.rows if row.figure.endswith("/s")]
    latencies = [row for row in scenario.rows if row.figure.endswith(", ms")]
    for part, rows in (("", rates), ("-latency", latencies)):
        if rows:
            bars = [_bar(f"{row.subject}: {row.figure}", row.rounds, None) for row in rows]
            yield {"name": f"{name}{part}", "title": f"{name}: {scenario.title}", "scale": _scale(bars), "bars": bars}
    ratios = [
        _bar(what, values, one.at_least) for what, values, one in tables.targets(scenario) if isinstance(one, Ratio)
    ]
    if ratios:
        yield {"name": f"{name}-ratios", "title": f"{name}: ratios", "scale": _scale(ratios), "bars": ratios}


def _bar(name: str, values: Sequence[float], wanted: float | None) -> dict[str, Any]:
    least, middle, most = spread(values)
    return {"name": name, "least": least, "middle": middle, "most": most, "wanted": wanted}


def _scale(bars: Sequence[dict[str, Any]]) -> str:
    middles = [bar["middle"] for bar in bars]
    return "log" if min(middles) > 0 and max(middles) > 50 * min(middles) else "linear"
