"""Draws what it is told on standard input, in an environment of its own: `python draw.py FOLDER`.

[{"name": ..., "kind": ..., "title": ..., "source": ..., "lines": [{"name": ..., "ours": ..., "missed": ...,
  "told": ..., "marks": [{"least": ..., "middle": ..., "most": ..., "wanted": ... or null}]}]}]

Rates are bars from zero. What spans several powers of ten is points on a logarithmic scale, which has no zero for a bar
to begin at: latencies, median and 99 % of one thing on one line; ratios, and what was reached, around one.
"""

import json
import math
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
# the same figures are the same file
mpl.rcParams["svg.hashsalt"] = "customerflow"
mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["font.family"] = ["DejaVu Sans"]
mpl.rcParams["font.size"] = 9

from matplotlib import pyplot as plt  # noqa: E402  # after its backend is chosen
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # noqa: E402

OURS, OTHERS, WHISKER, WANTED, MISSED, FAINT = "#1f6f8b", "#a9b7bd", "#444444", "#c0392b", "#c0392b", "#666666"
WIDTH, NAME_WIDTH = 9.6, 58
"""Inches; characters."""


def draw(plot: dict[str, Any], folder: Path) -> None:
    lines = plot["lines"][::-1]  # the first is at the top
    figure, axes = plt.subplots(figsize=(WIDTH, 1.5 + 0.36 * len(lines)), layout="constrained")
    (_bars if plot["kind"] == "rates" else _points)(axes, lines, plot["kind"])
    names = ["\n".join(textwrap.wrap(line["name"], NAME_WIDTH)) for line in lines]
    axes.set_yticks(range(len(lines)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.7, len(lines) - 0.3)
    axes.grid(axis="x", color="#e6eaec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
    figure.suptitle(plot["title"], x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(plot["source"], x=0.01, ha="left", fontsize=7.5, color=FAINT)
    _explain(axes, plot)
    figure.savefig(folder / f"{plot['name']}.svg", metadata={"Date": None})
    plt.close(figure)


def _bars(axes: Axes, lines: list[dict[str, Any]], _: str) -> None:
    for place, line in enumerate(lines):
        (mark,) = line["marks"]
        axes.barh(place, mark["middle"], color=_colour(line), height=0.62)
        _whisker(axes, place, mark)
        _wanted(axes, place, mark)
        _tell(axes, place, line)
    axes.set_xlim(0, 1.12 * max(_furthest(line) for line in lines))
    axes.set_xlabel("a second")


def _points(axes: Axes, lines: list[dict[str, Any]], kind: str) -> None:
    axes.set_xscale("log")
    around_one = kind != "latencies"
    for place, line in enumerate(lines):
        marks = line["marks"]
        # a little below one another, for spreads may overlap
        places = [place + 0.14 * (len(marks) - 1) - 0.28 * number for number in range(len(marks))]
        axes.plot([mark["middle"] for mark in marks], places, color=_colour(line), linewidth=3, alpha=0.3)
        for number, (mark, at) in enumerate(zip(marks, places, strict=True)):
            colour = MISSED if line["missed"] else _colour(line)
            _whisker(axes, at, mark)
            axes.plot(mark["middle"], at, "o", color=colour, markerfacecolor="white" if number else colour, zorder=5)
            if kind != "reached":
                _wanted(axes, at, mark, 0.4 / len(marks))
        _tell(axes, place, line)
    least, most = axes.get_xlim()
    if around_one:
        axes.axvline(1, color=WANTED if kind == "reached" else FAINT, linewidth=1.2, zorder=1)
        least, most = min(least, 0.5), max(most, 2)
    decades = math.log10(most / least)
    axes.set_xlim(least / 1.1, most * 10 ** (0.25 * decades))  # so that the words beside the last one have room
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel({"latencies": "milliseconds", "reached": "times what was wanted"}.get(kind, "times"))


def _furthest(line: dict[str, Any]) -> float:
    return max(max(mark["most"], mark["wanted"] or 0) for mark in line["marks"])


def _whisker(axes: Axes, place: float, mark: dict[str, Any]) -> None:
    axes.plot([mark["least"], mark["most"]], [place, place], "|-", color=WHISKER, linewidth=1, markersize=5, zorder=3)


def _wanted(axes: Axes, place: float, mark: dict[str, Any], reach: float = 0.4) -> None:
    if mark["wanted"] is not None:
        axes.plot([mark["wanted"]] * 2, [place - reach, place + reach], color=WANTED, linewidth=2, zorder=4)


def _tell(axes: Axes, place: float, line: dict[str, Any]) -> None:
    beside = (_furthest(line), place)
    axes.annotate(line["told"], beside, xytext=(6, 0), textcoords="offset points", va="center", fontsize=8.5)


def _explain(axes: Axes, plot: dict[str, Any]) -> None:
    def sign(name: str, **looks: Any) -> Line2D:
        return Line2D([], [], label=name, **looks)

    marks = [mark for line in plot["lines"] for mark in line["marks"]]
    point = {"marker": "o", "linestyle": "none", "markersize": 6}
    signs = []
    if plot["kind"] == "latencies" and any(len(line["marks"]) > 1 for line in plot["lines"]):
        signs += [sign("median", color=OURS, **point), sign("99 %", color=OURS, markerfacecolor="white", **point)]
    if plot["kind"] in ("ratios", "reached") and any(mark["wanted"] is not None for mark in marks):
        signs.append(sign("missed", color=MISSED, **point))
    if any(mark["wanted"] is not None for mark in marks):
        signs.append(sign("wanted", color=WANTED, linewidth=2))
    if signs:
        axes.legend(handles=signs, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(signs), frameon=False,
                    fontsize=8, borderaxespad=0.1)  # fmt: skip


def _colour(line: dict[str, Any]) -> str:
    return OURS if line["ours"] else OTHERS


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for one in json.load(sys.stdin):
        draw(one, target)
