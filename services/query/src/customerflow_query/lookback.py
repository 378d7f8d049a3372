"""What a customer has been: out of its timeline, and of no more of its blocks than are needed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, cast
from uuid import UUID

import msgspec
from customerflow_shared import timeline, views
from customerflow_shared.timeline import BLOCK, Block, Flat
from customerflow_shared.views import CustomerView, Stored
from redis.asyncio import Redis

from customerflow_query.read_model import ReadModel, Vanished

T = TypeVar("T")

MOST_LOOKED_AT = 1024  # entries for one page

_decoder = msgspec.json.Decoder(CustomerView)


class Mark(NamedTuple):
    """Where a page begins: at the entry of this version, of which so many items have been shown."""

    version: int
    shown: int = 0


class Past:
    """A customer with the entries after its last block, as they were in one moment; the blocks before them do not
    change. What does not fit together is raised as Vanished: an erasure has come between.
    """

    def __init__(
        self, redis: Redis, generation: str, customer_id: UUID, present: Stored, blocks: int, recent: Sequence[bytes]
    ) -> None:
        if blocks * BLOCK + len(recent) != present.version:
            raise Vanished("a part of a timeline")
        self.customer_id = customer_id
        self.present = present
        self._redis = redis
        self._key = views.blocks_key(generation, customer_id)
        self._blocks: dict[int, Block] = {}
        self._recent = blocks, recent

    async def document(self, version: int) -> bytes:
        """As the projector had stored it at this version, which is not beyond the present one."""
        if version == self.present.version:
            return self.present.document
        number, after = divmod(version, BLOCK)
        base = (await self._block(number - 1)).document if number else b"{}"
        assert base is not None  # only of an erased customer there is none
        if not after:
            return bytes(base)
        entries = [timeline.decode(entry) for entry in (await self._entries(number))[:after]]
        content = timeline.flat_of(base)
        for entry in entries:
            timeline.apply(content, entry.changes)
        created_at = _decoder.decode(self.present.document).created_at
        view = timeline.document(content, str(self.customer_id), version, created_at, entries[-1].recorded_at)
        return msgspec.json.encode(view)

    async def content(self, version: int) -> Flat:
        """Of the document at this version; nothing at version 0."""
        return timeline.flat_of(await self.document(version)) if version else {}

    async def version_at(self, moment: str) -> int:
        """The last one recorded by then, 0 if there was none; the moment is as `views.timestamp` gives it."""
        low, high = 0, self.present.version
        while low < high:
            middle = (low + high + 1) // 2
            if await self.recorded_at(middle) <= moment:
                low = middle
            else:
                high = middle - 1
        return low

    async def recorded_at(self, version: int) -> str:
        return timeline.decode(await self._entry(version)).recorded_at

    async def page(self, start: Mark, limit: int, pick: Callable[[bytes], Sequence[T]]) -> tuple[list[T], Mark | None]:
        """Items out of entries, newest first, and where the next page begins. It is short if it has taken a look at
        too many entries; there is more unless there is no mark.
        """
        found: list[T] = []
        first, shown = min(start.version, self.present.version), start.shown
        for version in range(first, 0, -1):
            if version == first - MOST_LOOKED_AT:
                return found, Mark(version)
            picked = pick(await self._entry(version))[shown:]
            room = limit - len(found)
            found += picked[:room]
            if len(picked) > room:
                return found, Mark(version, shown + room)
            shown = 0
        return found, None

    async def _entry(self, version: int) -> bytes:
        number, within = divmod(version - 1, BLOCK)
        return (await self._entries(number))[within]

    async def _entries(self, number: int) -> Sequence[bytes]:
        blocks, recent = self._recent
        return recent if number == blocks else (await self._block(number)).entries

    async def _block(self, number: int) -> Block:
        if number not in self._blocks:
            packed = await self._redis.lindex(self._key, number)
            if packed is None:
                raise Vanished("a block of a timeline")
            block = timeline.unpack(cast(bytes, packed))
            if (block.document is None) != self.present.erased:
                raise Vanished("what a block told")
            self._blocks[number] = block
        return self._blocks[number]


async def past(model: ReadModel, generation: str, customer_id: UUID) -> Past | None:
    """None if there is no such customer."""
    async with model.redis.pipeline(transaction=True) as pipeline:
        pipeline.get(views.customer_key(generation, customer_id))
        pipeline.llen(views.blocks_key(generation, customer_id))
        pipeline.lrange(views.timeline_key(generation, customer_id), 0, -1)
        stored, blocks, recent = await pipeline.execute()
    if stored is None:
        return None
    return Past(model.redis, generation, customer_id, views.split(stored), blocks, recent)
