"""What an event does to a customer's document: pure."""

from typing import assert_never

from customerflow_shared.events import (
    CustomerArchived,
    CustomerEmailChanged,
    CustomerRegistered,
    CustomerRenamed,
    CustomerRestored,
    Recorded,
)
from customerflow_shared.views import CustomerView, timestamp
from msgspec.structs import replace


class HistoryBroken(Exception):
    """An event needs one before it that is not there."""


def project(view: CustomerView | None, recorded: Recorded) -> CustomerView:
    """The document after the event. Raises HistoryBroken unless the event is the next one."""
    if recorded.version != (view.version if view else 0) + 1:
        raise HistoryBroken(f"version {recorded.version} does not follow {view.version if view else 0}")
    match recorded.event:
        case CustomerRegistered() as event:
            return CustomerView(
                id=recorded.customer_id,
                version=recorded.version,
                type=event.customer_type,
                name=event.name,
                email=event.email,
                status="active",
                created_at=timestamp(recorded.recorded_at),
                updated_at=timestamp(recorded.recorded_at),
            )
        case CustomerRenamed() as event:
            return replace(_next(view, recorded), name=event.name)
        case CustomerEmailChanged() as event:
            return replace(_next(view, recorded), email=event.email)
        case CustomerArchived():
            return replace(_next(view, recorded), status="archived")
        case CustomerRestored():
            return replace(_next(view, recorded), status="active")
        case _:
            assert_never(recorded.event)


def _next(view: CustomerView | None, recorded: Recorded) -> CustomerView:
    if view is None:
        raise HistoryBroken("the first event is not a registration")
    return replace(view, version=recorded.version, updated_at=timestamp(recorded.recorded_at))
