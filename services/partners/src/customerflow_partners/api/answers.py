"""What the operator's routes have in common: their documentation, and their ways out."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import litestar
import msgspec
from customerflow_shared import requests
from customerflow_shared.inputs.body import received
from customerflow_shared.inputs.fields import Fields, Unfit
from customerflow_shared.inputs.strict_json import json_object
from customerflow_shared.openapi import JSON, Answer, Body, operation
from customerflow_shared.problems import Problem, responses
from litestar import Response
from litestar.openapi.spec import Parameter

from customerflow_partners import inputs

HttpRequest: TypeAlias = litestar.Request[Any, Any, Any]


def documented(
    tag: str,
    summary: str,
    answers: Mapping[int, Answer],
    *parameters: Parameter,
    problems: Sequence[str],
    body: Body | None = None,
) -> dict[str, Any]:
    """For the decorator of a route; `problems` besides those that every route has."""
    return {
        "summary": summary,
        "tags": [tag],
        "operation_class": operation(*parameters, body=body, answers=answers),
        "responses": responses("unauthorized", "unknown-parameter", *problems, "unavailable"),
    }


def answer(told: msgspec.Struct, status: int = 200) -> Response[bytes]:
    return Response(
        msgspec.json.encode(told), status_code=status, media_type=JSON, headers={"Cache-Control": "no-store"}
    )


def subscription_name(text: str) -> str:
    """Raises Problem."""
    try:
        return inputs.subscription_name(text)
    except Unfit as unfit:
        raise Problem(unfit.code, unfit.detail) from None


async def check_empty(request: HttpRequest) -> None:
    """Neither parameters nor a body, or an empty object. Raises Problem."""
    requests.parameters(request.scope["query_string"])
    if raw := await received(request, JSON, required=False):
        Fields(json_object(raw), set()).check()


def unavailable(detail: str) -> Problem:
    return Problem("unavailable", detail, headers={"Retry-After": "1"})
