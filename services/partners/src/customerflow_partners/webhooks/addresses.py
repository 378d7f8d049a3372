"""Where a webhook may lead: public addresses only, unless a network is allowed by name.

The rules are held against the URL when it is given, and against the very address that is connected to, each time; what
a name stands for in between proves nothing.
"""

import ipaddress
import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

IPAddress: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_URL = 2000  # characters

_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # what RFC 3986 knows
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
# that not every release of Python knows not to be global
_NOT_GLOBAL: Sequence[Network] = (
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    IPv6Network("3fff::/20"),  # documentation
)


class AddressRefused(Exception):
    """`rule` is a code, `detail` says it; neither tells what a name stands for."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule
        self.detail = detail


class Target(NamedTuple):
    """A URL, taken apart once, so that no two readers of it can disagree. `path` has the query too."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def target(url: str) -> Target:
    """Raises AddressRefused."""
    if len(url) > MAX_URL or not _URL.fullmatch(url):
        raise AddressRefused("url", f"The URL must be of at most {MAX_URL} characters, those of RFC 3986.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("url", "The URL cannot be read.") from None
    if parts.scheme not in ("https", "http"):
        raise AddressRefused("scheme", "The URL must begin with https://.")
    if "@" in parts.netloc:
        raise AddressRefused("user-info", "The URL may not have a user or a password in it.")
    if "#" in url:
        raise AddressRefused("url", "The URL may not have a fragment.")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure, _host(parts.netloc), port if port is not None else (443 if secure else 80), path)


def check(where: Target, found: Sequence[IPAddress], allowed: Sequence[Network]) -> None:
    """`found` are all addresses that the host stands for, of which one bad one is too many. Raises AddressRefused."""
    if not found:
        raise AddressRefused("unresolved", "The host has no address.")
    if all(_is_in(plain(address), allowed) for address in found):
        return
    if not where.secure:
        raise AddressRefused("scheme", "The URL must begin with https://.")
    if where.port != 443 and where.port < 1024:
        raise AddressRefused("port", "The port must be 443, or 1024 or more.")
    if not all(_is_in(plain(address), allowed) or is_public(address) for address in found):
        raise AddressRefused("not-public", "The host leads to an address that is not public.")


def literal(host: str) -> IPAddress | None:
    """The address, if the host is one rather than a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: IPAddress) -> bool:
    """Whether a host of the internet may have it; one that holds another address only if that one is public too."""
    if isinstance(address, IPv4Address):
        return _is_global(address)
    if address.scope_id is not None:
        return False
    if (embedded := address.ipv4_mapped or _of_nat64(address)) is not None:
        return _is_global(embedded)
    if address not in _UNICAST or not _is_global(address):
        return False
    return all(map(_is_global, _embedded(address)))


def plain(address: IPAddress) -> IPAddress:
    """IPv4 also where it is written as IPv6."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def networks(text: str) -> tuple[Network, ...]:
    """Of a list with commas. Raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def _host(netloc: str) -> str:
    if netloc.startswith("["):
        inner, bracket, _ = netloc[1:].partition("]")
        if bracket and "%" not in inner and isinstance(literal(inner), IPv6Address):
            return inner.lower()
    else:
        host = netloc.partition(":")[0].lower()
        if isinstance(literal(host), IPv4Address):
            return host
        # 127.1, 0x7f.1 and 2130706433 are addresses to many resolvers, and names to none
        if len(host) <= 253 and _NAME.fullmatch(host) and not _NUMBER.fullmatch(host.rpartition(".")[2]):
            return host
    raise AddressRefused("host", "The host must be a name of the DNS, or an IP address in its usual form.")


def _is_global(address: IPAddress) -> bool:
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    known = _is_in(address, _NOT_GLOBAL)
    return address.is_global and not (special or known or address.is_link_local or address.is_private)


def _of_nat64(address: IPv6Address) -> IPv4Address | None:
    return IPv4Address(address.packed[12:]) if address in _NAT64 else None


def _embedded(address: IPv6Address) -> Sequence[IPv4Address]:
    """Those of 6to4, of Teredo, and of ISATAP, which leads to them from within any network."""
    found = list(address.teredo or ())
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.packed[8:12] in (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe"):
        found.append(IPv4Address(address.packed[12:]))
    return found


def _is_in(address: IPAddress, of: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in of)
