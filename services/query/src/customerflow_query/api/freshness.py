"""How new an answer must be, and how new it is: `minPosition`, `minVersion` and `Prefer: wait` on the way in,
`CustomerFlow-Position` and `CustomerFlow-Projection-Lag` on the way out.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from customerflow_shared import metrics, requests
from customerflow_shared.problems import Problem, Translation
from customerflow_shared.views import Stored

from customerflow_query.read_model import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Found,
    Freshness,
    PositionNotReached,
    ReadModel,
    ReadModelUnavailable,
    Rebuilding,
)
from customerflow_query.reader import Reader

T = TypeVar("T")

DEFAULT_WAIT = 1.0  # seconds
LONGEST_WAIT = 7.0  # of the 8 that a request may last
PARAMETERS = ("minPosition",)
"""Those that every read takes."""
OF_CUSTOMERS = ("minVersion", *PARAMETERS)
"""Those that every read of one customer takes."""

_waits = metrics.counter(
    "customerflow.read.waits", "{read}", "Reads of one customer that had to wait for what they had asked for."
)
_WAIT = re.compile(rb'(?:^|[,;\s])wait\s*=\s*"?([0-9]{1,9})"?\s*(?:$|[,;])', re.IGNORECASE)


class Asked(NamedTuple):
    """`applied` is what was applied of the preference to wait, if there was anything to wait for; `since` is a time, in
    milliseconds since 1970, of which all must be known.
    """

    position: int
    version: int
    wait: float
    applied: bytes | None
    since: int = 0


ANYTHING = Asked(0, 0, DEFAULT_WAIT, None)
TRANSLATIONS: dict[type[Exception], Translation] = {
    Rebuilding: lambda _: Problem(
        "rebuilding", "The read model is being completed; ask again shortly.", headers={"Retry-After": "1"}
    ),
    ReadModelUnavailable: lambda _: Problem(
        "unavailable", "Redis does not answer; ask again shortly.", headers={"Retry-After": "1"}
    ),
    PositionNotReached: lambda error: behind(error.freshness, currentPosition=error.freshness.position),
}


def asked(given: Mapping[str, str], headers: Iterable[tuple[bytes, bytes]], *, at_least: int = 0) -> Asked:
    """Out of a query and an ASGI scope's headers; `at_least` is the version that is needed anyway. Raises
    Problem `invalid-parameter`.
    """
    position = requests.integer(given, "minPosition", default=0)
    version = max(at_least, requests.integer(given, "minVersion", default=0, minimum=1))
    wait, applied = preferred_wait(headers)
    return Asked(position, version, wait, applied if position or version else None)


async def read(model: ReadModel, asked: Asked, look: Callable[[str], Awaitable[T]]) -> Found[T]:
    """As `ReadModel.read`; a Problem out of `look` is as well founded as a value, and tells how fresh it is."""

    async def found(generation: str) -> T | Problem:
        try:
            return await look(generation)
        except Problem as problem:
            return problem

    value, freshness = await model.read(found, position=asked.position, since=asked.since, wait=asked.wait)
    if isinstance(value, Problem):
        value.headers |= headers_of(freshness)
        raise value
    return Found(value, freshness)


async def recent(reader: Reader, customer_id: UUID | str, asked: Asked) -> Found[Stored | None]:
    """The customer once it is as new as was asked for. Raises Problem `projection-behind`, or as `Reader.read` does."""
    found = await reader.read(customer_id)
    if _missing(found, asked) is not None:
        _waits.add(1)
    clock = asyncio.get_running_loop().time
    deadline, pause = clock() + asked.wait, FIRST_PAUSE
    while (missing := _missing(found, asked)) is not None:
        if clock() + pause > deadline:
            raise missing
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)
        found = await reader.read(customer_id)
    return found


def _missing(found: Found[Stored | None], asked: Asked) -> Problem | None:
    stored, freshness = found
    if freshness.position < asked.position:
        return behind(freshness, currentPosition=freshness.position)
    version = stored.version if stored else 0
    return behind(freshness, currentVersion=version) if version < asked.version else None


def behind(freshness: Freshness, **current: Any) -> Problem:
    """`current` is how far what was asked for has come."""
    return Problem(
        "projection-behind",
        "The read model has not come as far as was asked for; ask again shortly.",
        headers={"Retry-After": "1", **headers_of(freshness)},
        **current,
    )


def headers_of(freshness: Freshness, asked: Asked | None = None) -> dict[str, str]:
    headers = {"CustomerFlow-Position": str(freshness.position)}
    if freshness.as_of:
        headers["CustomerFlow-Projection-Lag"] = f"{max(0.0, time.time() - freshness.as_of / 1000):.3f}"
    if asked and asked.applied:
        headers["Preference-Applied"] = asked.applied.decode()
    return headers


def preferred_wait(headers: Iterable[tuple[bytes, bytes]]) -> tuple[float, bytes | None]:
    """The seconds of `Prefer: wait=<s>`, and what was applied of it.

    A preference that cannot be honoured is no error (RFC 7240).
    """
    for name, value in headers:
        if name == b"prefer" and (match := _WAIT.search(value)):
            seconds = min(float(match[1]), LONGEST_WAIT)
            return seconds, b"wait=%d" % seconds
    return DEFAULT_WAIT, None
