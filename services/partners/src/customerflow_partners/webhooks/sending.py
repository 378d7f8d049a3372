"""One attempt: POST to a webhook's URL, and what came of it. No redirect is followed, no proxy used, no answer kept."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from ipaddress import ip_address
from typing import NamedTuple, TypeAlias

import certifi
import httpcore
import structlog
from customerflow_contract.cloud_event import MEDIA_TYPE

from customerflow_partners.webhooks import addresses
from customerflow_partners.webhooks.addresses import AddressRefused, IPAddress, Network, Target
from customerflow_partners.webhooks.schedule import retry_after

log = structlog.get_logger()

CONNECT_SECONDS = 5.0
ATTEMPT_SECONDS = 15.0
KEPT_ALIVE = 4.0  # seconds; servers commonly close what has been idle for five
LARGEST_ANSWER = 16 * 1024  # bytes; the connection of a longer one is closed
ANSWER_SECONDS = 2.0  # for what follows the head of an answer
RESOLVED_AT_ONCE = 64  # names


class Delivered(NamedTuple):
    """The receiver has answered 2xx."""

    status: int


class Failed(NamedTuple):
    """`whole`: the webhook fails, whatever it is sent. `wait`: seconds that the receiver asks for."""

    error: str
    status: int | None = None
    whole: bool = False
    wait: float | None = None


class Gone(NamedTuple):
    """The receiver wants nothing more: 410."""

    status: int = 410


Outcome: TypeAlias = Delivered | Failed | Gone


class Resolver:
    """Names to addresses, by the system. Threads of its own: one that hangs takes none from others, and of one webhook
    there is never more than one.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVED_AT_ONCE, thread_name_prefix="resolve")
        self._asked: dict[tuple[str, int], asyncio.Future[Sequence[IPAddress]]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        """Raises OSError."""
        if (address := addresses.literal(host)) is not None:
            return [address]
        key = (host, port)
        if (asked := self._asked.get(key)) is None:
            loop = asyncio.get_running_loop()
            asked = self._asked[key] = loop.run_in_executor(self._threads, _look_up, host, port)
            asked.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(asked)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answered(self, key: tuple[str, int], done: "asyncio.Future[Sequence[IPAddress]]") -> None:
        del self._asked[key]
        if not done.cancelled():
            done.exception()  # who asked may have gone, and asyncio would tell of it


def _look_up(host: str, port: int) -> Sequence[IPAddress]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that the IDNA codec does not take
        raise OSError from error
    return list(dict.fromkeys(ip_address(one[4][0]) for one in found))


class Outgoing:
    """What the senders of all webhooks share: where they may connect to, and by which certificates a host is known."""

    def __init__(self, allowed: Sequence[Network] = (), authorities: str | None = None) -> None:
        """`authorities`: certificates in PEM, beside the usual ones. Raises ssl.SSLError."""
        self.allowed = allowed
        self.tls = ssl.create_default_context(cafile=certifi.where())
        if authorities is not None:
            self.tls.load_verify_locations(cadata=authorities)
        self._resolver = Resolver()

    async def addresses(self, where: Target) -> Sequence[IPAddress]:
        """All that the host stands for now, each of which may be connected to. Raises AddressRefused."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await self._resolver.resolve(where.host, where.port)
        except (OSError, TimeoutError):
            raise AddressRefused("unresolved", "The host has no address.") from None
        addresses.check(where, found, self.allowed)
        return found

    def close(self) -> None:
        self._resolver.close()


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to no address but one that has just been checked. TLS still asks for the name."""

    def __init__(self, outgoing: Outgoing, where: Target) -> None:
        self._outgoing = outgoing
        self._where = where
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore has it so)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        until = asyncio.get_running_loop().time() + CONNECT_SECONDS
        found = await self._outgoing.addresses(self._where)
        failure: Exception | None = None
        for tried, address in enumerate(found):
            # one that swallows everything must leave time for the next
            left = (until - asyncio.get_running_loop().time()) / (len(found) - tried)
            try:
                return await self._inner.connect_tcp(str(address), port, max(left, 0.1), None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError


class Sender:
    """To one webhook, over connections of its own, and no more than so many."""

    def __init__(self, outgoing: Outgoing, url: str, connections: int) -> None:
        """Raises AddressRefused."""
        self._where = addresses.target(url)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=outgoing.tls,
            max_connections=connections,
            keepalive_expiry=KEPT_ALIVE,
            network_backend=_Checked(outgoing, self._where),
        )

    async def send(self, body: bytes, headers: Mapping[str, str], now: Callable[[], datetime]) -> Outcome:
        """Within `ATTEMPT_SECONDS`."""
        answered: Outcome | None = None
        try:
            async with (
                asyncio.timeout(ATTEMPT_SECONDS),
                self._pool.stream(
                    "POST",
                    self._url(),
                    headers=[
                        *self._headers(body),
                        *((name.encode(), value.encode()) for name, value in headers.items()),
                    ],
                    content=body,
                    extensions={"timeout": {"connect": CONNECT_SECONDS}},
                ) as response,
            ):
                answered = _outcome(response, now())
                await _drain(response)
        except Exception as error:
            # whatever it is, the others must go on; once there is a status, nothing else counts
            return answered or _failure(error)
        return answered

    async def close(self) -> None:
        await self._pool.aclose()

    def _url(self) -> httpcore.URL:
        scheme = b"https" if self._where.secure else b"http"
        host, path = self._where.host.encode(), self._where.path.encode()
        return httpcore.URL(scheme=scheme, host=host, port=self._where.port, target=path)

    def _headers(self, body: bytes) -> Sequence[tuple[bytes, bytes]]:
        return [
            (b"host", self._where.authority.encode()),
            (b"user-agent", b"CustomerFlow-Webhooks/1"),
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
        ]


async def _drain(response: httpcore.Response) -> None:
    """So that the connection may be used again; of what is long or slow in coming it is closed."""
    left = LARGEST_ANSWER
    async with asyncio.timeout(ANSWER_SECONDS):
        async for chunk in response.aiter_stream():
            left -= len(chunk)
            if left < 0:
                return


def _outcome(response: httpcore.Response, now: datetime) -> Outcome:
    status = response.status
    if 200 <= status < 300:
        return Delivered(status)
    if status == 410:
        return Gone()
    if 300 <= status < 400:
        return Failed("redirect", status)
    told = next((value.decode("latin-1") for name, value in response.headers if name.lower() == b"retry-after"), None)
    wait = retry_after(told, now) if status in (429, 502, 503, 504) else None
    return Failed("status", status, whole=status == 429 or wait is not None, wait=wait)


def _failure(error: Exception) -> Failed:
    match error:
        case AddressRefused():
            return Failed(f"address-{error.rule}", whole=True)
        case httpcore.ConnectTimeout():
            return Failed("connect-timeout", whole=True)
        case httpcore.ConnectError():
            return Failed("tls" if _is_tls(error) else "not-connected", whole=True)
        case TimeoutError() | httpcore.TimeoutException():
            return Failed("timeout")
        case httpcore.NetworkError():
            return Failed("connection-lost")
        case httpcore.ProtocolError():
            return Failed("not-http")
        case _:
            log.warning("an attempt has failed oddly", exc_info=error)
            return Failed("unknown")


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
