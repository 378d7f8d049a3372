"""If-Match: which versions a client lets its change start from (RFC 9110)."""

import re

import msgspec
from customerflow_shared.problems import Problem

_TAG = re.compile(r'(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"')
_VERSION = re.compile(r"[1-9][0-9]{0,9}")


class Precondition(msgspec.Struct, frozen=True):
    """`versions` are those that match, None is any; `given` is False if the client sent no condition at all."""

    given: bool
    versions: frozenset[int] | None = None


def if_match(header: str | None) -> Precondition:
    """Weak tags never match, nor does a tag that is no version. Raises Problem `if-match-invalid`."""
    if header is None:
        return Precondition(given=False)
    if header.strip() == "*":
        return Precondition(given=True)
    # empty list elements are to be ignored (RFC 9110, 5.6.1)
    tags = [_TAG.fullmatch(part.strip()) for part in header.split(",") if part.strip()]
    if not tags or not all(tags):
        raise Problem("if-match-invalid", 'The header must be * or a list of entity tags such as "7".')
    return Precondition(
        given=True,
        versions=frozenset(
            int(tag["opaque"]) for tag in tags if tag and not tag["weak"] and _VERSION.fullmatch(tag["opaque"])
        ),
    )


def etag(version: int) -> str:
    return f'"{version}"'
