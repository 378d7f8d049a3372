"""How load is made: closed, where so many clients ask as soon as they are answered; and open, where requests are due by
a clock, whether or not those before are answered, and count from when they were due.
"""

import asyncio
import ctypes
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

_CLOCK_MONOTONIC = 1
_CPUCLOCK_SCHED = 2  # of another process, see clock_getcpuclockid(3)
_NANOSECONDS = 1_000_000_000
_PATIENCE = 10.0  # seconds in which what is under way at the end must be answered


class Took(NamedTuple):
    """What was answered while it was measured, and how long each took."""

    seconds: float
    latencies: list[float]
    cpu: float
    """Seconds that this process has computed: how much of the machine the load itself has taken."""
    served_with: float = 0.0
    """Seconds that the process has computed to which the load was put, if it is known."""

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds


async def closed(
    clients: Sequence[Callable[[], Awaitable[object]]], *, warm_up: float, seconds: float, server: int | None = None
) -> Took:
    """Each client does the next thing as soon as it has done one. What ends within the measured time counts. `server`:
    the process that answers them.
    """
    begins = time.perf_counter() + warm_up
    ends = begins + seconds
    latencies: list[float] = []
    cpu = served_with = 0.0

    async def work(do: Callable[[], Awaitable[object]]) -> None:
        after = time.perf_counter()
        while after < ends:
            before = after
            await do()
            after = time.perf_counter()
            if begins <= after < ends:
                latencies.append(after - before)

    async def watch() -> None:
        nonlocal cpu, served_with
        await asyncio.sleep(warm_up)
        cpu, served_with = -time.process_time(), -computed(server)
        await asyncio.sleep(seconds)
        cpu, served_with = cpu + time.process_time(), served_with + computed(server)

    async with asyncio.timeout(warm_up + seconds + _PATIENCE), asyncio.TaskGroup() as group:
        group.create_task(watch())
        for do in clients:
            group.create_task(work(do))
    return Took(seconds, latencies, cpu, served_with)


def computed(process: int | None) -> float:
    """Seconds of processor time that it has taken, all threads together."""
    return 0.0 if process is None else time.clock_gettime(~process << 3 | _CPUCLOCK_SCHED)


async def opened(do: Callable[[], Awaitable[object]], *, rate: float, warm_up: float, seconds: float) -> Took:
    """`do` is begun `rate` times a second. What is due in the measured time counts, however late it is answered."""
    latencies: list[float] = []
    total, measured_from = round((warm_up + seconds) * rate), warm_up
    cpu = time.process_time()
    async with asyncio.timeout(warm_up + seconds + _PATIENCE), asyncio.TaskGroup() as group:
        began = time.perf_counter()

        async def one(due: float) -> None:
            await do()
            if due >= measured_from:
                latencies.append(time.perf_counter() - began - due)

        number = 0
        async for count in _beats(1 / rate):
            for _ in range(count):
                # the first beat is one interval after the beginning
                number += 1
                group.create_task(one(number / rate))
                if number == total:
                    break
            if number == total:
                break
    return Took(seconds, latencies, time.process_time() - cpu)


async def _beats(interval: float) -> AsyncIterator[int]:
    """How many intervals have passed since the last look. By a timer of the kernel: the event loop's own keeps whole
    milliseconds, which is as much as what is measured.
    """
    with _timer(interval) as timer:
        rung = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(timer, rung.set)
        try:
            while True:
                await rung.wait()
                rung.clear()
                with suppress(BlockingIOError):
                    yield int.from_bytes(os.read(timer, 8), "little")
        finally:
            loop.remove_reader(timer)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


@contextmanager
def _timer(interval: float) -> Iterator[int]:
    libc = ctypes.CDLL(None, use_errno=True)
    timer = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if timer < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    try:
        each = _Timespec(*divmod(round(interval * _NANOSECONDS), _NANOSECONDS))
        if libc.timerfd_settime(timer, 0, ctypes.byref(_Itimerspec(each, each)), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        yield timer
    finally:
        os.close(timer)
