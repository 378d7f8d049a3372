"""The doorbell rings wherever it can, and nothing that is wrong with an address stops a command."""

import asyncio
import socket
from typing import Any

import pytest
from customerflow_command.doorbell import Doorbell, Ringer, parse_addresses


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", []),
        ("relay:9000", [("relay", 9000)]),
        (" relay:9000 , 127.0.0.1:9001,", [("relay", 9000), ("127.0.0.1", 9001)]),
        ("[::1]:9000", [("::1", 9000)]),
    ],
)
def test_addresses_are_read(text: str, addresses: list[tuple[str, int]]) -> None:
    assert parse_addresses(text) == addresses


@pytest.mark.parametrize(
    "text",
    ["relay", ":9000", "relay:", "relay:0", "relay:65536", "relay:x", "relay:٣", "::1:9000", "[relay]:9", "a b:1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        parse_addresses(text)


async def rung_through(*hosts: str) -> bool:
    doorbell = Doorbell()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: doorbell, local_addr=("127.0.0.1", 0)
    )
    ringer = Ringer([(host, transport.get_extra_info("sockname")[1]) for host in hosts])
    try:
        await ringer.resolve()
        ringer.ring()
        async with asyncio.timeout(2):
            await doorbell.rung.wait()
        return True
    except TimeoutError:
        return False
    finally:
        ringer.close()
        transport.close()


async def test_a_ring_is_heard() -> None:
    assert await rung_through("127.0.0.1")


@pytest.mark.parametrize("host", ["relay..internal", "x" * 64, "nowhere.invalid"])
async def test_a_name_that_stands_for_nobody_does_not_keep_others_from_hearing(host: str) -> None:
    assert await rung_through(host, "127.0.0.1")


async def test_a_host_without_ipv6_still_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutIpv6(socket.socket):
        def __init__(self, family: int = -1, *arguments: Any, **named: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family, *arguments, **named)

    monkeypatch.setattr(socket, "socket", WithoutIpv6)
    assert await rung_through("::1", "127.0.0.1")
