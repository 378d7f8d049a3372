"""Reading customers' documents from Redis as bytes: what is asked for in one turn of the event loop is fetched by one
command.
"""

import asyncio
from collections.abc import Iterable
from itertools import chain, islice
from time import perf_counter
from typing import TypeAlias
from uuid import UUID

from customerflow_shared import conventions, metrics, telemetry, views
from customerflow_shared.views import Stored

from customerflow_query.read_model import FAILURES, SYSTEM, UNKNOWN, Found, ReadModel, ReadModelUnavailable, Rebuilding

LARGEST_FETCH = 256
FETCHES = 4  # at a time; what is asked for meanwhile goes with the next one

_fetch_sizes = metrics.histogram(
    "customerflow.read.batch.size",
    "{customer}",
    "Customers that were fetched from Redis together.",
    bounds=metrics.SIZES,
)

Waiting: TypeAlias = asyncio.Future[Found[Stored | None]]


class Reader:
    def __init__(self, model: ReadModel) -> None:
        self.model = model
        self._waiting: dict[str, list[Waiting]] = {}
        self._fetches: set[asyncio.Task[None]] = set()
        self._context = telemetry.untraced()  # a fetch is of many requests

    def read(self, customer_id: UUID | str) -> Waiting:
        """The customer, by its id or the text of it, or None if it does not exist. Raises Rebuilding or
        ReadModelUnavailable.

        Those that were fetched together have the same `freshness` object.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._fetch_waiting, context=self._context)
        # each its own: one that gives up must not take it from others
        future: Waiting = loop.create_future()
        self._waiting.setdefault(str(customer_id), []).append(future)
        return future

    def _fetch_waiting(self) -> None:
        """Fetch what is waiting; while enough fetches are under way, it waits and goes with the next one."""
        while self._waiting and len(self._fetches) < FETCHES:
            wanted = {one: self._waiting.pop(one) for one in [*islice(self._waiting, LARGEST_FETCH)]}
            task = asyncio.create_task(self._fetch(wanted), context=self._context)
            self._fetches.add(task)
            task.add_done_callback(self._fetched, context=self._context)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetches.discard(task)
        self._fetch_waiting()

    async def _fetch(self, wanted: dict[str, list[Waiting]]) -> None:
        begun, error_type = perf_counter(), ""
        try:
            state, documents = await self.model.fetch(
                lambda generation: [views.customer_key(generation, one) for one in wanted]
            )
            complete = await self.model.is_vouched_for(state)
            # what a restarted Redis has of a customer may be older than what it says of itself
            freshness = state.freshness if complete else UNKNOWN
            for futures, stored in zip(wanted.values(), documents, strict=True):
                if stored is None and not complete:
                    _fail(futures, Rebuilding("Redis has been restarted"))
                    continue
                found = Found(None if stored is None else views.split(stored), freshness)
                for future in futures:
                    if not future.done():
                        future.set_result(found)
        except FAILURES as error:
            error_type = type(error).__name__
            _fail(chain(*wanted.values()), ReadModelUnavailable(error_type))
        except Exception as error:  # whoever asked must be told
            error_type = type(error).__name__
            _fail(chain(*wanted.values()), error)
        conventions.measure(perf_counter() - begun, SYSTEM, "MGET", "views", error_type)
        _fetch_sizes.record(len(wanted))


def _fail(futures: Iterable[Waiting], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
            future.exception()  # whoever asked may have left: then nobody else looks at it
