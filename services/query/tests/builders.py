"""A read model as the projector leaves it, and a Redis that says nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from customerflow_shared import views
from customerflow_shared.indexing import Lookups
from customerflow_shared.views import SCHEMA, CustomerView, ErasedView, View
from redis.asyncio import Redis

ANA, BRUNO, NOBODY = UUID("019aab3e-7c00-7000-8000-00000000000a"), UUID(int=0xB), UUID(int=0xC)
KEY = bytes(range(32))
LOOKUPS = Lookups(KEY)
GENERATION, NEXT = f"{SCHEMA}-00000001", f"{SCHEMA}-00000002"


def customer(customer_id: UUID = ANA, *, version: int = 7, name: str = "Ana Souza") -> CustomerView:
    return CustomerView(
        id=customer_id,
        version=version,
        type="person",
        name=name,
        email="ana@example.com",
        status="active",
        created_at="2026-11-22T12:00:01.005Z",
        updated_at="2026-11-22T12:00:07.005Z",
    )


def erased(customer_id: UUID = ANA, *, version: int = 8) -> ErasedView:
    return ErasedView(id=customer_id, version=version, erased_at="2026-11-22T12:00:08.005Z")


async def publish(redis: Redis, *customers: View, generation: str = GENERATION) -> None:
    """Store the customers, and let the generation be live and vouched for."""
    await redis.mset({views.customer_key(generation, one.id): views.pack(one) for one in customers})
    if members := [digest + one.id.bytes for one in customers for digest in LOOKUPS.of(one)]:
        await redis.zadd(views.key(generation, "lookup"), dict.fromkeys(members, 0))
    await redis.set(views.key(generation, "lookup-key"), LOOKUPS.fingerprint())
    await redis.mset({views.LIVE: generation, views.VOUCHED: str((await redis.info("server"))["run_id"])})


async def progress(
    redis: Redis, position: int, *, recorded: int, checked: int = 0, generation: str = GENERATION
) -> None:
    """Let every event up to the position be applied; the times are in milliseconds."""
    applied, saw = views.key(generation, "applied"), views.key(generation, "checked")
    await redis.mset({applied: f"{position} {recorded}", saw: checked})


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """The URL of a server that takes connections and never answers, as a stopped process does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        yield f"redis://{host}:{port}/0"
