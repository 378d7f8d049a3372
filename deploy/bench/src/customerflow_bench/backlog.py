"""Work that piles up while the program that does it is stopped, and how fast it goes once it runs."""

import time
from collections.abc import Callable

import uvloop

from customerflow_bench import load, people
from customerflow_bench.figures import Measured
from customerflow_bench.system import System, wait_until

EVENTS = 3  # of a customer, see `people.eventful_life`
_LOOK_EVERY = 0.01  # seconds


def store(system: System, customers: int) -> int:
    """So many new customers in the event store, past HTTP; the number of events."""
    first = system.new_numbers()

    async def stored() -> None:
        async with load.loading(system.stack.env, people.eventful_life) as loader:
            loader.go.set()
            await loader.store(first, first + customers)

    before = system.head()
    uvloop.run(stored())
    return system.head() - before


def pile_up(system: System, program: str, customers: int) -> None:
    """The `program` is stopped then; what comes before it has done its work."""
    system.stack.stop_service(program)
    store(system, customers)
    if program != "relay":
        wait_until(lambda: system.unsent() == 0)


def drained(system: System, program: str, done: Callable[[], int], upto: int) -> Measured:
    """Start the `program`. Its rate is from when the first of the work is seen to be done until all is: how long it
    takes to start is another matter.
    """
    before = done()
    system.stack.start_service(program)
    wait_until(lambda: done() > before, every=_LOOK_EVERY)
    first, began = done(), time.perf_counter()
    wait_until(lambda: done() >= upto, every=_LOOK_EVERY)
    return {"events/s": (upto - first) / (time.perf_counter() - began)}
