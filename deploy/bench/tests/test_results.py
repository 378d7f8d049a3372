"""Results: kept, told, judged, compared."""

from pathlib import Path

import pytest
from customerflow_bench import results, tables
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
        "ours, commands/s / driver, commands/s",
        "ours, commands/s",
    ]


def test_the_table_tells_medians_spreads_ratios_and_what_should_be() -> None:
    lines = list(tables.table(result("abc", 10, 30, 20)))
    assert "| ours | commands/s | 20.0 | 10.0 .. 30.0 |" in lines
    assert "| ours, commands/s / driver, commands/s | 0.50 | 0.50 .. 0.50 | >= 0.50 | met |" in lines
    assert "| ours, commands/s | 20.0 | 10.0 .. 30.0 | <= 5.00 | missed |" in lines


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
