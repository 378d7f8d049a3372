"""Reading customers' documents from Redis as bytes: what is asked for in one turn of the event loop is fetched by one
command.
"""

import asyncio
from collections.abc import Iterable
from itertools import chain, islice
from time import perf_counter, time_ns
from typing import TypeAlias
from uuid import UUID

from customerflow_shared import conventions, metrics, telemetry, views
from customerflow_shared.views import Stored
from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind

from customerflow_query.read_model import FAILURES, SYSTEM, UNKNOWN, Found, ReadModel, ReadModelUnavailable, Rebuilding

tracer = trace.get_tracer("customerflow.query")

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
        self._recorded: list[tuple[str, SpanContext]] = []  # who waits, of those requests whose traces are recorded
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
        span = trace.get_current_span()
        if span.is_recording():
            self._recorded.append((str(customer_id), span.get_span_context()))
        return future

    def _fetch_waiting(self) -> None:
        """Fetch what is waiting; while enough fetches are under way, it waits and goes with the next one."""
        while self._waiting and len(self._fetches) < FETCHES:
            wanted = {one: self._waiting.pop(one) for one in [*islice(self._waiting, LARGEST_FETCH)]}
            parents: list[SpanContext] = []
            if recorded := self._recorded:
                parents = [span for one, span in recorded if one in wanted]
                self._recorded = [(one, span) for one, span in recorded if one not in wanted]
            task = asyncio.create_task(self._fetch(wanted, parents), context=self._context)
            self._fetches.add(task)
            task.add_done_callback(self._fetched, context=self._context)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetches.discard(task)
        self._fetch_waiting()

    async def _fetch(self, wanted: dict[str, list[Waiting]], parents: list[SpanContext]) -> None:
        begun, at = perf_counter(), time_ns()
        error_type = await self._look_up(wanted)
        if parents:
            told = conventions.question(SYSTEM, "MGET", "views", batch=len(wanted))
            told |= {"error.type": error_type} if error_type else {}
            failed = bool(error_type)
            telemetry.tell(tracer, "MGET views", parents, at, kind=SpanKind.CLIENT, attributes=told, failed=failed)
        conventions.measure(perf_counter() - begun, SYSTEM, "MGET", "views", error_type)
        _fetch_sizes.record(len(wanted))

    async def _look_up(self, wanted: dict[str, list[Waiting]]) -> str:
        """Tells whoever wants to know; returns the kind of the error, if there is one."""
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
            _fail(chain(*wanted.values()), ReadModelUnavailable(type(error).__name__))
            return type(error).__name__
        except Exception as error:  # whoever asked must be told
            _fail(chain(*wanted.values()), error)
            return type(error).__name__
        return ""


def _fail(futures: Iterable[Waiting], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
            future.exception()  # whoever asked may have left: then nobody else looks at it
