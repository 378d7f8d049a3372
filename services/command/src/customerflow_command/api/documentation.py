"""How the routes are documented: what all commands have in common, said once."""

from collections.abc import Sequence
from typing import Any, Literal

from customerflow_shared.openapi import Answer, Body, header, operation
from customerflow_shared.problems import responses
from litestar.openapi.spec import Parameter

from customerflow_command.api.answers import Done
from customerflow_command.api.straight import Straight

_TOLD = {
    "ETag": "The version at which the command has taken effect, for If-Match.",
    "CustomerFlow-Position": "Where in the event feed that is: with it as minPosition, every query shows the effect.",
    "Idempotency-Replayed": "`true` if this is the answer that the key got before.",
}
_LOCATION = {"Location": "Where the query service shows the customer."}

DONE = Answer("Done, or there was nothing to do: then the version is as it was.", Done)
GONE = Answer("Done, or there was nothing to do: then the version is as it was.")
REGISTERED = Answer("Registered.", Done, _LOCATION)

_COMMAND = (
    "unknown-parameter",
    "bad-request",
    "idempotency-key-invalid",
    "actor-invalid",
    "correlation-id-invalid",
    "malformed-json",
    "route-not-found",
    "idempotency-in-flight",
    "concurrent-modification",
    "body-too-large",
    "unsupported-media-type",
    "idempotency-key-reused",
    "invalid-fields",
    "internal",
    "busy",
    "switched-off",
    "unavailable",
)
_KNOWN_CUSTOMER = (
    "invalid-id",
    "if-match-invalid",
    "customer-not-found",
    "erasure-pending",
    "customer-archived",
    "customer-erased",
    "version-mismatch",
)
_HEADERS = (
    header(
        "Idempotency-Key",
        "A new random key for each command. Sent again with it, within 7 days, the same request has no second effect "
        "and gets the first answer.",
        example='"8e03978e-40d5-43e8-bc93-6894a57f9324"',
    ),
    header("CustomerFlow-Actor", "Who gives the command; it goes into the history.", example="user:42"),
    header(
        "CustomerFlow-Correlation-Id",
        "What the command belongs to; a UUID that its events carry.",
        example="0193f0a1-0200-7a00-8000-000000000001",
    ),
)


def if_match(required: bool) -> Parameter:
    return header(
        "If-Match",
        "The version to start from, as an entity tag; `*` for any.",
        required=required,
        example='"7"' if required else None,
    )


def command(
    summary: str,
    tag: str,
    answers: dict[int, Answer],
    *,
    body: Body | None = None,
    version: Literal["required", "optional", "none"] = "optional",
    post: bool = False,
    problems: Sequence[str] = (),
) -> dict[str, Any]:
    """The keyword arguments of a route that takes a command. `problems` are its own, besides those of every command;
    `version` says whether it starts from one that the client names.
    """
    told = {status: answer._replace(headers=_TOLD | dict(answer.headers)) for status, answer in answers.items()}
    codes = [*_COMMAND, *problems]
    headers = list(_HEADERS)
    if post:
        codes.append("idempotency-key-required")
    if version != "none":
        codes += _KNOWN_CUSTOMER
        headers.append(if_match(version == "required"))
    if version == "required":
        codes.append("precondition-required")
    return {
        "summary": summary,
        "tags": [tag],
        "status_code": next(iter(answers)),
        "operation_class": operation(*headers, body=body, answers=told),
        "responses": responses(*codes),
        "middleware": [Straight],
    }
