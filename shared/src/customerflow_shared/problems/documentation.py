"""Problems for those who write clients: in the OpenAPI documents, and at the address that is their `type`."""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, get
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import FromPath

from customerflow_shared.problems.codes import FAULTS, ISSUES, PROBLEMS
from customerflow_shared.problems.problem import MEDIA_TYPE, Fault, Problem, members_of


class ProblemDocument(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """The form of every answer that is not a success; what follows `traceId` belongs to some codes only."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    trace_id: str | None = None
    errors: list[Fault] = []
    current_version: int | None = None
    current_position: int | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    allowed: list[str] = []
    limit: int | None = None
    due_at: datetime | None = None
    id: UUID | None = None
    erased_at: datetime | None = None
    first_at: datetime | None = None


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A code of the table. `status` if it may be a whole answer; `within` says which list tells it otherwise."""

    code: str
    title: str
    advice: str
    status: int | None = None
    within: Literal["errors", "dataQuality"] | None = None


_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{code}</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto }}</style></head>
<body><p><code>{code}</code> · {where}</p><h1>{title}</h1><p>{advice}</p></body>
</html>
"""


@get("/problems/{code:str}", include_in_schema=False, sync_to_thread=False)
def describe_problem(request: Request[Any, Any, Any], code: FromPath[str]) -> Response[Entry] | Response[str]:
    """What the `type` of a problem points at: for programs as JSON, for browsers as a page."""
    entry = entry_of(code)
    headers = {"Vary": "Accept"}
    if request.accept.best_match(["application/json", "text/html"]) == "text/html":
        return Response(_page(entry), media_type="text/html", headers=headers)
    return Response(entry, headers=headers)


def entry_of(code: str) -> Entry:
    """Raises Problem `route-not-found`."""
    if kind := PROBLEMS.get(code):
        return Entry(code, kind.title, kind.advice, kind.status, "errors" if code in FAULTS else None)
    if fault := FAULTS.get(code):
        return Entry(code, fault.title, fault.advice, within="errors")
    if issue := ISSUES.get(code):
        return Entry(code, issue.title, issue.advice, within="dataQuality")
    raise Problem("route-not-found", "There is no problem of this code.")


def responses(*codes: str) -> dict[int, ResponseSpec]:
    """The problems of a route, for its documentation, each with an example."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {
        status: ResponseSpec(
            data_container=ProblemDocument,
            media_type=MEDIA_TYPE,
            generate_examples=False,
            description="; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in by_status[status]),
            examples=_examples(by_status[status]),
        )
        for status in sorted(by_status)
    }


def example(code: str) -> dict[str, Any]:
    """A problem document as it may come."""
    kind = PROBLEMS[code]
    trace_id = {"traceId": "4bf92f3577b34da6a3ce929d0e0e4736"}
    return members_of(code, kind.advice, "/v1/customers") | trace_id | dict(kind.members)


def _examples(codes: Sequence[str]) -> list[Example]:
    return [Example(id=code, summary=PROBLEMS[code].title, value=example(code)) for code in codes]


def _page(entry: Entry) -> str:
    status, within = f"status {entry.status}", f"within <code>{entry.within}</code>"
    where = " · ".join([*([status] if entry.status else []), *([within] if entry.within else [])])
    return _PAGE.format(code=escape(entry.code), title=escape(entry.title), advice=escape(entry.advice), where=where)
