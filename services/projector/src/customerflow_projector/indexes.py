"""What a customer's document implies for the indexes and the totals: pure.

What changes is the difference of what two documents imply, so it moves with the document or not at all.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from customerflow_shared import indexing
from customerflow_shared.indexing import Lookups
from customerflow_shared.views import CustomerView, ErasedView, View

Command: TypeAlias = tuple[str | bytes | float, ...]
"""One of Redis, with the name of the key, as in the docstring of `views`, in second place."""


class Indexed(NamedTuple):
    """Names of keys with the members they have by this document and their scores, with the fields and their values, and
    with the fields in which the customer counts once.
    """

    members: dict[tuple[str, bytes], float]
    fields: dict[tuple[str, bytes], bytes]
    totals: frozenset[tuple[str, str]]


Part: TypeAlias = Literal["created", "names", "labels", "lookups"]

_DEPENDS_ON: Mapping[Part, Sequence[str]] = {
    "created": ("created_at",),
    "names": ("name", "social_name", "legal_name", "trade_name"),
    "labels": (
        *("created_at", "status", "type", "tags", "addresses", "lifecycle_stage", "locale", "consents"),
        *("external_ids", "erasure", "data_quality"),
    ),
    "lookups": ("email", "phone", "tax_ids", "external_ids"),
}
"""Of which fields of a document a part of what it implies is made."""
EVERYTHING: frozenset[Part] = frozenset(_DEPENDS_ON)


def indexed(view: View | None, lookups: Lookups, parts: frozenset[Part] = EVERYTHING) -> Indexed:
    """Of no document, nothing; of an erased customer, that there was one. When it was changed last is in every part."""
    if view is None:
        return Indexed({}, {}, frozenset())
    one, fields, totals = view.id.bytes, dict[tuple[str, bytes], bytes](), set[tuple[str, str]]()
    members: dict[tuple[str, bytes], float] = {("order:updated", one): indexing.updated_score(view)}
    if "created" in parts:
        members["order:created", one] = indexing.created_score(view)
        totals.add(("days", indexing.birthday(view.id).isoformat()))
    if "names" in parts:
        names = "" if isinstance(view, ErasedView) else indexing.names(view)
        members["order:name", indexing.name_member(names, view.id)] = 0
        members |= {("words", indexing.word_member(word, view.id)): 0 for word in indexing.words(names)}
        if names:
            fields["names", one] = names.encode()
    if "labels" in parts:
        created = indexing.created_score(view)
        members |= {(f"facet:{facet}", one): created for facet in indexing.facets(view)}
        totals |= {("counts", total) for total in indexing.counts(view)}
    if "lookups" in parts:
        members |= {("lookup", digest + one): 0 for digest in lookups.of(view)}
    return Indexed(members, fields, frozenset(totals))


def commands_between(before: View | None, after: View, lookups: Lookups) -> Iterator[Command]:
    """What leads from what the one implies to what the other does; parts in which nothing can differ are left out."""
    parts = EVERYTHING
    if isinstance(before, CustomerView) and isinstance(after, CustomerView):
        parts = frozenset(part for part, fields in _DEPENDS_ON.items() if _differ(before, after, fields))
    return difference(indexed(before, lookups, parts), indexed(after, lookups, parts))


def _differ(before: CustomerView, after: CustomerView, fields: Sequence[str]) -> bool:
    return any(getattr(before, field) != getattr(after, field) for field in fields)


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
