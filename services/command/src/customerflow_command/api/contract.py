"""The public contract, for those who listen: as documents for programs, and as a page. Made once, in memory."""

import hashlib
from typing import Any

import msgspec
from customerflow_contract import asyncapi, page, schemas
from customerflow_shared.problems import Problem
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

_CACHED = {"Cache-Control": "public, max-age=300"}
_OFFLINE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


def _encoded(document: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


_ASYNCAPI = _encoded(asyncapi.document())
_SCHEMAS = {f"{name}.json": _encoded(schema) for name, schema in schemas.documents().items()}
_PAGE = page.html("contract").encode()


@get("/contract", include_in_schema=False, sync_to_thread=False)
def describe_contract(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The page."""
    return _answer(request, _PAGE, "text/html", _OFFLINE)


@get("/contract/asyncapi.json", include_in_schema=False, sync_to_thread=False)
def asyncapi_document(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The AsyncAPI document."""
    return _answer(request, _ASYNCAPI, "application/json")


@get("/contract/schemas/{name:str}", include_in_schema=False, sync_to_thread=False)
def schema(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """The JSON Schema that a message names in `dataschema`, or that of a whole message."""
    if name not in _SCHEMAS:
        raise Problem("route-not-found", "There is no such schema.")
    return _answer(request, _SCHEMAS[name], schemas.MEDIA_TYPE)


def _answer(
    request: Request[Any, Any, Any], content: bytes, media_type: str, headers: dict[str, str] | None = None
) -> Response[bytes]:
    """304 for who holds it already."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    held = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    known = bool(held & {tag, "*"})
    return Response(
        b"" if known else content,
        status_code=304 if known else 200,
        media_type=media_type,
        headers={**_CACHED, "ETag": tag, **(headers or {})},
    )


ROUTES: list[HTTPRouteHandler] = [describe_contract, asyncapi_document, schema]
