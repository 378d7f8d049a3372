"""What happens to customers, as it happens: server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from customerflow_shared import requests, service, telemetry, timeline
from customerflow_shared.openapi import header, operation
from customerflow_shared.problems import Problem, responses
from customerflow_shared.requests import Parameters
from customerflow_shared.views import Notice
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.response import Stream

from customerflow_query.api.documentation import query
from customerflow_query.changes import Changes, Cut, Outdated, event
from customerflow_query.read_model import ReadModelUnavailable, Rebuilding

STREAMS = 1_000
CUSTOMERS = 50
RETRY = 1_000  # milliseconds after which a client comes back
HEARTBEAT = 15.0  # seconds
TAKEN_WITHIN = 30.0  # seconds
LOOK_AGAIN = 1.0  # seconds, if nothing is heard


class Wanted(NamedTuple):
    """Which notices a client is told of: those of any type and customer, unless some are named."""

    types: frozenset[str]
    customers: frozenset[UUID]

    def takes(self, notice: Notice) -> bool:
        return (not self.types or notice.type in self.types) and (
            not self.customers or notice.customer_id in self.customers
        )


_TYPES = Schema(type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.STRING, enum=sorted(timeline.TYPES)))
_IDS = Schema(type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID))
_PARAMETERS = [
    query("after", "The position after which to begin; without it, now.", Schema(type=OpenAPIType.INTEGER, minimum=0)),
    query("type", "Only events of these types; may be repeated.", _TYPES, example=["CustomerEmailChanged"]),
    query("customerId", "Only these customers, at most 50; may be repeated.", _IDS),
    header("Last-Event-ID", "What a client that reconnects has got last; it goes before `after`.", example="17"),
]


@get(
    "/v1/changes",
    summary="What happens to customers, as it happens",
    tags=["changes"],
    media_type="text/event-stream",
    operation_class=operation(*_PARAMETERS),
    responses=responses("unknown-parameter", "invalid-parameter", "rebuilding", "unavailable", "busy", "switched-off"),
)
async def customer_changes(request: Request[Any, Any, Any], changes: NamedDependency[Changes]) -> Stream:
    """Server-sent events that do not end, for an `EventSource` or what does as it does.

    `event: change` tells of one event of one customer: `position`, `customerId`, `version`, `type`, `recordedAt`. They
    come in the order of positions, each once, and what they tell of can be read by then. A client that reconnects with
    the last `id` as `Last-Event-ID` misses nothing and gets nothing twice. After a position that is not reached yet it
    waits.

    `event: reset` says that what was asked for is not kept any more, the newest 100,000 are: read anew what you hold;
    the stream goes on from `position`, and `oldest` is the first that is kept. It is no HTTP error because an
    `EventSource` would not come back after one. A comment comes every 15 seconds if nothing else does. Whoever does not
    read for 30 seconds is cut off. While the read model is being built anew the stream is silent, and goes on then.
    """
    given = requests.parameters(request.scope["query_string"], ["after"], repeatable=["type", "customerId"])
    wanted, place = _wanted(given), _place(given, request.headers.getall("Last-Event-ID", []))
    if not changes.is_served():
        raise Problem("switched-off", "The stream of changes is not served now.", headers={"Retry-After": "30"})
    if place is None:
        place = await changes.now()
    if len(changes.clients) >= STREAMS:
        raise Problem("busy", f"{STREAMS} streams are open already.", headers={"Retry-After": "5"})
    return Stream(
        _stream(changes, place, wanted, service.cut_of(request.scope)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


ROUTES = [customer_changes]


def _wanted(given: Parameters) -> Wanted:
    types, customers = given.every("type"), given.every("customerId")
    if not timeline.TYPES.issuperset(types):
        raise Problem("invalid-parameter", "type must be the type of an event.")
    if len(customers) > CUSTOMERS:
        raise Problem("invalid-parameter", f"customerId may be given {CUSTOMERS} times.")
    try:
        return Wanted(frozenset(types), frozenset(map(requests.identifier, customers)))
    except Problem:
        raise Problem("invalid-parameter", "customerId must be a UUID in its form with hyphens.") from None


def _place(given: Parameters, last: Sequence[str]) -> int | None:
    """None for now. A browser goes on sending the query that it began with, so the header is what counts."""
    after = requests.integer(given, "after", default=-1)
    if len(last) > 1:
        raise Problem("invalid-parameter", "Last-Event-ID may be given once.")
    place = requests.integer(dict(zip(["Last-Event-ID"], last, strict=False)), "Last-Event-ID", default=after)
    return None if place < 0 else place


async def _stream(changes: Changes, place: int, wanted: Wanted, cut: Cut) -> AsyncIterator[bytes]:
    """What the client is told; if it does not take it in time, it is cut off."""
    telemetry.end_request()
    loop = asyncio.get_running_loop()
    with changes.told_to(cut):
        async for told in _told(changes, place, wanted):
            late = loop.call_later(TAKEN_WITHIN, cut)
            try:
                yield told
            finally:
                late.cancel()


async def _told(changes: Changes, place: int, wanted: Wanted) -> AsyncIterator[bytes]:
    """All that is wanted after the place, until the stream is closed."""
    clock = asyncio.get_running_loop().time
    yield b"retry: %d\nid: %d\n\n" % (RETRY, place)
    quiet_since = clock()
    while changes.is_served() and not changes.closed:
        news = changes.news  # of before the look: what comes after it is not missed
        try:
            lines, upto = await changes.after(place)
        except Outdated as outdated:
            place, quiet_since = outdated.now, clock()
            yield event(place, "reset", msgspec.json.encode({"position": place, "oldest": outdated.oldest}))
            continue
        except (Rebuilding, ReadModelUnavailable):
            lines, upto = (), place
        told = b"".join(line.event for line in lines if wanted.takes(line.notice))
        if not told and clock() - quiet_since >= HEARTBEAT:
            told = b": still here\nid: %d\n\n" % upto
        moved, place = upto > place, upto
        if told:
            yield told
            quiet_since = clock()
        elif not moved:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await news.wait()
