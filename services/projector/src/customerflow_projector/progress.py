"""How far a long work is, how fast it goes, and how long it will take."""

import time
from collections.abc import Callable

Told = Callable[[int, int], None]
"""Called with what is done, and with what there is to do."""

TELL_EVERY = 5.0  # seconds


class Pace:
    """Tells a sentence at the beginning, at the end, and every few seconds between."""

    def __init__(self, of: str, tell: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._of = of
        self._tell = tell
        self._clock = clock
        self._began = self._told = 0.0
        self._from: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = self._clock()
        if self._from is None:
            self._began, self._from = now, done
        elif done < total and now < self._told + TELL_EVERY:
            return
        self._told = now
        self._tell(f"{done:,} of {total:,} {self._of}{self._rate(now, done, total)}")

    def _rate(self, now: float, done: int, total: int) -> str:
        made, seconds = done - (self._from or 0), now - self._began
        if not made or not seconds:
            return ""
        rate = made / seconds
        return f", {rate:,.0f} a second, {max(total - done, 0) / rate:,.0f} seconds left"
