"""Customers that come and change while something else is done, brought to the read model as the consumer does it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from customerflow_projector.apply import Applier
from customerflow_projector.read_model import ReadModel
from customerflow_shared.events import CustomerTagged, CustomerUntagged, Recorded

from .builders import EventStore, interleaved, recorded, renamings
from .steps import handle


class Traffic:
    def __init__(self, model: ReadModel, seed: int, *, customers: int = 60, page: int = 500) -> None:
        self._model = model
        self._chance = random.Random(seed)
        self.store = EventStore(interleaved(*(renamings(UUID(int=one), 2) for one in range(1, customers))), page=page)
        self._applier = Applier(model, self.store)
        self._versions = {one.customer_id: one.version for one in self.store.events}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At the end, all that has happened has been delivered."""
        stopped = asyncio.Event()

        async def run() -> None:
            while not stopped.is_set():
                await self.some(self._chance.randint(1, 4))

        task = asyncio.ensure_future(run())
        try:
            yield
        finally:
            stopped.set()
            await task

    async def some(self, number: int, *, delivered: bool = True) -> None:
        """So many events happen; unless they are lost on the way, the read model is told."""
        batch = [
            self._next(position) for position in range(len(self.store.events) + 1, len(self.store.events) + 1 + number)
        ]
        self.store.events += batch
        await asyncio.sleep(self._chance.uniform(0, 0.02))
        live, *beside = await self._model.generations()
        for generation in filter(None, beside if delivered else ()):
            await self._model.mark(generation, await self._applier.apply_where_next(generation, batch))
        if live and delivered:
            await handle(self._applier, live, batch)

    def _next(self, position: int) -> Recorded:
        one = self._chance.choice([*self._versions, UUID(int=position + 1000)])
        version = self._versions[one] = self._versions.get(one, 0) + 1
        if version == 1:
            return recorded(renamings(one, 1)[0].event, 1, customer_id=one, position=position)
        event = CustomerTagged(tag="vip") if version % 2 else CustomerUntagged(tag="vip")
        return recorded(event, version, customer_id=one, position=position)
