"""Medians, spreads, ratios, and what is a difference."""

from collections.abc import Mapping

import pytest
from customerflow_bench.figures import (
    Difference,
    Row,
    Spread,
    Subject,
    alternate,
    difference,
    percentile,
    ratios,
    spread,
)


def test_a_spread_is_from_the_least_over_the_median_to_the_most() -> None:
    assert spread([3, 9, 1, 5, 4]) == Spread(1, 4, 9)


def test_ratios_are_of_the_same_round() -> None:
    # both were slowed down in the second round, so the ratio was the same in all of them
    assert ratios([100, 50, 100], [200, 100, 200]) == [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        ratios([1, 2], [1])


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1), (0.001, 1), (0.991, 100)],
)
def test_a_percentile_is_one_of_the_values(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_of_nothing_there_is_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_subjects_take_turns_and_every_other_round_is_in_reverse() -> None:
    order: list[str] = []
    told: list[str] = []

    def subject(name: str) -> Subject:
        def measure() -> Mapping[str, float]:
            order.append(name)
            return {"a second": len(order), "p50": 1.0}

        return Subject(name, measure)

    rows = alternate([subject("a"), subject("b")], 3, told.append, lambda: order.append("-"))
    assert "".join(order) == "-ab-ba-ab"
    assert told[2] == "round 2 of 3: b"
    assert rows == [
        Row("a", "a second", (2, 6, 8)),
        Row("a", "p50", (1.0, 1.0, 1.0)),
        Row("b", "a second", (3, 5, 9)),
        Row("b", "p50", (1.0, 1.0, 1.0)),
    ]


def test_a_difference_exceeds_the_spread_if_no_round_of_one_is_like_a_round_of_the_other() -> None:
    assert difference([10, 11, 12], [13, 20, 22]) == Difference(Spread(10, 11, 12), Spread(13, 20, 22), 20 / 11, True)
    assert not difference([10, 11, 12], [12, 20, 22]).apart
    assert difference([13, 20, 22], [10, 11, 12]).apart
