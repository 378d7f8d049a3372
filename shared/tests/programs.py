"""Programs to start as processes of their own: `python programs.py <name>`. Each says on standard output what it does,
among its log lines.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from customerflow_shared import service, telemetry
from customerflow_shared.settings import Listen
from litestar import Litestar, Request, get, post
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

SECRET = "ana@example.com"
LARGE = 64 * 1024 * 1024  # bytes, more than the system holds of an answer


@get("/slow")
async def slow() -> str:
    await asyncio.sleep(0.5)
    return "done"


@get("/large")
async def large() -> bytes:
    return bytes(LARGE)


@post("/told")
async def told(request: Request[Any, Any, Any]) -> int:
    return len(await request.body())


@get("/cut-off")
async def cut_off() -> Stream:
    async def lines() -> AsyncIterator[bytes]:
        yield b"first"
        raise ValueError(SECRET)

    return Stream(lines())


async def for_ever() -> None:
    await asyncio.Event().wait()


async def failing() -> None:
    await asyncio.sleep(0.2)
    raise ValueError(SECRET)


async def ending() -> None:
    await asyncio.sleep(0.2)


WORK = {
    "healthy": for_ever,
    "slow": for_ever,
    "crowded": for_ever,
    "impatient": for_ever,
    "limited": for_ever,
    "misled": for_ever,
    "failing": failing,
    "ending": ending,
}


def main(name: str, port: int, drain_delay: float) -> None:
    telemetry.configure(name, log_level="info")
    handlers: list[ControllerRouterHandler] = [slow, cut_off, large, told]
    health = service.Health({})

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        if name == "unstartable":
            raise ValueError(SECRET)
        async with service.background("work", WORK[name]):
            yield

    shut_down = telemetry.shut_down

    def reporting() -> None:
        shut_down()
        print("telemetry is shut down")

    telemetry.shut_down = reporting
    app = service.create("Test", "A program of the tests.", handlers=handlers, health=health, lifespan=[lifespan])
    if name in ("crowded", "impatient"):
        service.MOST_CONNECTIONS = 3
    if name == "impatient":
        service.HEAD_SECONDS, service.TAKEN_SECONDS = 0.6, 1.0
    further: dict[str, dict[str, Any]] = {
        "slow": {"request_deadline": 0.2},
        "impatient": {"request_deadline": 1.0},
        "misled": {"trusted_proxies": SECRET},
        "limited": {"rate_limit": "2/60", "trusted_proxies": "127.0.0.1"},
    }
    service.run(app, health, Listen(port=port, drain_delay=drain_delay, **further.get(name, {})))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
