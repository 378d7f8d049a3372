"""The command service's event feed, read over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
from customerflow_shared import events
from customerflow_shared.events import Place, Recorded

PAGE = 500
CUSTOMERS_PAGE = 1000  # events of whole customers
BEYOND = 10**18 - 1  # no position is


class FeedUnavailable(Exception):
    """The command service does not answer, or was cut off in the middle; asking again later is all there is to do."""


class FeedBehind(Exception):
    """The event store knows fewer events than have been projected: it has lost some, or it is another one."""


class Feed:
    """Recorded events; an event that this program does not know comes as its place."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def after(self, position: int) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
        """Pages of events after the position, with the head at the time of asking.

        Raises FeedUnavailable or FeedBehind.
        """
        async with self._answer("/internal/events", position) as response:
            head = int(response.headers["customerflow-head"])
            if head < position:
                raise FeedBehind(f"the head of the event store is {head}, position {position} has been seen")
            page: list[Recorded | Place] = []
            async for line in _lines(response):
                found = events.decode(line)
                position += 1
                if found.position != position:
                    raise FeedUnavailable(f"position {position} is missing")
                page.append(found)
                if len(page) == PAGE:
                    yield head, page
                    page = []
            if page:
                yield head, page
            if position < head:
                raise FeedUnavailable(f"cut off at position {position} of {head}")

    async def head(self) -> int:
        """The last position that there is. Raises FeedUnavailable."""
        async with self._answer("/internal/events", BEYOND) as response:
            return int(response.headers["customerflow-head"])

    async def by_customer(self, after: UUID) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
        """Pages of whole customers' events, by customer and version, of all customers with a greater id; with the head
        at the time of asking, up to which they reach. Raises FeedUnavailable.
        """
        async with self._answer("/internal/customers/events", after) as response:
            head, ended, before = int(response.headers["customerflow-head"]), False, (after, 0)
            page: list[Recorded | Place] = []
            async for line in _lines(response):
                if not line:
                    ended = True
                    continue
                found = events.decode(line)
                same = found.customer_id == before[0]
                if found.customer_id < before[0] or found.version != (before[1] + 1 if same else 1):
                    raise FeedUnavailable("an event is missing")
                if len(page) >= CUSTOMERS_PAGE and found.customer_id != before[0]:
                    yield head, page
                    page = []
                page.append(found)
                before = found.customer_id, found.version
            if not ended:
                raise FeedUnavailable("cut off")
            if page:
                yield head, page

    async def of_customer(self, customer_id: UUID, after: int) -> list[Recorded | Place]:
        """One customer's events after a version. Raises FeedUnavailable."""
        async with self._answer(f"/internal/customers/{customer_id}/events", after) as response:
            return [events.decode(line) async for line in _lines(response)]

    async def ping(self) -> None:
        async with self._answer("/health/live"):
            pass

    @asynccontextmanager
    async def _answer(self, path: str, after: int | UUID | None = None) -> AsyncIterator[httpx.Response]:
        """Raises FeedUnavailable for whatever keeps the answer, or the rest of it, from coming."""
        parameters = {} if after is None else {"after": str(after)}
        try:
            async with self._client.stream("GET", path, params=parameters) as response:
                if response.status_code != 200:
                    raise FeedUnavailable(f"the command service's event feed answers {response.status_code}")
                yield response
        except (httpx.HTTPError, KeyError, ValueError) as error:  # of the server, the head, a line
            raise FeedUnavailable(f"the command service's event feed cannot be read: {type(error).__name__}") from None


def connect(url: str, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=httpx.Timeout(10.0, connect=3.0)
    )


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        raise FeedUnavailable("the last line is cut off")
