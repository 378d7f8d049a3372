"""Days and moments."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from customerflow_shared.inputs import times

from .refusals import code

NOW = datetime(2026, 11, 22, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-11-23", "date-range"),
        ("1899-12-31", "date-range"),
        ("1985-02-30", "date-format"),
        ("1985-03-17T00:00:00Z", "date-format"),
        ("19850317", "date-format"),
        ("1985-W11-7", "date-format"),
        ("17/03/1985", "date-format"),
        ("\u0661985-03-17", "date-format"),
        ("", "date-format"),
        (19850317, "type"),
    ],
)
def test_an_unfit_day_of_birth_is_told_why(written: Any, expected: str) -> None:
    assert code(lambda: times.birth_date(NOW)(written)) == expected


@pytest.mark.parametrize("written", ["1900-01-01", "2026-11-22", "2000-02-29"])
def test_one_can_be_born_from_1900_until_today(written: str) -> None:
    assert times.birth_date(NOW)(written) == date.fromisoformat(written)


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-11-22T15:00:00.000Z", datetime(2026, 11, 22, 15, tzinfo=UTC)),
        ("2026-11-22T12:00:00-03:00", datetime(2026, 11, 22, 15, tzinfo=UTC)),
        ("2026-11-22T12:00-03:00", datetime(2026, 11, 22, 15, tzinfo=UTC)),
        ("2026-11-22T14:59:59.999999999Z", datetime(2026, 11, 22, 14, 59, 59, 999000, tzinfo=UTC)),
    ],
)
def test_a_moment_is_kept_in_utc_to_the_millisecond(written: str, utc: datetime) -> None:
    assert times.moment(written) == utc
    assert times.moment(utc.isoformat()) == utc


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-11-22T15:00:00", "date-format"),
        ("2026-11-22", "date-format"),
        ("2026-11-22 15:00:00Z", "date-format"),
        ("2026-11-22T25:00:00Z", "date-format"),
        ("2026-11-22T15:00:60Z", "date-format"),
        ("2026-02-30T15:00:00Z", "date-format"),
        ("2026-11-22T15:00:00+99:00", "date-format"),
        ("0001-01-01T00:00:00+14:00", "date-format"),
        ("1899-12-31T23:59:59Z", "date-range"),
        ("20261122T150000Z", "date-format"),
        (1763823600, "type"),
    ],
)
def test_an_unfit_moment_is_told_why(written: Any, expected: str) -> None:
    assert code(lambda: times.moment(written)) == expected


def test_the_clocks_of_others_may_be_five_minutes_ahead() -> None:
    assert times.past(NOW)("2026-11-22T15:05:00Z")
    assert code(lambda: times.past(NOW)("2026-11-22T15:05:00.001Z")) == "date-range"


def test_what_must_come_later_does() -> None:
    assert times.after(NOW)("2026-11-22T15:00:00.001Z")
    assert code(lambda: times.after(NOW)("2026-11-22T15:00:00Z")) == "date-range"
