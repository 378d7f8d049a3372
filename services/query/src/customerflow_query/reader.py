"""Reading customers' documents from Redis as bytes: what is asked for in one turn of the event loop is fetched by one
command.
"""

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import TypeAlias
from uuid import UUID

from customerflow_shared import views
from customerflow_shared.views import Stored

from customerflow_query.read_model import FAILURES, UNKNOWN, Found, ReadModel, ReadModelUnavailable, Rebuilding

LARGEST_FETCH = 256
FETCHES = 4  # at a time; fewer than connections, so that none has to wait for one


Waiting: TypeAlias = asyncio.Future[Found[Stored | None]]


class Reader:
    def __init__(self, model: ReadModel) -> None:
        self.model = model
        self._waiting: dict[UUID, Waiting] = {}
        self._fetches: set[asyncio.Task[None]] = set()

    async def read(self, customer_id: UUID) -> Found[Stored | None]:
        """The customer, or None if it does not exist. Raises Rebuilding or ReadModelUnavailable.

        Those that were fetched together have the same `freshness` object.
        """
        future = self._waiting.get(customer_id)
        if future is None:
            loop = asyncio.get_running_loop()
            if not self._waiting:
                loop.call_soon(self._fetch_waiting)
            future = self._waiting[customer_id] = loop.create_future()
        # others may wait for the same future: one that gives up must not take it from them
        return await asyncio.shield(future)

    def _fetch_waiting(self) -> None:
        """Fetch what is waiting; while enough fetches are under way, it waits and goes with the next one."""
        while self._waiting and len(self._fetches) < FETCHES:
            wanted = {one: self._waiting.pop(one) for one in [*islice(self._waiting, LARGEST_FETCH)]}
            task = asyncio.create_task(self._fetch(wanted))
            self._fetches.add(task)
            task.add_done_callback(self._fetched)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetches.discard(task)
        self._fetch_waiting()

    async def _fetch(self, wanted: dict[UUID, Waiting]) -> None:
        try:
            state, documents = await self.model.fetch(
                lambda generation: [views.customer_key(generation, one) for one in wanted]
            )
            complete = await self.model.is_vouched_for(state)
            # what a restarted Redis has of a customer may be older than what it says of itself
            freshness = state.freshness if complete else UNKNOWN
            for future, stored in zip(wanted.values(), documents, strict=True):
                if stored is not None:
                    future.set_result(Found(views.split(stored), freshness))
                elif complete:
                    future.set_result(Found(None, freshness))
                else:
                    _fail([future], Rebuilding("Redis has been restarted"))
        except FAILURES as error:
            _fail(wanted.values(), ReadModelUnavailable(type(error).__name__))
        except Exception as error:  # whoever asked must be told
            _fail(wanted.values(), error)


def _fail(futures: Iterable[Waiting], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
            future.exception()  # whoever asked may have left: then nobody else looks at it
