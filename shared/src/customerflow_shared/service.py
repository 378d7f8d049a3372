"""What every program has in common: an HTTP listener with health, documentation, problems, tracing and metrics, and a
graceful way out.
"""

import asyncio
import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from importlib import resources
from types import FrameType
from typing import Any

import structlog
import uvicorn
from litestar import Litestar, Response, get
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import PathItem
from litestar.params import FromPath
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from customerflow_shared import limits, measuring, metrics, patience, problems, telemetry, tracing
from customerflow_shared.limits import Limited
from customerflow_shared.settings import Listen, exit_with_faults

log = structlog.get_logger()

Check = Callable[[], Awaitable[None]]
"""Returns when a dependency answers; raises otherwise."""

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]

CHECK_TIMEOUT = 2.0
MOST_CONNECTIONS = 4096  # kept; who comes beyond that is told to come again, and let go
KEPT_SECONDS = 75  # longer than clients and gateways keep what is idle: a request may be on its way into it
SURPLUS_SECONDS = 2
HEAD_SECONDS = 10.0  # in which a request's head has come, and what is left of a body that was not waited for
TAKEN_SECONDS = 30.0  # in which a client has taken something of what it is sent
FURTHER_FILES = 512  # that a program has open beside connections to it
IDLE_SECONDS = 3.0  # after which a kept connection is closed when the program leaves; a client may be about to use it
HANDSHAKE_SECONDS = 0.1  # in which connections are completed that have begun when the listener closes
MAX_BODY = 256 * 1024
_CUT = "customerflow.cut"
_ASSETS = {
    "swagger_bundle.js": "text/javascript",
    "swagger_preset.js": "text/javascript",
    "swagger_style.css": "text/css",
}


class BackgroundFailed(Exception):
    """Work that goes on as long as the program has ended before it."""


class Interrupted(Exception):
    """What was under way has failed; why is in the log."""


