"""The operator's routes: subscriptions of other systems, created, shown and removed."""

from typing import Annotated, Any

import msgspec
from customerflow_shared import requests
from customerflow_shared.inputs.bodies import Body as BodyOf
from customerflow_shared.inputs.body import received
from customerflow_shared.inputs.fields import Fields
from customerflow_shared.inputs.strict_json import json_object
from customerflow_shared.openapi import JSON, Answer, Body
from customerflow_shared.problems import Problem, Translation
from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath
from msgspec import Meta

from customerflow_partners import inputs
from customerflow_partners.api.answers import HttpRequest, answer, documented, subscription_name, unavailable
from customerflow_partners.keeping import (
    Created,
    Credentials,
    HasMessages,
    Incomplete,
    Inspection,
    NotSubscribed,
    Overtaken,
    Subscription,
    Subscriptions,
)
from customerflow_partners.management import AccountRefused, NoVirtualHost, Refused, Unavailable
from customerflow_partners.subscriptions import MAX_AGE, MAX_BYTES, MAX_KEYS, MAX_MESSAGES, Conflict, Limits


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """All subscriptions, by name."""

    data: list[Subscription]


class LimitsBody(BodyOf, kw_only=True):
    """What the queue holds at most: messages, bytes, and seconds; beyond it the oldest messages are dropped."""

    messages: Annotated[int, Meta(ge=1, le=MAX_MESSAGES)] = Limits().messages
    bytes: Annotated[int, Meta(ge=inputs.MIN_BYTES, le=MAX_BYTES)] = Limits().bytes
    age: Annotated[int, Meta(ge=inputs.MIN_AGE, le=MAX_AGE)] = Limits().age


class SubscriptionBody(BodyOf, kw_only=True):
    """Routing keys of events, or patterns of a topic exchange that fit at least one."""

    routing_keys: Annotated[list[str], Meta(min_length=1, max_length=MAX_KEYS)]
    limits: LimitsBody | None = None


TRANSLATIONS: dict[type[Exception], Translation] = {
    NotSubscribed: lambda _: Problem("subscription-not-found", "There is no subscription of this name."),
    Conflict: lambda error: Problem(
        "subscription-differs", "See `differs` for what is not as it was asked for.", differs=error.differs
    ),
    Incomplete: lambda error: Problem(
        "subscription-incomplete", "See `faults` for what is missing or has been changed.", faults=error.faults
    ),
    HasMessages: lambda error: Problem(
        "subscription-has-messages",
        "Messages would be lost; with force=true they are.",
        **_known(messages=error.messages, deadLetters=error.dead_letters),
    ),
    Overtaken: lambda _: Problem("subscription-changed", "Somebody else has set another password at the same time."),
    Refused: lambda _: Problem("subscription-changed", "RabbitMQ refuses a step: something has changed meanwhile."),
    Unavailable: lambda _: unavailable("RabbitMQ's management interface does not answer."),
    AccountRefused: lambda _: unavailable("RabbitMQ refuses the account of this service."),
    NoVirtualHost: lambda _: unavailable("RabbitMQ does not have the virtual host of this service."),
}

_SUBSCRIPTION = {
    "name": "erp",
    "queue": "customerflow.partner.erp",
    "deadLetterQueue": "customerflow.partner.erp.dead",
    "user": "partner-erp",
    "faults": [],
    "routingKeys": ["customer.erased.v1", "customer.updated.v1"],
    "limits": {"messages": 1_000_000, "bytes": 1_000_000_000, "age": 604_800},
    "messages": 12,
    "unacknowledged": 2,
    "consumers": 1,
    "deadLetters": 1,
}
_CREDENTIALS = {"user": "partner-erp", "password": "told-once"}
_INSPECTION = {
    "subscription": _SUBSCRIPTION,
    "oldest": {"atLeast": 55, "atMost": 60},
    "connections": 1,
    "connectedSince": "2026-11-22T15:04:05.123Z",
    "dead": {
        "reasons": {"rejected": 1},
        "oldest": [
            {
                "messageId": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11",
                "routingKey": "customer.updated.v1",
                "reason": "rejected",
                "count": 1,
                "at": 1_795_359_845,
            }
        ],
    },
}
_ASKED = {"routingKeys": ["customer.updated.v1", "customer.erased.v1"], "limits": {"age": 604_800}}
_FORCE = Parameter(
    name="force",
    param_in="query",
    description="`true`: remove it with the messages that it holds.",
    schema=Schema(type=OpenAPIType.BOOLEAN, default=False),
)


