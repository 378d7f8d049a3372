"""What a subscriber was delivered, held against what happened. Plain JSON: it knows nobody's classes."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
Version: TypeAlias = tuple[str, int]  # of a customer, by its id

MEDIA_TYPE = "application/cloudevents+json"


@dataclass(frozen=True)
class Delivery:
    """One message, once for each time that it came. `at` is POSIX time; `again`: the broker says that it may have
    delivered it before.
    """

    at: float
    body: bytes
    message_id: str | None
    routing_key: str
    content_type: str | None
    again: bool = False
    offset: int | None = None  # in a stream

    @property
    def told(self) -> Json:
        told: Json = json.loads(self.body)
        return told

    @property
    def lag(self) -> float:
        """Seconds since what it tells was recorded."""
        return self.at - datetime.fromisoformat(self.told["time"]).timestamp()


@dataclass
class Account:
    missing: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    overtaken: list[str] = field(default_factory=list)
    duplicates: int = 0
    firsts: list[Delivery] = field(default_factory=list)  # the first delivery of each message

    @property
    def violations(self) -> list[str]:
        return [*self.missing, *self.phantom, *self.altered, *self.overtaken]


def compare(expected: Sequence[Json], deliveries: Iterable[Delivery]) -> Account:
    """`expected`: every event that should be told, whole but for where its schema is; those of one customer in their
    order.
    """
    wanted = {event["id"]: event for event in expected}
    assert len(wanted) == len(expected), "two events have one id"
    rank = {event["id"]: number for number, event in enumerate(expected)}
    account, seen, furthest = Account(), set[str](), dict[str, Json]()
    for delivery in deliveries:
        told = delivery.told
        event_id = str(told.get("id"))
        if event_id in seen:
            account.duplicates += 1
        if event_id not in wanted:
            account.phantom.append(f"Nothing happened of which this tells: {_named(told)}.")
            continue
        if delivery.content_type != MEDIA_TYPE or not _is(told, wanted[event_id], delivery):
            account.altered.append(f"This was told of what happened otherwise: {_named(told)}.")
        if event_id in seen:
            continue
        seen.add(event_id)
        account.firsts.append(delivery)
        last = furthest.setdefault(told["subject"], told)
        if rank[event_id] < rank[last["id"]]:
            account.overtaken.append(f"{_named(told)} came after {_named(last)}.")
        else:
            furthest[told["subject"]] = told
    account.missing = [f"Never told: {_named(event)}." for event in expected if event["id"] not in seen]
    return account


def _is(told: Json, wanted: Json, delivery: Delivery) -> bool:
    kind = f".{delivery.routing_key}"
    where, told = told.get("dataschema", ""), {name: value for name, value in told.items() if name != "dataschema"}
    placed = told["type"].endswith(kind) and (not where or where.removesuffix(".json").endswith(f"/{kind[1:]}"))
    return told == wanted and placed and delivery.message_id == wanted["id"]


def unlike_commands(commands: Mapping[Version, Json], expected: Iterable[Json]) -> list[str]:
    """Where what should be told is not what clients were acknowledged: `type` and parts of `data`, by customer and
    version. Each of these commands is told as one event.
    """
    told: dict[Version, list[Json]] = defaultdict(list)
    for event in expected:
        told[event["subject"], event["data"]["version"]].append(event)
    wrong = [f"Nobody was acknowledged what {_named(told[version][0])} tells." for version in told.keys() - commands]
    for version, command in commands.items():
        match told.get(version, []):
            case [event] if _fits(event, command):
                pass
            case found:
                wrong.append(f"The command {version} {command} is told as {[_named(event) for event in found]}.")
    return wrong


def _fits(event: Json, command: Json) -> bool:
    data = {name: sorted(value) if isinstance(value, list) else value for name, value in event["data"].items()}
    return bool(event["type"].endswith(command["type"])) and command["data"].items() <= data.items()


def _named(event: Json) -> str:
    return f"{event.get('type')} {event.get('id')} of {event.get('subject')}, sequence {event.get('sequence')}"
