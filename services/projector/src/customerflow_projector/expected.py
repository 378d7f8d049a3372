"""What the read model has to hold of a customer, by its events, and what of it is not so: pure."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias
from uuid import UUID

from customerflow_shared import timeline, views
from customerflow_shared.events import Place, Recorded
from customerflow_shared.indexing import Lookups
from customerflow_shared.views import View

from customerflow_projector import history
from customerflow_projector.apply import Draft, tombstone_of
from customerflow_projector.indexes import Indexed, indexed

What: TypeAlias = Literal[
    "unknown", "missing", "version", "document", "timeline", "member", "extra", "field", "total", "unreadable"
]


class Difference(NamedTuple):
    """Of a customer, or of a total: what is not as the events say, and in which index (`place`).

    `unknown`: the event store does not know the customer; `missing` and `version`: the document is not there, or is
    another one's; `member` and `field`: not there, or another value; `extra`: there, and should not be; `unreadable`:
    this program cannot read the events.
    """

    customer_id: UUID | None
    what: What
    place: str = ""
    by: int = 0
    """Of a total: how much there is too much."""


class Expected(NamedTuple):
    """`readable`: all events are; else the others are those before the first that is not, unless an erasure follows,
    which waits for nothing.
    """

    view: View | None
    blocks: Sequence[bytes]
    entries: Sequence[bytes]
    indexed: Indexed
    readable: bool

    @property
    def version(self) -> int:
        return self.view.version if self.view else 0

    @property
    def document(self) -> bytes | None:
        return views.pack(self.view) if self.view else None


class Held(NamedTuple):
    """What the read model holds of the customer, as far as it is expected."""

    document: bytes | None
    blocks: Sequence[bytes]
    entries: Sequence[bytes]
    scores: Mapping[tuple[str, bytes], float | None]
    fields: Mapping[tuple[str, bytes], bytes | None]


def expected(events: Sequence[Recorded | Place], lookups: Lookups) -> Expected:
    """Of all events of one customer, in order."""
    if events and (erased := tombstone_of(events)):
        told = [timeline.encode(history.bare(event)) for event in events if isinstance(event, Recorded)]
        readable = len(told) == erased.version
        entries = told if readable else []  # a timeline that cannot be told whole is not told
        blocks, left = history.packed(entries, [None] * (len(entries) // timeline.BLOCK))
        return Expected(erased, blocks, left, indexed(erased, lookups), readable)
    draft, readable = Draft(None), True
    for event in events:
        try:
            draft.add(event)
        except Exception:  # whatever it is, nobody can apply the event
            readable = False
            break
    blocks, left = history.packed(draft.entries, draft.ends)
    return Expected(draft.after, blocks, left, indexed(draft.after, lookups), readable)


def differences(customer_id: UUID, right: Expected, held: Held) -> list[Difference]:
    found: list[Difference] = []
    if not right.readable:
        found.append(Difference(customer_id, "unreadable"))
    if held.document != right.document:
        found.append(Difference(customer_id, _document(right, held)))
    if not _same_timeline(right, held):
        found.append(Difference(customer_id, "timeline"))
    members = {place for (place, member), score in right.indexed.members.items() if held.scores[place, member] != score}
    fields = {place for (place, field), value in right.indexed.fields.items() if held.fields[place, field] != value}
    found += [Difference(customer_id, "member", place) for place in sorted(members)]
    found += [Difference(customer_id, "field", place) for place in sorted(fields)]
    return found


def _document(right: Expected, held: Held) -> What:
    if right.view is None:
        return "unknown"
    if held.document is None:
        return "missing"
    try:
        version = views.split(held.document).version
    except ValueError:
        return "document"
    return "document" if version == right.version else "version"


def _same_timeline(right: Expected, held: Held) -> bool:
    if list(held.entries) != list(right.entries):
        return False
    if list(held.blocks) == list(right.blocks):
        return True
    try:  # another release of the compression gives other bytes
        return [*map(timeline.unpack, held.blocks)] == [*map(timeline.unpack, right.blocks)]
    except ValueError:
        return False
