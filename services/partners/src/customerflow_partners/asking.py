"""A replay as it is asked for: read strictly, and held against the subscription that it is for."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from customerflow_shared import requests
from customerflow_shared.inputs.fields import Fields, Unfit
from customerflow_shared.inputs.text import string
from customerflow_shared.inputs.times import moment
from customerflow_shared.problems import Problem
from customerflow_shared.views import timestamp, unless_none
from msgspec import UNSET
from msgspec.structs import replace

from customerflow_partners.inputs import whole_number
from customerflow_partners.keeping import Incomplete, NotSubscribed
from customerflow_partners.management import Management
from customerflow_partners.replays import DEFAULT_RATE, MAX_RATE, Asked, Replay, Replays
from customerflow_partners.subscriptions import EVENTS, asked_for, faults, matches, queue_of

MAX_POSITION = 10**18 - 1

_FIELDS = {"after", "until", "since", "before", "types", "customer", "rate"}

position = whole_number(0, MAX_POSITION)
rate = whole_number(1, MAX_RATE)


def event_type(value: Any) -> str:
    """Raises Unfit unless it is the routing key of an event."""
    if string(value) not in EVENTS:
        raise Unfit("format", "The value must be one of " + ", ".join(sorted(EVENTS)) + ".")
    return str(value)


def customer(value: Any) -> UUID:
    """Raises Unfit."""
    try:
        return requests.identifier(string(value))
    except Problem as problem:
        raise Unfit("format", str(problem.detail)) from None


def time_of(value: Any) -> str:
    """Raises Unfit."""
    return timestamp(moment(value))


def read(body: Mapping[str, Any]) -> Asked:
    """Raises Problem `invalid-fields` with all faults."""
    fields = Fields(body, _FIELDS)
    types = fields.values("types", len(EVENTS), event_type)  # what was refused reads as None
    asked = Asked(
        after=unless_none(fields.optional("after", position)),
        until=unless_none(fields.optional("until", position)),
        since=unless_none(fields.optional("since", time_of)),
        before=unless_none(fields.optional("before", time_of)),
        types=tuple(sorted(filter(None, types))) or UNSET,
        customer=unless_none(fields.optional("customer", customer)),
        rate=fields.optional("rate", rate) or DEFAULT_RATE,
    )
    for name, unfit in disorder(asked):
        fields.refuse(unfit, name)
    fields.check()
    return asked


def disorder(asked: Asked) -> list[tuple[str, Unfit]]:
    """By field: what ends before it begins."""
    found = []
    if asked.after is not UNSET and asked.until is not UNSET and asked.until < asked.after:
        found.append(("until", Unfit("number-range", "The number must not be less than `after`.")))
    if asked.since is not UNSET and asked.before is not UNSET and asked.before <= asked.since:
        found.append(("before", Unfit("date-range", "The moment must lie later than `since`.")))
    return found


async def settled(management: Management, name: str, asked: Asked) -> Asked:
    """Of the types that the subscription takes, unless others are asked for. Raises NotSubscribed, Incomplete."""
    found = (await management.snapshot()).found.get(name)
    if found is None:
        raise NotSubscribed
    wish = asked_for(name, found.queue) if found.queue else None
    if wish is None:
        raise Incomplete(faults(name, found))
    if asked.types is not UNSET:
        return asked
    patterns = [key.split(".") for key in wish.routing_keys]
    taken = [event for event in sorted(EVENTS) if any(matches(pattern, event.split(".")) for pattern in patterns)]
    return replace(asked, types=tuple(taken))


async def begin(replays: Replays, management: Management, name: str, asked: Asked) -> Replay:
    """Raises NotSubscribed, Incomplete, Unfinished."""
    return await replays.create(name, queue_of(name), await settled(management, name, asked))
