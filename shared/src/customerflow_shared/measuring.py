"""How long requests take, how many there are at a time, and how late the event loop is."""

import asyncio
from time import perf_counter
from typing import Any

from litestar.types import ASGIApp, Receive, Send

from customerflow_shared import metrics

UNMEASURED = ("/health/", "/docs", "/metrics")
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
LAG_EVERY = 0.25

_durations = metrics.histogram(
    "http.server.request.duration",
    "s",
    "From a request to its answer, a stream's to its beginning. Without a route: there is none.",
    ["http.request.method", "http.route", "http.response.status_code", "error.type"],
    {"url.scheme": "http"},
)
_active = metrics.up_down_counter(
    "http.server.active_requests",
    "{request}",
    "Requests that are being answered, streams included.",
    ["http.request.method"],
    {"url.scheme": "http"},
)
_lag = metrics.histogram(
    "customerflow.event_loop.lag", "s", "How late the event loop does what it was to do at a time."
)


def measured(app: ASGIApp) -> ASGIApp:
    """The application with its requests measured, unless OpenTelemetry is switched off."""
    return Measured(app) if metrics.ENABLED else app


class Measured:
    """Measures what the application is asked by clients."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNMEASURED):
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        begun = perf_counter()
        status, seconds = 0, 0.0
        answered = False

        def told(message: Any) -> Any:
            nonlocal status, seconds, answered
            if status == 0:
                status, seconds = message["status"], perf_counter() - begun
            elif not answered:
                answered = True
                if not message.get("more_body"):  # else it is a stream, which may go on for days
                    seconds = perf_counter() - begun
                error = str(status) if status >= 500 else ""
                _durations.record(seconds, method, scope.get("path_template", ""), status, error)
            return send(message)

        _active.add(1, method)
        try:
            await self._app(scope, receive, told)
        finally:
            _active.add(-1, method)
            if not answered:
                _durations.record(perf_counter() - begun, method, scope.get("path_template", ""), "", "no_answer")


async def watch_event_loop() -> None:
    """Until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_EVERY
        await asyncio.sleep(LAG_EVERY)
        _lag.record(max(0.0, loop.time() - due))