class Health:
    """Live as long as the process answers; ready when it is not leaving and all that it depends on answers."""

    def __init__(self, checks: Mapping[str, Check], paused: Callable[[], Sequence[str]] = tuple) -> None:
        """`paused`: the flags by which an operator has stopped what the program is for; that is no fault of it."""
        self._checks = checks
        self.paused = paused
        self.leaving = False
        self.at_closing: list[Callable[[], None]] = []
        """Called when the listener closes: what would go on for ever ends now."""
        self.is_crowded: Callable[[], bool] = lambda: False
        """Whether fewer requests should be under way, for what they wait for has too long a queue."""

    async def status(self) -> dict[str, str]:
        results = await asyncio.gather(*(self._probe(check) for check in self._checks.values()))
        status = dict(zip(self._checks, results, strict=True))
        return status | ({"process": "leaving"} if self.leaving else {})

    @staticmethod
    async def _probe(check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await check()
        except Exception as error:
            return telemetry.describe(error)
        return "ok"


def create(
    title: str,
    description: str,
    *,
    handlers: Sequence[ControllerRouterHandler],
    health: Health,
    lifespan: Sequence[Lifespan] = (),
    translations: Mapping[type[Exception], problems.Translation] | None = None,
    dependencies: Mapping[str, Any] | None = None,
    documented: Mapping[str, PathItem] | None = None,
) -> Litestar:
    """The ASGI application of one program.

    `translations` say which problem each of its own errors is; `documented` are the paths that do not describe
    themselves.
    """

    @get("/health/live", tags=["health"], summary="Does the process run?")
    async def live() -> dict[str, str]:
        """The process runs."""
        return {"status": "live"}

    @get("/health/ready", tags=["health"], summary="Does everything answer that it needs?")
    async def ready() -> Response[dict[str, Any]]:
        """Everything that this program needs answers (200), or what does not (503). `paused` names the flags by which
        an operator has stopped its work.
        """
        checks = await health.status()
        fit = all(result == "ok" for result in checks.values())
        told: dict[str, Any] = {"status": "ready" if fit else "not ready", "checks": checks}
        if paused := health.paused():
            told["paused"] = paused
        return Response(told, status_code=200 if fit else 503)

    @asynccontextmanager
    async def watched(_: Litestar) -> AsyncIterator[None]:
        async with background("event loop watch", measuring.watch_event_loop):
            yield

    app = Litestar(
        [*handlers, live, ready, all_metrics, docs_asset, problems.describe_problem],
        exception_handlers=problems.exception_handlers(translations or {}),  # type: ignore[arg-type]  # int keys allowed
        dependencies={name: _provide(value) for name, value in (dependencies or {}).items()},
        lifespan=[watched, *lifespan],
        logging_config=None,
        request_max_body_size=MAX_BODY,
        openapi_config=OpenAPIConfig(
            title=title,
            version="1",
            description=description,
            path="/docs",
            render_plugins=[
                SwaggerRenderPlugin(
                    path="/",
                    js_url="/docs/assets/swagger_bundle.js",
                    css_url="/docs/assets/swagger_style.css",
                    standalone_preset_js_url="/docs/assets/swagger_preset.js",
                    favicon='<link rel="icon" href="data:,">',
                )
            ],
        ),
    )
    app.openapi_schema.paths = {**(documented or {}), **(app.openapi_schema.paths or {})}
    return app


@get("/docs/assets/{name:str}", include_in_schema=False, sync_to_thread=True)
def docs_asset(name: FromPath[str]) -> Response[bytes]:
    """Swagger UI's own files, so that the documentation works without the internet."""
    if name not in _ASSETS:
        raise problems.Problem("route-not-found", "There is no such file.")
    content = (resources.files("offapi") / name).read_bytes()
    return Response(content, media_type=_ASSETS[name], headers={"Cache-Control": "public, max-age=86400"})


@get("/metrics", include_in_schema=False, sync_to_thread=True)
def all_metrics() -> Response[bytes]:
    """What this process has measured, as Prometheus reads it."""
    return Response(metrics.text(), media_type=metrics.MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def _provide(value: Any) -> Provide:
    def given() -> Any:
        return value

    return Provide(given, sync_to_thread=False)


def cut_of(scope: Any) -> Callable[[], None]:
    """Cuts the connection of a request off, whatever the client has not taken yet; nothing, if `run` does not serve."""
    cut: Callable[[], None] = (scope.get("extensions") or {}).get(_CUT, lambda: None)
    return cut


class Gathering:
    """A transport that sends the head of an answer together with what follows in the same turn of the event loop: to
    write twice costs the server as much as to route a request, and the client as much again.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._soon = asyncio.get_running_loop().call_soon
        self._held = b""
        self.is_closing = transport.is_closing  # and all else that uvicorn does with it
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._held = data
            self._soon(self._send_held)

    def close(self) -> None:
        self._send_held()
        self._transport.close()

    def _send_held(self) -> None:
        if self._held and not self.is_closing():
            self._transport.write(self._held)
        self._held = b""


class _Connection(HttpToolsProtocol):
    """Uvicorn's, but it can be cut off, sends an answer in one piece, and does not wait for ever for a request."""

    _receiving = False
    _slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(Gathering(transport))  # type: ignore[arg-type]  # as much of one as uvicorn needs
        self._extensions: Any = {_CUT: transport.abort, limits.INCOMPLETE: lambda: self._receiving}  # see cut_of
        if len(self.connections) > MOST_CONNECTIONS:
            limited: Any = self.config.loaded_app
            self.app, self.timeout_keep_alive = limited.refuse, SURPLUS_SECONDS
        # who has connected and asks nothing is as idle as who has been answered
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._has_come()
        self._extensions = {}  # which hold it

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._has_come()  # now its deadline is that of `Limited`
        elif not self._receiving:
            self._has_come()
            if self.timeout_keep_alive_task is None and not self.transport.is_closing():
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
        elif self._slow is None:
            seconds = min(HEAD_SECONDS, self.timeout_keep_alive)
            self._slow = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _has_come(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = True
        self.scope["extensions"] = self._extensions

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._receiving = False

    def idle(self) -> float | None:
        """For how many seconds nothing has been asked; None while something is being answered."""
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        timer = self.timeout_keep_alive_task
        return 0.0 if timer is None else self.loop.time() - timer.when() + self.timeout_keep_alive


def _behind(is_trusted: Callable[[str], bool]) -> type[_Connection]:
    """From a proxy that is trusted, and may tell first whose bytes it passes on (PROXY protocol 1, in one piece)."""

    class Forwarded(_Connection):
        _began = False

        def data_received(self, data: bytes) -> None:
            if not self._began:
                self._began = True
                if data.startswith(b"PROXY ") and self.client and is_trusted(self.client[0]):
                    line, _, data = data.partition(b"\r\n")
                    self.client = limits.told_by_proxy(line) or self.client
            if data:
                super().data_received(data)

    return Forwarded


_SO_ATTACH_FILTER = 26  # of Linux, see socket(7)
_INSTRUCTIONS = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
_FILTER = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in _INSTRUCTIONS))
# drops what begins a connection: it has SYN among the flags of its TCP header
_NO_NEW_CONNECTIONS = struct.pack("@HP", len(_INSTRUCTIONS), ctypes.addressof(_FILTER))


class _Server(uvicorn.Server):
    """Uvicorn, but readiness goes off first and the listener closes after the drain delay."""

    def __init__(self, config: uvicorn.Config, health: Health, limited: Limited, drain_delay: float) -> None:
        super().__init__(config)
        self._health = health
        self._limited = limited
        self._drain_delay = drain_delay

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in self._listeners():
            # connections inherit it: the system ends one whose other side takes nothing, or is not there any more
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * TAKEN_SECONDS))
        self._limited.watch()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        drained = self._health.leaving or not self._drain_delay or sig != signal.SIGTERM
        self._health.leaving = self._limited.leaving = True
        if drained:
            super().handle_exit(sig, frame)
            return
        asyncio.get_running_loop().call_later(self._drain_delay, super().handle_exit, sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for close in self._health.at_closing:
            close()
        await self._close_listeners()
        await self._let_go()
        await super().shutdown(sockets)
        self._limited.close()

    async def _close_listeners(self) -> None:
        """Whoever has connected, or is about to, is answered; all others find the port closed. Where connections that
        have begun cannot be told from new ones, those that wait to be accepted at this moment are cut off.
        """
        for listener in self._listeners():
            with suppress(OSError):
                listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _NO_NEW_CONNECTIONS)
        await asyncio.sleep(HANDSHAKE_SECONDS)
        for server in self.servers:
            server.close()

    def _listeners(self) -> Iterator[socket.socket]:
        """The event loop's own have no options that can be set."""
        for server in self.servers:
            for listener in server.sockets:
                with socket.socket(fileno=os.dup(listener.fileno())) as same:
                    yield same

    async def _let_go(self) -> None:
        """Close what nobody has used for a while; what somebody uses is told so with the answer, and closed then."""
        end = time.monotonic() + IDLE_SECONDS
        connections: Any = self.server_state.connections
        while not self.force_exit and time.monotonic() < end:
            idle = [(one, seconds) for one in connections if (seconds := one.idle()) is not None]
            for one, seconds in idle:
                if seconds >= IDLE_SECONDS:
                    one.shutdown()
            if not idle:
                break
            await asyncio.sleep(0.05)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            # uvicorn would raise them again, and so end the process before it has flushed its traces
            self._captured_signals.clear()


