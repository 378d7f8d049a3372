"""What an event becomes in a customer's timeline: pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from customerflow_shared import timeline
from customerflow_shared.events import (
    CustomerConsentRecorded,
    CustomerEmailVerified,
    CustomerErased,
    CustomerPhoneVerified,
    Recorded,
    event_name,
)
from customerflow_shared.timeline import BLOCK, Entry, Who
from customerflow_shared.views import ErasedView, View, timestamp


def entry(before: View | None, recorded: Recorded, after: View) -> Entry:
    """The event, with what it has changed in the document."""
    if recorded.redacted or isinstance(before, ErasedView) or isinstance(after, ErasedView):
        return bare(recorded)
    reason = getattr(recorded.event, "reason", None)
    return _entry(recorded, reason=reason, changes=timeline.changes_between(before, after))


def bare(recorded: Recorded) -> Entry:
    """The event as it is told once the customer is erased."""
    return _entry(recorded, redacted=True)


def _entry(recorded: Recorded, **told: Any) -> Entry:
    metadata = recorded.metadata
    return Entry(
        version=recorded.version,
        type=event_name(type(recorded.event)),
        occurred_at=timestamp(_occurred_at(recorded)),
        recorded_at=timestamp(recorded.recorded_at),
        actor=Who(type=metadata.actor.type, id=metadata.actor.id),
        source=metadata.source,
        correlation_id=str(metadata.correlation_id),
        **told,
    )


def _occurred_at(recorded: Recorded) -> datetime:
    match recorded.event:
        case CustomerConsentRecorded(captured_at=moment):
            return moment
        case CustomerEmailVerified(verified_at=moment) | CustomerPhoneVerified(verified_at=moment):
            return moment
        case CustomerErased(erased_at=moment):
            return moment
        case _:
            return recorded.recorded_at


def packed(entries: Sequence[bytes], documents: Sequence[bytes | None]) -> tuple[list[bytes], Sequence[bytes]]:
    """A block for each of the documents, which is the one after it, and the entries that are left."""
    starts = range(0, len(documents) * BLOCK, BLOCK)
    blocks = [
        timeline.pack(entries[start : start + BLOCK], document)
        for start, document in zip(starts, documents, strict=True)
    ]
    return blocks, entries[len(blocks) * BLOCK :]


def unpacked(blocks: Sequence[bytes], entries: Sequence[bytes]) -> list[Entry]:
    """A whole timeline. Raises ValueError for what `timeline` has not written."""
    packed_ones = (one for block in blocks for one in timeline.unpack(block).entries)
    return [timeline.decode(one) for one in (*packed_ones, *entries)]
