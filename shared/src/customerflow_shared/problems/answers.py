"""How a problem, an error of the framework, or a bug becomes an answer."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from customerflow_shared.problems.problem import MEDIA_TYPE, Problem, instance

log = structlog.get_logger()

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
            given = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow", "")
            allowed = ", ".join(sorted(given.split(", ")))
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


def _instance(request: Request[Any, Any, Any]) -> str:
    return instance(request.scope["path"], request.scope.get("path_template") or "/")
