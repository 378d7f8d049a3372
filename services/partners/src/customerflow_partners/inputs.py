"""A subscription as it is asked for, read strictly."""

from collections.abc import Mapping
from typing import Any

from customerflow_shared.inputs.fields import Fields, Parser, Unfit
from customerflow_shared.inputs.text import string

from customerflow_partners.subscriptions import (
    MAX_AGE,
    MAX_BYTES,
    MAX_KEYS,
    MAX_MESSAGES,
    Limits,
    Wish,
    is_name,
    is_routing_key,
)

MIN_BYTES = 1_000_000
MIN_AGE = 60

_FIELDS = {"routingKeys", "limits"}
_LIMITS = {"messages", "bytes", "age"}
_DEFAULT = Limits()


def subscription_name(value: str) -> str:
    """Raises Unfit."""
    if not is_name(value):
        raise Unfit("subscription-name-invalid", "The name must be 1 to 40 of a-z, 0-9 and -.")
    return value


def routing_key(value: Any) -> str:
    """Raises Unfit."""
    if not is_routing_key(string(value)):
        raise Unfit("format", "The value must be the routing key of an event, or a pattern that fits at least one.")
    return str(value)


def routing_keys(fields: Fields) -> tuple[str, ...]:
    """At least one; sorted."""
    fields.required("routingKeys", _some)
    # what was refused reads as None
    return tuple(sorted(filter(None, fields.values("routingKeys", MAX_KEYS, routing_key))))


def whole_number(minimum: int, maximum: int) -> Parser[int]:
    def parse(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Unfit("type", "The value must be a whole number.")
        if not minimum <= value <= maximum:
            raise Unfit("number-range", f"The number must be from {minimum} to {maximum}.")
        return value

    return parse


messages_limit = whole_number(1, MAX_MESSAGES)
bytes_limit = whole_number(MIN_BYTES, MAX_BYTES)
age_limit = whole_number(MIN_AGE, MAX_AGE)


def wish(name: str, body: Mapping[str, Any]) -> Wish:
    """Raises Problem `invalid-fields` with all faults."""
    fields = Fields(body, _FIELDS)
    keys = routing_keys(fields)
    limits = Limits()
    if fields.holds("limits"):
        given = fields.object("limits", _LIMITS)
        messages = given.optional("messages", messages_limit)
        size = given.optional("bytes", bytes_limit)
        age = given.optional("age", age_limit)
        limits = Limits(messages=messages or _DEFAULT.messages, bytes=size or _DEFAULT.bytes, age=age or _DEFAULT.age)
    fields.check()
    return Wish(name=name, routing_keys=keys, limits=limits)


def _some(value: Any) -> Any:
    if value == []:
        raise Unfit("required", "There must be at least one routing key.")
    return value
