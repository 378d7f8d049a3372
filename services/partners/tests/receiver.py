"""A receiver of webhooks on a port of its own: it remembers what it is sent, and answers as it is told to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any


class Forged(Exception):
    """No signature verifies, or the time lies too far away."""


def verified(secret: str, headers: Mapping[str, str], body: bytes, *, at: float | None = None) -> None:
    """By the text of the specification, and with none of the code that signs. Raises Forged."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    timestamp = headers["webhook-timestamp"]
    if abs(int(timestamp) - (time.time() if at is None else at)) > 300:
        raise Forged("time")
    content = b".".join([headers["webhook-id"].encode(), timestamp.encode(), body])
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    given = [part.split(",", 1) for part in headers["webhook-signature"].split(" ")]
    if not any(version == "v1" and hmac.compare_digest(one, expected) for version, one in given):
        raise Forged("signature")


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    answered: bool = False

    @property
    def event(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told

    @property
    def customer(self) -> str:
        return str(self.event["subject"])

    @property
    def number(self) -> int:
        return int(self.event["sequence"])


Respond = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


def status(code: int, *headers: str, body: bytes = b"") -> Respond:
    async def respond(_: Received, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)

    return respond


def raw(data: bytes, *, close: bool = True) -> Respond:
    async def respond(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if close:
            await writer.drain()
            writer.close()

    return respond


async def hang(_: Received, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


OK = status(204)


@dataclass
class Receiver:
    """`respond` may be set at any time."""

    port: int = 0
    secure: bool = False
    respond: Respond = OK
    seen: list[Received] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Of the connections."""
    connections: int = 0
    most_at_once: int = 0
    overlaps: int = 0
    """How often two of one customer were in hand at the same time."""
    _now: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}/hook"

    @property
    def taken(self) -> list[Received]:
        """Those that were answered 2xx."""
        return [one for one in self.seen if one.answered]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                self.seen.append(request)
                with suppress(ValueError, KeyError):
                    self.overlaps += request.customer in self._now
                    self._now.append(request.customer)
                self.most_at_once = max(self.most_at_once, len(self._now))
                try:
                    await self.respond(request, writer)
                    await writer.drain()
                    if writer.is_closing():
                        return
                finally:
                    with suppress(ValueError, KeyError):
                        self._now.remove(request.customer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body)


def taking(respond: Respond = OK) -> Respond:
    """As told, and what was answered 2xx is noted so."""

    async def noted(request: Received, writer: asyncio.StreamWriter) -> None:
        await respond(request, writer)
        request.answered = True

    return noted


@asynccontextmanager
async def receiving(tls: SSLContext | None = None, port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver(secure=tls is not None, respond=taking())
    tasks = receiver.tasks

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        with suppress(asyncio.CancelledError):
            await receiver.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in [*tasks]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
