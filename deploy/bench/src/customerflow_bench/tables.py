"""Results in Markdown: medians with the least and the most of the rounds."""

from collections.abc import Iterator, Sequence
from typing import Final

from customerflow_bench import results
from customerflow_bench.figures import difference, spread
from customerflow_bench.results import Bound, Place, Ratio, Result, Scenario

MISSED: Final = "missed"
_ENOUGH = 3  # rounds, for a spread to mean anything


def table(result: Result) -> Iterator[str]:
    yield source(result)
    yield ", ".join(f"{name} {value}" for name, value in (result.machine | result.settings).items())
    for name, scenario in result.scenarios.items():
        yield from ("", f"### {name}: {scenario.title}", "", *_scenario(scenario))
        for note in scenario.notes:
            yield from ("", note)


def source(result: Result) -> str:
    dirty = ", with uncommitted changes" if result.dirty else ""
    return f"Commit {result.commit}{dirty}, {result.at}"


def _scenario(scenario: Scenario) -> Iterator[str]:
    """Each figure, and below it how many times another one it is."""
    yield "| subject | figure | median | least .. most | wanted | |"
    yield "| --- | --- | ---: | ---: | ---: | --- |"
    for row in scenario.rows:
        place = Place(row.subject, row.figure)
        bounds = [one for one in scenario.bounds if one.of == place] or [Bound(of=place)]
        for bound in bounds:
            yield f"| {row.subject} | {row.figure} | {_judged(row.rounds, bound)} |"
        for ratio in scenario.ratios:
            if ratio.over == place:
                yield f"| | / {_under(ratio)} | {_judged(scenario.times(ratio), ratio)} |"


def _judged(values: Sequence[float], one: Ratio | Bound) -> str:
    least, middle, most = spread(values)
    return f"{number(middle)} | {number(least)} .. {number(most)} | {_wanted(one)} | {verdict(middle, one)}"


def targets(scenario: Scenario) -> Iterator[tuple[str, Sequence[float], Ratio | Bound]]:
    """What is judged: its name, its rounds, and by what."""
    for ratio in scenario.ratios:
        over = ratio.over.subject if ratio.over.figure == ratio.under.figure else _placed(ratio.over)
        yield f"{over} / {_placed(ratio.under)}", scenario.times(ratio), ratio
    for bound in scenario.bounds:
        yield _placed(bound.of), scenario.rounds(bound.of) or (), bound


def _under(ratio: Ratio) -> str:
    return ratio.under.subject if ratio.over.figure == ratio.under.figure else _placed(ratio.under)


def _placed(place: Place) -> str:
    return f"{place.subject}, {place.figure}"


def _wanted(one: Ratio | Bound) -> str:
    words = ["" if one.at_least is None else f">= {number(one.at_least)}"]
    words.append("" if one.at_most is None else f"<= {number(one.at_most)}")
    return " ".join(filter(None, words))


def verdict(middle: float, one: Ratio | Bound) -> str:
    """Of the median; nothing where nothing is wanted."""
    if one.at_least is None and one.at_most is None:
        return ""
    missed = (one.at_least is not None and middle < one.at_least) or (one.at_most is not None and middle > one.at_most)
    return MISSED if missed else "met"


def comparison(before: Result, after: Result) -> Iterator[str]:
    """Figure by figure, of what both have measured."""
    yield f"A: {before.name}, B: {after.name}"
    yield ""
    yield "| scenario | subject | figure | A | B | B / A | |"
    yield "| --- | --- | --- | ---: | ---: | ---: | --- |"
    known = {(name, row.subject, row.figure): row.rounds for name, row in results.every_row(before)}
    for name, row in results.every_row(after):
        if there := known.get((name, row.subject, row.figure)):
            found = difference(there, row.rounds)
            cells = [f"{number(one.middle)} ({number(one.least)} .. {number(one.most)})" for one in found[:2]]
            word = "differs" if found.apart else "within the spread"
            if min(len(there), len(row.rounds)) < _ENOUGH:
                word = "too few rounds to say"
            yield f"| {name} | {row.subject} | {row.figure} | {' | '.join(cells)} | {found.ratio:.2f} | {word} |"


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
