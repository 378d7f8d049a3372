"""A client of server-sent events that shows all that it is sent, and a projector that tells of changes."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import msgspec
from customerflow_shared import views
from customerflow_shared.views import Notice
from redis.asyncio import Redis

from .builders import ANA, GENERATION

TYPES = ("CustomerRegistered", "CustomerTagged", "CustomerEmailChanged")


class Event(NamedTuple):
    """`name` is empty for what only moves the position, and for comments."""

    id: int
    name: str
    data: Any
    comment: str = ""


class Events:
    """What comes, event by event."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._blocks = self._read()

    async def next(self) -> Event:
        return _event(await anext(self._blocks))

    async def changes(self, count: int) -> list[int]:
        """The positions of the next so many changes."""
        found: list[int] = []
        while len(found) < count:
            event = await self.next()
            if event.name == "change":
                assert event.id == event.data["position"]
                found.append(event.id)
            else:
                assert event.name == ""
        return found

    async def aclose(self) -> None:
        await self._blocks.aclose()

    async def _read(self) -> AsyncGenerator[str, None]:
        waiting = ""
        async for text in self.response.aiter_text():
            waiting += text
            *blocks, waiting = waiting.split("\n\n")
            for block in blocks:
                yield block


@asynccontextmanager
async def following(api: httpx.AsyncClient, last: int | None = None, **parameters: Any) -> AsyncIterator[Events]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    async with api.stream("GET", "/v1/changes", params=parameters, headers=headers) as response:
        if response.status_code == 200:
            async with aclosing(Events(response)) as events:
                yield events
        else:
            await response.aread()
            yield Events(response)


def _event(block: str) -> Event:
    fields = dict(line.partition(":")[::2] for line in block.split("\n"))
    data = fields.get("data")
    return Event(
        int(fields["id"]),
        fields.get("event", "").strip(),
        json.loads(data) if data else None,
        fields.get("", "").strip(),
    )


def notice(position: int, *, customer_id: UUID = ANA, kind: str | None = None) -> Notice:
    return Notice(
        position=position,
        customer_id=customer_id,
        version=position,
        type=kind or TYPES[position % len(TYPES)],
        recorded_at="2026-11-22T12:00:01.005Z",
    )


async def handle(
    redis: Redis,
    notices: Sequence[Notice],
    *,
    applied: int | None = None,
    generation: str = GENERATION,
    ring: bool = True,
) -> None:
    """Tell of the notices as the projector does, and that everything up to the position is applied."""
    async with redis.pipeline(transaction=True) as pipeline:
        lines = views.key(generation, "changes")
        if notices:
            pipeline.zadd(lines, {msgspec.json.encode(one): one.position for one in notices})
            pipeline.zremrangebyrank(lines, 0, -1 - views.CHANGES_KEPT)
        if applied is not None:
            pipeline.set(views.key(generation, "applied"), f"{applied} 1795341600000")
            if ring:
                pipeline.publish(views.CHANGED, str(applied))
        await pipeline.execute()
