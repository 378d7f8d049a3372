"""Attributes: fields of the caller's own making."""

import math
from typing import Any

from customerflow_shared.inputs.fields import Fields, Unfit
from customerflow_shared.inputs.text import text
from customerflow_shared.values import Attribute
from msgspec import UNSET, UnsetType

from customerflow_command.customer.limits import MAX_ATTRIBUTES

MAX_KEY = 40
MAX_ATTRIBUTE = 500
MAX_INTEGER = 2**63 - 1

_key, _text = text(MAX_KEY), text(MAX_ATTRIBUTE)


def attributes(fields: Fields) -> dict[str, Attribute]:
    """Of a new customer, where null is as good as nothing."""
    return {key: value for key, value in _read(fields, MAX_ATTRIBUTES).items() if value is not None}


def patched_attributes(fields: Fields) -> dict[str, Attribute | None] | UnsetType | None:
    """Null removes one, or all. Room for as many to remove as to set."""
    if not fields.mentions("attributes"):
        return UNSET
    return _read(fields, 2 * MAX_ATTRIBUTES) if fields.holds("attributes") else None


def _read(fields: Fields, limit: int) -> dict[str, Attribute | None]:
    found: dict[str, Attribute | None] = {}
    for given, value in fields.mapping("attributes", limit).items():
        key = fields.parse(given, _key, "attributes", given)
        if key in found:
            fields.refuse(Unfit("duplicate", "There is another attribute of this name."), "attributes", given)
        if key is not None:
            found[key] = None if value is None else fields.parse(value, attribute, "attributes", given)
    return found


def attribute(value: Any) -> Attribute:
    match value:
        case bool():
            return value
        case str():
            return _text(value)
        case int() if -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
            return value
        case float() if math.isfinite(value):
            return value
        case int() | float():
            raise Unfit("number-range", "The number must fit into 64 bits.")
        case _:
            raise Unfit("type", "The value must be a string, a number or a boolean.")
