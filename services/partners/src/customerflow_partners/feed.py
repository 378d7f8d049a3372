"""The command service's feed of integration events of the past, read over HTTP."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple
from uuid import UUID

import httpx
import msgspec
from customerflow_contract.cloud_event import TYPE_PREFIX
from msgspec import UNSET, Raw, Struct, UnsetType


class FeedUnavailable(Exception):
    """The command service does not answer, or was cut off in the middle; asking again later is all there is to do."""


class Event(NamedTuple):
    """`body` is the CloudEvent, byte by byte as it was sent first."""

    id: UUID
    routing_key: str
    customer: UUID
    sequence: int
    body: bytes


class Line(NamedTuple):
    """Of one command, which ends at `position`; all before has been told. `unreadable`: it cannot be read."""

    position: int
    events: list[Event]
    unreadable: bool = False


class _Line(Struct, frozen=True):
    position: int
    events: list[Raw] = []
    unreadable: Raw | UnsetType = UNSET


class _Envelope(Struct, frozen=True):
    id: UUID
    type: str
    subject: UUID
    sequence: str


_line = msgspec.json.Decoder(_Line)
_envelope = msgspec.json.Decoder(_Envelope)

# of whatever may be wrong with an answer: the server, its head, a line
_FAULTS = (httpx.HTTPError, KeyError, ValueError)


class Feed:
    """All may raise FeedUnavailable."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @asynccontextmanager
    async def told(self, asked: dict[str, str | list[str]]) -> AsyncIterator[tuple[int, AsyncIterator[Line]]]:
        """Up to which position it goes, and the lines. Of a reader who is cut off the lines end earlier."""
        try:
            async with self._client.stream("GET", "/internal/integration-events", params=asked) as response:
                _check(response)
                async with aclosing(_lines(response)) as lines:
                    yield int(response.headers["customerflow-head"]), lines
        except _FAULTS as error:
            raise _unavailable(error) from None

    async def of_version(self, customer: UUID, version: int) -> Line | None:
        """The command that the customer's version is of; None if there is none."""
        try:
            response = await self._client.get(f"/internal/customers/{customer}/integration-events/{version}")
            if response.status_code == 404 and response.json()["code"] == "event-not-found":
                return None
            _check(response)
            return _read(response.content)
        except (*_FAULTS, TypeError) as error:
            raise _unavailable(error) from None

    async def ping(self) -> None:
        try:
            _check(await self._client.get("/health/live"))
        except httpx.HTTPError as error:
            raise _unavailable(error) from None


def connect(url: str, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=httpx.Timeout(10.0, connect=3.0)
    )


def event_of(body: bytes) -> Event:
    """Raises ValueError for what is no event of the contract."""
    told = _envelope.decode(body)
    if not (told.type.startswith(TYPE_PREFIX) and told.sequence.isascii() and told.sequence.isdecimal()):
        raise ValueError("not an event of the contract")
    return Event(told.id, told.type.removeprefix(TYPE_PREFIX), told.subject, int(told.sequence[:20]), body)


async def _lines(response: httpx.Response) -> AsyncGenerator[Line, None]:
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield _read(line)


def _read(line: bytes) -> Line:
    told = _line.decode(line)
    return Line(told.position, [event_of(bytes(one)) for one in told.events], told.unreadable is not UNSET)


def _check(response: httpx.Response) -> None:
    if response.status_code != 200:
        raise FeedUnavailable(f"the command service answers {response.status_code}")


def _unavailable(error: BaseException) -> FeedUnavailable:
    return FeedUnavailable(f"the command service does not answer: {type(error).__name__}")
