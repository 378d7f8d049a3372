"""What is verified is what the customer has now, by somebody else or by a code."""

from datetime import timedelta

import pytest
from customerflow_command.customer.commands import (
    ChangeCustomer,
    RequestEmailVerification,
    VerifyEmail,
    VerifyPhone,
)
from customerflow_command.customer.decide import refusal, resource
from customerflow_command.customer.errors import CodeIssuedRecently, ContactChanged, NoPendingVerification
from customerflow_command.customer.state import Verification
from customerflow_shared.events import (
    CustomerEmailChanged,
    CustomerEmailVerificationFailed,
    CustomerEmailVerificationRequested,
    CustomerEmailVerified,
    CustomerEvent,
    CustomerPhoneVerified,
)
from customerflow_shared.values import Phone

from .sentences import (
    DAY,
    MOMENT,
    NOW,
    REGISTERED,
    code_sent,
    confirmed,
    known,
    number,
    past,
    registered,
    when,
    wrong_code_given,
)

MINUTE = timedelta(minutes=1)
EARLIER = NOW - timedelta(minutes=5)
PHONE = Phone(number="+5511999998888", extension="12")
EMAIL_VERIFIED = CustomerEmailVerified(method="link", verified_at=EARLIER)
ASK = RequestEmailVerification(verification_id=number(7), code_hash="hash", expires_at=NOW + DAY)
NO_EMAIL = registered(phone=PHONE)


def test_somebody_else_may_verify_the_address() -> None:
    verified = when(VerifyEmail(email="ana@example.com", method="link", verified_at=EARLIER))
    assert verified == [EMAIL_VERIFIED]
    assert known([REGISTERED, *verified]).email_verified


def test_case_makes_no_other_address() -> None:
    assert when(VerifyEmail(email="ANA@EXAMPLE.COM", method="link", verified_at=EARLIER)) == [EMAIL_VERIFIED]


def test_an_address_is_verified_once() -> None:
    again = VerifyEmail(email="ana@example.com", method="other", verified_at=NOW)
    assert when(again, given=[REGISTERED, EMAIL_VERIFIED]) == []


@pytest.mark.parametrize("given", [[NO_EMAIL], [REGISTERED], [REGISTERED, EMAIL_VERIFIED]])
def test_an_address_that_the_customer_does_not_have_now_cannot_be_verified(given: list[CustomerEvent]) -> None:
    with pytest.raises(ContactChanged):
        when(VerifyEmail(email="old@example.com", method="link", verified_at=EARLIER), given=given)


def test_somebody_else_may_verify_the_phone() -> None:
    verified = when(VerifyPhone(phone=PHONE, method="sms", verified_at=EARLIER), given=[NO_EMAIL])
    assert verified == [CustomerPhoneVerified(method="sms", verified_at=EARLIER)]
    assert known([NO_EMAIL, *verified]).phone_verified
    assert when(VerifyPhone(phone=PHONE, method="call", verified_at=NOW), given=[NO_EMAIL, *verified]) == []


def test_a_phone_is_verified_whatever_the_extension() -> None:
    assert (
        len(when(VerifyPhone(phone=Phone(number=PHONE.number), method="sms", verified_at=NOW), given=[NO_EMAIL])) == 1
    )


@pytest.mark.parametrize("given", [REGISTERED, registered(phone=Phone(number="+5511999997777", extension="12"))])
def test_a_phone_that_the_customer_does_not_have_now_cannot_be_verified(given: CustomerEvent) -> None:
    with pytest.raises(ContactChanged):
        when(VerifyPhone(phone=PHONE, method="sms", verified_at=EARLIER), given=[given])


def test_a_code_is_asked_for_the_present_address() -> None:
    requested = when(ASK)
    assert requested == [
        CustomerEmailVerificationRequested(
            verification_id=number(7), number=1, expires_at=NOW + DAY, retry_at=NOW + MINUTE, code_hash="hash"
        )
    ]
    after = known([REGISTERED, *requested])
    assert after.verification == Verification(
        id=number(7), number=1, expires_at=NOW + DAY, retry_at=NOW + MINUTE, code_hash="hash", failures=0
    )
    assert resource(ASK, after) == number(7)


