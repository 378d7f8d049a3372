"""Problem details (RFC 9457): the one table of codes, and how a problem becomes an answer.

A problem never repeats a value that it was given: it may be personal. Its `instance` is the path only if all that
varies in the path are UUIDs.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
from litestar import Request, Response, get
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec
from litestar.params import FromPath
from opentelemetry import trace

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Kind(NamedTuple):
    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "malformed-json": Kind(400, "The body is not a JSON object"),
    "invalid-id": Kind(400, "The identifier is not a UUID"),
    "if-match-invalid": Kind(400, "The If-Match header is not a list of entity tags"),
    "unknown-parameter": Kind(400, "The query has a parameter that does not exist here"),
    "invalid-parameter": Kind(400, "A query parameter has an unfit value"),
    "bad-request": Kind(400, "The request cannot be understood"),
    "unauthorized": Kind(401, "Credentials are missing or wrong"),
    "route-not-found": Kind(404, "There is nothing at this address"),
    "customer-not-found": Kind(404, "There is no such customer"),
    "method-not-allowed": Kind(405, "The address does not take this method"),
    "customer-archived": Kind(409, "The customer is archived"),
    "duplicate-key": Kind(409, "Another customer already uses this value"),
    "concurrent-modification": Kind(409, "Others kept changing this customer"),
    "version-mismatch": Kind(412, "The customer has another version"),
    "body-too-large": Kind(413, "The body is too large"),
    "unsupported-media-type": Kind(415, "The body has an unsupported media type"),
    "invalid-fields": Kind(422, "Some fields are not acceptable"),
    "precondition-required": Kind(428, "The request must say which version it changes"),
    "internal": Kind(500, "Something went wrong on our side"),
    "busy": Kind(503, "The service is busy"),
    "unavailable": Kind(503, "A server that is needed does not answer"),
    "rebuilding": Kind(503, "The read model is being built"),
    "projection-behind": Kind(503, "The read model has not yet seen this version"),
}


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong with one value: `pointer` is a JSON pointer into the body (`#/email`), `parameter` one of the path."""

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
        return KINDS[self.code].status

    def document(self, instance: str) -> bytes:
        members: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": KINDS[self.code].title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "instance": instance,
        }
        if self.errors:
            members["errors"] = self.errors
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            members["traceId"] = trace.format_trace_id(context.trace_id)
        return msgspec.json.encode(members | self.extra)


class ProblemDocument(msgspec.Struct, kw_only=True, rename="camel"):
    """The form of every answer that is not a success."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    trace_id: str | None = None
    errors: list[Fault] = []
    current_version: int | None = None


def responses(*codes: str) -> dict[int, ResponseSpec]:
    """The problems of a route, for its documentation."""
    statuses = sorted({KINDS[code].status for code in codes})
    return {
        status: ResponseSpec(
            data_container=ProblemDocument,
            media_type=MEDIA_TYPE,
            generate_examples=False,
            description="; ".join(f"`{code}`: {KINDS[code].title}" for code in codes if KINDS[code].status == status),
        )
        for status in statuses
    }


def answer_problem(request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    return Response(
        problem.document(_instance(request)),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def answer_framework_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What Litestar itself refuses: unknown routes, wrong methods, oversized bodies.

    Its own detail may echo input, so it is dropped.
    """
    match error.status_code:
        case 404:
            problem = Problem("route-not-found", "No route of this service matches the path.")
        case 405:
            allowed = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow", "")
            problem = Problem(
                "method-not-allowed",
                f"The path takes {allowed or 'other methods'}.",
                headers={"Allow": allowed},
            )
        case 413:
            problem = Problem("body-too-large", "The body exceeds the limit of this route.")
        case status if status < 500:
            problem = Problem("bad-request", "The request does not have the form that this route takes.")
        case _:
            return answer_bug(request, error)
    return answer_problem(request, problem)


def answer_bug(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return answer_problem(request, bug(_instance(request), error))


def bug(instance: str, error: Exception) -> Problem:
    """Record what nobody expected; the answer says no more than where to find it."""
    log.error("unexpected error", path=instance, exc_info=error)
    return Problem("internal", "The error has been recorded under this trace id.")


def instance(path: str, template: str) -> str:
    """The path if it differs from its route's template by UUIDs only, else the template."""
    parts, names = path.split("/"), template.split("/")
    sound = len(parts) == len(names) and all(
        part == name or (name.startswith("{") and _UUID.fullmatch(part))
        for part, name in zip(parts, names, strict=True)
    )
    return path if sound else template


def _instance(request: Request[Any, Any, Any]) -> str:
    return instance(request.scope["path"], request.scope.get("path_template") or "/")


Translation = Callable[[Any], Problem]


def exception_handlers(translations: Mapping[type[Exception], Translation]) -> dict[type[Exception], Any]:
    """Litestar's handlers: for problems, a program's own errors, the framework's errors, and bugs."""

    def translated(translate: Translation) -> Any:
        return lambda request, error: answer_problem(request, translate(error))

    return {
        Problem: answer_problem,
        HTTPException: answer_framework_error,
        Exception: answer_bug,
        **{error: translated(translate) for error, translate in translations.items()},
    }


@get("/problems/{code:str}", include_in_schema=False, sync_to_thread=False)
def describe_problem(code: FromPath[str]) -> Response[dict[str, Any]]:
    """What the `type` of a problem points at."""
    if code not in KINDS:
        raise Problem("route-not-found", "There is no problem of this code.")
    return Response({"code": code, "status": KINDS[code].status, "title": KINDS[code].title})
