"""What keeps a program answering when it is asked for more than it can do, and every request from lasting.

So many requests are under way at a time; whoever comes beyond that is told at once to come again (503), before the
request is routed or its body read. No request is under way for longer than its deadline; a stream's is over when it
begins. A client may be held to a quota (429), by the fields of draft-ietf-httpapi-ratelimit-headers.
"""

import asyncio
import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil, inf
from typing import Any, NamedTuple, TypeAlias

import structlog
from litestar.types import ASGIApp, Receive, Send

from customerflow_shared import metrics
from customerflow_shared.problems import MEDIA_TYPE, Problem

log = structlog.get_logger()

Header: TypeAlias = tuple[bytes, bytes]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Client: TypeAlias = Callable[[Any], str]
"""Who sends a request, given its ASGI scope: an address, and one day who a key belongs to."""

EXEMPT = ("/health/", "/metrics")
INTERNAL = "/internal/"
RESERVED = 16  # requests that may be under way beyond the limit: a program's to another, or an operator's
LEAST = 64  # requests that may be under way however slow everything is
LAG = 0.05  # seconds that the event loop may be late twice running, before less may be under way
LOOK_EVERY = 0.1  # seconds between two looks at that, and for requests that are late
AGAIN_AFTER = 1.0  # seconds; a library may have swallowed the first cancellation
TELL_EVERY = 10.0  # seconds between two lines about refusals
MOST_CLIENTS = 50_000
LONGEST_ADDRESS = 64  # characters, with a port; a longer one is none, and not remembered
POLICY = "client"
_STANDING = f'"{POLICY}";r=%d;t=%d'.encode()
_CLOSE: Header = (b"connection", b"close")
INCOMPLETE = "customerflow.incomplete"
"""Among the extensions of a request: tells whether its body is still coming."""

_refused = metrics.counter(
    "customerflow.requests.refused",
    "{request}",
    "Requests refused before they were looked at (busy, quota), or given up (slow: it did not come; deadline).",
    ["reason"],
)
for _reason in ("busy", "quota", "slow", "deadline"):
    _refused.begin(_reason)


class UnfitProxies(Exception):
    """What is said to be trusted is no address, and no network."""


