"""What happened to a customer, and what became of one of its fields: newest first, page by page."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from customerflow_shared import requests, timeline
from customerflow_shared.openapi import JSON, Answer
from customerflow_shared.problems import Problem
from customerflow_shared.timeline import Entry, Who
from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath

from customerflow_query.api.documentation import READ, query, read
from customerflow_query.api.fields import NAMES
from customerflow_query.api.freshness import OF_CUSTOMERS, asked, headers_of
from customerflow_query.api.past import look_back
from customerflow_query.api.refusals import CACHE_CONTROL, present
from customerflow_query.listing.asking import DEFAULT_LIMIT, MAX_LIMIT
from customerflow_query.listing.cursors import Cursors
from customerflow_query.lookback import Mark, Past
from customerflow_query.reader import Reader

T = TypeVar("T")

Marks = Cursors[Mark]

PAGED = ("limit", "cursor")
KNOWN = NAMES - {"id", "version", "createdAt", "updatedAt"}


class Timeline(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Newest first. No `next`: there is nothing more; with it a page may be short all the same."""

    data: list[Entry]
    next: str | None = None


class FieldChange(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "recorded_at": "recordedAt",
        "occurred_at": "occurredAt",
        "before": "from",
        "after": "to",
    },
):
    """`from` and `to` are null where there was, or is, nothing."""

    version: int
    recorded_at: str
    occurred_at: str
    actor: Who
    source: str
    type: str
    path: str
    before: Any
    after: Any


class History(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Newest first; `next` as in a timeline."""

    data: list[FieldChange]
    next: str | None = None


class _Page(msgspec.Struct, frozen=True, omit_defaults=True):
    data: Sequence[Any]
    next: str | None = None


class _Typed(msgspec.Struct, frozen=True):
    type: str


_type_decoder = msgspec.json.Decoder(_Typed)

_LIMIT = query(
    "limit", "How many to show at most.", Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=MAX_LIMIT, default=50)
)
_CURSOR = query("cursor", "The `next` of the page before.", Schema(type=OpenAPIType.STRING))
_PROBLEMS = ("limit-range", "cursor-invalid", "cursor-mismatch")

_ENTRY = {
    "version": 7,
    "type": "CustomerEmailChanged",
    "occurredAt": "2026-11-22T15:04:05.123Z",
    "recordedAt": "2026-11-22T15:04:05.123Z",
    "actor": {"type": "user", "id": "42"},
    "source": "api",
    "correlationId": "0193f0a1-0200-7a00-8000-000000000001",
    "changes": [{"path": "email", "from": "ana@example.com", "to": "ana.souza@example.com"}],
}
_CHANGE = {
    **{name: _ENTRY[name] for name in ("version", "recordedAt", "occurredAt", "actor", "source", "type")},
    "path": "email",
    "from": "ana@example.com",
    "to": "ana.souza@example.com",
}


@route(
    "/v1/customers/{customer_id:str}/timeline",
    http_method=READ,
    **read(
        "What happened to a customer",
        "history",
        {200: Answer("A page of events, newest first.", Timeline, example={"data": [_ENTRY], "next": "kf3a"})},
        _LIMIT,
        _CURSOR,
        Parameter(
            name="type",
            param_in="query",
            description="Events of this type only; may be repeated, for any of several.",
            schema=Schema(type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.STRING, enum=sorted(timeline.TYPES))),
            example=["CustomerEmailChanged"],
        ),
        of_a_customer=True,
        problems=_PROBLEMS,
    ),
)
async def read_timeline(
    request: Request[Any, Any, Any],
    customer_id: FromPath[str],
    reader: NamedDependency[Reader],
    marks: NamedDependency[Marks],
) -> Response[bytes]:
    """Who changed what, when, from what to what. Of an erased customer only that something happened, when and by whom.

    At most 1,024 events are looked at for a page; so one for which few of them match may be short, even empty, and
    there is more as long as there is a `next`.
    """
    customer = requests.identifier(customer_id)
    given = requests.parameters(request.scope["query_string"], [*PAGED, *OF_CUSTOMERS], repeatable=["type"])
    types = frozenset(given.every("type"))
    if not types <= timeline.TYPES:
        raise Problem("invalid-parameter", "type must be the type of an event.")

    def pick(entry: bytes) -> Sequence[msgspec.Raw]:
        return [msgspec.Raw(entry)] if not types or _type_decoder.decode(entry).type in types else []

    def unchecked(_: Past) -> None:
        """What is left of an erased customer may be shown."""

    return await _page(request, reader, marks, customer, given, ["timeline", *sorted(types)], unchecked, pick)


@route(
    "/v1/customers/{customer_id:str}/history",
    http_method=READ,
    **read(
        "What became of a field",
        "history",
        {200: Answer("A page of changes, newest first.", History, example={"data": [_CHANGE], "next": "kf3a"})},
        query(
            "field",
            "A path of the timeline, or its first parts: `email`, `addresses`, `attributes/shoe`.",
            Schema(type=OpenAPIType.STRING),
            required=True,
            example="email",
        ),
        _LIMIT,
        _CURSOR,
        of_a_customer=True,
        problems=[*_PROBLEMS, "customer-erased"],
    ),
)
async def read_history(
    request: Request[Any, Any, Any],
    customer_id: FromPath[str],
    reader: NamedDependency[Reader],
    marks: NamedDependency[Marks],
) -> Response[bytes]:
    """Every value that it has had, and who gave it. Bounded as the timeline is."""
    customer = requests.identifier(customer_id)
    given = requests.parameters(request.scope["query_string"], ["field", *PAGED, *OF_CUSTOMERS])
    field = given.get("field", "")
    if field.partition("/")[0] not in KNOWN:
        raise Problem("invalid-parameter", "field must be given, and begin with a field of the customer that changes.")

    def pick(stored: bytes) -> Sequence[FieldChange]:
        entry = timeline.decode(stored)
        return [
            FieldChange(
                version=entry.version,
                recorded_at=entry.recorded_at,
                occurred_at=entry.occurred_at,
                actor=entry.actor,
                source=entry.source,
                type=entry.type,
                path=change.path,
                before=change.before,
                after=change.after,
            )
            for change in entry.changes
            if change.path == field or change.path.startswith(f"{field}/")
        ]

    def unerased(past: Past) -> None:
        present(past.present)

    return await _page(request, reader, marks, customer, given, ["history", field], unerased, pick)


async def _page(
    request: Request[Any, Any, Any],
    reader: Reader,
    marks: Marks,
    customer: UUID,
    given: Mapping[str, str],
    asked_for: Sequence[str],
    check: Callable[[Past], None],
    pick: Callable[[bytes], Sequence[T]],
) -> Response[bytes]:
    """`asked_for` is what a cursor is bound to, besides the customer."""
    limit = _limit(given)
    bound = hashlib.sha256("\n".join([str(customer), *asked_for]).encode()).digest()[:16]
    start = marks.read(given["cursor"], bound) if "cursor" in given else None
    wanted = asked(given, request.scope["headers"])

    async def look(past: Past) -> tuple[list[T], Mark | None]:
        check(past)
        return await past.page(start or Mark(past.present.version), limit, pick)

    (found, end), freshness = await look_back(reader, customer, wanted, look)
    body = msgspec.json.encode(_Page(found, end and marks.made(bound, end)))
    return Response(body, media_type=JSON, headers={"Cache-Control": CACHE_CONTROL, **headers_of(freshness, wanted)})


def _limit(given: Mapping[str, str]) -> int:
    text = given.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_LIMIT):
        raise Problem("limit-range", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


ROUTES = [read_timeline, read_history]
