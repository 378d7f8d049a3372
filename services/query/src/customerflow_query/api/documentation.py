"""OpenAPI for the customer's route, which being bare ASGI does not describe itself."""

from typing import Any

from customerflow_shared.openapi import header, inline_schema
from customerflow_shared.problems import MEDIA_TYPE, ProblemDocument, responses
from customerflow_shared.views import CustomerView
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    PathItem,
    Reference,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

_PARAMETERS = [
    Parameter(
        name="customer_id",
        param_in="path",
        required=True,
        schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID),
    ),
    Parameter(
        name="minVersion",
        param_in="query",
        description="The version that a command answered: nothing older is shown, to read your own write.",
        schema=Schema(type=OpenAPIType.INTEGER, minimum=1),
    ),
    header("Prefer", "How long to wait for minVersion, at most 10 seconds.", example="wait=2"),
    header("If-None-Match", "An entity tag that you hold.", example='"7"'),
]

_PROBLEMS = responses(
    "invalid-id",
    "unknown-parameter",
    "invalid-parameter",
    "customer-not-found",
    "customer-erased",
    "projection-behind",
    "rebuilding",
    "unavailable",
    "internal",
)


def customer_path() -> PathItem:
    document = {"application/json": OpenAPIMediaType(schema=inline_schema(CustomerView))}
    problem = inline_schema(ProblemDocument)
    answers: dict[str, OpenAPIResponse | Reference] = {
        "200": OpenAPIResponse(description="The customer; ETag is its version.", content=document),
        "304": OpenAPIResponse(description="You hold this version."),
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
                status: OpenAPIResponse(description=answer.description or "") for status, answer in answers.items()
            },
        ),
    )


def _problem(spec: ResponseSpec, schema: Any) -> OpenAPIResponse:
    examples: dict[str, Example | Reference] = {
        one.id: Example(summary=one.summary, value=one.value) for one in spec.examples or [] if one.id
    }
    content = {MEDIA_TYPE: OpenAPIMediaType(schema=schema, examples=examples)}
    return OpenAPIResponse(description=spec.description, content=content)
