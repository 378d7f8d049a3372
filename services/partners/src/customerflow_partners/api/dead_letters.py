"""The operator's routes: dead letters of a partner's queue, seen, retried and discarded."""

from collections.abc import Sequence
from typing import Annotated, Any

from customerflow_shared import requests
from customerflow_shared.inputs.bodies import Body as BodyOf
from customerflow_shared.inputs.body import received
from customerflow_shared.inputs.fields import Fields
from customerflow_shared.inputs.strict_json import json_object
from customerflow_shared.openapi import JSON, Answer, Body, header
from customerflow_shared.problems import Problem, Translation
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath
from msgspec import Meta

from customerflow_partners.api.answers import (
    HttpRequest,
    answer,
    check_empty,
    documented,
    subscription_name,
    unavailable,
)
from customerflow_partners.dead_letters import (
    MAX_REASON,
    Busy,
    DeadLetters,
    Discarded,
    Listed,
    NoLetter,
    Retried,
    why,
)
from customerflow_partners.feed import FeedUnavailable

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000


class DiscardBody(BodyOf, kw_only=True):
    """Kept in the log: it must hold no personal data."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON, examples=["the partner has it by other means"])]


TRANSLATIONS: dict[type[Exception], Translation] = {
    NoLetter: lambda _: Problem("dead-letter-not-found", "The queue has no such dead letter."),
    Busy: lambda _: Problem("dead-letters-busy", "Somebody else is at them.", headers={"Retry-After": "5"}),
    FeedUnavailable: lambda _: unavailable("The event store does not answer; the dead letters stay."),
}

_LETTER = {
    "id": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11",
    "type": "customer.updated.v1",
    "customerId": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e12",
    "sequence": 7,
    "reason": "rejected",
    "attempts": 1,
    "since": "2026-11-22T15:04:05.000Z",
}
_RETRIED = {"retried": 12, "kept": [{"letter": _LETTER, "why": "the event store cannot read it"}], "left": 0}
_ACTOR = header("CustomerFlow-Actor", "Who discards; it is logged with the reason.", example="user:42")
_LIMIT = Parameter(
    name="limit",
    param_in="query",
    description="How many to show at most.",
    schema=Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
)
_OF_QUEUE = ["subscription-name-invalid", "subscription-not-found", "subscription-incomplete", "dead-letters-busy"]
_OF_LETTER = [*_OF_QUEUE, "invalid-id", "dead-letter-not-found"]
_BODY = ["malformed-json", "invalid-fields", "unsupported-media-type"]


def _retrying(summary: str, problems: Sequence[str]) -> dict[str, Any]:
    answers = {200: Answer("What has become of them.", Retried, example=_RETRIED)}
    return documented("dead letters", summary, answers, problems=[*problems, *_BODY])


def _discarding(summary: str, problems: Sequence[str]) -> dict[str, Any]:
    return documented(
        "dead letters",
        summary,
        {200: Answer("How many are gone.", Discarded, example={"discarded": 1})},
        _ACTOR,
        body=Body(DiscardBody, {"reason": "the partner has it by other means"}),
        problems=[*problems, *_BODY, "body-too-large", "actor-invalid"],
    )


@get(
    "/internal/subscriptions/{name:str}/dead-letters",
    **documented(
        "dead letters",
        "The dead letters of a partner's queue",
        {200: Answer("The oldest first.", Listed, example={"data": [_LETTER], "count": 1})},
        _LIMIT,
        problems=[*_OF_QUEUE, "invalid-parameter", "limit-range"],
    ),
)
async def list_dead_letters(
    request: HttpRequest, name: FromPath[str], letters: NamedDependency[DeadLetters]
) -> Response[bytes]:
    """What the partner has refused, or its queue has dropped beyond its limits; nothing of their content."""
    given = requests.parameters(request.scope["query_string"], ["limit"])
    limit = requests.integer(given, "limit", default=DEFAULT_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        raise Problem("limit-range", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return answer(await letters.listed(subscription_name(name), limit))


@post(
    "/internal/subscriptions/{name:str}/dead-letters/retry",
    status_code=200,
    **_retrying("Send all to the partner again", _OF_QUEUE),
)
async def retry_dead_letters(
    request: HttpRequest, name: FromPath[str], letters: NamedDependency[DeadLetters]
) -> Response[bytes]:
    """Read from the event store again, in their order, to this partner's queue alone; each is removed once the broker
    has confirmed what is sent. Of one that cannot be read again, the later ones of its customer stay too. It takes
    some 10 seconds at most: if some are `left`, the same again goes on.
    """
    await check_empty(request)
    return answer(await letters.retry(subscription_name(name)))


@post(
    "/internal/subscriptions/{name:str}/dead-letters/{letter_id:str}/retry",
    status_code=200,
    **_retrying("Send one to the partner again", _OF_LETTER),
)
async def retry_dead_letter(
    request: HttpRequest, name: FromPath[str], letter_id: FromPath[str], letters: NamedDependency[DeadLetters]
) -> Response[bytes]:
    """After the earlier ones of its customer, if there are any: they count in `retried`."""
    await check_empty(request)
    return answer(await letters.retry(subscription_name(name), requests.identifier(letter_id)))


@post(
    "/internal/subscriptions/{name:str}/dead-letters/discard",
    status_code=200,
    **_discarding("Give all up", _OF_QUEUE),
)
async def discard_dead_letters(
    request: HttpRequest, name: FromPath[str], letters: NamedDependency[DeadLetters]
) -> Response[bytes]:
    """They are gone; the log says of each what it was, why it was given up, and by whom."""
    reason, by = await _reason(request)
    return answer(await letters.discard(subscription_name(name), reason, by))


@post(
    "/internal/subscriptions/{name:str}/dead-letters/{letter_id:str}/discard",
    status_code=200,
    **_discarding("Give one up", _OF_LETTER),
)
async def discard_dead_letter(
    request: HttpRequest, name: FromPath[str], letter_id: FromPath[str], letters: NamedDependency[DeadLetters]
) -> Response[bytes]:
    """It is gone; a replay tells the partner of it again."""
    reason, by = await _reason(request)
    return answer(await letters.discard(subscription_name(name), reason, by, requests.identifier(letter_id)))


ROUTES = [list_dead_letters, retry_dead_letters, retry_dead_letter, discard_dead_letters, discard_dead_letter]


async def _reason(request: HttpRequest) -> tuple[str, str]:
    """And by whom."""
    requests.parameters(request.scope["query_string"])
    fields = Fields(json_object(await received(request, JSON)), {"reason"})
    by = requests.operator(request)
    reason = fields.required("reason", why)
    fields.check()
    return reason, by
