"""The operator's routes: events of the past, told again to one partner."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from customerflow_shared import requests
from customerflow_shared.inputs.bodies import Body as BodyOf
from customerflow_shared.inputs.body import received
from customerflow_shared.inputs.strict_json import json_object
from customerflow_shared.openapi import JSON, Answer, Body
from customerflow_shared.problems import Problem, Translation
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Meta

from customerflow_partners import asking
from customerflow_partners.api.answers import (
    HttpRequest,
    answer,
    check_empty,
    documented,
    subscription_name,
)
from customerflow_partners.management import Management
from customerflow_partners.replays import DEFAULT_RATE, MAX_RATE, NoReplay, Over, Replay, Replays, Unfinished
from customerflow_partners.subscriptions import EVENTS

SHOWN = 100


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first, 100 at most."""

    data: list[Replay]


class ReplayBody(BodyOf, kw_only=True):
    """Each may be left out; without any it is all there ever was, of the types that the subscription takes."""

    after: Annotated[int, Meta(ge=0, le=asking.MAX_POSITION, description="After this position.")] | None = None
    until: Annotated[int, Meta(ge=0, le=asking.MAX_POSITION, description="Up to this position.")] | None = None
    since: Annotated[str, Meta(description="Recorded at this moment or later.")] | None = None
    before: Annotated[str, Meta(description="Recorded before this moment.")] | None = None
    types: Annotated[list[str], Meta(max_length=len(EVENTS), description="Routing keys, others too.")] | None = None
    customer: Annotated[UUID, Meta(description="Of this customer only.")] | None = None
    rate: Annotated[int, Meta(ge=1, le=MAX_RATE, description="Events a second, at most.")] = DEFAULT_RATE


TRANSLATIONS: dict[type[Exception], Translation] = {
    NoReplay: lambda _: Problem("replay-not-found", "The subscription has no such replay."),
    Unfinished: lambda error: Problem(
        "replay-unfinished", "Another replay of the subscription has not come to its end.", **_of(error.replay)
    ),
    Over: lambda error: Problem("replay-over", f"The replay is {error.state}.", state=str(error.state)),
}

_ID = "0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11"
_REPLAY = {
    "id": _ID,
    "subscription": "erp",
    "queue": "customerflow.partner.erp",
    "state": "running",
    "asked": {"since": "2026-11-22T00:00:00.000Z", "types": ["customer.updated.v1"], "rate": 200},
    "progress": {
        "from": 120_000,
        "position": 120_500,
        "of": 184_210,
        "published": 497,
        "unreadable": 0,
        "perSecond": 199.4,
    },
    "createdAt": "2026-11-23T15:04:05.123Z",
    "updatedAt": "2026-11-23T15:04:07.630Z",
}
_OF_SUBSCRIPTION = ["subscription-name-invalid"]
_OF_REPLAY = [*_OF_SUBSCRIPTION, "invalid-id", "replay-not-found"]
_OF_TURN = [*_OF_REPLAY, "malformed-json", "invalid-fields", "unsupported-media-type", "replay-over"]


@post(
    "/internal/subscriptions/{name:str}/replays",
    status_code=202,
    **documented(
        "replays",
        "Tell a partner events of the past again",
        {202: Answer("It has begun.", Replay, {"Location": "Where its progress is."}, example=_REPLAY)},
        body=Body(ReplayBody, {"since": "2026-11-22T00:00:00Z", "types": ["customer.updated.v1"]}),
        problems=[
            *_OF_SUBSCRIPTION,
            "malformed-json",
            "invalid-fields",
            "body-too-large",
            "unsupported-media-type",
            "subscription-not-found",
            "subscription-incomplete",
            "replay-unfinished",
        ],
    ),
)
async def begin_replay(
    request: HttpRequest,
    name: FromPath[str],
    replays: NamedDependency[Replays],
    management: NamedDependency[Management],
) -> Response[bytes]:
    """To this partner's queue and no other, in order of each customer, at least once: with the ids and the content of
    the first time, and the replay's id in the header `customerflow-replay`. It ends at the last event that there is
    when it begins. While the queue is nearly full it waits, so that nothing is dropped for it; so it does, without
    limit, for RabbitMQ and the event store.
    """
    requests.parameters(request.scope["query_string"])
    raw = await received(request, JSON, required=False)
    asked = asking.read(json_object(raw) if raw else {})
    begun = await asking.begin(replays, management, subscription_name(name), asked)
    told = answer(begun, 202)
    told.headers["Location"] = f"/internal/subscriptions/{begun.subscription}/replays/{begun.id}"
    return told


