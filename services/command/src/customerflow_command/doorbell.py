"""The doorbell: after a commit, one datagram tells the relays that there is something to send.

It carries nothing and may be lost; a relay looks by itself from time to time.
"""

import asyncio
import re
import socket
from collections.abc import Sequence
from typing import Any

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]]+)):(?P<port>[0-9]{1,5})")


class Ringer:
    """Rings at every address; `relay:9000` may stand for several relays."""

    def __init__(self, addresses: Sequence[tuple[str, int]]) -> None:
        self._addresses = addresses
        self._targets: list[tuple[socket.AddressFamily, Any]] = []
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}

    def ring(self) -> None:
        for family, address in self._targets:
            # a full buffer, an absent relay, a host without that family: the relay will look by itself
            try:
                self._socket(family).sendto(b"", address)
            except OSError:
                continue

    async def keep_resolving(self, every: float = 5.0) -> None:
        """Relays come and go: look their names up again and again."""
        while True:
            await self.resolve()
            await asyncio.sleep(every)

    async def resolve(self) -> None:
        loop = asyncio.get_running_loop()
        targets: list[tuple[socket.AddressFamily, Any]] = []
        for host, port in self._addresses:
            # UnicodeError: what cannot even be asked for, such as `relay..internal`
            try:
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            except (OSError, UnicodeError):
                continue
            targets += [(family, address) for family, _, _, _, address in found]
        self._targets = targets

    def close(self) -> None:
        self._targets = []
        while self._sockets:
            self._sockets.popitem()[1].close()

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        if family not in self._sockets:
            self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        return self._sockets[family]


class Doorbell(asyncio.DatagramProtocol):
    """`rung` is set by any datagram, whatever it holds."""

    def __init__(self) -> None:
        self.rung = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.rung.set()


def parse_addresses(text: str) -> list[tuple[str, int]]:
    """`host:port[,host:port]`, with `[...]` round an IPv6 address. Raises ValueError."""
    addresses = []
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        found = _ADDRESS.fullmatch(entry)
        if not found or not 0 < int(found["port"]) < 65536:
            raise ValueError("each address must be host:port")
        addresses.append((found["v6"] or found["host"], int(found["port"])))
    return addresses
