"""The doorbell: after a commit, one datagram tells the relays that there is something to send.

It carries nothing and may be lost; a relay looks by itself from time to time.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import structlog

log = structlog.get_logger()


class Ringer:
    """Rings at every address; `relay:9000` may stand for several relays."""

    def __init__(self, addresses: Sequence[tuple[str, int]]) -> None:
        self._addresses = addresses
        self._targets: list[tuple[socket.AddressFamily, Any]] = []
        self._sockets = {
            family: socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            for family in (socket.AF_INET, socket.AF_INET6)
        }

    def ring(self) -> None:
        for family, address in self._targets:
            # a full buffer or an absent relay: it will look by itself
            try:
                self._sockets[family].sendto(b"", address)
            except OSError:
                continue

    async def keep_resolving(self, every: float = 5.0) -> None:
        """Relays come and go: look their names up again and again."""
        loop = asyncio.get_running_loop()
        while True:
            targets: list[tuple[socket.AddressFamily, Any]] = []
            for host, port in self._addresses:
                try:
                    found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
                except OSError:
                    continue
                targets += [(family, address) for family, _, _, _, address in found]
            self._targets = targets
            await asyncio.sleep(every)


class Doorbell(asyncio.DatagramProtocol):
    """`rung` is set by any datagram, whatever it holds."""

    def __init__(self) -> None:
        self.rung = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.rung.set()


def parse_addresses(text: str) -> list[tuple[str, int]]:
    """`host:port[,host:port]`. Raises ValueError."""
    addresses = []
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        host, _, port = entry.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError("each address must be host:port")
        addresses.append((host, int(port)))
    return addresses
