"""Consents: the newest record for each purpose and channel counts."""

from datetime import timedelta

import msgspec
import pytest
from customerflow_command.customer.commands import RecordConsent
from customerflow_command.customer.errors import ConsentIsStale, CustomerIsSuspended, LimitReached
from customerflow_shared.events import CustomerConsentRecorded
from customerflow_shared.values import Consent

from .sentences import DAY, ERASURE_REQUESTED, MOMENT, NOW, REGISTERED, SUSPENDED, consent, known, registered, when

LATER = NOW + timedelta(minutes=1)
GRANTED = registered(consents=[consent(), consent(channel="sms")])


def test_a_customer_has_at_most_a_hundred_consents() -> None:
    many = [consent(channel=f"c{n}") for n in range(99)]
    assert when(RecordConsent(consent=consent()), given=[registered(consents=many)]) != []
    full = registered(consents=[*many, consent(channel="c99")])
    with pytest.raises(LimitReached) as refused:
        when(RecordConsent(consent=consent()), given=[full])
    assert refused.value.limit == 100
    assert when(RecordConsent(consent=consent("withdrawn", channel="c7")), given=[full]) != []


def test_a_consent_is_recorded_with_its_evidence() -> None:
    given = Consent(
        purpose="newsletter",
        channel="email",
        state="granted",
        captured_at=NOW,
        source="checkout",
        legal_basis="consent",
        opt_in_level="double",
        policy_version="2026-01",
        evidence_ref="form 7 of Ana",
        expires_at=NOW + DAY,
    )
    recorded = when(RecordConsent(consent=given))
    assert recorded == [
        CustomerConsentRecorded(
            purpose="newsletter",
            channel="email",
            state="granted",
            previous_state=None,
            captured_at=NOW,
            source="checkout",
            legal_basis="consent",
            opt_in_level="double",
            policy_version="2026-01",
            evidence_ref="form 7 of Ana",
            expires_at=NOW + DAY,
        )
    ]
    assert known([REGISTERED, *recorded]).consents == (given,)


def test_a_consent_takes_the_place_of_the_one_for_the_same_purpose_and_channel() -> None:
    withdrawn = consent("withdrawn", captured_at=LATER)
    [recorded] = when(RecordConsent(consent=withdrawn), given=[GRANTED])
    assert isinstance(recorded, CustomerConsentRecorded)
    assert recorded.previous_state == "granted"
    assert known([GRANTED, recorded]).consents == (consent(channel="sms"), withdrawn)


@pytest.mark.parametrize("other", [consent(purpose="orders", captured_at=LATER), consent(channel="post")])
def test_another_purpose_or_channel_is_another_consent(other: Consent) -> None:
    [recorded] = when(RecordConsent(consent=other), given=[GRANTED])
    assert isinstance(recorded, CustomerConsentRecorded)
    assert recorded.previous_state is None
    assert known([GRANTED, recorded]).consents == (consent(), consent(channel="sms"), other)


def test_a_consent_is_recorded_once() -> None:
    assert when(RecordConsent(consent=consent()), given=[GRANTED]) == []


def test_a_record_older_than_the_present_one_is_refused() -> None:
    with pytest.raises(ConsentIsStale):
        when(RecordConsent(consent=consent("withdrawn", captured_at=NOW - MOMENT)), given=[GRANTED])


def test_another_record_of_the_same_moment_is_taken() -> None:
    other = msgspec.structs.replace(consent(), source="call centre")
    assert len(when(RecordConsent(consent=other), given=[GRANTED])) == 1


@pytest.mark.parametrize(
    "purpose",
    [
        "marketing",
        "newsletter",
        "advertising",
        "profiling",
        "marketing-partners",
        "direct-marketing",
        "email_marketing",
        "newsletter_b",
        "profiling.x",
        "advertising:y-z",
    ],
)
def test_a_suspended_customer_grants_no_consent_to_marketing(purpose: str) -> None:
    with pytest.raises(CustomerIsSuspended):
        when(RecordConsent(consent=consent(purpose=purpose)), given=[REGISTERED, SUSPENDED])


@pytest.mark.parametrize(
    "allowed",
    [
        consent(purpose="orders"),
        consent(purpose="marketingx"),
        consent("withdrawn"),
        consent("pending"),
    ],
)
def test_a_suspended_customer_may_record_any_other_consent(allowed: Consent) -> None:
    assert len(when(RecordConsent(consent=allowed), given=[REGISTERED, SUSPENDED])) == 1


def test_an_active_customer_may_grant_consent_to_marketing() -> None:
    assert len(when(RecordConsent(consent=consent(purpose="marketing")))) == 1


def test_consents_can_be_withdrawn_while_an_erasure_is_pending() -> None:
    withdrawn = RecordConsent(consent=consent("withdrawn", captured_at=LATER))
    assert len(when(withdrawn, given=[GRANTED, ERASURE_REQUESTED])) == 1
