"""Two generations, customer by customer and index by index, while both are moving.

A document that a live event has reached in one of them only is not a difference for long: what differs is looked at
again, after the new one has been brought to the head of the feed.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from customerflow_shared import views
from redis.asyncio.client import Pipeline

from customerflow_projector.generations import scan
from customerflow_projector.read_model import ReadModel

LOOKS = 5  # at what differs
LOOK_AGAIN_AFTER = 0.2  # seconds
AT_ONCE = 200  # customers
TOTALS = ("counts", "days")
LISTED = 1000  # differences; the others are counted

What: TypeAlias = Literal["missing", "behind", "unknown", "older", "document", "timeline", "blocks", "size", "total"]
LACKING: frozenset[What] = frozenset({"missing", "behind"})
"""The new generation does not have, or has an older version of, what the live one has."""

# KEYS: document, timeline and blocks of a customer, in the one generation and in the other. Answers the version in each
# (-1: no document, 0: none that can be read), then for document, timeline and blocks whether they are the same bytes.
_COMPARE = """
local function version(document)
  if not document then return -1 end
  return tonumber(string.match(document, '^(%d+)[ \\n]') or 0)
end
local one, other = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[4])
local answer = {version(one), version(other), one == other and 1 or 0}
for at = 2, 3 do
  local these, those = redis.call('LRANGE', KEYS[at], 0, -1), redis.call('LRANGE', KEYS[at + 3], 0, -1)
  local same = #these == #those
  for index = 1, #these do same = same and these[index] == those[index] end
  answer[#answer + 1] = same and 1 or 0
end
return answer
"""


class Difference(NamedTuple):
    """What differs of a customer, or of an index or total (`place`), from the live generation to the new one.

    `unknown` and `older`: in the live one.
    """

    customer_id: UUID | None
    what: What
    place: str = ""


class Comparison(NamedTuple):
    customers: int
    differences: Sequence[Difference]
    counts: Counter[What]

    @property
    def lacking(self) -> int:
        """Customers."""
        return sum(self.counts[what] for what in LACKING)

    @property
    def repaired(self) -> int:
        """Customers that the new generation has as they should be, and the live one has not."""
        return sum(self.counts[what] for what in ("unknown", "older", "document", "timeline", "blocks"))


async def compare(
    model: ReadModel, live: str | None, new: str, *, between: Callable[[], Awaitable[object]]
) -> Comparison:
    """`between` comes before each further look. If nothing is live, there is nothing but the number of customers."""
    customers, indexes, suspects = 0, set[str](), list[UUID]()
    async for page in _pages(model, new, indexes):
        customers += len(page)
        if live:
            suspects += await _without_document(model, live, page)
    if live is None:
        return Comparison(customers, [], Counter())
    async for page in _pages(model, live, indexes):
        suspects += [one for one, _ in await _differences(model, live, new, page)]

    differences: list[tuple[UUID, What]] = []
    places = await _different_sizes(model, live, new, indexes)
    for _ in range(LOOKS):
        if not suspects and not places:
            break
        await between()
        await asyncio.sleep(LOOK_AGAIN_AFTER)
        suspects, differences = list(dict.fromkeys(suspects)), []
        for start in range(0, len(suspects), AT_ONCE):
            differences += await _differences(model, live, new, suspects[start : start + AT_ONCE])
        suspects = [one for one, _ in differences]
        places &= await _different_sizes(model, live, new, indexes)

    found = [Difference(one, what) for one, what in differences]
    found += [Difference(None, what, place) for what, place in sorted(places)]
    return Comparison(customers, found[:LISTED], Counter(one.what for one in found))


async def _pages(model: ReadModel, generation: str, indexes: set[str]) -> AsyncIterator[list[UUID]]:
    """Customers that have a document; one may come twice if Redis moves its keys meanwhile. What is no customer's is
    added to the indexes.
    """
    prefix = views.key(generation, "")
    async for keys in scan(model.redis, prefix + "*"):
        customers = []
        for name in (key.removeprefix(prefix) for key in keys):
            kind, _, rest = name.partition(":")
            if kind == "customer":
                customers.append(UUID(rest))
            elif kind in ("order", "facet", "words", "lookup", "names"):
                indexes.add(name)
        for start in range(0, len(customers), AT_ONCE):
            yield customers[start : start + AT_ONCE]


async def _without_document(model: ReadModel, generation: str, customers: Sequence[UUID]) -> list[UUID]:
    async with model.redis.pipeline(transaction=False) as pipeline:
        for one in customers:
            pipeline.exists(views.customer_key(generation, one))
        return [one for one, there in zip(customers, await pipeline.execute(), strict=True) if not there]


async def _differences(model: ReadModel, live: str, new: str, customers: Sequence[UUID]) -> list[tuple[UUID, What]]:
    if not customers:
        return []
    async with model.redis.pipeline(transaction=False) as pipeline:
        for one in customers:
            keys = [
                key(generation, one)
                for generation in (live, new)
                for key in (views.customer_key, views.timeline_key, views.blocks_key)
            ]
            pipeline.eval(_COMPARE, len(keys), *keys)
        answers = await pipeline.execute()
    return [
        (one, what)
        for one, answer in zip(customers, answers, strict=True)
        if (what := _difference(*answer)) is not None
    ]


def _difference(old_version: int, new_version: int, document: int, timeline: int, blocks: int) -> What | None:
    if new_version < 0 <= old_version:
        return "missing"
    if new_version < old_version:
        return "behind"
    if old_version < 0 <= new_version:
        return "unknown"
    if old_version < new_version:
        return "older"
    same: list[tuple[What, int]] = [("document", document), ("timeline", timeline), ("blocks", blocks)]
    return next((what for what, it_is in same if not it_is), None)


async def _different_sizes(model: ReadModel, live: str, new: str, indexes: set[str]) -> set[tuple[What, str]]:
    names = sorted(indexes)
    async with model.redis.pipeline(transaction=True) as pipeline:
        for generation in (live, new):
            ask_sizes(pipeline, generation, names)
        answers = await pipeline.execute()
    one, other = told_sizes(names, answers[: len(answers) // 2]), told_sizes(names, answers[len(answers) // 2 :])
    places = [place for place in one.keys() | other.keys() if one.get(place) != other.get(place)]
    return {("total", f"{name}:{total}") if total else ("size", name) for name, total in places}


def ask_sizes(pipeline: Pipeline, generation: str, indexes: Sequence[str]) -> None:
    """How many members each index has, and the totals; for `told_sizes`."""
    for name in indexes:
        key = views.key(generation, name)
        _ = pipeline.hlen(key) if name == "names" else pipeline.zcard(key)
    for name in TOTALS:
        pipeline.hgetall(views.key(generation, name))


def told_sizes(indexes: Sequence[str], answers: Sequence[Any]) -> dict[tuple[str, str], int]:
    """What is not 0: of each index (its name, ""), and of each total (its hash, its field)."""
    found = {(name, ""): int(size) for name, size in zip(indexes, answers, strict=False) if size}
    for name, totals in zip(TOTALS, answers[len(indexes) :], strict=True):
        found |= {(name, total.decode()): int(customers) for total, customers in totals.items()}
    return found
