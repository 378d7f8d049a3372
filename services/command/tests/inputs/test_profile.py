"""Days, moments, languages, time zones."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from customerflow_command.inputs import profile, times
from customerflow_command.inputs.fields import Unfit
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 22, 15, tzinfo=UTC)


def code(read: Callable[[], object]) -> str:
    with pytest.raises(Unfit) as caught:
        read()
    return caught.value.code


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


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("pt_br", "pt-BR"),
        ("PT", "pt"),
        ("sr_latn_rs", "sr-Latn-RS"),
        ("es-419", "es-419"),
        ("ca-es-VALENCIA", "ca-ES-valencia"),
        ("de-CH-1901", "de-CH-1901"),
        ("iw", "he"),
        ("mol", "ro"),
        ("en-UK", "en-GB"),
        ("sh-Cyrl", "sh-Cyrl"),
    ],
)
def test_a_language_has_one_spelling(written: str, normal: str) -> None:
    assert profile.locale(written) == normal
    assert profile.locale(normal) == normal


@pytest.mark.parametrize(
    "written",
    ["english", "xx-ZZ", "jp", "en-000", "x-foo", "en-x-foo", "en-u-ca-gregory", "C", "", "pt" + "-1901" * 8],
)
def test_what_is_no_language_is_refused(written: str) -> None:
    assert code(lambda: profile.locale(written)) == "locale-invalid"


@given(st.text("abcdefghijklmnopqrstuvwxyzABCLT0123456789-_", max_size=12))
def test_the_normal_form_of_any_language_is_its_own(written: str) -> None:
    try:
        normal = profile.locale(written)
    except Unfit:
        return
    assert profile.locale(normal) == normal


@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "UTC", "Europe/Lisbon", "Etc/GMT+3"])
def test_a_time_zone_of_iana_is_taken(zone: str) -> None:
    assert profile.timezone(zone) == zone
    assert ZoneInfo(zone)


@pytest.mark.parametrize("zone", ["GMT-3", "BRT", "america/sao_paulo", "localtime", "posixrules", "../etc/passwd", ""])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    assert code(lambda: profile.timezone(zone)) == "timezone-unknown"
