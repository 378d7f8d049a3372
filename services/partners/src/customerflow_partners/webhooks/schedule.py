"""When it is tried again: one delivery over three days, and a webhook that does not answer at all by a probe."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# Standard Webhooks' suggestion: between the first attempt and the second, and so on
DELAYS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)  # seconds
ATTEMPTS = len(DELAYS) + 1

FIRST_PAUSE = 5.0  # seconds, of a webhook that fails as a whole
LONGEST_PAUSE = 600.0
SHORTEST_ASKED = 1.0
LONGEST_ASKED = 3600.0  # a Retry-After further away is not waited for

_JITTER = 0.1

Spread = Callable[[float, float], float]


def after_attempts(attempts: int, spread: Spread = random.uniform) -> timedelta | None:
    """How long after the last of so many attempts the next one is made; None: there is none."""
    if attempts > len(DELAYS):
        return None
    return timedelta(seconds=_spread(DELAYS[attempts - 1], spread))


def pause(failures: int, asked: float | None = None, spread: Spread = random.uniform) -> timedelta:
    """How long nothing is sent after so many failures of the webhook as a whole; `asked` is its own Retry-After."""
    if asked is not None:
        return timedelta(seconds=min(max(asked, SHORTEST_ASKED), LONGEST_ASKED))
    return timedelta(seconds=_spread(min(FIRST_PAUSE * 2 ** min(failures - 1, 20), LONGEST_PAUSE), spread))


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds, of a header that says seconds or a date (RFC 9110); None for what is neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) < 12:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp(), 0.0)


def _spread(seconds: float, spread: Spread) -> float:
    """So that what has failed together does not come back together."""
    return seconds * spread(1 - _JITTER, 1 + _JITTER)
