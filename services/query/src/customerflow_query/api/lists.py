"""Lists of customers: by GET with parameters, by POST with a body where a text is searched for, which is personal."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from customerflow_shared import requests
from customerflow_shared.inputs.bodies import SLUG, Country
from customerflow_shared.inputs.bodies import Body as Struct
from customerflow_shared.inputs.body import received
from customerflow_shared.inputs.strict_json import json_object
from customerflow_shared.openapi import JSON, Answer, Body
from customerflow_shared.problems import Fault, Problem
from customerflow_shared.problems.codes import ASKED
from customerflow_shared.requests import Parameters
from customerflow_shared.values import CustomerStatus, CustomerType
from litestar import Request, Response, post, route
from litestar.di import NamedDependency
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from msgspec import UNSET, Meta, UnsetType

from customerflow_query.api import documentation
from customerflow_query.api.documentation import query
from customerflow_query.api.fields import selected
from customerflow_query.api.freshness import PARAMETERS, Asked, asked, headers_of
from customerflow_query.listing import Lists, Page, Question, question
from customerflow_query.listing.asking import (
    BOUNDS,
    DEFAULT_LIMIT,
    LISTED,
    MAX_LIMIT,
    MAX_Q,
    MAX_VALUES,
    MIN_Q,
    RANGES,
    REPEATABLE,
    SORTS,
    STATUSES,
)
from customerflow_query.read_model import Freshness

PATH = "/v1/customers"

_BOUNDED = {f"{name}[{bound}]": (name, bound) for name in RANGES for bound in BOUNDS}
_SINGLE = (*_BOUNDED, "hasIssues", "sort", "limit", "cursor", "count", "fields")
_POSITION = ("cursor",)
_NUMBER = re.compile(r"[0-9]{1,9}")

# --- documentation ----------------------------------------------------------------------------------------------------


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """`gte`: there are at least as many; to count them all would cost too much."""

    value: int
    relation: Literal["eq", "gte"]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Documents as they are stored; of an erased customer only `id`, `version`, `status` and `erasedAt`."""

    data: list[documentation.ListedInPart]
    next: str | UnsetType = UNSET
    total: Total | UnsetType = UNSET


_Slug = Annotated[str, Meta(pattern=SLUG)]
_Consent = Annotated[str, Meta(examples=["marketing:email"])]


class RangeBody(Struct, kw_only=True):
    gte: Annotated[str, Meta(examples=["2026-11-01T00:00:00Z"])] | None = None
    lt: Annotated[str, Meta(examples=["2026-12-01T00:00:00Z"])] | None = None


class SearchBody(Struct, kw_only=True):
    """The filters of the list; of those that take several values any will do, but for `tagAll`. A single value needs no
    array.
    """

    q: Annotated[str, Meta(min_length=MIN_Q, max_length=MAX_Q, examples=["ma si"])] | None = None
    status: list[CustomerStatus] | None = None
    type: list[CustomerType] | None = None
    tag: list[_Slug] | None = None
    tag_all: list[_Slug] | None = None
    country: list[Country] | None = None
    region: list[str] | None = None
    lifecycle_stage: list[_Slug] | None = None
    locale: list[str] | None = None
    has_consent: list[_Consent] | None = None
    external_source: list[_Slug] | None = None
    has_issues: bool | None = None
    created_at: RangeBody | None = None
    updated_at: RangeBody | None = None
    sort: Literal["relevance", "createdAt", "-createdAt", "updatedAt", "-updatedAt", "name", "-name"] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] | None = None
    cursor: str | None = None
    count: Literal["exact"] | None = None
    fields: list[str] | None = None


def _several(name: str, description: str, example: str) -> Parameter:
    schema = Schema(type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.STRING), max_items=MAX_VALUES)
    parameter = query(name, description, schema, example=[example])
    parameter.explode = True
    return parameter


def _one_of(name: str, description: str, choices: Iterable[str]) -> Parameter:
    return query(name, description, Schema(type=OpenAPIType.STRING, enum=list(choices)))


_MOMENT = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME)
_DOCUMENTED = (
    _several("status", f"{', '.join(STATUSES)}. Active and suspended ones if it is not given.", "active"),
    _several("type", "person, company.", "person"),
    _several("tag", "Any of these tags.", "vip"),
    _several("tagAll", "All of these tags.", "vip"),
    _several("country", "Of an address; ISO 3166-1 alpha-2.", "BR"),
    _several("region", "Of an address; ISO 3166-2.", "BR-SP"),
    _several("lifecycleStage", "Any of these stages.", "lead"),
    _several("locale", "As the customer shows it.", "pt-BR"),
    _several("hasConsent", "purpose:channel of a consent that is granted and has not expired.", "marketing:email"),
    _several("externalSource", "A source in which the customer has an id.", "erp"),
    query("hasIssues", "Whether the data has issues.", Schema(type=OpenAPIType.BOOLEAN)),
    *(
        query(name, f"`{bound}`: {'from then on' if bound == 'gte' else 'before'}.", _MOMENT)
        for name, (_, bound) in _BOUNDED.items()
    ),
    _one_of("sort", "With - descending; -createdAt if it is not given. The id breaks ties.", SORTS),
    query(
        "limit",
        f"{DEFAULT_LIMIT} if it is not given. A page that costs too much may be shorter, even empty; the end is where "
        "`next` is absent.",
        Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=MAX_LIMIT),
    ),
    query("cursor", "`next` of the page before, with the same filters and sort.", Schema(type=OpenAPIType.STRING)),
    _one_of("count", "With the number of customers in all pages.", ["exact"]),
    documentation.FIELDS,
)
_EXAMPLE = {
    "data": [documentation.CUSTOMER],
    "next": "q83Vb8sXhC5oYw",
    "total": {"value": 1204, "relation": "eq"},
}
_LINK = {"Link": 'The addresses of the next page and of the first: `</v1/customers?cursor=...>; rel="next"`.'}

