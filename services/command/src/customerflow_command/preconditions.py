"""If-Match: which versions a client lets its change start from (RFC 9110)."""

import re

import msgspec
from customerflow_shared.problems import Problem

# one element of the list, which may be empty (RFC 9110, 5.6.1); a comma may also stand inside a tag
_ELEMENT = re.compile(r'[ \t]*((?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)")?[ \t]*(,|\Z)')
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
    tags = _tags(header)
    if not tags:
        raise Problem("if-match-invalid", 'The header must be * or a list of entity tags such as "7".')
    return Precondition(
        given=True,
        versions=frozenset(int(opaque) for weak, opaque in tags if not weak and _VERSION.fullmatch(opaque)),
    )


def _tags(header: str) -> list[tuple[bool, str]]:
    """Whether each tag is weak, and what it holds; nothing for what is no list of tags."""
    tags, start = [], 0
    while start < len(header):
        element = _ELEMENT.match(header, start)
        if element is None:
            return []
        if element["opaque"] is not None:
            tags.append((element["weak"] is not None, element["opaque"]))
        start = element.end()
    return tags


def etag(version: int) -> str:
    return f'"{version}"'
