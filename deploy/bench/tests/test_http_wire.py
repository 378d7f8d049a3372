"""HTTP as the load speaks it: a wrong reading would be a wrong figure."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from customerflow_bench.http_wire import Answer, BadAnswer, Connection, parse, request

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "7"\r\n\r\nhello'


def test_an_answer_is_read_once_it_is_whole() -> None:
    for cut in range(len(OK)):
        assert parse(OK[:cut]) is None
    assert parse(OK + b"HTTP/1.1 500") == (Answer(200, OK[:-9], b"hello"), len(OK))


def test_headers_are_found_whatever_their_case() -> None:
    found = parse(OK)
    assert found is not None
    assert found[0].header("etag") == '"7"'
    assert found[0].header("tag") is None


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body_whatever_their_length_says(status: int) -> None:
    raw = f"HTTP/1.1 {status} X\r\ncontent-length: 99\r\n\r\n".encode()
    assert parse(raw) == (Answer(status, raw[:-4], b""), len(raw))


@pytest.mark.parametrize(
    "raw",
    [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"HTTP/2 200\r\n\r\n"],
)
def test_what_is_not_understood_is_refused(raw: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse(raw)


def test_a_request_tells_the_length_of_its_body_in_bytes() -> None:
    assert request("PATCH", "/a", {"If-Match": '"1"'}, "é".encode()) == (
        b'PATCH /a HTTP/1.1\r\nHost: localhost\r\nIf-Match: "1"\r\nContent-Length: 2\r\n\r\n\xc3\xa9'
    )


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@asynccontextmanager
async def connected(serve: Serve) -> AsyncIterator[Connection]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)  # type: ignore[arg-type]  # it may return nothing
    connection = await Connection.open(server.sockets[0].getsockname()[1])
    try:
        yield connection
    finally:
        connection.close()
        server.close()
        await server.wait_closed()


async def test_a_connection_is_asked_again_and_again() -> None:
    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with_pause = [OK[:20], OK[20:-2], OK[-2:]]
        for _ in range(3):
            await reader.readuntil(b"\r\n\r\n")
            for piece in with_pause:
                writer.write(piece)
                await asyncio.sleep(0.001)
        writer.close()

    async with connected(in_pieces) as connection:
        answers = [await connection.ask(request("GET", "/")) for _ in range(3)]
    assert [answer.body for answer in answers] == [b"hello"] * 3


async def test_a_server_that_hangs_up_is_an_error_and_not_silence() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1])
        writer.close()

    async with connected(hang_up) as connection:
        with pytest.raises(BadAnswer):
            await connection.ask(request("GET", "/"))
        with pytest.raises(BadAnswer):
            await connection.ask(request("GET", "/"))


async def test_nobody_asks_twice_before_the_answer() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with connected(never) as connection:
        first = connection.ask(request("GET", "/"))
        with pytest.raises(BadAnswer):
            connection.ask(request("GET", "/"))
        connection.close()
        with pytest.raises(BadAnswer):
            await first
