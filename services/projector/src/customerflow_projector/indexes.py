"""What a customer's document implies for the indexes and the totals: pure.

What changes is the difference of what two documents imply, so it moves with the document or not at all.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from customerflow_shared import indexing
from customerflow_shared.indexing import Lookups
from customerflow_shared.views import ErasedView, View

Command: TypeAlias = tuple[str | bytes | float, ...]
"""One of Redis, with the name of the key, as in the docstring of `views`, in second place."""


class Indexed(NamedTuple):
    """Names of keys with the members they have by this document and their scores, with the fields and their values, and
    with the fields in which the customer counts once.
    """

    members: dict[tuple[str, bytes], float]
    fields: dict[tuple[str, bytes], bytes]
    totals: frozenset[tuple[str, str]]


def indexed(view: View | None, lookups: Lookups) -> Indexed:
    """Of no document, nothing; of an erased customer, that there was one."""
    if view is None:
        return Indexed({}, {}, frozenset())
    one, created = view.id.bytes, indexing.created_score(view)
    names = "" if isinstance(view, ErasedView) else indexing.names(view)
    members: dict[tuple[str, bytes], float] = {
        ("order:created", one): created,
        ("order:updated", one): indexing.updated_score(view),
        ("order:name", indexing.name_member(names, view.id)): 0,
    }
    members |= {(f"facet:{facet}", one): created for facet in indexing.facets(view)}
    members |= {("words", indexing.word_member(word, view.id)): 0 for word in indexing.words(names)}
    members |= {("lookup", digest + one): 0 for digest in lookups.of(view)}
    totals = {("counts", total) for total in indexing.counts(view)}
    totals.add(("days", indexing.birthday(view.id).isoformat()))
    return Indexed(members, {("names", one): names.encode()} if names else {}, frozenset(totals))


def difference(before: Indexed, after: Indexed) -> Iterator[Command]:
    """The commands that lead from one to the other; a total that they bring to 0 has to be removed."""
    gone: defaultdict[str, list[bytes]] = defaultdict(list)
    for key, member in before.members.keys() - after.members.keys():
        gone[key].append(member)
    new: defaultdict[str, list[float | bytes]] = defaultdict(list)
    for place, score in after.members.items():
        if before.members.get(place) != score:
            new[place[0]] += (score, place[1])
    for key, members in gone.items():
        yield "ZREM", key, *members
    for key, scored in new.items():
        yield "ZADD", key, *scored
    for key, field in before.fields.keys() - after.fields.keys():
        yield "HDEL", key, field
    for (key, field), value in after.fields.items():
        if before.fields.get((key, field)) != value:
            yield "HSET", key, field, value
    for key, total in before.totals - after.totals:
        yield "HINCRBY", key, total, -1
    for key, total in after.totals - before.totals:
        yield "HINCRBY", key, total, 1