# --- routes -----------------------------------------------------------------------------------------------------------


@route(
    PATH,
    http_method=documentation.READ,
    **documentation.read(
        "List customers",
        "customers",
        {200: Answer("A page of the list.", Listing, headers=_LINK, example=_EXAMPLE)},
        *_DOCUMENTED,
        problems=["cursor-invalid", "cursor-mismatch", "busy", "switched-off", *ASKED],
    ),
)
async def list_customers(request: Request[Any, Any, Any], lists: NamedDependency[Lists]) -> Response[bytes]:
    """Filters are combined by and; of a filter that is repeated any value will do, but for tagAll.

    A customer that changes while you go from page to page may change its place: it may come twice or not at all in a
    list by what has changed; all others come once. A cursor is valid for a day.
    """
    given = requests.parameters(request.scope["query_string"], (*_SINGLE, *PARAMETERS), repeatable=REPEATABLE)
    wanted = asked(given, request.scope["headers"])
    page, names, freshness = await _page(lists, _question(given), wanted)
    headers = headers_of(freshness, wanted) | {"Link": _links(given, page.next)}
    return Response(_answer(page, names), media_type=JSON, headers=headers)


@post(
    f"{PATH}/search",
    **documentation.read(
        "Search customers",
        "customers",
        {200: Answer("A page of what was found.", Listing, example=_EXAMPLE)},
        body=Body(
            SearchBody, {"q": "ma si", "tag": ["vip"], "createdAt": {"gte": "2026-01-01T00:00:00Z"}, "limit": 20}
        ),
        problems=[
            "bad-request",
            "malformed-json",
            "body-too-large",
            "unsupported-media-type",
            "invalid-fields",
            "cursor-invalid",
            "cursor-mismatch",
            "busy",
            "switched-off",
        ],
    ),
)
async def search_customers(request: Request[Any, Any, Any], lists: NamedDependency[Lists]) -> Response[bytes]:
    """Every word of `q` begins a word of the customer's name, social, legal or trade name; accents and case do not
    matter. By relevance, names with the very word come before those with longer ones. Without `q` it is the list, with
    its filters out of sight of logs.
    """
    wanted = asked(requests.parameters(request.scope["query_string"], PARAMETERS), request.scope["headers"])
    asking = question(json_object(await received(request, JSON)))
    page, names, freshness = await _page(lists, asking, wanted)
    return Response(_answer(page, names), media_type=JSON, headers=headers_of(freshness, wanted))


ROUTES = [list_customers, search_customers]


async def _page(lists: Lists, asking: Question, wanted: Asked) -> tuple[Page, frozenset[str], Freshness]:
    page, freshness = await lists.read(asking, lists.start(asking), position=wanted.position, wait=wanted.wait)
    return page, asking.fields, freshness


def _question(given: Parameters) -> Question:
    """As a body would ask it. Raises Problem with the code of the first fault, or `invalid-parameter`."""
    body: dict[str, Any] = {name: [*given.every(name)] for name in REPEATABLE if name in given}
    body |= {name: given[name] for name in ("sort", "cursor", "count") if name in given}
    if "limit" in given:
        body["limit"] = int(given["limit"]) if _NUMBER.fullmatch(given["limit"]) else given["limit"]
    if "hasIssues" in given:
        body["hasIssues"] = {"true": True, "false": False}.get(given["hasIssues"], given["hasIssues"])
    if "fields" in given:
        body["fields"] = given["fields"].split(",")
    for parameter, (name, bound) in _BOUNDED.items():
        if parameter in given:
            body.setdefault(name, {})[bound] = given[parameter]
    try:
        return question(body, LISTED)
    except Problem as problem:
        raise _of_parameters(problem.errors) from None


def _of_parameters(faults: Iterable[Fault]) -> Problem:
    told = [Fault(parameter=_parameter(one.pointer or ""), code=one.code, detail=one.detail) for one in faults]
    code = told[0].code if told[0].code in ASKED else "invalid-parameter"
    return Problem(code, f"{told[0].parameter}: {told[0].detail}", errors=told)


def _parameter(pointer: str) -> str:
    """`#/tag/0` is of the parameter `tag`, `#/createdAt/lt` of `createdAt[lt]`."""
    name, *inner = pointer.removeprefix("#/").split("/")
    return f"{name}[{inner[0]}]" if name in RANGES and inner else name


def _links(given: Parameters, cursor: str | None) -> str:
    """Relative addresses: the client knows by which way it came."""
    same = [(name, value) for name in given if name not in _POSITION for value in given.every(name)]
    links = [f'<{PATH}?{urlencode(same)}>; rel="first"' if same else f'<{PATH}>; rel="first"']
    if cursor is not None:
        links.insert(0, f'<{PATH}?{urlencode([*same, ("cursor", cursor)])}>; rel="next"')
    return ", ".join(links)


def _answer(page: Page, names: frozenset[str]) -> bytes:
    """Documents as they are stored; unless some fields are left out, they are not even parsed."""
    answer: dict[str, Any] = {"data": [msgspec.Raw(selected(one.document, names)) for one in page.documents]}
    if page.next is not None:
        answer["next"] = page.next
    if page.total is not None:
        answer["total"] = page.total._asdict()
    return msgspec.json.encode(answer)
