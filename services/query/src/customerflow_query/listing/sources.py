"""Where candidates stand in order: ranges of sorted sets, and places in them.

A page is what comes after a place, never what stands at a rank: so nothing is skipped or repeated when customers come
and go between two pages.
"""

from typing import Literal

import msgspec
from customerflow_shared import indexing

from customerflow_query.listing.asking import Range

EVERYBODY = "-", "+"
NAMED = "-", "("  # all but the erased, of whom there may be many


class Place(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Of a customer in an order: by its time and id, or by a member that ends with the id and has no time.

    `word` says of which word of a search the order is.
    """

    score: float
    member: bytes
    word: int = 0

    @property
    def customer(self) -> bytes:
        return self.member[-indexing.ID :]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A range of one set, or of several by score in which each customer has the same. `keys` are numbers of the
    script's; `word` is one of the words that are searched for. Unless it is `counted` it is everybody.

    By bytes, what begins with the text of `high` is within it as well, as if it ended with `indexing.BEHIND_NAMES`.
    """

    keys: tuple[int, ...]
    low: str
    high: str
    by: Literal["BYSCORE", "BYLEX"] = "BYSCORE"
    word: int | None = None  # from 1, as Lua counts
    counted: bool = True
    disjoint: bool = True  # whether no customer is counted twice


def beginning(prefix: str) -> tuple[str, str]:
    """The range of the members that begin with it, by bytes."""
    return f"[{prefix}", f"({prefix}"


def between(within: Range) -> tuple[str, str]:
    return (
        "-inf" if within.gte is None else str(within.gte),
        "+inf" if within.lt is None else f"({within.lt}",
    )
