"""How the routes are documented: what all reads have in common, said once; and the customer's route, which being bare
ASGI does not describe itself.
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from customerflow_shared.openapi import Answer, Body, header, inline_schema, operation
from customerflow_shared.problems import MEDIA_TYPE, ProblemDocument, responses
from customerflow_shared.values import CustomerStatus
from customerflow_shared.views import CustomerView
from litestar import HttpMethod
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    PathItem,
    Reference,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from msgspec import Meta

READ = [HttpMethod.GET, HttpMethod.HEAD]

FRESHNESS = {
    "CustomerFlow-Position": "Every event up to this position is shown.",
    "CustomerFlow-Projection-Lag": "What is shown is at most as many seconds old.",
    "Preference-Applied": "How long was waited at most, if that was preferred.",
}
ETAG = {"ETag": "The version that is shown."}

CUSTOMER = {
    "id": "019aab3e-7c00-7000-8000-00000000000a",
    "version": 7,
    "type": "person",
    "name": "Ana Souza",
    "status": "active",
    "email": "ana@example.com",
    "tags": ["vip"],
    "createdAt": "2026-11-22T12:00:01.005Z",
    "updatedAt": "2026-11-22T15:04:05.123Z",
}

_READ = (
    "unknown-parameter",
    "invalid-parameter",
    "projection-behind",
    "rebuilding",
    "unavailable",
    "internal",
)
_OF_A_CUSTOMER = ("invalid-id", "customer-not-found")


def query(name: str, description: str, schema: Schema, *, required: bool = False, example: Any = None) -> Parameter:
    return Parameter(
        name=name,
        param_in="query",
        required=required,
        description=description,
        schema=schema,
        example=example,
    )


class ListedCustomer(CustomerView, frozen=True, kw_only=True, rename="camel"):
    """A customer, or what is left of one: in place of all else an erased one has `erasedAt`."""

    status: CustomerStatus  # type: ignore[assignment]  # those of the living and `erased`
    erased_at: str | None = None


_IN_PART = Meta(extra_json_schema={"required": ["id", "version"]})
InPart: TypeAlias = Annotated[CustomerView, _IN_PART]
"""With the fields that were asked for."""
ListedInPart: TypeAlias = Annotated[ListedCustomer, _IN_PART]

FIELDS = query(
    "fields",
    "Show these fields only, names of the document separated by commas; id and version are always there.",
    Schema(type=OpenAPIType.STRING),
    example="name,email",
)
MIN_POSITION = query(
    "minPosition",
    "The CustomerFlow-Position that a command answered: nothing older is shown, to read your own writes.",
    Schema(type=OpenAPIType.INTEGER, minimum=0),
)
MIN_VERSION = query(
    "minVersion",
    "The version that a command answered: nothing older is shown, to read your own write.",
    Schema(type=OpenAPIType.INTEGER, minimum=1),
)
_PREFER = header("Prefer", "How long to wait for what is to be shown at least, at most 7 seconds.", example="wait=2")


def read(
    summary: str,
    tag: str,
    answers: dict[int, Answer],
    *parameters: Parameter,
    body: Body | None = None,
    of_a_customer: bool = False,
    problems: Sequence[str] = (),
) -> dict[str, Any]:
    """The keyword arguments of a route that reads. `problems` are its own, besides those of every read; `parameters`
    those besides what says how fresh the answer must be.
    """
    told = {status: answer._replace(headers=FRESHNESS | dict(answer.headers)) for status, answer in answers.items()}
    common = [MIN_VERSION, MIN_POSITION] if of_a_customer else [MIN_POSITION]
    return {
        "summary": summary,
        "tags": [tag],
        "status_code": next(iter(answers)),
        "operation_class": operation(*parameters, *common, _PREFER, body=body, answers=told),
        "responses": responses(*_READ, *(_OF_A_CUSTOMER if of_a_customer else ()), *problems),
    }


_PARAMETERS = [
    Parameter(
        name="customer_id",
        param_in="path",
        required=True,
        schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID),
    ),
    FIELDS,
    query(
        "atVersion",
        "Show the customer as it was at this version. One that is yet to come is waited for, as with minVersion.",
        Schema(type=OpenAPIType.INTEGER, minimum=1),
    ),
    query(
        "asOf",
        "Show the customer as it had been recorded at this moment, RFC 3339; not together with atVersion.",
        Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME),
        example="2026-11-22T15:04:05.123Z",
    ),
    MIN_VERSION,
    MIN_POSITION,
    _PREFER,
    header("If-None-Match", "An entity tag that you hold.", example='"7"'),
]

_PROBLEMS = responses(
    *_READ,
    *_OF_A_CUSTOMER,
    "date-format",
    "as-of-future",
    "not-yet-registered",
    "customer-erased",
)


def customer_path() -> PathItem:
    document = {"application/json": OpenAPIMediaType(schema=inline_schema(InPart), example=CUSTOMER)}
    problem = inline_schema(ProblemDocument)
    headers: Any = {
        name: OpenAPIHeader(description=description, schema=Schema(type=OpenAPIType.STRING))
        for name, description in {**ETAG, **FRESHNESS}.items()
    }
    answers: dict[str, OpenAPIResponse | Reference] = {
        "200": OpenAPIResponse(description="The customer; ETag is its version.", headers=headers, content=document),
        "304": OpenAPIResponse(description="You hold this version.", headers=headers),
        **{str(status): _problem(spec, problem) for status, spec in _PROBLEMS.items()},
    }
    return PathItem(
        get=Operation(
            tags=["customers"],
            summary="One customer",
            operation_id="ReadCustomer",
            parameters=[*_PARAMETERS],
            responses=answers,
        ),
        head=Operation(
            tags=["customers"],
            summary="One customer, headers only",
            operation_id="HeadCustomer",
            parameters=[*_PARAMETERS],
            responses={
                status: OpenAPIResponse(description=answer.description or "", headers=answer.headers)
                for status, answer in answers.items()
                if isinstance(answer, OpenAPIResponse)
            },
        ),
    )


def _problem(spec: ResponseSpec, schema: Any) -> OpenAPIResponse:
    examples: dict[str, Example | Reference] = {
        one.id: Example(summary=one.summary, value=one.value) for one in spec.examples or [] if one.id
    }
    content = {MEDIA_TYPE: OpenAPIMediaType(schema=schema, examples=examples)}
    return OpenAPIResponse(description=spec.description, content=content)
