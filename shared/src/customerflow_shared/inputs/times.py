"""Moments and days.

A moment needs its offset from UTC, and is kept in UTC to the millisecond. Clocks of others may be ahead of ours: what
must not lie in the future may be up to five minutes ahead.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from customerflow_shared.inputs.fields import Parser, Unfit
from customerflow_shared.inputs.text import string

CLOCK_SKEW = timedelta(minutes=5)
FIRST_DAY = date(1900, 1, 1)

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def moment(value: Any) -> datetime:
    given = string(value).strip()
    if not _MOMENT.fullmatch(given):
        raise Unfit("date-format", "The value must be a moment with its offset, such as 2026-11-22T15:00:00.000Z.")
    try:
        utc = datetime.fromisoformat(given).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unfit("date-format", "There is no such moment.") from None
    if utc.date() < FIRST_DAY:
        raise Unfit("date-range", "The moment must not lie before 1900.")
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def past(now: datetime) -> Parser[datetime]:
    def parse(value: Any) -> datetime:
        given = moment(value)
        if given > now + CLOCK_SKEW:
            raise Unfit("date-range", "The moment must not lie in the future.")
        return given

    return parse


def after(earlier: datetime) -> Parser[datetime]:
    def parse(value: Any) -> datetime:
        given = moment(value)
        if given <= earlier:
            raise Unfit("date-range", "The moment must lie later.")
        return given

    return parse


def birth_date(now: datetime) -> Parser[date]:
    """1900 to today, which is today in UTC."""

    def parse(value: Any) -> date:
        given = string(value).strip()
        if not _DATE.fullmatch(given):
            raise Unfit("date-format", "The value must be a day, such as 1985-03-17.")
        try:
            day = date.fromisoformat(given)
        except ValueError:
            raise Unfit("date-format", "There is no such day.") from None
        if not FIRST_DAY <= day <= now.date():
            raise Unfit("date-range", "The day must lie between 1900-01-01 and today.")
        return day

    return parse
