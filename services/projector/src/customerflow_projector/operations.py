"""The operator's routes: customers whose events cannot be applied, seen and mended."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, TypeAlias

import litestar
import msgspec
from customerflow_shared import requests
from customerflow_shared.inputs.bodies import Body as BodyOf
from customerflow_shared.inputs.body import received
from customerflow_shared.inputs.fields import Fields
from customerflow_shared.inputs.strict_json import json_object
from customerflow_shared.openapi import JSON, Answer, Body, header, operation
from customerflow_shared.problems import Problem, Translation, responses
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType
from redis.exceptions import RedisError

from customerflow_projector import mending
from customerflow_projector.feed import FeedUnavailable
from customerflow_projector.mending import (
    MAX_REASON,
    Failure,
    Mark,
    Mending,
    NotParked,
    OfAnotherRelease,
    Superseded,
    Tally,
)

HttpRequest: TypeAlias = litestar.Request[Any, Any, Any]

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
RETRY_WITHIN = 5.0  # seconds, after which no other customer is begun; a request may last for 8


class Page(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Oldest first. No `next`: there is nothing more. `parked` and `discarded` count all of them."""

    data: list[Failure]
    parked: int
    discarded: int
    next: str | UnsetType = UNSET


class Retried(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What has become of a customer; `parked` is there if its events still cannot be applied."""

    applied: bool
    parked: Failure | UnsetType = UNSET


class RetriedAll(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many customers' events are applied, how many customers are still parked, and how many have not been tried:
    with `next` as the cursor it goes on with those.
    """

    applied: int
    still_parked: int
    left: int
    next: str | UnsetType = UNSET


class DiscardBody(BodyOf, kw_only=True):
    """Kept in clear: it must hold no personal data."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON, examples=["test data of a load test"])]


TRANSLATIONS: dict[type[Exception], Translation] = {
    NotParked: lambda _: Problem("not-parked", "The customer is not parked."),
    OfAnotherRelease: lambda _: _again_soon("rebuilding", "The read model is that of another release."),
    Superseded: lambda _: _again_soon(
        "rebuilding", "The read model has just been built anew; what is left, see there."
    ),
    FeedUnavailable: lambda _: _again_soon("unavailable", "The command service's event feed does not answer."),
    RedisError: lambda _: _again_soon("unavailable", "Redis does not answer."),
}

_FAILURE = {
    "customerId": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11",
    "position": 1207,
    "version": 4,
    "type": "CustomerEmailChanged",
    "error": "HistoryBroken: the event feed does not have version 4",
    "attempts": 6,
    "since": "2026-11-22T15:04:05.123Z",
    "attemptedAt": "2026-11-22T15:07:41.020Z",
    "passedOver": 5,
}
_DISCARDED = {
    **_FAILURE,
    "discarded": {"reason": "test data of a load test", "at": "2026-11-22T16:00:00.000Z", "by": "user:42"},
}
_LIMIT = Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT)
_LIMITED = Parameter(name="limit", param_in="query", description="How many to show at most.", schema=_LIMIT)
_CURSOR = Parameter(
    name="cursor",
    param_in="query",
    description="The `next` of the answer before.",
    schema=Schema(type=OpenAPIType.STRING),
)
_ACTOR = header("CustomerFlow-Actor", "Who discards; it is kept with the reason.", example="user:42")


def _documented(
    summary: str, answer: Answer, *parameters: Parameter, problems: Sequence[str], body: Body | None = None
) -> dict[str, Any]:
    told = ("unauthorized", "unknown-parameter", *problems, "unavailable")
    return {
        "summary": summary,
        "tags": ["parked customers"],
        "operation_class": operation(*parameters, body=body, answers={200: answer}),
        "responses": responses(*told),
    }


@get(
    "/internal/parked",
    **_documented(
        "Customers whose events cannot be applied",
        Answer("A page, oldest first.", Page, example={"data": [_FAILURE], "parked": 1, "discarded": 0}),
        _LIMITED,
        _CURSOR,
        problems=["invalid-parameter", "limit-range", "cursor-invalid"],
    ),
)
async def parked_customers(request: HttpRequest, mended: NamedDependency[Mending]) -> Response[bytes]:
    """Each with the event that is in the way and why, without its content; those whose events are given up among them.

    The projector retries by itself, less and less often, who is not discarded. All routes here want the operator's
    token as `Authorization: Bearer`.
    """
    given = requests.parameters(request.scope["query_string"], ["limit", "cursor"])
    found = await mended.listed(limit=_limit(given), after=_cursor(given))
    after = str(found.after) if found.after else UNSET
    return _answer(Page(data=found.page, parked=found.parked, discarded=found.discarded, next=after))


@get(
    "/internal/parked/{customer_id:str}",
    **_documented(
        "A parked customer",
        Answer("What is in the way, and why.", Failure, example=_FAILURE),
        problems=["invalid-id", "not-parked"],
    ),
)
async def parked_customer(
    request: HttpRequest, customer_id: FromPath[str], mended: NamedDependency[Mending]
) -> Response[bytes]:
    """Without the content of any event."""
    requests.parameters(request.scope["query_string"])
    return _answer(await mended.one(requests.identifier(customer_id)))


@post(
    "/internal/parked/{customer_id:str}/retry",
    status_code=200,
    **_documented(
        "Apply a parked customer's events now",
        Answer("They are applied, or still cannot be.", Retried, example={"applied": True}),
        problems=[
            "invalid-id",
            "not-parked",
            "malformed-json",
            "invalid-fields",
            "unsupported-media-type",
            "rebuilding",
        ],
    ),
)
async def retry_parked_customer(
    request: HttpRequest, customer_id: FromPath[str], mended: NamedDependency[Mending]
) -> Response[bytes]:
    """In order, read from the event store again; one that is discarded, too. If the event store does not answer (503)
    nothing is changed.
    """
    requests.parameters(request.scope["query_string"])
    await _check_empty(request)
    left = await mended.retry(requests.identifier(customer_id))
    return _answer(Retried(applied=left is None, parked=left or UNSET))


@post(
    "/internal/parked/retry",
    status_code=200,
    **_documented(
        "Apply the events of all parked customers now",
        Answer(
            "How far it has come within 5 seconds.",
            RetriedAll,
            example={"applied": 12, "stillParked": 1, "left": 0},
        ),
        _CURSOR,
        problems=[
            "invalid-parameter",
            "cursor-invalid",
            "malformed-json",
            "invalid-fields",
            "unsupported-media-type",
            "rebuilding",
        ],
    ),
)
async def retry_parked_customers(request: HttpRequest, mended: NamedDependency[Mending]) -> Response[bytes]:
    """Oldest first, but for those who are discarded. If some are `left`, the same with `next` as its cursor goes on."""
    given = requests.parameters(request.scope["query_string"], ["cursor"])
    await _check_empty(request)
    loop = asyncio.get_running_loop()
    until, tally = loop.time() + RETRY_WITHIN, Tally(0, 0, 0, None)
    async with aclosing(mended.retry_all(_cursor(given))) as tallies:
        async for tally in tallies:  # noqa: B007  # the last one is told
            if loop.time() >= until:
                break
    after = str(tally.mark) if tally.left and tally.mark else UNSET
    return _answer(RetriedAll(applied=tally.applied, still_parked=tally.still_parked, left=tally.left, next=after))


@post(
    "/internal/parked/{customer_id:str}/discard",
    status_code=200,
    **_documented(
        "Give a parked customer's events up",
        Answer("It stays listed, with the reason.", Failure, example=_DISCARDED),
        _ACTOR,
        body=Body(DiscardBody, {"reason": "test data of a load test"}),
        problems=[
            "invalid-id",
            "not-parked",
            "actor-invalid",
            "malformed-json",
            "invalid-fields",
            "body-too-large",
            "unsupported-media-type",
            "rebuilding",
        ],
    ),
)
async def discard_parked_customer(
    request: HttpRequest, customer_id: FromPath[str], mended: NamedDependency[Mending]
) -> Response[bytes]:
    """It is not retried by itself any more and no longer counts as parked. Its document stays as it is, behind its
    events; only a retry, an erasure or a rebuild goes on with it. The reason is kept in clear: it must hold no personal
    data.
    """
    requests.parameters(request.scope["query_string"])
    raw = await received(request, JSON)
    identifier, by = requests.identifier(customer_id), requests.operator(request)
    fields = Fields(json_object(raw), {"reason"})
    reason = fields.required("reason", mending.reason)
    fields.check()
    return _answer(await mended.discard(identifier, reason=reason, by=by))


ROUTES = [
    parked_customers,
    parked_customer,
    retry_parked_customer,
    retry_parked_customers,
    discard_parked_customer,
]


def _answer(told: msgspec.Struct) -> Response[bytes]:
    return Response(msgspec.json.encode(told), media_type=JSON, headers={"Cache-Control": "no-store"})


def _again_soon(code: str, detail: str) -> Problem:
    return Problem(code, detail, headers={"Retry-After": "1"})


def _limit(given: Mapping[str, str]) -> int:
    limit = requests.integer(given, "limit", default=DEFAULT_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        raise Problem("limit-range", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return limit


def _cursor(given: Mapping[str, str]) -> Mark | None:
    try:
        return Mark.read(given["cursor"]) if "cursor" in given else None
    except ValueError:
        raise Problem("cursor-invalid", "The cursor was not given by this service.") from None


async def _check_empty(request: HttpRequest) -> None:
    """There may be a body: an empty object."""
    if raw := await received(request, JSON, required=False):
        Fields(json_object(raw), set()).check()
