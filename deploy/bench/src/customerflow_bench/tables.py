"""Results in Markdown: medians with the least and the most of the rounds."""

from collections.abc import Iterator, Sequence

from customerflow_bench import results
from customerflow_bench.figures import difference, ratios, spread
from customerflow_bench.results import Bound, Place, Ratio, Result, Scenario

_ENOUGH = 3  # rounds, for a spread to mean anything


def table(result: Result) -> Iterator[str]:
    dirty = ", with uncommitted changes" if result.dirty else ""
    yield f"Commit {result.commit}{dirty}, {result.at}"
    yield ", ".join(f"{name} {value}" for name, value in (result.machine | result.settings).items())
    for name, scenario in result.scenarios.items():
        yield from ("", f"### {name}: {scenario.title}", "", *_figures(scenario))
        if scenario.ratios or scenario.bounds:
            yield from ("", *_targets(scenario))
        for note in scenario.notes:
            yield from ("", note)


def _figures(scenario: Scenario) -> Iterator[str]:
    yield "| subject | figure | median | least .. most |"
    yield "| --- | --- | ---: | ---: |"
    for row in scenario.rows:
        least, middle, most = spread(row.rounds)
        yield f"| {row.subject} | {row.figure} | {number(middle)} | {number(least)} .. {number(most)} |"


def _targets(scenario: Scenario) -> Iterator[str]:
    yield "| what | median | least .. most | should be | |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for what, values, one in targets(scenario):
        least, middle, most = spread(values)
        wanted = _wanted(one)
        yield f"| {what} | {number(middle)} | {number(least)} .. {number(most)} | {wanted} | {verdict(middle, one)} |"


def targets(scenario: Scenario) -> Iterator[tuple[str, Sequence[float], Ratio | Bound]]:
    """What is judged: its name, its rounds, and by what."""
    for ratio in scenario.ratios:
        over, under = scenario.rounds(ratio.over), scenario.rounds(ratio.under)
        assert over is not None  # see `results.scenario`
        assert under is not None
        yield f"{_placed(ratio.over)} / {_placed(ratio.under)}", ratios(over, under), ratio
    for bound in scenario.bounds:
        values = scenario.rounds(bound.of)
        assert values is not None
        yield _placed(bound.of), values, bound


def _placed(place: Place) -> str:
    return f"{place.subject}, {place.figure}"


def _wanted(one: Ratio | Bound) -> str:
    at_most = one.at_most if isinstance(one, Bound) else None
    words = ["" if one.at_least is None else f">= {number(one.at_least)}"]
    words.append("" if at_most is None else f"<= {number(at_most)}")
    return " ".join(filter(None, words))


def verdict(middle: float, one: Ratio | Bound) -> str:
    """Of the median; nothing where nothing is wanted."""
    at_most = one.at_most if isinstance(one, Bound) else None
    if one.at_least is None and at_most is None:
        return ""
    missed = (one.at_least is not None and middle < one.at_least) or (at_most is not None and middle > at_most)
    return "missed" if missed else "met"


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
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
