"""What is measured, and what each alert asks for, as tables: `python -m customerflow_local.handbook` writes them anew.

They are made of the instruments and of the alert rules themselves; `make check` fails where they say anything else.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[4]
README = PROJECT / "README.md"
ALERTS = PROJECT / "deploy/observability/alerts.yml"
METRICS = PROJECT / "deploy/observability/METRICS.md"
INSTRUMENTED = (
    "customerflow_shared.measuring",
    "customerflow_shared.conventions",
    "customerflow_shared.limits",
    "customerflow_shared.outside.meters",
    "customerflow_command.app",
    "customerflow_projector.app",
    "customerflow_query.app",
    "customerflow_notifications.app",
    "customerflow_partners.app",
)
"""Whoever has imported these has every instrument."""
_BEGIN, _END = "<!-- made of alerts.yml by `make handbook` -->", "<!-- end -->"
_LABEL = re.compile(r"\{\{.*?\}\}")


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def runbook() -> str:
    return table(
        ("Alert", "It means", "What to do"),
        (
            (
                f"`{rule['alert']}` ({rule['labels']['severity']})",
                _LABEL.sub("…", rule["annotations"]["summary"]),
                rule["annotations"]["runbook"],
            )
            for rule in rules()
        ),
    )


def catalogue() -> str:
    for module in INSTRUMENTED:
        import_module(module)
    from customerflow_shared import metrics

    return "\n".join(
        (
            "# What is measured",
            "",
            "Made of the instruments by `make handbook`. On `/metrics` dots are underscores, a unit is written out,",
            "and a counter ends in `_total`: `customerflow_projection_lag_seconds_bucket`.",
            "",
            table(
                ("Metric", "Kind, unit", "Labels", "Of what"),
                (
                    (
                        f"`{one.name}`",
                        f"{one.kind.replace('_', '-')}, {one.unit}",
                        ", ".join(f"`{label}`" for label in (*one._labels, *one._fixed)),
                        one.description,
                    )
                    for one in sorted(metrics.REGISTRY, key=lambda one: one.name)
                ),
            ),
        )
    )


def readme() -> str:
    """README.md with the runbook of now between the marks."""
    before, begin, rest = README.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"README.md does not have the marks {_BEGIN} and {_END}")
    return f"{before}{begin}\n{runbook()}{end}{after}"


def main(arguments: Sequence[str]) -> int:
    """With `check` nothing is written, and it fails if something would be."""
    wanted = {README: readme(), METRICS: catalogue()}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if arguments == ["check"]:
        for path in stale:
            print(f"{path.name} does not say what is measured or what alerts there are now: run `make handbook`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
