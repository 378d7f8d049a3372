"""What the customer has agreed to: the newest record for each purpose and channel counts."""

import re

from customerflow_shared.events import CustomerConsentRecorded, CustomerEvent
from customerflow_shared.values import Consent

from customerflow_command.customer.commands import RecordConsent
from customerflow_command.customer.errors import ConsentIsStale, CustomerIsSuspended
from customerflow_command.customer.limits import MAX_CONSENTS, require_room
from customerflow_command.customer.state import Customer

MARKETING = frozenset({"marketing", "newsletter", "advertising", "profiling"})


def record(customer: Customer, command: RecordConsent) -> list[CustomerEvent]:
    consent = command.consent
    if customer.suspended and consent.state == "granted" and is_marketing(consent.purpose):
        raise CustomerIsSuspended
    present = find(customer, consent)
    if present == consent:
        return []
    if present is not None and consent.captured_at < present.captured_at:
        raise ConsentIsStale
    if present is None:
        require_room(MAX_CONSENTS, customer.consents)
    return [
        CustomerConsentRecorded(
            purpose=consent.purpose,
            channel=consent.channel,
            state=consent.state,
            previous_state=None if present is None else present.state,
            captured_at=consent.captured_at,
            source=consent.source,
            legal_basis=consent.legal_basis,
            opt_in_level=consent.opt_in_level,
            policy_version=consent.policy_version,
            expires_at=consent.expires_at,
            evidence_ref=consent.evidence_ref,
        )
    ]


def is_marketing(purpose: str) -> bool:
    """`newsletter`, `marketing:partners`, `direct-marketing`: one of the segments tells."""
    return not MARKETING.isdisjoint(re.split("[-_.:]", purpose))


def find(customer: Customer, consent: Consent) -> Consent | None:
    of_both = (held for held in customer.consents if (held.purpose, held.channel) == (consent.purpose, consent.channel))
    return next(of_both, None)
