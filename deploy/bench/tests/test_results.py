"""Results: kept, told, judged, compared."""

from pathlib import Path

import pytest
from customerflow_bench import plots, results, tables
from customerflow_bench.figures import Row
from customerflow_bench.results import Bound, Place, Ratio, Result, scenario


def result(commit: str, *rates: float, at: str = "20261123T000000Z", dirty: bool = False) -> Result:
    ours, driver = Place("ours", "commands/s"), Place("driver", "commands/s")
    measured = scenario(
        "so many clients",
        [Row("ours", "commands/s", rates), Row("driver", "commands/s", tuple(2 * rate for rate in rates))],
        ratios=[
            Ratio(over=ours, under=driver, at_least=0.5),
            Ratio(over=ours, under=Place("nobody", "commands/s"), at_least=3),
        ],
        bounds=[Bound(of=ours, at_most=5), Bound(of=Place("ours", "p50"), at_most=5)],
    )
    return Result(commit=commit, dirty=dirty, at=at, machine={}, settings={}, scenarios={"commands": measured})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")


def test_what_was_not_measured_is_not_judged() -> None:
    measured = result("abc", 10, 20, 30).scenarios["commands"]
    assert [what for what, _, _ in tables.targets(measured)] == [
        "ours / driver, commands/s",
        "ours, commands/s",
    ]


def test_the_table_tells_each_figure_with_its_spread_and_below_it_how_it_compares() -> None:
    lines = list(tables.table(result("abc", 10, 30, 20)))
    assert lines[-3:] == [
        "| ours | commands/s | 20.0 | 10.0 .. 30.0 | <= 5.00 | missed |",
        "| | / driver | 0.50 | 0.50 .. 0.50 | >= 0.50 | met |",
        "| driver | commands/s | 40.0 | 20.0 .. 60.0 |  |  |",
    ]


def test_a_plot_shows_what_is_wanted_and_how_often_it_was_reached() -> None:
    reached, rates, ratios = plots.plotted(result("abc", 10, 30, 20))
    assert [plot["name"] for plot in (reached, rates, ratios)] == ["targets", "commands-rates", "commands-ratios"]
    assert [(line["name"], line["told"]) for line in reached["lines"]] == [
        ("commands: ours / driver, commands/s", "0.50, wanted >= 0.50"),
        ("commands: ours, commands/s", "20.0, wanted <= 5.00"),
    ]
    assert [line["marks"] for line in reached["lines"]] == [
        [{"least": 1, "middle": 1, "most": 1, "wanted": 1}],
        [{"least": 5 / 30, "middle": 5 / 20, "most": 5 / 10, "wanted": 1}],
    ]
    assert [(line["name"], *line["marks"]) for line in rates["lines"]] == [
        ("ours", {"least": 10, "middle": 20, "most": 30, "wanted": 5}),
        ("driver", {"least": 20, "middle": 40, "most": 60, "wanted": None}),
    ]
    assert ratios["lines"][0]["marks"] == [{"least": 0.5, "middle": 0.5, "most": 0.5, "wanted": 0.5}]


def test_a_result_is_read_as_it_was_written() -> None:
    written = result("abc", 1, 2, 3)
    assert results.load(results.save(written)) == written


def test_of_a_commit_the_newest_result_counts_and_none_of_changed_code() -> None:
    for one in (
        result("abc", 1, at="20261123T000001Z"),
        result("abc", 2, at="20261123T000002Z"),
        result("abc", 3, at="20261123T000003Z", dirty=True),
        result("def", 4, at="20261123T000004Z"),
    ):
        results.save(one)
    found = results.newest("abc")
    assert found is not None
    assert found.at == "20261123T000002Z"
    assert results.newest("123") is None


def test_a_comparison_says_what_exceeds_the_spread() -> None:
    lines = list(tables.comparison(result("abc", 10, 11, 12), result("def", 20, 22, 24)))
    assert "| commands | ours | commands/s | 11.0 (10.0 .. 12.0) | 22.0 (20.0 .. 24.0) | 2.00 | differs |" in lines
    lines = list(tables.comparison(result("abc", 10, 11), result("def", 20, 22, 24)))
    assert lines[-1].endswith("| too few rounds to say |")
    lines = list(tables.comparison(result("abc", 10, 11, 12), result("def", 12, 12, 12)))
    assert (
        "| commands | ours | commands/s | 11.0 (10.0 .. 12.0) | 12.0 (12.0 .. 12.0) | 1.09 | within the spread |"
        in lines
    )
