"""The operator's routes: webhooks, and their deliveries that have failed."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from customerflow_shared import requests
from customerflow_shared.inputs.bodies import Body as BodyOf
from customerflow_shared.inputs.body import received
from customerflow_shared.inputs.fields import Fields
from customerflow_shared.inputs.strict_json import json_object
from customerflow_shared.openapi import JSON, Answer, Body
from customerflow_shared.problems import Fault, Problem, Translation
from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from customerflow_partners.api.answers import HttpRequest, answer, documented
from customerflow_partners.subscriptions import MAX_KEYS
from customerflow_partners.webhooks import asking
from customerflow_partners.webhooks.addresses import MAX_URL, AddressRefused
from customerflow_partners.webhooks.keeping import (
    OVERLAP,
    Changed,
    Created,
    NoDelivery,
    Pinged,
    Secret,
    Told,
    Webhooks,
)
from customerflow_partners.webhooks.store import Delivery, NoWebhook

MERGE_PATCH = "application/merge-patch+json"
DEFAULT_LIMIT = 50
MAX_LIMIT = 200


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """All webhooks, by age."""

    data: list[Told]


class Deliveries(msgspec.Struct, frozen=True, kw_only=True):
    """Oldest first. No `next`: there is nothing more."""

    data: list[Delivery]
    next: int | UnsetType = UNSET


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries; each customer's go in their order."""

    retried: int


class WebhookBody(BodyOf, kw_only=True):
    """Where to, and which events: routing keys, or patterns of a topic exchange that fit at least one."""

    url: Annotated[str, Meta(max_length=MAX_URL, examples=["https://erp.example.com/customerflow"])]
    routing_keys: Annotated[list[str], Meta(min_length=1, max_length=MAX_KEYS)]
    description: Annotated[str, Meta(max_length=asking.MAX_DESCRIPTION)] | None = None


class ChangeBody(BodyOf, kw_only=True):
    """A merge patch (RFC 7396): what is left out stays."""

    url: Annotated[str, Meta(max_length=MAX_URL)] | UnsetType = UNSET
    routing_keys: Annotated[list[str], Meta(min_length=1, max_length=MAX_KEYS)] | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=asking.MAX_DESCRIPTION)] | UnsetType | None = UNSET


class RotationBody(BodyOf, kw_only=True):
    """For how many seconds the old secret signs beside the new one."""

    overlap: Annotated[int, Meta(ge=0, le=asking.MAX_OVERLAP)] = OVERLAP


class ReasonBody(BodyOf, kw_only=True):
    """Kept in clear: it must hold no personal data."""

    reason: Annotated[str, Meta(min_length=1, max_length=asking.MAX_REASON, examples=["sent by hand"])]


TRANSLATIONS: dict[type[Exception], Translation] = {
    NoWebhook: lambda _: Problem("webhook-not-found", "There is no webhook of this id."),
    NoDelivery: lambda _: Problem("webhook-delivery-not-found", "The webhook has no such delivery."),
    Changed: lambda _: Problem("webhook-changed", "Somebody else has changed the webhook at the same time."),
    AddressRefused: lambda error: Problem(
        "invalid-fields",
        "See `errors` for each field.",
        errors=[Fault(pointer="#/url", code="url-refused", detail=error.detail)],
    ),
}

