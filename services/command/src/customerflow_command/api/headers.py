"""What a client says of its command in headers: its key, who gives it, and what it belongs to."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from customerflow_shared import requests
from customerflow_shared.events import Actor
from customerflow_shared.inputs.clear import says_who
from customerflow_shared.problems import Problem
from litestar.types import Scope

# a quoted string of structured fields (RFC 9651), or its content bare, as most clients send it
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,510})"')
_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
_ESCAPED = re.compile(r"\\(.)")
_LONGEST_KEY = 255

_ACTOR = re.compile(r"(user|service):([A-Za-z0-9._-]{1,64})")


def given(scope: Scope) -> Mapping[str, Sequence[str]]:
    """All headers by name; a value for each time that one was sent."""
    values = defaultdict[str, list[str]](list)
    for name, value in scope["headers"]:
        values[name.decode("latin-1")].append(value.decode("latin-1"))
    return values


def idempotency_key(values: Sequence[str]) -> str | None:
    """The key, the same whether it was quoted or not. Raises Problem `idempotency-key-invalid`."""
    if not values:
        return None
    text = values[0].strip(" \t")
    if quoted := _QUOTED.fullmatch(text):
        key = _ESCAPED.sub(r"\1", quoted[1])
    else:
        key = text if _BARE.fullmatch(text) else ""
    if len(values) > 1 or not 1 <= len(key) <= _LONGEST_KEY:
        raise Problem("idempotency-key-invalid", "Send one key of 1 to 255 printable ASCII characters.")
    return key


def actor(values: Sequence[str]) -> Actor:
    """Who gives the command, as the client says. Raises Problem `actor-invalid`."""
    if not values:
        return Actor()
    match = _ACTOR.fullmatch(values[0])
    if len(values) > 1 or match is None or says_who(match[2]):
        raise Problem("actor-invalid", "Send one actor as user:<id> or service:<id>.")
    return Actor(type="user" if match[1] == "user" else "service", id=match[2])


def correlation_id(values: Sequence[str]) -> UUID | None:
    """Raises Problem `correlation-id-invalid`."""
    if not values:
        return None
    try:
        (text,) = values
        return requests.identifier(text)
    except (ValueError, Problem):
        raise Problem("correlation-id-invalid", "Send one UUID in its form with hyphens.") from None
