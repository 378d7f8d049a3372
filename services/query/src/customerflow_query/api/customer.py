"""The query API. The customer's route is a bare ASGI application: it is the hot path, and does no work per request
that can be shared.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from customerflow_shared import requests, telemetry
from customerflow_shared.problems import MEDIA_TYPE, Problem, bug, instance
from customerflow_shared.views import ErasedView, Stored
from litestar.types import ASGIApp, Receive, Send

from customerflow_query.api.freshness import OF_CUSTOMERS, TRANSLATIONS, Asked, asked, behind, headers_of
from customerflow_query.read_model import FIRST_PAUSE, LONGEST_PAUSE, Found, Freshness
from customerflow_query.reader import Reader

CACHE_CONTROL = b"private, no-cache"

TEMPLATE = "/v1/customers/{customer_id}"
_PATH = re.compile(r"/v1/customers/([^/]+)")
_TAG = re.compile(rb'(?:W/)?"([0-9]+)"')

_erased_decoder = msgspec.json.Decoder(ErasedView)

Header = tuple[bytes, bytes]


class CustomerRoute:
    """GET and HEAD of one customer; everything else goes on to the rest of the application."""

    def __init__(self, reader: Reader, rest: ASGIApp) -> None:
        self._reader = reader
        self._rest = rest
        self._told: tuple[Freshness | None, list[Header]] = (None, [])

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
            headers = _encoded(problem.headers)
            headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, path_id: str, scope: Any) -> tuple[int, list[Header], bytes]:
        if scope["method"] not in ("GET", "HEAD"):
            raise Problem("method-not-allowed", "The path takes GET, HEAD.", headers={"Allow": "GET, HEAD"})
        customer_id = requests.identifier(path_id)
        given = requests.parameters(scope["query_string"], OF_CUSTOMERS)
        wanted = asked(given, scope["headers"])
        stored, freshness = await recent(self._reader, customer_id, wanted)
        if stored is None:
            raise Problem("customer-not-found", "No customer has this id.", headers=headers_of(freshness))
        if stored.erased:
            raise erased(stored, freshness)

        headers = [(b"etag", b'"%d"' % stored.version), (b"cache-control", CACHE_CONTROL), *self._tell(freshness)]
        if wanted.applied:
            headers.append((b"preference-applied", wanted.applied))
        if _not_modified(scope["headers"], stored.version):
            return 304, headers, b""
        headers += [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(stored.document)),
        ]
        return 200, headers, stored.document

    def _tell(self, freshness: Freshness) -> list[Header]:
        """Written once for all that was fetched together."""
        if freshness is not self._told[0]:
            self._told = freshness, _encoded(headers_of(freshness))
        return self._told[1]


async def recent(reader: Reader, customer_id: UUID, wanted: Asked) -> Found[Stored | None]:
    """The customer once it is as new as is wanted; Problem `projection-behind` if it does not get there in time."""
    found = await reader.read(customer_id)
    if _suffices(found, wanted):
        return found
    clock = asyncio.get_running_loop().time
    deadline, pause = clock() + wanted.wait, FIRST_PAUSE
    while not _suffices(found, wanted):
        if clock() + pause > deadline:
            stored, freshness = found
            if freshness.position < wanted.position:
                raise behind(freshness, currentPosition=freshness.position)
            raise behind(freshness, currentVersion=stored.version if stored else 0)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)
        found = await reader.read(customer_id)
    return found


def _suffices(found: Found[Stored | None], wanted: Asked) -> bool:
    stored, freshness = found
    return freshness.position >= wanted.position and (
        not wanted.version or (stored.version if stored else 0) >= wanted.version
    )


def erased(stored: Stored, freshness: Freshness) -> Problem:
    """Never a 304: whoever holds an erased customer must hear that it is to be deleted."""
    view = _erased_decoder.decode(stored.document)
    return Problem(
        "customer-erased",
        "The customer's data has been erased.",
        headers={"ETag": f'"{view.version}"', "Cache-Control": CACHE_CONTROL.decode(), **headers_of(freshness)},
        id=view.id,
        currentVersion=view.version,
        erasedAt=view.erased_at,
    )


def _problem(shown: str, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    translate = TRANSLATIONS.get(type(error))
    return translate(error) if translate else bug(shown, error)


def _encoded(headers: Mapping[str, str]) -> list[Header]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _not_modified(headers: Iterable[Header], version: int) -> bool:
    """Weak comparison: a tag that a proxy has weakened still says what the client holds."""
    tags = b",".join(value for name, value in headers if name == b"if-none-match")
    return tags.strip() == b"*" or b"%d" % version in _TAG.findall(tags)
