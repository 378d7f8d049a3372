"""A problem, and the document that tells it.

It never repeats a value that it was given: that may be personal. Its `instance` is the path only if all that varies in
the path are UUIDs.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from opentelemetry import trace

from customerflow_shared.problems.codes import PROBLEMS

MEDIA_TYPE = "application/problem+json"

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong with one value: `pointer` is a JSON pointer into the body (`#/email`), `parameter` is one of the
    path.
    """

    pointer: str | None = None
    parameter: str | None = None
    code: str
    detail: str
    kind: str | None = None


class Problem(Exception):
    """An answer that is not a success. `extra` becomes further members of the problem document."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.extra = extra

    @property
    def status(self) -> int:
        return PROBLEMS[self.code].status

    def document(self, instance: str) -> bytes:
        members = members_of(self.code, self.detail, instance)
        if self.errors:
            members["errors"] = self.errors
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            members["traceId"] = trace.format_trace_id(context.trace_id)
        return msgspec.json.encode(members | self.extra)


def members_of(code: str, detail: str, instance: str) -> dict[str, Any]:
    """What every problem document has."""
    kind = PROBLEMS[code]
    return {
        "type": f"/problems/{code}",
        "title": kind.title,
        "status": kind.status,
        "code": code,
        "detail": detail,
        "instance": instance,
    }


def instance(path: str, template: str) -> str:
    """The path if it differs from its route's template by UUIDs only, else the template."""
    parts, names = path.split("/"), template.split("/")
    sound = len(parts) == len(names) and all(
        part == name or (name.startswith("{") and _UUID.fullmatch(part))
        for part, name in zip(parts, names, strict=True)
    )
    return path if sound else template
