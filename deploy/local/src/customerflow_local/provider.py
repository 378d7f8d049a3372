"""A stand-in for services of others, which can be told to be ill: postal codes of Brazil in the forms of ViaCEP,
BrasilAPI and OpenCEP, and a sender of messages.

    python -m customerflow_local.provider [PORT [HOST]]

    curl -X PUT -d hang http://127.0.0.1:8087/mood        see Mood; `well` again
    curl http://127.0.0.1:8087/v1/messages                what it was given to send; ?to=... to whom
    curl http://127.0.0.1:8087/asked                      what it was asked, by which idempotency keys

It needs nothing but Python: Docker Compose mounts this file.
"""

import asyncio
import enum
import json
import random
import re
import socket
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_HEAD = b"\r\n\r\n"
_CEP = re.compile(r"/(ws|api/cep/v1|v1)/(\d{8})(/json/)?")

# what is in nobody's directory
UNKNOWN = "01999999"
# a town with one code for all its streets
STREETLESS = "18950000"


class Mood(enum.StrEnum):
    WELL = enum.auto()
    SILENT = enum.auto()
    """Does what it is asked, and never answers."""
    LATE = enum.auto()
    """Answers after 30 seconds."""
    HANG = enum.auto()
    """Takes the request and never answers."""
    RESET = enum.auto()
    RUBBISH = enum.auto()
    """What is no HTTP."""
    PAGE = enum.auto()
    """200, with a page for people."""
    LIE = enum.auto()
    """The answer to another question."""
    FAIL = enum.auto()
    """500."""
    HALF = enum.auto()
    """500 to every second request, by chance."""
    BUSY = enum.auto()
    """429, with Retry-After: 7."""
    DRIP = enum.auto()
    """A byte of the body every tenth of a second, for ever."""
    FLOOD = enum.auto()
    """A body without end, as fast as it is taken."""
    CUT = enum.auto()
    """Less of a body than was announced."""
    REDIRECT = enum.auto()
    PACKED = enum.auto()
    """Says that the body is compressed."""


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass
class Provider:
    """Serves while it is entered."""

    port: int = 0
    mood: Mood = Mood.WELL
    host: str = "127.0.0.1"
    asked: list[Asked] = field(default_factory=list)
    """All but what concerns itself."""
    sent: dict[str, Any] = field(default_factory=dict)
    """Messages by their idempotency key: one that is repeated is sent once."""
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    refuses: bool = False
    """All messages, for ever."""
    delay: float = 30.0
    """How late is late, in seconds."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._connected, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def serve_forever(self) -> None:
        await self._server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    await self._answer(await _request(reader), reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (answer := self._of_itself(asked)) is not None:
            writer.write(_response(200, answer))
            return await writer.drain()
        self.asked.append(asked)
        match self.mood:
            case Mood.WELL:
                writer.write(_response(*self._sound(asked)))
            case Mood.SILENT:
                self._sound(asked)
                await _gone(reader, None)
                writer.close()
            case Mood.LATE:
                await _gone(reader, self.delay)
                writer.write(_response(*self._sound(asked)))
            case Mood.HANG:
                await _gone(reader, None)
                writer.close()
            case Mood.RESET:
                _reset(writer)
            case Mood.RUBBISH:
                writer.write(b"\x00\x16SSH-2.0-nothing\r\n\r\n")
                writer.close()
            case Mood.PAGE:
                writer.write(_with_body(200, b"<html><body>We will be back soon</body></html>"))
            case Mood.LIE:
                writer.write(_response(*self._sound(_about_something_else(asked))))
            case Mood.FAIL:
                writer.write(_response(500, {}))
            case Mood.HALF:
                writer.write(_response(500, {}) if self.chance.random() < 0.5 else _response(*self._sound(asked)))
            case Mood.BUSY:
                writer.write(_response(429, {}, "Retry-After: 7\r\n"))
            case Mood.DRIP:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
                while True:
                    await asyncio.sleep(0.1)
                    writer.write(b" ")
                    await writer.drain()
            case Mood.FLOOD:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n{")
                while True:
                    writer.write(b" " * 65536)
                    await writer.drain()
            case Mood.CUT:
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"cep": "')
                writer.close()
            case Mood.REDIRECT:
                writer.write(_response(302, {}, f"Location: {self.url}/elsewhere\r\n"))
            case Mood.PACKED:
                writer.write(_response(*self._sound(asked), "Content-Encoding: gzip\r\n"))
        await writer.drain()

    def _of_itself(self, asked: Asked) -> Any:
        """However it feels; None if that is not what is asked."""
        url = urlsplit(asked.path)
        match asked.method, url.path:
            case _, "/mood":
                with suppress(ValueError):
                    self.mood = Mood(asked.body.decode().strip())
                return {"mood": self.mood}
            case "GET", "/asked":
                return [
                    {"method": one.method, "path": one.path, "key": one.headers.get("idempotency-key")}
                    for one in self.asked
                ]
            case "GET", "/v1/messages":
                wanted = parse_qs(url.query).get("to")
                return [message for message in self.sent.values() if not wanted or message["to"] in wanted]
            case "GET", "/health/ready":
                return {"status": "ready"}
        return None

    def _sound(self, asked: Asked) -> tuple[int, Any]:
        if asked.path == "/v1/messages":
            return self._message(asked)
        if found := _CEP.fullmatch(asked.path):
            return postal_code(found[1], found[2])
        return 404, {"message": "nothing here"}

    def _message(self, asked: Asked) -> tuple[int, Any]:
        key = asked.headers.get("idempotency-key")
        if key is None:
            return 400, {"message": "no key"}
        if self.refuses:
            return 422, {"message": "not this one"}
        known = key in self.sent
        self.sent.setdefault(key, json.loads(asked.body))
        return 200 if known else 202, {"id": key}


def postal_code(form: str, cep: str) -> tuple[int, Any]:
    """Status and body, as each of the three answers; every code but `UNKNOWN` is one of the city of São Paulo."""
    hyphenated = f"{cep[:5]}-{cep[5:]}"
    known, street = cep != UNKNOWN, "" if cep == STREETLESS else f"Rua {cep}"
    city, district = ("Óleo", "") if cep == STREETLESS else ("São Paulo", "Sé")
    match form:
        case "api/cep/v1" if known:
            answer = {"cep": cep, "state": "SP", "city": city, "neighborhood": district, "street": street}
            return 200, answer | {"service": "correios"}
        case "api/cep/v1":
            errors = [
                {"name": "ServiceError", "message": "CEP INVÁLIDO", "service": "correios"},
                {"name": "ServiceError", "message": "CEP não encontrado na base do ViaCEP.", "service": "viacep"},
            ]
            return 404, {"name": "CepPromiseError", "message": "...", "type": "service_error", "errors": errors}
        case "ws" if not known:
            return 200, {"erro": "true"}
        case _ if not known:
            return 404, {"error": True, "message": "CEP não encontrado"}
    answer = {"cep": hyphenated, "logradouro": street, "complemento": "lado ímpar", "unidade": "", "bairro": district}
    return 200, answer | {"localidade": city, "uf": "SP", "ibge": "3550308"}


def _about_something_else(asked: Asked) -> Asked:
    found = _CEP.fullmatch(asked.path)
    path = asked.path.replace(found[2], "01311000" if found[2] != "01311000" else "01312000") if found else "/nothing"
    return Asked(asked.method, path, asked.headers, asked.body)


async def _request(reader: asyncio.StreamReader) -> Asked:
    first, *lines = (await reader.readuntil(_HEAD)).decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, path, _ = first.split(" ")
    return Asked(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def _response(status: int, body: Any, headers: str = "") -> bytes:
    return _with_body(status, json.dumps(body, ensure_ascii=False).encode(), headers)


def _with_body(status: int, body: bytes, headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status} As it is\r\nContent-Type: application/json\r\nSet-Cookie: follow=you\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _gone(reader: asyncio.StreamReader, at_most: float | None) -> None:
    """Until the client has gone, who sends nothing more before it has an answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(at_most):
            await reader.read(1)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def refusing() -> AsyncIterator[str]:
    """The address of a port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


async def _main(port: str = "8087", host: str = "127.0.0.1") -> None:
    async with Provider(int(port), host=host) as provider:
        print(f"serving on {provider.url}", flush=True)
        await provider.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(*sys.argv[1:]))