class Quota:
    """`size` requests in any `window` seconds for each client, by the generic cell rate algorithm: of a client is kept
    only when its quota will be whole.

    What is kept is bounded: of `most` clients and as many before them. When they are more, some begin anew.
    """

    def __init__(
        self, size: int, window: float, *, most: int = MOST_CLIENTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.policy = f'"{POLICY}";q={size};w={ceil(window)}'.encode()
        self._each = window / size
        self._window = window
        self._most = most
        self._clock = clock
        self._whole_at: dict[str, float] = {}
        self._before: dict[str, float] = {}  # nobody is here whose quota is not whole when it is dropped
        self._turns_at = 0.0

    def take(self, client: str) -> tuple[int, float]:
        """What is left of the client's quota, -1 if the request is beyond it; and the seconds until all of it is there
        again, or until the next request is welcome.
        """
        now = self._clock()
        if now >= self._turns_at or len(self._whole_at) >= self._most:
            self._before, self._whole_at, self._turns_at = self._whole_at, {}, now + self._window
        whole_at = self._whole_at.get(client) or self._before.get(client, now)
        taken = self._each if whole_at <= now else whole_at - now + self._each
        room = (self._window - taken) / self._each + 1e-6  # of rounding
        if room < 0:
            return -1, taken - self._window
        self._whole_at[client] = now + taken
        return int(room), taken


def quota(text: str) -> Quota | None:
    """`600/60`: 600 requests in 60 seconds. None of an empty text."""
    size, _, window = text.partition("/")
    return Quota(int(size), float(window)) if text else None


def trusted(proxies: str) -> Callable[[str], bool]:
    """Whether an address is among these addresses and networks, separated by commas. Raises UnfitProxies."""
    try:
        networks = [ipaddress.ip_network(one.strip()) for one in proxies.split(",") if one.strip()]
    except ValueError:
        raise UnfitProxies("Expected addresses and networks, separated by commas") from None

    return lambda text: (address := _address(text)) is not None and any(address in one for one in networks)


def clients(is_trusted: Callable[[str], bool]) -> Client:
    """By the address that the request comes from; behind a proxy that is trusted, by the last address in
    X-Forwarded-For that is not trusted itself, for what stands before that anybody may have written.
    """

    def nearest(peer: str, forwarded: bytes) -> str:
        client = peer
        for text in reversed(forwarded.decode("latin-1").split(",") if is_trusted(peer) else []):
            if _address(text) is None:
                break
            client = text
            if not is_trusted(text):
                break
        return _of(client)

    remembered = lru_cache(10_000)(nearest)

    def client(scope: Any) -> str:
        forwarded = b""
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                forwarded = forwarded + b"," + value if forwarded else value
        peer = _peer(scope)
        return remembered(peer, forwarded) if len(forwarded) <= LONGEST_ADDRESS else nearest(peer, forwarded)

    return client


def by_peer(scope: Any) -> str:
    """By the address that the request comes from."""
    return _of(_peer(scope))


def _peer(scope: Any) -> str:
    """Not known of a connection that was lost at once."""
    address, _ = scope["client"] or ("", 0)
    return str(address)


@lru_cache(10_000)
def _of(text: str) -> str:
    """An address as it is counted: of IPv6 the network of 64 bits, of which a client has as many as it likes."""
    address = _address(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address or text)


def _address(text: str) -> Address | None:
    """Also of one with a port; IPv4 that is mapped into IPv6 is IPv4."""
    return _parsed(text) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(10_000)
def _parsed(text: str) -> Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _told(quota: Quota, left: int, seconds: float) -> list[Header]:
    return [(b"ratelimit-policy", quota.policy), (b"ratelimit", _STANDING % (left, ceil(seconds)))]


def told_by_proxy(line: bytes) -> tuple[str, int] | None:
    """The client's address and port, by the line with which a proxy that passes bytes on begins (PROXY protocol 1)."""
    match line.split(b" "):
        case [b"PROXY", b"TCP4" | b"TCP6", source, _, port, _] if _address(source.decode("latin-1")) and port.isdigit():
            return source.decode(), int(port)
    return None


class _Answer(NamedTuple):
    """A problem that is the same for everybody, written once: an answer that costs next to nothing."""

    status: int
    headers: Sequence[Header]
    body: bytes

    @classmethod
    def of(cls, problem: Problem) -> "_Answer":
        body = problem.document("/")
        headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
        return cls(problem.status, headers, body)

    async def send(self, send: Send, *further: Header) -> None:
        start: Any = {"type": "http.response.start", "status": self.status, "headers": [*self.headers, *further]}
        await send(start)
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


_BUSY = _Answer.of(
    Problem("busy", "More is asked than can be answered in time; nothing was done.", headers={"Retry-After": "1"})
)
_LATE = _Answer.of(
    Problem(
        "unavailable",
        "There was no answer in time. A command may have taken effect: send it again with the same Idempotency-Key, or "
        "read the customer first.",
        headers={"Retry-After": "1"},
    )
)
_SLOW = _Answer.of(Problem("request-too-slow", "The body did not come in time; nothing was done."))
_VIOLATED: dict[str, Any] = {"violated-policies": [POLICY]}
_BEYOND_QUOTA = _Answer.of(
    Problem("quota-exceeded", "The client has used up its quota; nothing was done.", **_VIOLATED)
)


class Limited:
    """At most `most` requests are under way, each for at most `deadline` seconds; fewer if the event loop is late, or
    it `is_crowded` where they wait. While it is `leaving`, clients are told to connect elsewhere.

    Health and metrics are always answered; what programs ask one another has no quota, and a little room of its own.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        most: int,
        deadline: float,
        quota: Quota | None = None,
        client: Client = by_peer,
        is_crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app = app
        self._most = most
        self._room = most
        self._look_at = inf
        self._is_behind = False
        self._deadline = deadline
        self._quota = quota
        self._client = client
        self._is_crowded = is_crowded
        self.leaving = False
        self._under_way: dict[asyncio.Task[Any], float] = {}  # since when; those that came first come first
        self._late: dict[asyncio.Task[Any], tuple[int, float]] = {}  # how often cancelled, and when again
        self._untold: Counter[str] = Counter()
        self._told_at = -inf
        self._next_look: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (path := scope["path"]).startswith(EXEMPT):
            await self._app(scope, receive, send)
            return
        under_way = self._under_way
        if len(under_way) >= self._room and not (path.startswith(INTERNAL) and len(under_way) < self._room + RESERVED):
            self._count("busy")
            await _BUSY.send(send, *([_CLOSE] if self.leaving else []))
            return
        further: list[Header] = []
        if self._quota is not None and not path.startswith(INTERNAL):
            left, seconds = self._quota.take(self._client(scope))
            if left < 0:
                self._count("quota")
                await _BEYOND_QUOTA.send(send, (b"retry-after", b"%d" % ceil(seconds)), *_told(self._quota, 0, seconds))
                return
            further = _told(self._quota, left, seconds)
        task: Any = asyncio.current_task()

        def told(message: Any) -> Any:
            if message["type"] == "http.response.start":
                under_way.pop(task, None)
                if self.leaving:
                    further.append(_CLOSE)
                if further:
                    message["headers"] = [*message.get("headers", ()), *further]
            return send(message)

        under_way[task] = time.monotonic()
        try:
            await self._app(scope, receive, told)
        except asyncio.CancelledError:
            if task not in under_way or not self._was_late(task):
                raise
            if (scope.get("extensions") or {}).get(INCOMPLETE, bool)():
                self._count("slow")
                await _SLOW.send(send, _CLOSE, *further)
                return
            log.warning("no answer in time", method=scope["method"], route=scope.get("path_template"))
            self._count("deadline")
            await _LATE.send(send, *further)
        finally:
            under_way.pop(task, None)
            if self._late:
                self._late.pop(task, None)

    async def refuse(self, scope: Any, receive: Receive, send: Send) -> None:
        """For whoever has come while there were too many connections; he is to close his."""
        if scope["path"].startswith(EXEMPT):
            await self._app(scope, receive, send)
            return
        self._count("busy")
        await _BUSY.send(send, _CLOSE)

    def watch(self) -> None:
        """Look for what is late from now on, until `close`."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._make_room(late=now - self._look_at)
        self._look()
        self._look_at = now + LOOK_EVERY
        self._next_look = loop.call_at(self._look_at, self.watch)

    def close(self) -> None:
        if self._next_look:
            self._next_look.cancel()

    def _make_room(self, late: float) -> None:
        """For as many as keep the event loop on time, and the queue short of what else they wait for."""
        if self._is_crowded():
            late = max(late, 2 * LAG)
        was_behind, self._is_behind = self._is_behind, late > LAG
        if was_behind and self._is_behind:  # once may be a pause of something else
            fewer = int(min(self._room, len(self._under_way)) * max(0.5, LAG / late))
            self._room = max(min(LEAST, self._most), fewer)
        elif not self._is_behind:
            self._room = min(self._most, self._room + 1 + self._room // 16)

    def _look(self) -> None:
        now = time.monotonic()
        for task, since in self._under_way.items():
            if now - since < self._deadline:
                break
            times, again_at = self._late.get(task, (0, now))
            if now >= again_at:
                self._late[task] = times + 1, now + AGAIN_AFTER
                task.cancel()
        if self._untold and now - self._told_at >= TELL_EVERY:
            log.warning("requests refused", under_way=len(self._under_way), **self._untold)
            self._told_at = now
            self._untold.clear()

    def _was_late(self, task: asyncio.Task[Any]) -> bool:
        """Whether it was cancelled for that, and for nothing else."""
        times, _ = self._late.get(task, (0, 0.0))
        return times > 0 and not [task.uncancel() for _ in range(times)][-1]

    def _count(self, reason: str) -> None:
        _refused.add(1, reason)
        self._untold[reason] += 1