_ID = "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11"
_WEBHOOK = {
    "id": _ID,
    "url": "https://erp.example.com/customerflow",
    "routingKeys": ["customer.erased.v1", "customer.updated.v1"],
    "description": "the ERP of the south",
    "state": "active",
    "queue": f"customerflow.webhook.{_ID}",
    "createdAt": "2026-11-22T15:04:05.123Z",
    "heldCustomers": 1,
    "held": 3,
    "dead": 0,
    "lastSuccessAt": "2026-11-22T16:04:05.123Z",
    "lastStatus": 204,
}
_DELIVERY = {
    "id": 17,
    "state": "held",
    "eventId": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e12",
    "customerId": "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e13",
    "type": "io.customerflow.customer.updated.v1",
    "attempts": 2,
    "heldAt": "2026-11-22T15:04:05.123Z",
    "nextAttemptAt": "2026-11-22T15:09:12.345Z",
    "lastAttemptAt": "2026-11-22T15:04:10.345Z",
    "lastStatus": 500,
    "lastError": "status",
}
_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
_ASKED = {"url": "https://erp.example.com/customerflow", "routingKeys": ["customer.updated.v1", "customer.erased.v1"]}
_BODY_PROBLEMS = ["malformed-json", "invalid-fields", "body-too-large", "unsupported-media-type"]
_OF_ONE = ["invalid-id", "webhook-not-found"]
_STATE = Parameter(
    name="state",
    param_in="query",
    description="`held`: it is tried again, or waits behind one of the same customer. `dead`: it is not.",
    schema=Schema(type=OpenAPIType.STRING, enum=["held", "dead"], default="held"),
)
_AFTER = Parameter(
    name="after",
    param_in="query",
    description="`next` of the page before.",
    schema=Schema(type=OpenAPIType.INTEGER, minimum=0),
)
_LIMIT = Parameter(
    name="limit",
    param_in="query",
    schema=Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
)


def _documented(summary: str, answers: dict[int, Answer], *parameters: Parameter, **others: Any) -> dict[str, Any]:
    return documented("webhooks", summary, answers, *parameters, **others)


@get(
    "/internal/webhooks",
    **_documented("All webhooks", {200: Answer("By age.", Page, example={"data": [_WEBHOOK]})}, problems=[]),
)
async def webhooks(request: HttpRequest, hooks: NamedDependency[Webhooks]) -> Response[bytes]:
    """Without what waits in their queues. All routes here want the operator's token as `Authorization: Bearer`."""
    requests.parameters(request.scope["query_string"])
    return answer(Page(data=await hooks.listed()))


@post(
    "/internal/webhooks",
    **_documented(
        "Create a webhook",
        {201: Answer("It is there.", Created, example={"webhook": _WEBHOOK | {"messages": 0}, "secret": _SECRET})},
        body=Body(WebhookBody, _ASKED),
        problems=_BODY_PROBLEMS,
    ),
)
async def create(request: HttpRequest, hooks: NamedDependency[Webhooks]) -> Response[bytes]:
    """Whatever happens from now on is sent to the URL as it is published, signed by Standard Webhooks. The secret is
    told this one time. The URL must be https, and its host must have public addresses only.
    """
    requests.parameters(request.scope["query_string"])
    wish = asking.wish(json_object(await received(request, JSON)))
    return answer(await hooks.create(wish), 201)


@get(
    "/internal/webhooks/{webhook:str}",
    **_documented(
        "A webhook, and how it fares",
        {200: Answer("Its state.", Told, example=_WEBHOOK | {"messages": 12})},
        problems=_OF_ONE,
    ),
)
async def show(request: HttpRequest, webhook: FromPath[str], hooks: NamedDependency[Webhooks]) -> Response[bytes]:
    """`messages` wait in its queue. `failingSince`: since then nothing has been delivered; after some days of that it
    is disabled, with the `disabledReason` `failing`. `pausedUntil`: the next attempt is made then. `lastError` is one
    of `status`, `redirect`, `timeout`, `connection-lost`, `not-http`, `not-connected`, `connect-timeout`, `tls`, or
    `address-` and the rule by which the address is refused.
    """
    requests.parameters(request.scope["query_string"])
    return answer(await hooks.show(requests.identifier(webhook)))


