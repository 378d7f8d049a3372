"""As much of HTTP/1.1 as a load needs: prepared requests, answers with a length, one at a time on a connection.

A client library would cost more than what is measured.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import NamedTuple, Self, cast

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_WITHOUT_BODY = (204, 304)


class BadAnswer(Exception):
    """The server has not spoken the HTTP that is understood here, or has hung up."""


class Answer(NamedTuple):
    """`head` ends before the empty line."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        found = re.search(rb"\r\n" + re.escape(name.encode()) + rb":[ \t]*([^\r]*)", self.head, re.IGNORECASE)
        return found[1].decode("latin-1").strip() if found else None


def request(method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{n}: {v}" for n, v in (headers or {}).items())]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """Kept alive. Whoever asks waits for the answer before it asks again."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answered: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, port: int) -> Self:
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def ask(self, prepared: bytes) -> asyncio.Future[Answer]:
        """Raises BadAnswer when awaited."""
        if self._transport is None or self._answered is not None:
            raise BadAnswer("the connection is gone, or its last answer has not come")
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(prepared)
        return self._answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no common class

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            found = parse(self._received)
        except BadAnswer as error:
            self._fail(error)
            return
        if found is None:
            return
        answer, size = found
        del self._received[:size]
        answered, self._answered = self._answered, None
        if answered is None or self._received:
            self.close()  # nobody has asked for this
        if answered and not answered.done():
            answered.set_result(answer)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._fail(BadAnswer("the server has hung up"))

    def _fail(self, error: BadAnswer) -> None:
        answered, self._answered = self._answered, None
        if answered and not answered.done():
            answered.set_exception(error)
        self.close()


def parse(received: bytes | bytearray) -> tuple[Answer, int] | None:
    """The first answer and its size, or None while it is not whole. Raises BadAnswer."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[: end + 2])
    status = _STATUS.match(head)
    if status is None:
        raise BadAnswer("that is no HTTP/1.1")
    code = int(status[1])
    length = _LENGTH.search(head)
    if length is None and code not in _WITHOUT_BODY:
        raise BadAnswer("an answer without content-length")
    size = end + 4 + (int(length[1]) if length and code not in _WITHOUT_BODY else 0)
    if len(received) < size:
        return None
    return Answer(code, head[:-2], bytes(received[end + 4 : size])), size
