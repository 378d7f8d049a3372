"""`fields`: of a document only what was asked for, in the order in which it is stored."""

import zlib
from collections.abc import Mapping

import msgspec
from customerflow_shared.problems import Problem
from customerflow_shared.views import CustomerView

NAMES = frozenset(field.encode_name for field in msgspec.structs.fields(CustomerView))

ALL: frozenset[str] = frozenset()

_ALWAYS = frozenset(["id", "version"])
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def fields(given: Mapping[str, str]) -> frozenset[str]:
    """`ALL` unless some are asked for. Raises Problem `invalid-parameter`."""
    if "fields" not in given:
        return ALL
    names = frozenset(given["fields"].split(","))
    if not names <= NAMES:
        raise Problem("invalid-parameter", "fields must be names of the customer's fields, separated by commas.")
    return names | _ALWAYS


def selected(document: bytes, names: frozenset[str]) -> bytes:
    if not names:
        return document
    return msgspec.json.encode({name: value for name, value in _decoder.decode(document).items() if name in names})


def tag(version: int, names: frozenset[str]) -> bytes:
    """Two selections of one version are two representations, and a strong tag is of one: it is of the version alone
    only if the document is whole.
    """
    return b"%d;%08x" % (version, zlib.crc32(",".join(sorted(names)).encode())) if names else b"%d" % version
