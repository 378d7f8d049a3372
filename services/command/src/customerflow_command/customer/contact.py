"""Whether e-mail address and phone number reach the customer."""

import hmac
from datetime import datetime, timedelta

from customerflow_shared.events import (
    CustomerEmailVerificationFailed,
    CustomerEmailVerificationRequested,
    CustomerEmailVerified,
    CustomerEvent,
    CustomerPhoneVerified,
)
from customerflow_shared.normal_forms import email_key

from customerflow_command.customer.commands import ConfirmEmail, RequestEmailVerification, VerifyEmail, VerifyPhone
from customerflow_command.customer.errors import CodeIssuedRecently, ContactChanged, NoPendingVerification
from customerflow_command.customer.state import MAX_FAILURES, Customer, Verification

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(days=1)


def verify_email(customer: Customer, command: VerifyEmail) -> list[CustomerEvent]:
    if customer.email is None or email_key(command.email) != email_key(customer.email):
        raise ContactChanged
    if customer.email_verified:
        return []
    return [CustomerEmailVerified(method=command.method, verified_at=command.verified_at)]


def verify_phone(customer: Customer, command: VerifyPhone) -> list[CustomerEvent]:
    """Whoever verifies a phone has reached its number, not an extension behind it."""
    if customer.phone is None or command.phone.number != customer.phone.number:
        raise ContactChanged
    if customer.phone_verified:
        return []
    return [CustomerPhoneVerified(method=command.method, verified_at=command.verified_at)]


def request_email_verification(
    customer: Customer, command: RequestEmailVerification, now: datetime
) -> list[CustomerEvent]:
    """Each further code has to be waited for twice as long: whoever guesses gets nowhere, nor does whoever wants to
    fill somebody's mailbox.
    """
    if customer.email is None:
        raise ContactChanged
    if customer.email_verified:
        return []
    last = customer.verification
    if last is not None and now < last.retry_at:
        raise CodeIssuedRecently(last.retry_at)
    number = 1 if last is None else last.number + 1
    return [
        CustomerEmailVerificationRequested(
            verification_id=command.verification_id,
            number=number,
            expires_at=command.expires_at,
            retry_at=now + min(FIRST_PAUSE * 2 ** min(number - 1, 20), LONGEST_PAUSE),
            code_hash=command.code_hash,
        )
    ]


def confirm_email(customer: Customer, command: ConfirmEmail, now: datetime) -> list[CustomerEvent]:
    """A wrong code is a fact too: it is counted, so that nobody can try them all."""
    verification = live(customer.verification, now)
    if not hmac.compare_digest(command.code_hash, verification.code_hash):
        return [CustomerEmailVerificationFailed(verification_id=verification.id)]
    return [CustomerEmailVerified(method="code", verified_at=now)]


def live(verification: Verification | None, now: datetime) -> Verification:
    if verification is None or now >= verification.expires_at or verification.failures >= MAX_FAILURES:
        raise NoPendingVerification
    return verification
