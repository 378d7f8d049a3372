"""The read model told a second time, independently of the projector: the fold of the feed."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from blackbox.feed import Recorded

Document: TypeAlias = dict[str, Any]


def fold(events: Iterable[Recorded]) -> dict[str, Document]:
    """The document of every customer; versions must be contiguous, each customer's from 1."""
    documents: dict[str, Document] = {}
    for recorded in events:
        document = documents.setdefault(recorded.customer_id, {"id": recorded.customer_id, "version": 0})
        assert recorded.version == document["version"] + 1, f"{recorded} after version {document['version']}"
        document |= {"version": recorded.version, "updatedAt": _milliseconds(recorded.recorded_at)}
        document |= _changes(recorded)
    return documents


def _changes(recorded: Recorded) -> Document:
    match recorded.event:
        case {"type": "CustomerRegistered", "customerType": kind, "name": name, "email": email}:
            created = _milliseconds(recorded.recorded_at)
            return {"type": kind, "name": name, "email": email, "status": "active", "createdAt": created}
        case {"type": "CustomerRenamed", "name": name}:
            return {"name": name}
        case {"type": "CustomerEmailChanged", "email": email}:
            return {"email": email}
        case {"type": "CustomerArchived"}:
            return {"status": "archived"}
        case {"type": "CustomerRestored"}:
            return {"status": "active"}
        case event:
            raise AssertionError(f"The fold does not know this event: {event}")


def _milliseconds(instant: str) -> str:
    """2026-11-22T15:04:05.123456Z, as the read model words it: to the millisecond."""
    whole, _, fraction = instant.removesuffix("Z").partition(".")
    return f"{whole}.{fraction[:3]:0<3}Z"