def test_each_further_code_has_to_be_waited_for_twice_as_long_up_to_a_day() -> None:
    given, now, pauses = past(REGISTERED), NOW, []
    for _ in range(14):
        given += when(ASK, given=given, now=now)
        verification = known(given).verification
        assert verification is not None
        with pytest.raises(CodeIssuedRecently) as refused:
            when(ASK, given=given, now=verification.retry_at - MOMENT)
        assert refused.value.retry_at == verification.retry_at
        pauses.append(verification.retry_at - now)
        now = verification.retry_at
    assert pauses == [*(MINUTE * 2**doublings for doublings in range(11)), DAY, DAY, DAY]


def test_wrong_codes_make_no_difference_to_when_the_next_one_is_sent() -> None:
    given = past(REGISTERED, *when(ASK), *[wrong_code_given(7)] * 5)
    with pytest.raises(CodeIssuedRecently):
        when(ASK, given=given, now=NOW + MINUTE - MOMENT)
    assert len(when(ASK, given=given, now=NOW + MINUTE)) == 1


def test_for_another_address_a_code_is_sent_at_once() -> None:
    changed = CustomerEmailChanged(email="b@example.com", previous_email="ana@example.com")
    (requested,) = when(ASK, given=[REGISTERED, *when(ASK), changed])
    assert isinstance(requested, CustomerEmailVerificationRequested)
    assert requested.number == 1


def test_no_code_is_sent_to_a_verified_address() -> None:
    given = past(REGISTERED, EMAIL_VERIFIED)
    assert when(ASK, given=given) == []
    assert resource(ASK, known(given)) is None


def test_no_code_is_sent_to_a_customer_without_an_address() -> None:
    with pytest.raises(ContactChanged):
        when(ASK, given=[NO_EMAIL])


def test_the_right_code_verifies_the_address() -> None:
    verified = when(confirmed(), given=[REGISTERED, code_sent()])
    assert verified == [CustomerEmailVerified(method="code", verified_at=NOW)]
    assert refusal(verified) is None
    after = known([REGISTERED, code_sent(), *verified])
    assert (after.email_verified, after.verification) == (True, None)


def test_a_wrong_code_is_counted_and_told() -> None:
    failed = when(confirmed(3, "000000"), given=[REGISTERED, code_sent(3)])
    assert failed == [CustomerEmailVerificationFailed(verification_id=number(3))]
    assert refusal(failed) == "verification-code-wrong"
    after = known([REGISTERED, code_sent(3), *failed, *failed])
    assert after.verification is not None
    assert after.verification.failures == 2
    assert not after.email_verified


def test_after_four_wrong_codes_the_right_one_is_still_taken() -> None:
    assert when(confirmed(), given=[REGISTERED, code_sent(), *[wrong_code_given()] * 4]) != []


def test_after_five_wrong_codes_none_is_taken() -> None:
    with pytest.raises(NoPendingVerification):
        when(confirmed(), given=[REGISTERED, code_sent(), *[wrong_code_given()] * 5])


def test_a_new_code_takes_the_place_of_the_one_before_and_of_its_tries() -> None:
    given = past(REGISTERED, code_sent(1, code="111111"), *[wrong_code_given(1)] * 5, code_sent(2, code="222222"))
    assert when(confirmed(2, "222222"), given=given) == [CustomerEmailVerified(method="code", verified_at=NOW)]
    assert when(confirmed(2, "111111"), given=given) == [CustomerEmailVerificationFailed(verification_id=number(2))]


def test_a_code_is_taken_until_it_expires() -> None:
    given = past(REGISTERED, code_sent(expires_at=NOW))
    assert when(confirmed(), given=given, now=NOW - MOMENT) != []
    with pytest.raises(NoPendingVerification):
        when(confirmed(), given=given, now=NOW)


@pytest.mark.parametrize(
    "given",
    [
        [REGISTERED],
        [NO_EMAIL],
        [REGISTERED, code_sent(), CustomerEmailChanged(email="b@example.com", previous_email="ana@example.com")],
        [REGISTERED, code_sent(), EMAIL_VERIFIED],
    ],
    ids=["none was sent", "no address", "for another address", "verified by then"],
)
def test_no_code_is_taken_when_none_is_waiting(given: list[CustomerEvent]) -> None:
    with pytest.raises(NoPendingVerification):
        when(confirmed(), given=given)


def test_only_a_wrong_code_is_a_refusal_with_something_to_record() -> None:
    assert refusal([]) is None
    assert refusal(when(ChangeCustomer(email=None))) is None