@get(
    "/internal/subscriptions",
    **documented(
        "subscriptions",
        "All subscriptions",
        {200: Answer("By name; the incomplete ones among them.", Page, example={"data": [_SUBSCRIPTION]})},
        problems=[],
    ),
)
async def subscriptions(request: HttpRequest, kept: NamedDependency[Subscriptions]) -> Response[bytes]:
    """What RabbitMQ has of each; numbers are some seconds old. All routes here want the operator's token as
    `Authorization: Bearer`.
    """
    requests.parameters(request.scope["query_string"])
    return answer(Page(data=await kept.listed()))


@put(
    "/internal/subscriptions/{name:str}",
    status_code=201,
    **documented(
        "subscriptions",
        "Subscribe a partner",
        {
            201: Answer(
                "It is complete now.", Created, example={"subscription": _SUBSCRIPTION, "credentials": _CREDENTIALS}
            ),
            200: Answer("It was complete before.", Created, example={"subscription": _SUBSCRIPTION}),
        },
        body=Body(SubscriptionBody, _ASKED),
        problems=[
            "subscription-name-invalid",
            "malformed-json",
            "invalid-fields",
            "body-too-large",
            "unsupported-media-type",
            "subscription-differs",
            "subscription-changed",
        ],
    ),
)
async def subscribe(request: HttpRequest, name: FromPath[str], kept: NamedDependency[Subscriptions]) -> Response[bytes]:
    """A queue with its bindings and limits, a dead-letter queue, and an account that may read these two and nothing
    else. The password is told this one time. The same again changes nothing, and completes what was interrupted.
    """
    requests.parameters(request.scope["query_string"])
    raw = await received(request, JSON)
    wish = inputs.wish(subscription_name(name), json_object(raw))
    created, changed = await kept.create(wish)
    return answer(created, 201 if changed else 200)


@get(
    "/internal/subscriptions/{name:str}",
    **documented(
        "subscriptions",
        "A subscription, with what waits in it",
        {200: Answer("Its state, and its oldest dead letters.", Inspection, example=_INSPECTION)},
        problems=["subscription-name-invalid", "subscription-not-found"],
    ),
)
async def inspect(request: HttpRequest, name: FromPath[str], kept: NamedDependency[Subscriptions]) -> Response[bytes]:
    """Without the content of any message. Why a partner has gone away RabbitMQ does not remember; its log says it."""
    requests.parameters(request.scope["query_string"])
    return answer(await kept.inspect(subscription_name(name)))


@post(
    "/internal/subscriptions/{name:str}/credentials",
    status_code=200,
    **documented(
        "subscriptions",
        "Give a partner a new password",
        {200: Answer("It is told this one time.", Credentials, example=_CREDENTIALS)},
        problems=[
            "subscription-name-invalid",
            "malformed-json",
            "invalid-fields",
            "unsupported-media-type",
            "subscription-not-found",
            "subscription-incomplete",
            "subscription-changed",
        ],
    ),
)
async def rotate(request: HttpRequest, name: FromPath[str], kept: NamedDependency[Subscriptions]) -> Response[bytes]:
    """The old one is no longer good for a new connection; those that are open stay open."""
    requests.parameters(request.scope["query_string"])
    identifier = subscription_name(name)
    if raw := await received(request, JSON, required=False):
        Fields(json_object(raw), set()).check()
    return answer(await kept.rotate(identifier))


@delete(
    "/internal/subscriptions/{name:str}",
    status_code=204,
    **documented(
        "subscriptions",
        "Remove a subscription",
        {204: Answer("It is gone.")},
        _FORCE,
        problems=[
            "subscription-name-invalid",
            "invalid-parameter",
            "subscription-not-found",
            "subscription-has-messages",
            "subscription-changed",
        ],
    ),
)
async def remove(request: HttpRequest, name: FromPath[str], kept: NamedDependency[Subscriptions]) -> None:
    """Its account first, which closes its connections, then its bindings and queues. If it holds messages it stays as
    it is, unless it is forced. An interrupted removal is completed by the next.
    """
    given = requests.parameters(request.scope["query_string"], ["force"])
    if given.get("force", "false") not in ("true", "false"):
        raise Problem("invalid-parameter", "force must be true or false.")
    await kept.remove(subscription_name(name), force=given.get("force") == "true")


ROUTES = [subscriptions, subscribe, inspect, rotate, remove]


def _known(**numbers: int | None) -> dict[str, Any]:
    return {name: number for name, number in numbers.items() if number is not None}
