"""The event feed, read as a consumer reads it: by the last position it has."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import httpx

from blackbox.system import System

BEYOND: Final = 10**15  # a position that no feed of these tests reaches


@dataclass(frozen=True)
class Recorded:
    """One line of the feed; only what the tests look at."""

    position: int
    customer_id: str
    version: int
    event_id: str
    recorded_at: str
    command_id: str  # all events of one command have the same
    event: dict[str, Any]
    line: str = field(repr=False)

    @classmethod
    def parse(cls, line: str) -> Self:
        told = json.loads(line)
        return cls(
            told["position"],
            told["customerId"],
            told["version"],
            told["eventId"],
            told["recordedAt"],
            told["metadata"]["causationId"],
            told["event"],
            line,
        )


class Feed:
    def __init__(self, system: System, url: str | None = None) -> None:
        self.client = httpx.AsyncClient(
            base_url=url or system.command,
            headers={"Authorization": f"Bearer {system.feed_token}"},
            timeout=30,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()

    async def head(self) -> int:
        """The last position there is."""
        async with self.client.stream("GET", "/internal/events", params={"after": BEYOND}) as answer:
            assert answer.status_code == 200
            return int(answer.headers["CustomerFlow-Head"])

    async def page(self, after: int) -> AsyncIterator[Recorded]:
        """One answer, which may end before the feed does."""
        async with self.client.stream("GET", "/internal/events", params={"after": after}) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for line in answer.aiter_lines():
                if line:
                    yield Recorded.parse(line)

    async def read(self, after: int = 0) -> list[Recorded]:
        """Everything up to what was the head when it began."""
        head, found = await self.head(), list[Recorded]()
        while after < head:
            found += [recorded async for recorded in self.page(after)]
            assert found, f"The feed shows nothing after {after} though its head is {head}."
            after = found[-1].position
        return found
