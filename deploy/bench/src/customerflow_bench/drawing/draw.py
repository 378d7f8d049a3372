"""Draws what it is told on standard input, in an environment of its own: `python draw.py FOLDER`.

[{"name": ..., "title": ..., "scale": "linear" or "log", "bars": [{"name": ..., "least": ..., "middle": ...,
  "most": ..., "wanted": ... or null}]}]
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
# the same figures are the same file
mpl.rcParams["svg.hashsalt"] = "customerflow"
mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["font.size"] = 9

from matplotlib import pyplot as plt  # noqa: E402  # after its backend is chosen

OURS, OTHERS, WANTED = "#1f6f8b", "#b8c4c9", "#c0392b"


def draw(plot: dict[str, Any], folder: Path) -> None:
    bars = plot["bars"][::-1]  # the first is at the top
    figure, axes = plt.subplots(figsize=(8, 0.8 + 0.34 * len(bars)), layout="constrained")
    places = range(len(bars))
    middles = [bar["middle"] for bar in bars]
    spread = [[bar["middle"] - bar["least"] for bar in bars], [bar["most"] - bar["middle"] for bar in bars]]
    colours = [OURS if bar["name"].startswith("CustomerFlow") else OTHERS for bar in bars]
    axes.barh(places, middles, xerr=spread, color=colours, ecolor="#444444", capsize=2, height=0.65)
    for place, bar in zip(places, bars, strict=True):
        axes.annotate(
            f"{bar['middle']:,.3g}" if bar["middle"] < 1000 else f"{bar['middle']:,.0f}",
            (bar["most"], place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
        if bar["wanted"] is not None:
            axes.plot([bar["wanted"]] * 2, [place - 0.42, place + 0.42], color=WANTED, linewidth=1.6)
    axes.set_yticks(places, [bar["name"] for bar in bars])
    axes.set_xscale(plot["scale"])
    axes.margins(x=0.12)
    axes.set_title(plot["title"], loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / f"{plot['name']}.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for one in json.load(sys.stdin):
        draw(one, target)