def _without_texts(app: ASGIApp) -> ASGIApp:
    """What the application cannot answer itself is logged here, for server and tracing would show it with its text."""

    async def guarded(scope: Any, receive: Receive, send: Send) -> None:
        async def send_without_trace(message: Any) -> None:
            failed = message["type"] in ("lifespan.startup.failed", "lifespan.shutdown.failed")
            await send(message | {"message": ""} if failed else message)

        try:
            await app(scope, receive, send if scope["type"] == "http" else send_without_trace)
        except Exception as error:
            log.error("interrupted", scope=scope["type"], exc_info=error.__cause__ or error)
            raise Interrupted from None

    return guarded


def run(app: ASGIApp, health: Health, settings: Listen) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished first.

    The process leaves with exit code 0 when it was asked to, and with another one when it could not start or its
    background work failed.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    log.info("starting", host=settings.host, port=settings.port, pid=os.getpid())
    try:
        running = server(app, health, settings)
    except limits.UnfitProxies as error:
        exit_with_faults([f"CF_TRUSTED_PROXIES: {error}"])
    collect_rarely()
    open_many()
    try:
        running.run()
    finally:
        telemetry.shut_down()
    if running.lifespan.should_exit:
        raise SystemExit(1)


def collect_rarely() -> None:
    """Requests and batches make ten thousands of objects and hardly a cycle: to look for some again and again takes a
    sixth of the time, in pauses that grow with all that is remembered. What has been imported is never looked at.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def open_many() -> None:
    """As many files as connections, if the system allows it: without one a connection cannot even be refused."""
    least, (soft, hard) = MOST_CONNECTIONS + FURTHER_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < least:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(least, hard), hard))
        if hard < least:
            log.warning("few connections can be kept", files=hard, wanted=least)


def server(app: ASGIApp, health: Health, settings: Listen) -> uvicorn.Server:
    """What `run` runs."""
    is_trusted = limits.trusted(settings.trusted_proxies)
    measured: Any = measuring.measured(tracing.traced(_without_texts(app)))
    limited: Any = Limited(
        measured,
        most=settings.max_requests,
        deadline=settings.request_deadline,
        quota=limits.quota(settings.rate_limit),
        client=limits.clients(is_trusted) if settings.trusted_proxies else limits.by_peer,
        is_crowded=lambda: health.is_crowded(),
    )
    config = uvicorn.Config(
        limited,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEPT_SECONDS,
        loop="uvloop",
        http=_behind(is_trusted) if settings.trusted_proxies else _Connection,
        server_header=False,
        # a pipelined request is no child of the one before it
        reset_contextvars=True,
        proxy_headers=False,
        timeout_graceful_shutdown=20,
    )
    return _Server(config, health, limited, settings.drain_delay)


@asynccontextmanager
async def background(name: str, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run `work` beside the listener, of no trace but those that it begins or goes on with. It is cancelled at the end;
    should it end by itself, that is a bug: the process leaves, and BackgroundFailed is raised on the way out.
    """
    ended = False

    async def guarded() -> None:
        nonlocal ended
        failure: BaseException | None = None
        try:
            await work()
        except BaseException as error:
            failure = error
        if task.cancelling():
            return
        log.error("background work ended", work=name, exc_info=failure)
        ended = True
        os.kill(os.getpid(), signal.SIGTERM)

    task = asyncio.create_task(guarded(), name=name, context=telemetry.untraced())
    try:
        yield
    finally:
        await patience.end(task, every=1)
    if ended:
        raise BackgroundFailed(name)
