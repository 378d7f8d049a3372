"""What follows from a command: the table of who may do what. Every rule itself stands in the module of its topic."""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never
from uuid import UUID

from customerflow_shared.events import CustomerEmailVerificationFailed, CustomerEvent

from customerflow_command.customer import (
    addresses,
    consents,
    contact,
    erasure,
    labels,
    lifecycle,
    profile,
    registration,
    tax_ids,
)
from customerflow_command.customer.commands import (
    AddAddress,
    AddTaxId,
    ArchiveCustomer,
    CancelErasure,
    ChangeAddress,
    ChangeCustomer,
    Command,
    ConfirmEmail,
    DoWhatIsDue,
    LiftLegalHold,
    LinkExternalId,
    PlaceLegalHold,
    ReactivateCustomer,
    ReapplyErasure,
    RecordConsent,
    RegisterCustomer,
    RemoveAddress,
    RemoveTaxId,
    RequestEmailVerification,
    RequestErasure,
    RestoreCustomer,
    SetDefaultAddress,
    SuspendCustomer,
    TagCustomer,
    UnlinkExternalId,
    UntagCustomer,
    UpsertCustomer,
    VerifyEmail,
    VerifyPhone,
)
from customerflow_command.customer.errors import (
    CustomerIsArchived,
    CustomerIsErased,
    CustomerNotFound,
    ErasureIsPending,
)
from customerflow_command.customer.state import Customer


def decide(customer: Customer | None, command: Command, now: datetime) -> list[CustomerEvent]:
    """The events that the command amounts to; none if it changes nothing. Raises CustomerError."""
    match command:
        case RegisterCustomer():
            return registration.register(command, now)
        case UpsertCustomer():
            if customer is None:
                return registration.register_by_external_id(command, now)
            return profile.change(changeable(customer), command.change)
        case ChangeCustomer():
            return profile.change(changeable(customer), command)
        case VerifyEmail():
            return contact.verify_email(changeable(customer), command)
        case VerifyPhone():
            return contact.verify_phone(changeable(customer), command)
        case RequestEmailVerification():
            return contact.request_email_verification(changeable(customer), command, now)
        case ConfirmEmail():
            return contact.confirm_email(changeable(customer), command, now)
        case AddTaxId():
            return tax_ids.add(changeable(customer), command)
        case RemoveTaxId():
            return tax_ids.remove(changeable(customer), command)
        case AddAddress():
            return addresses.add(changeable(customer), command)
        case ChangeAddress():
            return addresses.change(changeable(customer), command)
        case RemoveAddress():
            return addresses.remove(changeable(customer), command)
        case SetDefaultAddress():
            return addresses.set_default(changeable(customer), command)
        case TagCustomer():
            return labels.tag(changeable(customer), command)
        case UntagCustomer():
            return labels.untag(changeable(customer), command)
        case LinkExternalId():
            return labels.link(changeable(customer), command)
        case UnlinkExternalId():
            return labels.unlink(changeable(customer), command)
        case RecordConsent():
            # whoever withdraws a consent need not wait for what becomes of an erasure
            withdrawn = command.consent.state == "withdrawn"
            return consents.record(unarchived(existing(customer)) if withdrawn else changeable(customer), command)
        case SuspendCustomer():
            return lifecycle.suspend(changeable(customer), command)
        case ReactivateCustomer():
            return lifecycle.reactivate(changeable(customer), command)
        case ArchiveCustomer():
            return lifecycle.archive(settled(customer), command)
        case RestoreCustomer():
            return lifecycle.restore(settled(customer), command)
        case PlaceLegalHold():
            return erasure.place_hold(existing(customer), command)
        case LiftLegalHold():
            return erasure.lift_hold(existing(customer), command)
        case RequestErasure():
            return erasure.request(existing(customer), command, now)
        case CancelErasure():
            return erasure.cancel(existing(customer), command)
        case DoWhatIsDue():
            return lifecycle.do_what_is_due(registered(customer), now)
        case ReapplyErasure():
            return erasure.reapply(registered(customer), now)
        case _:
            assert_never(command)


def registered(customer: Customer | None) -> Customer:
    if customer is None:
        raise CustomerNotFound
    return customer


def existing(customer: Customer | None) -> Customer:
    known = registered(customer)
    if known.erased_at is not None:
        raise CustomerIsErased(known.erased_at)
    return known


def settled(customer: Customer | None) -> Customer:
    known = existing(customer)
    if known.erasure_due_at is not None:
        raise ErasureIsPending(known.erasure_due_at)
    return known


def unarchived(customer: Customer) -> Customer:
    if customer.archived:
        raise CustomerIsArchived
    return customer


def changeable(customer: Customer | None) -> Customer:
    return unarchived(settled(customer))


def resource(command: Command, after: Customer) -> UUID | None:
    """The id that the answer names, of what the command has added or found there already."""
    match command:
        case AddTaxId():
            held = tax_ids.find(after, command.tax_id)
            return None if held is None else held.id
        case AddAddress():
            return command.address.id
        case RequestEmailVerification():
            return None if after.verification is None else after.verification.id
        case _:
            return None


def refusal(events: Sequence[CustomerEvent]) -> str | None:
    """The problem that is to be told although there is something to record."""
    failed = any(isinstance(event, CustomerEmailVerificationFailed) for event in events)
    return "verification-code-wrong" if failed else None
