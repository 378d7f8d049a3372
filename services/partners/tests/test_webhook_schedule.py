"""When something is tried again."""

from datetime import UTC, datetime, timedelta

import pytest
from customerflow_partners.webhooks.schedule import ATTEMPTS, DELAYS, after_attempts, pause, retry_after

NOW = datetime(2026, 11, 22, 15, 4, 5, tzinfo=UTC)


def exactly(low: float, high: float) -> float:
    return (low + high) / 2


def test_a_delivery_is_tried_ten_times_over_three_days() -> None:
    delays = [after_attempts(attempts, exactly) for attempts in range(1, ATTEMPTS)]
    told = [timedelta(seconds=delay) for delay in DELAYS]
    assert [delay and round(delay.total_seconds()) for delay in delays] == [one.total_seconds() for one in told]
    assert ATTEMPTS == 10
    assert timedelta(days=3) < sum(told, timedelta()) < timedelta(days=4)
    assert after_attempts(ATTEMPTS) is None
    assert after_attempts(ATTEMPTS + 5) is None


def test_what_has_failed_together_does_not_come_back_together() -> None:
    seen = {after_attempts(2) for _ in range(50)}
    assert len(seen) > 40
    assert all(one and timedelta(seconds=270) <= one <= timedelta(seconds=330) for one in seen)


def test_a_webhook_that_fails_as_a_whole_is_left_alone_ever_longer_but_not_for_hours() -> None:
    pauses = [pause(failures, None, exactly).total_seconds() for failures in (1, 2, 3, 4, 8, 1000, 10**9)]
    assert pauses == pytest.approx([5, 10, 20, 40, 600, 600, 600])


def test_a_receiver_may_say_how_long_it_wants_to_be_left_alone_within_bounds() -> None:
    assert pause(1, 42.0) == timedelta(seconds=42)
    assert pause(9, 0.0) == timedelta(seconds=1)
    assert pause(1, 1e9) == timedelta(hours=1)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("99999999999", 99_999_999_999),
        ("Sun, 22 Nov 2026 15:05:05 GMT", 60),
        ("Sun, 22 Nov 2026 15:05:05 +0000", 60),
        ("Sun, 22 Nov 2026 12:05:05 -0300", 60),
        ("Sun, 22 Nov 2026 15:05:05 -0000", 60),
        ("Sun, 22 Nov 2020 15:05:05 GMT", 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("١٢", None),
        ("²", None),
        ("9" * 400, None),
        ("Sun, 99 Nov 2026 15:05:05 GMT", None),
        ("Sun, 22 Nov 99999 15:05:05 GMT", None),
    ],
)
def test_a_retry_after_says_seconds_or_a_date_and_anything_else_says_nothing(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after(value, NOW) == seconds
