"""The right to be forgotten: asked for, cancelled while there is time, held up by a duty to keep, carried out once."""

from datetime import datetime
from typing import Literal

from customerflow_shared.events import (
    CustomerErased,
    CustomerErasureCancelled,
    CustomerErasureRequested,
    CustomerEvent,
    CustomerLegalHoldLifted,
    CustomerLegalHoldPlaced,
)

from customerflow_command.customer.commands import CancelErasure, LiftLegalHold, PlaceLegalHold, RequestErasure
from customerflow_command.customer.errors import CustomerIsHeld, ErasureIsPending, NoPendingErasure
from customerflow_command.customer.state import Customer, Hold


def request(customer: Customer, command: RequestErasure, now: datetime) -> list[CustomerEvent]:
    """What is due at once is carried out at once, also where an erasure with a later date is pending."""
    if is_held(customer, now):
        raise CustomerIsHeld
    at_once = command.due_at <= now
    if customer.erasure_due_at is not None:
        if not at_once:
            raise ErasureIsPending(customer.erasure_due_at)
        return erase(customer, now, request_ref=command.request_ref or customer.erasure_request_ref)
    requested = CustomerErasureRequested(request_ref=command.request_ref, due_at=command.due_at, reason=command.reason)
    return [requested, *erase(customer, now, request_ref=command.request_ref)] if at_once else [requested]


def place_hold(customer: Customer, command: PlaceLegalHold) -> list[CustomerEvent]:
    """On any customer, also on one whose erasure is pending: that waits then."""
    if customer.hold == Hold(until=command.until):
        return []
    return [CustomerLegalHoldPlaced(until=command.until, reason=command.reason)]


def lift_hold(customer: Customer, command: LiftLegalHold) -> list[CustomerEvent]:
    return [CustomerLegalHoldLifted(reason=command.reason)] if customer.hold else []


def is_held(customer: Customer, now: datetime) -> bool:
    return customer.hold is not None and (customer.hold.until is None or now < customer.hold.until)


def cancel(customer: Customer, command: CancelErasure) -> list[CustomerEvent]:
    if customer.erasure_due_at is None:
        raise NoPendingErasure
    return [CustomerErasureCancelled(reason=command.reason)]


def reapply(customer: Customer, now: datetime) -> list[CustomerEvent]:
    if customer.erased_at is not None:
        return []
    return erase(customer, now, request_ref=customer.erasure_request_ref, reason_code="reapplied")


def erase(
    customer: Customer,
    now: datetime,
    *,
    request_ref: str | None,
    reason_code: Literal["requested", "reapplied"] = "requested",
) -> list[CustomerEvent]:
    return [
        CustomerErased(
            erased_at=now,
            reason_code=reason_code,
            request_ref=request_ref,
            keys_destroyed=1,
            external_ids=tuple(one for one in customer.external_ids if not one.personal),
        )
    ]
