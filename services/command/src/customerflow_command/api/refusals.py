"""From the error of a command to a problem."""

from math import ceil
from typing import Any

import structlog
from customerflow_shared.database import DatabaseRefused, DatabaseUnavailable, utc_now
from customerflow_shared.problems import Fault, Problem, Translation
from customerflow_shared.views import timestamp

from customerflow_command.commit import StoreBusy
from customerflow_command.customer import errors
from customerflow_command.customer.claims import Claim, external_id_claim
from customerflow_command.customer.commands import Command, RegisterCustomer
from customerflow_command.fingerprints import ForeignSecret
from customerflow_command.idempotency import KeyInFlight, KeyReused
from customerflow_command.mediator import DeadlineExceeded, Outcome, SwitchedOff
from customerflow_command.personal import UnreadableEvent
from customerflow_command.preconditions import etag
from customerflow_command.unit import KeyTaken, VersionTaken
from customerflow_command.unit_of_work import PreconditionRequired, ValueTaken, VersionMismatch

log = structlog.get_logger()


def taken(error: ValueTaken, *, in_body: bool) -> Problem:
    """Which of the values that were given somebody else has; `in_body` is False if they came in the path."""
    return Problem(
        "duplicate-key",
        "Another customer holds a value that only one may hold.",
        errors=[
            Fault(
                pointer=_pointer(error.command, claim) if in_body else None,
                parameter=None if in_body else "value",
                code="duplicate-key",
                detail="The value is taken.",
                kind=claim.kind,
            )
            for claim in error.claims
        ],
    )


def _pointer(command: Command, claim: Claim) -> str:
    """Where in the body the value stands that the claim is made of."""
    kind, _, name = claim.kind.partition(":")
    match kind, command:
        case "email" | "phone", _:
            return f"#/{kind}"
        case "tax-id", RegisterCustomer(tax_ids=tax_ids):
            return f"#/taxIds/{[tax_id.type for tax_id in tax_ids].index(name)}/value"
        case "external-id", RegisterCustomer(external_ids=external_ids):
            return f"#/externalIds/{list(map(external_id_claim, external_ids)).index(claim)}/value"
        case _:
            return "#/value"


def erased(error: errors.CustomerIsErased, customer_id: object) -> Problem:
    return Problem("customer-erased", str(error), id=customer_id, erasedAt=timestamp(error.erased_at))


def wrong_code(outcome: Outcome) -> Problem:
    """Not an error of the command: that a wrong code was given is on record, and a version of its own."""
    replayed = {"Idempotency-Replayed": "true"} if outcome.replayed else {}
    return Problem(
        "verification-code-wrong",
        "The code is not the one that was issued.",
        headers={"ETag": etag(outcome.version), **replayed},
        currentVersion=outcome.version,
    )


def unknown_outcome(_: Exception, **location: str) -> Problem:
    return Problem(
        "unavailable",
        "The database does not answer, and the command may have taken effect: send it again with the same "
        "Idempotency-Key, or read the customer first.",
        headers={"Retry-After": "1", **location},
    )


def _mismatch(error: VersionMismatch) -> Problem:
    if not error.current:
        return Problem("version-mismatch", "If-Match names a version, but there is no such customer yet.")
    return Problem(
        "version-mismatch",
        "If-Match names no version that the customer has now; a weak tag never matches.",
        currentVersion=error.current,
        headers={"ETag": etag(error.current)},
    )


def _transition(error: errors.InvalidTransition) -> Problem:
    members: dict[str, Any] = {"from": error.current, "allowed": error.allowed}
    return Problem("invalid-transition", str(error), **members)


def _too_soon(error: errors.CodeIssuedRecently) -> Problem:
    seconds = max(1, ceil((error.retry_at - utc_now()).total_seconds()))
    retry_at = timestamp(error.retry_at)
    return Problem("verification-too-soon", str(error), headers={"Retry-After": str(seconds)}, retryAt=retry_at)


def _unknown_address(error: errors.AddressUnknown) -> Problem:
    return _unfit(Fault(pointer="#/addressId", code="address-unknown", detail=str(error)))


def _incomplete(error: errors.RegistrationIncomplete) -> Problem:
    return _unfit(*(Fault(pointer=f"#/{field}", code="required", detail=str(error)) for field in error.missing))


def _unfit(*faults: Fault) -> Problem:
    return Problem("invalid-fields", "See `errors` for each field.", errors=faults)


def _in_flight(_: Exception) -> Problem:
    return Problem("idempotency-in-flight", "Ask again with the same key for the answer.", headers={"Retry-After": "1"})


def _switched_off(_: Exception) -> Problem:
    return Problem("switched-off", "Commands of this type are not taken now.", headers={"Retry-After": "30"})


def _foreign_secret(_: ForeignSecret) -> Problem:
    log.error("a secret is not the one that the database was filled with")
    return Problem("unavailable", "This process may not work on the database; nothing was done.")


def _unreadable(error: UnreadableEvent) -> Problem:
    log.error("customer cannot be read", reason=str(error))
    return Problem("unavailable", "What is stored of this customer cannot be read by this process; nothing was done.")


def _as(code: str) -> Translation:
    """The problem of an error that says all there is to say."""
    return lambda error: Problem(code, str(error))


_RULES: dict[type[Exception], Translation] = {
    errors.CustomerNotFound: _as("customer-not-found"),
    errors.ErasureIsPending: lambda error: Problem("erasure-pending", str(error), dueAt=timestamp(error.due_at)),
    errors.CustomerIsArchived: _as("customer-archived"),
    errors.CustomerIsSuspended: _as("customer-suspended"),
    errors.InvalidTransition: _transition,
    errors.ContactChanged: _as("contact-changed"),
    errors.CodeIssuedRecently: _too_soon,
    errors.NoPendingVerification: _as("no-pending-verification"),
    errors.TaxIdNotFound: _as("tax-id-not-found"),
    errors.TaxIdTypePresent: _as("tax-id-type-present"),
    errors.AddressNotFound: _as("address-not-found"),
    errors.AddressUnknown: _unknown_address,
    errors.ConsentIsStale: _as("consent-stale"),
    errors.NoPendingErasure: _as("no-pending-erasure"),
    errors.CustomerIsHeld: _as("legal-hold"),
    errors.LimitReached: lambda error: Problem("limit-reached", str(error), limit=error.limit),
    errors.RegistrationIncomplete: _incomplete,
}

TRANSLATIONS: dict[type[Exception], Translation] = {
    **_RULES,
    PreconditionRequired: lambda _: Problem(
        "precondition-required", 'Send the version that you have read, as If-Match: "7".'
    ),
    VersionMismatch: _mismatch,
    VersionTaken: lambda _: Problem("concurrent-modification", "Read the customer again and decide anew."),
    KeyReused: lambda _: Problem("idempotency-key-reused", "The key was given before, with something else to do."),
    KeyInFlight: _in_flight,
    KeyTaken: _in_flight,
    SwitchedOff: _switched_off,
    StoreBusy: lambda _: Problem("busy", "Nothing was written; try again.", headers={"Retry-After": "1"}),
    DatabaseRefused: lambda _: Problem(
        "unavailable", "The database does not take commands now; nothing was done.", headers={"Retry-After": "5"}
    ),
    DatabaseUnavailable: unknown_outcome,
    ForeignSecret: _foreign_secret,
    UnreadableEvent: _unreadable,
    DeadlineExceeded: unknown_outcome,
}
