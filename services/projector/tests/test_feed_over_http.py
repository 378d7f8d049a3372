"""The feed over a real connection: the timeouts and the cut-offs of a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from customerflow_projector import feed as event_feed
from customerflow_projector.feed import Feed, FeedUnavailable
from customerflow_shared import events

from .builders import ANA, renamings

HEAD = b"HTTP/1.1 200 OK\r\nCustomerFlow-Head: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b"".join(events.encode(event) + b"\n" for event in renamings(ANA, 3))

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[Feed]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, event_feed.connect(f"http://{host}:{port}", "token-of-the-feed") as client:
        yield Feed(client)


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


async def test_a_whole_answer_is_read() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(BODY[:100]) + chunk(BODY[100:]) + chunk(b""))
        await writer.drain()

    async with served(answer) as feed:
        assert [page async for _, page in feed.after(0)] == [renamings(ANA, 3)]


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + chunk(BODY), HEAD + chunk(BODY[:100])])
async def test_a_server_that_dies_while_it_answers_is_unavailable(sent: bytes) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()

    async with served(answer) as feed:
        with pytest.raises(FeedUnavailable):
            async for _ in feed.after(0):
                pass


async def test_a_port_where_nobody_listens_is_unavailable() -> None:
    async with event_feed.connect("http://127.0.0.1:9", "token-of-the-feed") as client:
        with pytest.raises(FeedUnavailable, match="ConnectError"):
            await Feed(client).ping()
