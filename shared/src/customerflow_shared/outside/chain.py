"""Several services that know the same: one is asked after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias, TypeVar

from customerflow_shared.outside.failures import OutsideError

T = TypeVar("T")
Ask: TypeAlias = Callable[[], Awaitable[T | None]]
"""None: the service says that there is no such thing. Raises OutsideError."""


class NoAnswer(OutsideError):
    """None of those that were asked has answered."""

    def __init__(self, retry_after: float | None) -> None:
        super().__init__("none has answered")
        self.retry_after = retry_after


async def first_answer(asks: Iterable[Ask[T]], within: float) -> T | None:
    """What the first one knows; None if somebody says that there is no such thing, and nobody knows better.

    Raises NoAnswer, at the latest after `within` seconds.
    """
    denied = False
    waits: list[float] = []
    try:
        async with asyncio.timeout(within):
            for ask in asks:
                try:
                    if (known := await ask()) is not None:
                        return known
                    denied = True
                except OutsideError as error:
                    if error.retry_after is not None:
                        waits.append(error.retry_after)
    except TimeoutError:
        pass
    if denied:
        return None
    raise NoAnswer(min(waits, default=None))
