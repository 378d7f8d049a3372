"""The query API. The customer's route is a bare ASGI application: it is the hot path, and does no work per request
that can be shared.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from customerflow_shared import metrics, requests
from customerflow_shared.problems import MEDIA_TYPE, Problem, bug, instance
from litestar.types import ASGIApp, Receive, Send

from customerflow_query.api import past
from customerflow_query.api.fields import ALL, fields, selected, tag
from customerflow_query.api.freshness import ANYTHING, OF_CUSTOMERS, TRANSLATIONS, asked, headers_of, recent
from customerflow_query.api.refusals import CACHE_CONTROL, present
from customerflow_query.read_model import Freshness
from customerflow_query.reader import Reader

PARAMETERS = ("fields", *past.PARAMETERS, *OF_CUSTOMERS)
TEMPLATE = "/v1/customers/{customer_id}"
_CACHED = (b"cache-control", CACHE_CONTROL.encode())
_JSON = (b"content-type", b"application/json")
_PATH = re.compile(r"/v1/customers/(?!(?:lookup|search)$)([^/]+)")
_TAG = re.compile(rb'(?:W/)?"([^"]*)"')

_reads = metrics.counter(
    "customerflow.reads",
    "{read}",
    "Reads of one customer: found, not_modified, or why it was not told.",
    ["customerflow.outcome"],
)
_FOUND = "found"
for _outcome in (_FOUND, "not_modified", "customer-not-found", "customer-erased", "projection-behind"):
    _reads.begin(_outcome)

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
        scope["path_template"] = TEMPLATE  # as Litestar tells it
        try:
            status, headers, body = await self._answer(match[1], scope)
            _reads.add(1, _FOUND if status == 200 else "not_modified")
        except Exception as error:
            shown = instance(scope["path"], TEMPLATE)
            problem = _problem(shown, error)
            _reads.add(1, problem.code)
            status, body = problem.status, problem.document(shown)
            headers = _encoded(problem.headers)
            headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, path_id: str, scope: Any) -> tuple[int, list[Header], bytes]:
        if scope["method"] not in ("GET", "HEAD"):
            raise Problem("method-not-allowed", "The path takes GET, HEAD.", headers={"Allow": "GET, HEAD"})
        customer_id = requests.identifier_text(path_id)
        wanted, names, at = ANYTHING, ALL, None
        if query := scope["query_string"]:
            given = requests.parameters(query, PARAMETERS)
            names, at = fields(given), past.wanted(given)
            wanted = asked(given, scope["headers"], at_least=at.version if at else 0)
        if at:
            (version, document), freshness = await past.as_it_was(self._reader, UUID(customer_id), wanted, at)
        else:
            # straight to the reader if nothing was asked for: this is what most requests are
            if wanted is ANYTHING:
                stored, freshness = await self._reader.read(customer_id)
            else:
                stored, freshness = await recent(self._reader, customer_id, wanted)
            try:
                version, _, document = present(stored)
            except Problem as problem:
                problem.headers |= headers_of(freshness)
                raise

        etag = tag(version, names)
        headers = [(b"etag", b'"%b"' % etag), _CACHED, *self._tell(freshness)]
        if wanted.applied:
            headers.append((b"preference-applied", wanted.applied))
        if _not_modified(scope["headers"], etag):
            return 304, headers, b""
        body = selected(document, names)
        headers += [_JSON, (b"content-length", b"%d" % len(body))]
        return 200, headers, body

    def _tell(self, freshness: Freshness) -> list[Header]:
        """Written once for all that was fetched together."""
        if freshness is not self._told[0]:
            self._told = freshness, _encoded(headers_of(freshness))
        return self._told[1]


def _problem(shown: str, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    translate = TRANSLATIONS.get(type(error))
    return translate(error) if translate else bug(shown, error)


def _encoded(headers: Mapping[str, str]) -> list[Header]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _not_modified(headers: Iterable[Header], etag: bytes) -> bool:
    """Weak comparison: a tag that a proxy has weakened still says what the client holds."""
    given = [value for name, value in headers if name == b"if-none-match"]
    if not given:
        return False
    tags = b",".join(given)
    return tags.strip() == b"*" or etag in _TAG.findall(tags)
