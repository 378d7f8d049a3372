"""An event feed in memory, served over HTTP as the command service does it, for programs of their own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from customerflow_shared import events
from customerflow_shared.events import Place, Recorded

from .builders import EventStore


@asynccontextmanager
async def served(store: EventStore) -> AsyncIterator[str]:
    """Where it is."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = urlsplit(head.split()[1])
        after = parse_qs(target.query).get("after", ["0"])[0]
        found: Sequence[Recorded | Place] = []
        if store.away or target.path == "/health/live":
            pass
        elif target.path == "/internal/events":
            found = store.events[int(after) : int(after) + 10_000]
        else:
            found = await store.of_customer(UUID(target.path.split("/")[3]), int(after))
        body = b"".join(events.encode(one) + b"\n" for one in found)
        status = "503 Service Unavailable" if store.away else "200 OK"
        writer.write(
            f"HTTP/1.1 {status}\r\nCustomerFlow-Head: {len(store.events)}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        )
        writer.write(body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"
