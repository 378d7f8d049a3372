"""Flags out of a flagd server: one that speaks its sync protocol, stops, and comes back."""

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from customerflow_shared.flags import Flags, Unfit
from customerflow_shared.flags.catalogue import EXACT_COUNTS, RELAY_PUBLISHING
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc

from .conftest import Open
from .test_flags import soon


class Flagd(sync_pb2_grpc.FlagSyncServiceServicer):
    """Sends what it is given to whoever is connected, and the last of it to who connects."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: list[queue.Queue[str | None]] = []
        self._last = ""
        self._server: grpc.Server | None = None
        self.port = 0

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        sync_pb2_grpc.add_FlagSyncServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        if self._server is None:
            return
        with self._lock:
            for stream in self._streams:
                stream.put(None)
        self._server.stop(None).wait()
        self._server = None

    def say(self, **variants: str) -> None:
        flags = {
            key.replace("_", "-"): {
                "state": "ENABLED",
                "variants": {"on": True, "off": False},
                "defaultVariant": variant,
            }
            for key, variant in variants.items()
        }
        self._last = json.dumps({"flags": flags})
        with self._lock:
            for stream in self._streams:
                stream.put(self._last)

    def SyncFlags(self, request: Any, context: Any) -> Iterator[Any]:
        stream: queue.Queue[str | None] = queue.Queue()
        with self._lock:
            self._streams.append(stream)
        stream.put(self._last)
        while (content := stream.get()) is not None:
            yield sync_pb2.SyncFlagsResponse(flag_configuration=content)

    def FetchAllFlags(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "")

    def GetMetadata(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "")


@pytest.fixture
def flagd() -> Iterator[Flagd]:
    server = Flagd()
    server.say(exact_counts="off")
    server.start()
    yield server
    server.stop()


def in_force(flags: Flags) -> Callable[[], bool]:
    return lambda: flags.report().in_force


async def test_a_server_says_what_is_on_and_a_change_takes_effect_within_two_seconds(
    opened: Open, flagd: Flagd
) -> None:
    flags = opened(f"flagd://127.0.0.1:{flagd.port}")
    await soon(in_force(flags))
    assert not flags.on(EXACT_COUNTS)
    assert flags.on(RELAY_PUBLISHING)  # not said, so as it is by default
    flagd.say(exact_counts="on", relay_publishing="off")
    await soon(lambda: flags.on(EXACT_COUNTS) and not flags.on(RELAY_PUBLISHING))


async def test_a_server_that_stops_leaves_in_force_what_it_has_said_and_is_followed_when_it_is_back(
    opened: Open, flagd: Flagd
) -> None:
    flags = opened(f"flagd://127.0.0.1:{flagd.port}")
    await soon(in_force(flags))
    flagd.stop()
    await soon(lambda: not flags.report().in_force, within=10)
    assert "does not answer" in (flags.report().fault or "")
    assert not flags.on(EXACT_COUNTS)
    flagd.say(exact_counts="on")
    flagd.start()
    await soon(lambda: flags.on(EXACT_COUNTS), within=10)
    await soon(in_force(flags))


async def test_a_server_that_is_away_at_the_start_holds_nobody_up(opened: Open) -> None:
    began = asyncio.get_running_loop().time()
    flags = opened("flagd://127.0.0.1:1")
    assert asyncio.get_running_loop().time() - began < 5
    report = flags.report()
    assert not report.in_force
    assert all(one.value is flag.default for one, flag in zip(report.flags, flags.declared, strict=True))


@pytest.mark.parametrize("url", ["flagd://", "flagd://host:no", "flagd://host:99999", "flagd://host/path"])
def test_what_is_no_servers_address_is_told_at_the_start(opened: Open, url: str) -> None:
    with pytest.raises(Unfit, match="Expected flagd://host:port"):
        opened(url)
