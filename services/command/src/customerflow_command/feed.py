"""The event feed, as lines of JSON: recorded events for the projector, integration events of the past for the service
that replays them.

Its readers need no access to MySQL, and know nothing of its schema.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec
from customerflow_contract.events import ROUTING_KEYS
from customerflow_shared import requests
from customerflow_shared.events import Place, Recorded
from customerflow_shared.inputs.fields import Unfit
from customerflow_shared.inputs.times import moment
from customerflow_shared.openapi import JSON
from customerflow_shared.problems import Problem
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream
from litestar.types import Guard

from customerflow_command.api.intake import HttpRequest
from customerflow_command.past import Line, Past, Wanted
from customerflow_command.store import FEED_SLICE, MAX_VERSION, Store

Page: TypeAlias = Sequence[Recorded | Place | Line]

NDJSON = "application/x-ndjson"
NOBODY = UUID(int=0)

_encoder = msgspec.json.Encoder()


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


@get("/internal/integration-events", include_in_schema=False)
async def integration_events(request: HttpRequest, past: NamedDependency[Past]) -> Stream:
    """What other systems have been told, or will be, after the position `after` and up to `until`, recorded since
    `since` and before `before`, of each `type`, of one `customer`; each of them may be left out.

    A line for each command, see `past.Line`: it belongs to the position of its last event, and is never cut. Up to
    where it goes is in the answer's headers: a reader who has not got that far has been cut off, and may go on after
    the position of the last line.
    """
    end, pages = await past.told(_wanted(request.scope["query_string"]))
    return await _streamed(pages, end)


@get("/internal/customers/{customer_id:str}/integration-events/{version:str}", include_in_schema=False)
async def integration_events_of_version(
    customer_id: FromPath[str], version: FromPath[str], request: HttpRequest, past: NamedDependency[Past]
) -> Response[bytes]:
    """What other systems have been told of the command that the customer's version is of: one line."""
    requests.parameters(request.scope["query_string"])
    number = requests.integer({"version": version}, "version", default=0, minimum=1)
    line = await past.of(requests.identifier(customer_id), number) if number <= MAX_VERSION else None
    if line is None:
        raise Problem("event-not-found", "The customer does not have this version.")
    return Response(_encoder.encode(line), media_type=JSON)


ROUTES = [
    events_after,
    events_by_customer,
    events_of_customer,
    integration_events,
    integration_events_of_version,
]


def _wanted(query_string: bytes) -> Wanted:
    """Raises Problem."""
    given = requests.parameters(query_string, ["after", "until", "since", "before", "customer"], repeatable=["type"])
    if not {*given.every("type")} <= {*ROUTING_KEYS.values()}:
        raise Problem("invalid-parameter", "type must be one of " + ", ".join(sorted(ROUTING_KEYS.values())) + ".")
    wanted = Wanted(
        after=requests.integer(given, "after", default=0),
        until=requests.integer(given, "until", default=0) if "until" in given else None,
        since=_moment(given, "since"),
        before=_moment(given, "before"),
        types=frozenset(given.every("type")),
        customer=requests.identifier(given["customer"]) if "customer" in given else None,
    )
    if wanted.until is not None and wanted.until < wanted.after:
        raise Problem("invalid-parameter", "until must not lie before after.")
    if wanted.since and wanted.before and wanted.before <= wanted.since:
        raise Problem("invalid-parameter", "before must lie after since.")
    return wanted


def _moment(given: requests.Parameters, name: str) -> datetime | None:
    try:
        return moment(given[name]) if name in given else None
    except Unfit as unfit:
        raise Problem("invalid-parameter", f"{name}: {unfit.detail}") from None


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
        lines += map(_encoder.encode, page[start : start + FEED_SLICE])
        await asyncio.sleep(0)
    return b"\n".join([*lines, b""])
