"""A customer as it was, by version or by time, and what two of its versions differ in."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec
from customerflow_shared import indexing, requests, timeline, views
from customerflow_shared.inputs import times
from customerflow_shared.inputs.fields import Unfit
from customerflow_shared.openapi import JSON, Answer
from customerflow_shared.problems import Problem
from customerflow_shared.timeline import Change
from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath

from customerflow_query import lookback
from customerflow_query.api.documentation import READ, query, read
from customerflow_query.api.freshness import OF_CUSTOMERS, Asked, asked, headers_of, recent
from customerflow_query.api.freshness import read as read_fresh
from customerflow_query.api.refusals import CACHE_CONTROL, present
from customerflow_query.lookback import Past
from customerflow_query.read_model import Found, Vanished
from customerflow_query.reader import Reader

T = TypeVar("T")

PARAMETERS = ("atVersion", "asOf")


class At(NamedTuple):
    """A version; 0: the one that was the last at the moment, which is as `views.timestamp` gives it."""

    version: int
    moment: str


class Difference(msgspec.Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    """What leads from one version to the other. Paths are those of the timeline."""

    id: UUID
    before: int
    after: int
    changes: tuple[Change, ...]


def wanted(given: Mapping[str, str]) -> At | None:
    """None for the present. Raises Problem `invalid-parameter`, `date-format` or `as-of-future`."""
    if "atVersion" in given and "asOf" in given:
        raise Problem("invalid-parameter", "Either atVersion or asOf may be given.")
    if "atVersion" in given:
        version = requests.integer(given, "atVersion", default=0, minimum=1)
        if requests.integer(given, "minVersion", default=0) > version:
            raise Problem("invalid-parameter", "minVersion must not lie beyond atVersion.")
        return At(version, "")
    if "asOf" in given:
        return At(0, _moment(given["asOf"]))
    return None


def _moment(text: str) -> str:
    try:
        moment = times.moment(text)
    except Unfit as unfit:
        raise Problem("date-format", f"asOf: {unfit.detail}") from None
    if moment > datetime.now(UTC):
        raise Problem("as-of-future", "asOf lies in the future.")
    return views.timestamp(moment)


async def as_it_was(reader: Reader, customer_id: UUID, asked: Asked, at: At) -> Found[tuple[int, bytes]]:
    """The version and its document. Raises as `look_back` does, and Problem `customer-erased` or
    `not-yet-registered`.
    """

    async def look(past: Past) -> tuple[int, bytes]:
        present(past.present)
        version = at.version or await past.version_at(at.moment)
        if not version:
            raise Problem("not-yet-registered", "The customer was registered later.", firstAt=await past.recorded_at(1))
        return version, await past.document(version)

    # what was recorded by then may still be on its way here, and would make the answer another one
    since = indexing.milliseconds(at.moment) if at.moment else 0
    return await look_back(reader, customer_id, asked._replace(since=since), look)


async def look_back(reader: Reader, customer_id: UUID, asked: Asked, look: Callable[[Past], Awaitable[T]]) -> Found[T]:
    """What `look` finds in the customer's past. Raises as `freshness.recent` and `freshness.read` do, and Problem
    `customer-not-found`.
    """
    if asked.version:
        await recent(reader, customer_id, asked)
        asked = asked._replace(wait=0.0)

    async def found(generation: str) -> T:
        past = await lookback.past(reader.model, generation, customer_id)
        if past is None:
            raise Problem("customer-not-found", "No customer has this id.")
        if past.present.version < asked.version:
            raise Vanished("a version that was there")
        return await look(past)

    return await read_fresh(reader.model, asked, found)


@route(
    "/v1/customers/{customer_id:str}/diff",
    http_method=READ,
    **read(
        "What two versions differ in",
        "history",
        {
            200: Answer(
                "Every change that leads from the one to the other.",
                Difference,
                example={
                    "id": "019aab3e-7c00-7000-8000-00000000000a",
                    "from": 5,
                    "to": 7,
                    "changes": [
                        {"path": "email", "from": "ana@example.com", "to": "ana.souza@example.com"},
                        {"path": "tags/vip", "from": None, "to": "vip"},
                    ],
                },
            )
        },
        query(
            "from",
            "A version; 0 is before the registration.",
            Schema(type=OpenAPIType.INTEGER, minimum=0),
            required=True,
        ),
        query(
            "to",
            "A version, not before `from`. One that is yet to come is waited for, as with minVersion.",
            Schema(type=OpenAPIType.INTEGER, minimum=1),
            required=True,
        ),
        of_a_customer=True,
        problems=["range-inverted", "customer-erased"],
    ),
)
async def read_difference(
    request: Request[Any, Any, Any], customer_id: FromPath[str], reader: NamedDependency[Reader]
) -> Response[bytes]:
    """Exact: whatever happened between them, only what is not the same in both is told."""
    customer = requests.identifier(customer_id)
    given = requests.parameters(request.scope["query_string"], ["from", "to", *OF_CUSTOMERS])
    for name in ("from", "to"):
        if name not in given:
            raise Problem("invalid-parameter", f"{name} must be given.")
    before, after = requests.integer(given, "from", default=0), requests.integer(given, "to", default=0, minimum=1)
    if before > after:
        raise Problem("range-inverted", "from must not lie beyond to.")

    async def look(past: Past) -> Difference:
        present(past.present)
        changes = timeline.changes(await past.content(before), await past.content(after))
        return Difference(id=customer, before=before, after=after, changes=changes)

    wanted = asked(given, request.scope["headers"], at_least=after)
    found, freshness = await look_back(reader, customer, wanted, look)
    headers = {"Cache-Control": CACHE_CONTROL, **headers_of(freshness, wanted)}
    return Response(msgspec.json.encode(found), media_type=JSON, headers=headers)


ROUTES = [read_difference]
