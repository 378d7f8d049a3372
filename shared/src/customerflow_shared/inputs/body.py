"""The body of a request, as it arrives."""

from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException

from customerflow_shared.problems import Problem


async def received(request: Request[Any, Any, Any], media_type: str, *, required: bool = True) -> bytes:
    """The raw body. Raises Problem `unsupported-media-type`; the framework refuses oversized ones."""
    headers = dict(reversed([*request.scope["headers"]]))  # of what is repeated the first one counts
    if headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower() != "identity":
        raise Problem("unsupported-media-type", "Send the body as it is.", headers={"Accept-Encoding": "identity"})
    name, _, parameter = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    charset = parameter.strip().lower().replace('"', "")
    fit = name.strip().lower() == media_type and charset in ("", "charset=utf-8")
    try:
        body = await request.body() if fit or not required else b""
    except InternalServerException:
        # how the framework says that the client has hung up; nobody reads the answer
        raise Problem("bad-request", "The body has been cut off.") from None
    if not fit and (required or body):
        named = "Accept-Patch" if request.method == "PATCH" else "Accept"
        raise Problem("unsupported-media-type", f"Send {media_type} in UTF-8.", headers={named: media_type})
    return body
