"""How long a request takes is told by route and status, and by nothing that a client has made up."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from customerflow_shared import measuring, metrics
from customerflow_shared.measuring import Measured

ROUTE = "/v1/things/{thing}"


async def ask(app: Any, path: str = "/v1/things/ana@example.com", method: str = "GET") -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await Measured(app)({"type": "http", "path": path, "method": method}, None, send)  # type: ignore[arg-type]  # unread
    return sent


def answering(status: int, *bodies: bytes, route: str | None = ROUTE, pause: float = 0) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if route:
            scope["path_template"] = route
        await send({"type": "http.response.start", "status": status, "headers": []})
        for body in bodies:
            await asyncio.sleep(pause)
            await send({"type": "http.response.body", "body": body, "more_body": body is not bodies[-1]})

    return app


def counted(*labels: str | int) -> int:
    return measuring._durations.count(*labels)


async def test_an_answer_is_counted_once_by_method_route_and_status() -> None:
    before = counted("GET", ROUTE, 200, "")
    sent = await ask(answering(200, b"one"))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert counted("GET", ROUTE, 200, "") == before + 1
    assert measuring._active.value("GET") == 0


async def test_while_it_is_answered_a_request_is_active() -> None:
    active: list[float] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        active.append(measuring._active.value("POST"))

    await asyncio.gather(ask(app, method="POST"), ask(app, method="POST"))
    assert active == [1, 1]
    assert measuring._active.value("POST") == 0


async def test_an_error_of_ours_has_a_type() -> None:
    before = counted("GET", ROUTE, 503, "503")
    await ask(answering(503, b""))
    assert counted("GET", ROUTE, 503, "503") == before + 1


async def test_what_has_no_route_is_one_series_whatever_was_asked_for() -> None:
    before = counted("GET", "", 404, "")
    for path in ("/a", "/b", "/ana@example.com"):
        await ask(answering(404, b"", route=None), path)
    assert counted("GET", "", 404, "") == before + 3
    assert b"ana@example.com" not in metrics.text()


async def test_a_method_that_a_client_has_made_up_is_another() -> None:
    before = counted("_OTHER", ROUTE, 405, "")
    await ask(answering(405, b""), method="BREW")
    assert counted("_OTHER", ROUTE, 405, "") == before + 1


async def test_a_stream_counts_until_it_begins() -> None:
    route = "/v1/streams"
    await ask(answering(200, b"1", b"2", b"3", route=route, pause=0.05))
    assert counted("GET", route, 200, "") == 1
    assert measuring._durations._points["GET", route, 200, ""].sum < 0.05


async def test_an_answer_counts_until_it_is_there() -> None:
    route = "/v1/slow"
    await ask(answering(200, b"1", route=route, pause=0.05))
    assert measuring._durations._points["GET", route, 200, ""].sum >= 0.05


async def test_a_request_that_nobody_answers_is_counted_as_such() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("ana@example.com")

    before = counted("GET", "", "", "no_answer")
    with pytest.raises(ValueError, match="ana"):
        await ask(app)
    assert counted("GET", "", "", "no_answer") == before + 1
    assert measuring._active.value("GET") == 0


@pytest.mark.parametrize("path", ["/health/ready", "/docs", "/metrics"])
async def test_what_is_asked_of_the_program_itself_is_not_counted(path: str) -> None:
    before = metrics.text().count(b"http_server_request_duration_seconds_count")
    await ask(answering(299, b"", route=path), path)
    assert metrics.text().count(b"http_server_request_duration_seconds_count") == before


async def test_an_event_loop_that_is_held_up_is_late() -> None:
    before = measuring._lag._points[()].sum
    watch = asyncio.create_task(measuring.watch_event_loop())
    await asyncio.sleep(0)
    time.sleep(measuring.LAG_EVERY + 0.2)  # noqa: ASYNC251  # this is what must not be done
    await asyncio.sleep(0.01)
    watch.cancel()
    assert measuring._lag._points[()].sum - before >= 0.15
