"""Figures of several rounds: medians with their spread, ratios round by round, and what a difference is worth."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

Measured = Mapping[str, float]
"""The figures of one round, each by what it is, as `commands/s`."""


class Subject(NamedTuple):
    """One of those that are measured in turn. `measure` warms up, measures one round, and leaves nothing under way."""

    name: str
    measure: Callable[[], Measured]


class Spread(NamedTuple):
    least: float
    middle: float
    most: float


class Row(NamedTuple):
    """One figure of one subject, by round."""

    subject: str
    figure: str
    rounds: tuple[float, ...]


def spread(values: Sequence[float]) -> Spread:
    return Spread(min(values), median(values), max(values))


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """By round, for what disturbs a round disturbs both. Raises ValueError if they are not of the same rounds."""
    return [one / other for one, other in zip(over, under, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not exceed."""
    if not values:
        raise ValueError("of no values there is no percentile")
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


def alternate(
    subjects: Sequence[Subject],
    rounds: int,
    told: Callable[[str], None],
    before: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Each subject once a round, every other round in reverse: what drifts meets all of them alike. `before` each round
    something may be got ready.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds):
        before()
        for subject in subjects if number % 2 == 0 else reversed(subjects):
            told(f"round {number + 1} of {rounds}: {subject.name}")
            for figure, value in subject.measure().items():
                found.setdefault((subject.name, figure), []).append(value)
    in_order = {subject.name: place for place, subject in enumerate(subjects)}
    rows = [Row(subject, figure, tuple(values)) for (subject, figure), values in found.items()]
    return sorted(rows, key=lambda row: in_order[row.subject])


class Difference(NamedTuple):
    """`apart` if the spreads of both do not even touch: no round of the one was like any round of the other."""

    before: Spread
    after: Spread
    ratio: float
    apart: bool


def difference(before: Sequence[float], after: Sequence[float]) -> Difference:
    one, other = spread(before), spread(after)
    ratio = other.middle / one.middle if one.middle else float("nan")
    return Difference(one, other, ratio, one.most < other.least or other.most < one.least)
