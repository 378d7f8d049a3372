"""The event feed: recorded events as lines of JSON, for the projector.

Its reader needs no access to MySQL, and knows nothing of its schema.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeAlias
from uuid import UUID

from customerflow_shared import requests
from customerflow_shared.events import Place, Recorded, encode
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream
from litestar.types import Guard

from customerflow_command.api.intake import HttpRequest
from customerflow_command.store import FEED_SLICE, Store

Page: TypeAlias = Sequence[Recorded | Place]

NDJSON = "application/x-ndjson"
NOBODY = UUID(int=0)


def with_token(token: str) -> Guard:
    """A guard: the service's own credentials, as a bearer token."""
    return requests.with_token(token, "Send the feed's token.")


@get("/internal/events", include_in_schema=False)
async def events_after(request: HttpRequest, store: NamedDependency[Store]) -> Stream:
    """All events after `after` (a position, 0 for all), in the order of their positions, up to the head at the time
    of asking.

    The head is in the answer's headers, and positions have no gaps: a reader knows whether it has been cut off.
    """
    given = requests.parameters(request.scope["query_string"], ["after"])
    head = await store.head()
    return await _streamed(store.feed(requests.integer(given, "after", default=0), head), head)


@get("/internal/customers/events", include_in_schema=False)
async def events_by_customer(request: HttpRequest, store: NamedDependency[Store]) -> Stream:
    """The events of all customers with a greater id than `after`, up to the head at the time of asking: by id, each
    customer's by version.

    An empty line ends it: without it the reader has been cut off, and may go on after the last customer but one.
    """
    given = requests.parameters(request.scope["query_string"], ["after"])
    after = requests.identifier(given["after"]) if "after" in given else NOBODY
    head = await store.head()
    return await _streamed(store.by_customer(after, head), head, end=b"\n")


@get("/internal/customers/{customer_id:str}/events", include_in_schema=False)
async def events_of_customer(request: HttpRequest, customer_id: FromPath[str], store: NamedDependency[Store]) -> Stream:
    """One customer's events after the version `after`, to fill a gap."""
    given = requests.parameters(request.scope["query_string"], ["after"])
    return await _streamed(store.stream(requests.identifier(customer_id), requests.integer(given, "after", default=0)))


ROUTES = [events_after, events_by_customer, events_of_customer]


async def _streamed(pages: AsyncIterator[Page], head: int | None = None, *, end: bytes = b"") -> Stream:
    """The pages as lines. The first is read before the answer begins: what fails so far is told by its status."""
    first: Page = await anext(pages, [])
    headers = {} if head is None else {"CustomerFlow-Head": str(head)}
    return Stream(_lines(first, pages, end), media_type=NDJSON, headers=headers)


async def _lines(first: Page, rest: AsyncIterator[Page], end: bytes) -> AsyncIterator[bytes]:
    yield await _ndjson(first)
    async for page in rest:
        yield await _ndjson(page)
    yield end


async def _ndjson(page: Page) -> bytes:
    lines: list[bytes] = []
    for start in range(0, len(page), FEED_SLICE):
        lines += map(encode, page[start : start + FEED_SLICE])
        await asyncio.sleep(0)
    return b"\n".join([*lines, b""])