@patch(
    "/internal/webhooks/{webhook:str}",
    **_documented(
        "Change a webhook",
        {200: Answer("As it is now.", Told, example=_WEBHOOK | {"messages": 12})},
        body=Body(ChangeBody, {"routingKeys": ["customer.#"]}, MERGE_PATCH),
        problems=[*_OF_ONE, *_BODY_PROBLEMS, "webhook-changed"],
    ),
)
async def change(request: HttpRequest, webhook: FromPath[str], hooks: NamedDependency[Webhooks]) -> Response[bytes]:
    """Its worker follows within seconds; what waits already is still sent."""
    requests.parameters(request.scope["query_string"])
    identifier = requests.identifier(webhook)
    wish = asking.changes(json_object(await received(request, MERGE_PATCH)))
    return answer(await hooks.change(identifier, wish))


@delete(
    "/internal/webhooks/{webhook:str}",
    status_code=204,
    **_documented("Delete a webhook", {204: Answer("It goes.")}, problems=_OF_ONE),
)
async def remove(request: HttpRequest, webhook: FromPath[str], hooks: NamedDependency[Webhooks]) -> None:
    """With its queue and its deliveries; nothing more is sent. A worker does so, within seconds if one runs."""
    requests.parameters(request.scope["query_string"])
    await hooks.delete(requests.identifier(webhook))


@post(
    "/internal/webhooks/{webhook:str}/disable",
    status_code=200,
    **_documented(
        "Send nothing more",
        {200: Answer("As it is now.", Told, example=_WEBHOOK | {"state": "disabled", "disabledReason": "asked"})},
        problems=_OF_ONE,
    ),
)
async def disable(request: HttpRequest, webhook: FromPath[str], hooks: NamedDependency[Webhooks]) -> Response[bytes]:
    """Its queue takes what comes, and drops what is oldest once it is full, or older than seven days."""
    requests.parameters(request.scope["query_string"])
    return answer(await hooks.disable(requests.identifier(webhook)))


@post(
    "/internal/webhooks/{webhook:str}/enable",
    status_code=200,
    **_documented(
        "Send again",
        {200: Answer("As it is now.", Told, example=_WEBHOOK)},
        problems=_OF_ONE,
    ),
)
async def enable(request: HttpRequest, webhook: FromPath[str], hooks: NamedDependency[Webhooks]) -> Response[bytes]:
    """What is held is tried at once, and what its queue still holds follows. What the queue has dropped meanwhile, by
    age or for lack of room, is missing: have it replayed.
    """
    requests.parameters(request.scope["query_string"])
    return answer(await hooks.enable(requests.identifier(webhook)))


@post(
    "/internal/webhooks/{webhook:str}/secret",
    status_code=200,
    **_documented(
        "Give a webhook a new secret",
        {
            200: Answer(
                "It is told this one time.",
                Secret,
                example={"secret": _SECRET, "oldUntil": "2026-11-23T15:04:05.123Z"},
            )
        },
        body=Body(RotationBody, {"overlap": OVERLAP}, required=False),
        problems=[*_OF_ONE, *_BODY_PROBLEMS, "webhook-changed"],
    ),
)
async def rotate(request: HttpRequest, webhook: FromPath[str], hooks: NamedDependency[Webhooks]) -> Response[bytes]:
    """Its worker signs with it within seconds. Until `oldUntil` each delivery has a signature by the old one too, for a
    day if nothing else is said. There are never more than two: a third one ends the first.
    """
    requests.parameters(request.scope["query_string"])
    identifier = requests.identifier(webhook)
    seconds: int | None = None
    if raw := await received(request, JSON, required=False):
        fields = Fields(json_object(raw), {"overlap"})
        seconds = fields.optional("overlap", asking.overlap)
        fields.check()
    return answer(await hooks.rotate(identifier, OVERLAP if seconds is None else seconds))


@post(
    "/internal/webhooks/{webhook:str}/ping",
    status_code=200,
    **_documented(
        "Send a test event",
        {200: Answer("What came of it.", Pinged, example={"delivered": True, "milliseconds": 81, "status": 204})},
        problems=_OF_ONE,
    ),
)
async def ping(request: HttpRequest, webhook: FromPath[str], hooks: NamedDependency[Webhooks]) -> Response[bytes]:
    """One event of the type `io.customerflow.webhook.ping`, once, signed like any other."""
    requests.parameters(request.scope["query_string"])
    return answer(await hooks.ping(requests.identifier(webhook)))


