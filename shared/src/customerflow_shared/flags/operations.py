"""The operator's route: every flag, what it is for a customer, and why."""

from typing import Any

import litestar
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from customerflow_shared import requests
from customerflow_shared.flags.evaluation import Flags, Report
from customerflow_shared.openapi import Answer, operation
from customerflow_shared.problems import responses

_CUSTOMER = Parameter(
    name="customer",
    param_in="query",
    description="Whom the flags are asked for; without it, nobody in particular.",
    schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID),
)
_EXAMPLE = {
    "source": "file /flags/flags.json",
    "inForce": True,
    "takenAt": "2026-11-22T15:04:05.123456Z",
    "customer": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11",
    "flags": [
        {
            "flag": "verify-email-at-registration",
            "value": True,
            "variant": "on",
            "reason": "TARGETING_MATCH",
            "byCustomer": True,
            "purpose": "Whoever is registered with an e-mail address is sent a code at once; by customer.",
        }
    ],
}


@get(
    "/internal/flags",
    summary="What is switched on, and why",
    tags=["flags"],
    sync_to_thread=True,
    operation_class=operation(_CUSTOMER, answers={200: Answer("Every flag.", Report, example=_EXAMPLE)}),
    responses=responses("unauthorized", "unknown-parameter", "invalid-parameter", "invalid-id"),
)
def flags_in_force(request: litestar.Request[Any, Any, Any], flags: NamedDependency[Flags]) -> Report:
    """Every flag that this program has, its value and variant for this customer, and OpenFeature's reason for it; and
    whether the flags in force are those that their source holds now. Wants the operator's token as
    `Authorization: Bearer`.
    """
    given = requests.parameters(request.scope["query_string"], ["customer"])
    return flags.report(requests.identifier(given["customer"]) if "customer" in given else None)


def routers(token: str | None) -> list[Router]:
    """The route for who has the operator's token; none if nobody has."""
    if token is None:
        return []
    return [
        Router("/", route_handlers=[flags_in_force], guards=[requests.with_token(token, "Send the operator's token.")])
    ]