@get(
    "/internal/subscriptions/{name:str}/replays",
    **documented(
        "replays",
        "The replays of a subscription",
        {200: Answer("The newest first.", Page, example={"data": [_REPLAY]})},
        problems=_OF_SUBSCRIPTION,
    ),
)
async def list_replays(request: HttpRequest, name: FromPath[str], replays: NamedDependency[Replays]) -> Response[bytes]:
    """Of the last 90 days; those of a subscription that has been removed, too."""
    requests.parameters(request.scope["query_string"])
    return answer(Page(data=await replays.listed(subscription_name(name), SHOWN)))


@get(
    "/internal/subscriptions/{name:str}/replays/{replay_id:str}",
    **documented(
        "replays", "A replay, and how far it is", {200: Answer("It.", Replay, example=_REPLAY)}, problems=_OF_REPLAY
    ),
)
async def replay(
    request: HttpRequest, name: FromPath[str], replay_id: FromPath[str], replays: NamedDependency[Replays]
) -> Response[bytes]:
    """`running`, `paused`, `completed`, `cancelled`, or `failed` with a `reason`; `waiting` says for what it waits."""
    requests.parameters(request.scope["query_string"])
    return answer(await replays.one(subscription_name(name), requests.identifier(replay_id)))


def _turning(summary: str) -> dict[str, Any]:
    answers = {200: Answer("As it is now.", Replay, example=_REPLAY)}
    return documented("replays", summary, answers, problems=_OF_TURN)


@post(
    "/internal/subscriptions/{name:str}/replays/{replay_id:str}/pause", status_code=200, **_turning("Stop for a while")
)
async def pause_replay(
    request: HttpRequest, name: FromPath[str], replay_id: FromPath[str], replays: NamedDependency[Replays]
) -> Response[bytes]:
    """What is under way, no more than a hundred events or a few, is still published."""
    return answer(await replays.pause(*await _named(request, name, replay_id)))


@post(
    "/internal/subscriptions/{name:str}/replays/{replay_id:str}/resume",
    status_code=200,
    **documented(
        "replays",
        "Go on",
        {200: Answer("As it is now.", Replay, example=_REPLAY)},
        problems=[*_OF_TURN, "replay-unfinished"],
    ),
)
async def resume_replay(
    request: HttpRequest, name: FromPath[str], replay_id: FromPath[str], replays: NamedDependency[Replays]
) -> Response[bytes]:
    """Where it was; one that has failed, too."""
    return answer(await replays.resume(*await _named(request, name, replay_id)))


@post("/internal/subscriptions/{name:str}/replays/{replay_id:str}/cancel", status_code=200, **_turning("Stop for ever"))
async def cancel_replay(
    request: HttpRequest, name: FromPath[str], replay_id: FromPath[str], replays: NamedDependency[Replays]
) -> Response[bytes]:
    """What has been published stays in the queue."""
    return answer(await replays.cancel(*await _named(request, name, replay_id)))


ROUTES = [begin_replay, list_replays, replay, pause_replay, resume_replay, cancel_replay]


async def _named(request: HttpRequest, name: str, replay_id: str) -> tuple[str, UUID]:
    await check_empty(request)
    return subscription_name(name), requests.identifier(replay_id)


def _of(replay: UUID | None) -> dict[str, Any]:
    return {} if replay is None else {"replay": str(replay)}
