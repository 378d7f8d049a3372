"""The query API. The customer's route is a bare ASGI application: it is the hot path, and does no work per request
that can be shared.
"""

import asyncio
import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec
from customerflow_shared import requests, telemetry
from customerflow_shared.problems import MEDIA_TYPE, Problem, Translation, bug, instance
from customerflow_shared.views import ErasedView, Stored
from litestar.types import ASGIApp, Receive, Send

from customerflow_query.reader import Reader, ReadModelUnavailable, Rebuilding

DEFAULT_WAIT = 1.0  # seconds
LONGEST_WAIT = 10.0
FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.05
CACHE_CONTROL = b"private, no-cache"

TEMPLATE = "/v1/customers/{customer_id}"
_PATH = re.compile(r"/v1/customers/([^/]+)")
_WAIT = re.compile(rb'(?:^|[,;\s])wait\s*=\s*"?([0-9]{1,9})"?\s*(?:$|[,;])', re.IGNORECASE)
_TAG = re.compile(rb'(?:W/)?"([0-9]+)"')

_erased_decoder = msgspec.json.Decoder(ErasedView)

Header = tuple[bytes, bytes]

TRANSLATIONS: dict[type[Exception], Translation] = {
    Rebuilding: lambda _: Problem(
        "rebuilding", "The read model is being completed; ask again shortly.", headers={"Retry-After": "1"}
    ),
    ReadModelUnavailable: lambda _: Problem(
        "unavailable", "Redis does not answer; ask again shortly.", headers={"Retry-After": "1"}
    ),
}


class CustomerRoute:
    """GET and HEAD of one customer; everything else goes on to the rest of the application."""

    def __init__(self, reader: Reader, rest: ASGIApp) -> None:
        self._reader = reader
        self._rest = rest

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not (match := _PATH.fullmatch(scope["path"])):
            await self._rest(scope, receive, send)
            return
        telemetry.name_request(scope["method"], TEMPLATE)
        try:
            status, headers, body = await self._answer(match[1], scope)
        except Exception as error:
            shown = instance(scope["path"], TEMPLATE)
            problem = _problem(shown, error)
            status, body = problem.status, problem.document(shown)
            headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
            headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, path_id: str, scope: Any) -> tuple[int, list[Header], bytes]:
        if scope["method"] not in ("GET", "HEAD"):
            raise Problem("method-not-allowed", "The path takes GET, HEAD.", headers={"Allow": "GET, HEAD"})
        customer_id = requests.identifier(path_id)
        given = requests.parameters(scope["query_string"], ["minVersion"])
        minimum = requests.integer(given, "minVersion", default=0, minimum=1)
        wait, applied = preferred_wait(scope["headers"])

        found = await self._reader.read(customer_id)
        if minimum and (found is None or found.version < minimum):
            found = await self._at_least(minimum, wait, customer_id)
        if found is None:
            raise Problem("customer-not-found", "No customer has this id.")
        if found.erased:
            raise _erased(found)

        headers: list[Header] = [(b"etag", b'"%d"' % found.version), (b"cache-control", CACHE_CONTROL)]
        if minimum and applied:
            headers.append((b"preference-applied", applied))
        if _not_modified(scope["headers"], found.version):
            return 304, headers, b""
        headers += [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(found.document)),
        ]
        return 200, headers, found.document

    async def _at_least(self, minimum: int, wait: float, customer_id: UUID) -> Stored:
        """The customer once it has the version; Problem `projection-behind` if it does not get it in time."""
        clock = asyncio.get_running_loop().time
        deadline, pause = clock() + wait, FIRST_PAUSE
        while True:
            found = await self._reader.read(customer_id)
            if found is not None and found.version >= minimum:
                return found
            if clock() + pause > deadline:
                raise Problem(
                    "projection-behind",
                    "The read model has not seen this version yet; ask again shortly.",
                    headers={"Retry-After": "1"},
                    currentVersion=found.version if found else 0,
                )
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)


def _erased(found: Stored) -> Problem:
    """Never a 304: whoever holds an erased customer must hear that it is to be deleted."""
    view = _erased_decoder.decode(found.document)
    return Problem(
        "customer-erased",
        "The customer's data has been erased.",
        headers={"ETag": f'"{view.version}"', "Cache-Control": CACHE_CONTROL.decode()},
        id=view.id,
        currentVersion=view.version,
        erasedAt=view.erased_at,
    )


def _problem(shown: str, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    translate = TRANSLATIONS.get(type(error))
    return translate(error) if translate else bug(shown, error)


def preferred_wait(headers: Iterable[Header]) -> tuple[float, bytes | None]:
    """The seconds of `Prefer: wait=<s>`, and what was applied of it.

    A preference that cannot be honoured is no error (RFC 7240).
    """
    for name, value in headers:
        if name == b"prefer" and (match := _WAIT.search(value)):
            seconds = min(float(match[1]), LONGEST_WAIT)
            return seconds, b"wait=%d" % seconds
    return DEFAULT_WAIT, None


def _not_modified(headers: Iterable[Header], version: int) -> bool:
    """Weak comparison: a tag that a proxy has weakened still says what the client holds."""
    tags = b",".join(value for name, value in headers if name == b"if-none-match")
    return tags.strip() == b"*" or b"%d" % version in _TAG.findall(tags)
