"""Suspended for a while, archived until it is restored, and what the clock alone brings about."""

from datetime import datetime

from customerflow_shared.events import (
    CustomerArchived,
    CustomerEvent,
    CustomerReactivated,
    CustomerRestored,
    CustomerSuspended,
)

from customerflow_command.customer import erasure
from customerflow_command.customer.commands import (
    ArchiveCustomer,
    ReactivateCustomer,
    RestoreCustomer,
    SuspendCustomer,
)
from customerflow_command.customer.errors import InvalidTransition
from customerflow_command.customer.state import Customer, erasure_falls_due, suspension_ends


def suspend(customer: Customer, command: SuspendCustomer) -> list[CustomerEvent]:
    if customer.suspended and customer.suspended_until == command.until:
        return []
    return [CustomerSuspended(until=command.until, reason=command.reason)]


def reactivate(customer: Customer, command: ReactivateCustomer) -> list[CustomerEvent]:
    return [CustomerReactivated(reason=command.reason)] if customer.suspended else []


def archive(customer: Customer, command: ArchiveCustomer) -> list[CustomerEvent]:
    if customer.archived:
        return []
    return [CustomerArchived(previous_status="suspended" if customer.suspended else "active", reason=command.reason)]


def restore(customer: Customer, command: RestoreCustomer) -> list[CustomerEvent]:
    """Leads back to where the customer was archived from."""
    if customer.archived:
        return [CustomerRestored(status="suspended" if customer.suspended else "active", reason=command.reason)]
    if customer.suspended:
        raise InvalidTransition("suspended", ["active", "archived"])
    return []


def do_what_is_due(customer: Customer, now: datetime) -> list[CustomerEvent]:
    due_at = erasure_falls_due(customer)
    if due_at is not None and due_at <= now:
        return erasure.erase(customer, now, request_ref=customer.erasure_request_ref)
    ends = suspension_ends(customer)
    return [CustomerReactivated()] if ends is not None and ends <= now else []