@get(
    "/internal/webhooks/{webhook:str}/deliveries",
    **_documented(
        "Deliveries that have failed",
        {200: Answer("Oldest first.", Deliveries, example={"data": [_DELIVERY]})},
        *(_STATE, _AFTER, _LIMIT),
        problems=[*_OF_ONE, "invalid-parameter", "limit-range"],
    ),
)
async def deliveries(request: HttpRequest, webhook: FromPath[str], hooks: NamedDependency[Webhooks]) -> Response[bytes]:
    """And those that wait behind them, without their content."""
    given = requests.parameters(request.scope["query_string"], ["state", "after", "limit"])
    identifier, state = requests.identifier(webhook), given.get("state", "held")
    if state not in ("held", "dead"):
        raise Problem("invalid-parameter", "state must be held or dead.")
    limit = requests.integer(given, "limit", default=DEFAULT_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        raise Problem("limit-range", f"limit must be from 1 to {MAX_LIMIT}.")
    after = requests.integer(given, "after", default=0)
    found = await hooks.deliveries(identifier, state, after, limit + 1)
    page = list(found[:limit])
    return answer(Deliveries(data=page, next=page[-1].id if len(found) > limit else UNSET))


@post(
    "/internal/webhooks/{webhook:str}/deliveries/retry",
    status_code=200,
    **_documented(
        "Try all of them again",
        {200: Answer("They are due.", Retried, example={"retried": 3})},
        problems=_OF_ONE,
    ),
)
async def retry_all(request: HttpRequest, webhook: FromPath[str], hooks: NamedDependency[Webhooks]) -> Response[bytes]:
    """Held ones at once, dead ones too, as if they had never been tried; a pause ends."""
    requests.parameters(request.scope["query_string"])
    return answer(Retried(retried=await hooks.retry_all(requests.identifier(webhook))))


@post(
    "/internal/webhooks/{webhook:str}/deliveries/{delivery:str}/retry",
    status_code=204,
    **_documented("Try one again", {204: Answer("It is due.")}, problems=[*_OF_ONE, "webhook-delivery-not-found"]),
)
async def retry(
    request: HttpRequest, webhook: FromPath[str], delivery: FromPath[str], hooks: NamedDependency[Webhooks]
) -> None:
    """A worker does so within seconds, if it is the first of its customer's."""
    requests.parameters(request.scope["query_string"])
    await hooks.retry(*_both(webhook, delivery))


@post(
    "/internal/webhooks/{webhook:str}/deliveries/{delivery:str}/discard",
    status_code=200,
    **_documented(
        "Give one up",
        {200: Answer("What it was.", Delivery, example=_DELIVERY)},
        body=Body(ReasonBody, {"reason": "sent by hand"}),
        problems=[*_OF_ONE, *_BODY_PROBLEMS, "webhook-delivery-not-found"],
    ),
)
async def discard(
    request: HttpRequest, webhook: FromPath[str], delivery: FromPath[str], hooks: NamedDependency[Webhooks]
) -> Response[bytes]:
    """It is never delivered, and those behind it go on. The log keeps the reason."""
    requests.parameters(request.scope["query_string"])
    identifier, number = _both(webhook, delivery)
    fields = Fields(json_object(await received(request, JSON)), {"reason"})
    reason = fields.required("reason", asking.reason)
    fields.check()
    return answer(await hooks.discard(identifier, number, reason))


ROUTES = [
    webhooks,
    create,
    show,
    change,
    remove,
    disable,
    enable,
    rotate,
    ping,
    deliveries,
    retry_all,
    retry,
    discard,
]


def _both(webhook: str, delivery: str) -> tuple[UUID, int]:
    identifier, number = requests.identifier(webhook), asking.delivery(delivery)
    if number is None:
        raise NoDelivery
    return identifier, number
