"""What requests carry in paths, queries and credentials, read strictly: what is unfit is a problem, never a guess."""

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from customerflow_shared.inputs import clear
from customerflow_shared.inputs.fields import Unfit
from customerflow_shared.problems import Problem

_INTEGER = re.compile(r"[0-9]{1,18}")
_IDENTIFIER = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def with_token(token: str, detail: str) -> Guard:
    """A guard of routes that are for one program, or an operator: a bearer token, else Problem `unauthorized`."""
    expected = f"Bearer {token}".encode()

    def guard(connection: ASGIConnection, _: BaseRouteHandler) -> None:  # type: ignore[type-arg]  # any connection
        given = connection.headers.get("authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, expected):
            raise Problem("unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})

    return guard


def operator(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Who acts, as the header CustomerFlow-Actor says; `service:operator` if it is not there. Raises Problem
    `actor-invalid`.
    """
    given = connection.headers.getall("CustomerFlow-Actor", ["service:operator"])
    try:
        (told,) = given
        return clear.actor(told)
    except (ValueError, Unfit):
        raise Problem("actor-invalid", "Send one actor as user:<id> or service:<id>.") from None


def identifier(text: str) -> UUID:
    """Raises Problem `invalid-id` unless the text is a UUID in its form with hyphens."""
    return UUID(identifier_text(text))


def identifier_text(text: str) -> str:
    """As `str` gives the UUID; for who needs no more of it. Raises as `identifier` does."""
    if not _IDENTIFIER.fullmatch(text):
        raise Problem("invalid-id", "The identifier must be a UUID in its form with hyphens.")
    return text.lower()


class Parameters(dict[str, str]):
    """Query parameters by name; of one that is repeated this is the first, and `every` tells all."""

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        super().__init__({name: first for name, (first, *_) in values.items()})
        self._values = values

    def every(self, name: str) -> Sequence[str]:
        """In the order in which they stand in the query."""
        return self._values.get(name, ())


def parameters(query_string: bytes, allowed: Sequence[str] = (), *, repeatable: Sequence[str] = ()) -> Parameters:
    """Query parameters, each at most once if it is not `repeatable`. Raises Problem `unknown-parameter` or
    `invalid-parameter`.
    """
    if not query_string:
        return Parameters({})
    try:
        given = parse_qs(
            query_string.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=100,
        )
    except ValueError:
        raise Problem("invalid-parameter", "The query string is malformed.") from None
    for name, values in given.items():
        if name not in allowed and name not in repeatable:
            known = ", ".join([*allowed, *repeatable]) or "none"
            raise Problem("unknown-parameter", f"This route takes these query parameters: {known}.")
        if len(values) > 1 and name not in repeatable:
            raise Problem("invalid-parameter", f"{name} may be given once.")
    return Parameters(given)


def integer(given: Mapping[str, str], name: str, *, default: int, minimum: int = 0) -> int:
    """Raises Problem `invalid-parameter`."""
    if name not in given:
        return default
    if not _INTEGER.fullmatch(given[name]) or int(given[name]) < minimum:
        raise Problem("invalid-parameter", f"{name} must be a whole number from {minimum} to 18 digits.")
    return int(given[name])
