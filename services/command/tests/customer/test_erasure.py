"""Erasure: asked for, cancelled while there is time, carried out once and for ever."""

from datetime import datetime

import pytest
from customerflow_command.customer.commands import (
    CancelErasure,
    DoWhatIsDue,
    LiftLegalHold,
    PlaceLegalHold,
    ReapplyErasure,
    RequestErasure,
    TagCustomer,
)
from customerflow_command.customer.errors import CustomerIsHeld, ErasureIsPending, NoPendingErasure
from customerflow_command.customer.state import Customer, due
from customerflow_shared.events import (
    CustomerErased,
    CustomerErasureCancelled,
    CustomerErasureRequested,
    CustomerEvent,
    CustomerLegalHoldLifted,
    CustomerLegalHoldPlaced,
    CustomerReactivated,
    CustomerRegistered,
    CustomerSuspended,
)
from customerflow_shared.values import Phone

from .sentences import (
    ARCHIVED,
    DAY,
    DUE,
    ERASED,
    ERASURE_REQUESTED,
    MOMENT,
    NOW,
    REGISTERED,
    SUSPENDED,
    address,
    code_sent,
    consent,
    erp,
    known,
    past,
    personal,
    registered,
    tax_id,
    when,
)

AT_ONCE = RequestErasure(due_at=NOW, request_ref="LGPD-8", reason="court")


def erased(request_ref: str | None, at: datetime = NOW) -> CustomerErased:
    return CustomerErased(erased_at=at, reason_code="requested", request_ref=request_ref, keys_destroyed=1)


def test_an_erasure_is_requested_for_a_later_day() -> None:
    requested = when(RequestErasure(due_at=DUE, request_ref="LGPD-7", reason="letter"))
    assert requested == [CustomerErasureRequested(request_ref="LGPD-7", due_at=DUE, reason="letter")]
    after = known([REGISTERED, *requested])
    assert (after.status, after.erasure_due_at, due(after)) == ("active", DUE, DUE)


@pytest.mark.parametrize("given", [[REGISTERED, ARCHIVED], [REGISTERED, SUSPENDED]])
def test_whoever_is_archived_or_suspended_can_be_erased(given: list[CustomerEvent]) -> None:
    assert len(when(RequestErasure(due_at=DUE), given=given)) == 1


def test_an_erasure_that_is_due_at_once_is_requested_and_carried_out() -> None:
    assert when(AT_ONCE) == [
        CustomerErasureRequested(request_ref="LGPD-8", due_at=NOW, reason="court"),
        erased("LGPD-8"),
    ]


def test_an_erasure_that_is_due_in_a_moment_is_not_due_at_once() -> None:
    assert len(when(RequestErasure(due_at=NOW + MOMENT))) == 1


def test_an_erasure_is_requested_once() -> None:
    with pytest.raises(ErasureIsPending) as refused:
        when(RequestErasure(due_at=DUE + DAY), given=[REGISTERED, ERASURE_REQUESTED])
    assert refused.value.due_at == DUE


def test_a_pending_erasure_can_be_carried_out_at_once() -> None:
    assert when(AT_ONCE, given=[REGISTERED, ERASURE_REQUESTED]) == [erased("LGPD-8")]
    assert when(RequestErasure(due_at=NOW), given=[REGISTERED, ERASURE_REQUESTED]) == [erased("LGPD-7")]


def test_a_pending_erasure_can_be_cancelled() -> None:
    given = past(REGISTERED, ERASURE_REQUESTED)
    cancelled = when(CancelErasure(reason="a mistake"), given=given)
    assert cancelled == [CustomerErasureCancelled(reason="a mistake")]
    after = known([*given, *cancelled])
    assert (after.erasure_due_at, after.erasure_request_ref, due(after)) == (None, None, None)
    assert len(when(TagCustomer(tag="vip"), given=[*given, *cancelled])) == 1


def test_the_pending_erasure_of_an_archived_customer_can_be_cancelled() -> None:
    given = past(REGISTERED, ARCHIVED, ERASURE_REQUESTED)
    cancelled = when(CancelErasure(), given=given)
    assert cancelled == [CustomerErasureCancelled()]
    assert known([*given, *cancelled]).status == "archived"


@pytest.mark.parametrize("given", [[REGISTERED], [REGISTERED, ARCHIVED]])
def test_an_erasure_that_is_not_pending_cannot_be_cancelled(given: list[CustomerEvent]) -> None:
    with pytest.raises(NoPendingErasure):
        when(CancelErasure(), given=given)


def test_an_erasure_is_carried_out_when_it_is_due() -> None:
    given = past(REGISTERED, ERASURE_REQUESTED)
    assert when(DoWhatIsDue(), given=given, now=DUE - MOMENT) == []
    assert when(DoWhatIsDue(), given=given, now=DUE) == [erased("LGPD-7", at=DUE)]


def test_an_erasure_of_an_archived_customer_is_carried_out_when_it_is_due() -> None:
    given = past(REGISTERED, ARCHIVED, ERASURE_REQUESTED)
    assert when(DoWhatIsDue(), given=given, now=DUE) == [erased("LGPD-7", at=DUE)]


def test_of_two_things_that_fall_due_the_first_is_named_and_done() -> None:
    given = past(REGISTERED, CustomerSuspended(until=NOW + DAY), ERASURE_REQUESTED)
    assert due(known(given)) == NOW + DAY
    assert when(DoWhatIsDue(), given=given, now=NOW + DAY) == [CustomerReactivated()]
    given.append(CustomerReactivated())
    assert due(known(given)) == DUE
    given.append(CustomerSuspended(until=DUE + DAY))
    assert due(known(given)) == DUE


def test_where_both_are_overdue_the_customer_is_erased() -> None:
    given = past(REGISTERED, CustomerSuspended(until=NOW + DAY), ERASURE_REQUESTED)
    assert when(DoWhatIsDue(), given=given, now=DUE) == [erased("LGPD-7", at=DUE)]


def test_the_last_event_names_what_other_systems_call_the_customer_but_nothing_personal() -> None:
    [_, last] = when(AT_ONCE, given=[registered(external_ids=[erp(), personal(), erp("2")])])
    assert isinstance(last, CustomerErased)
    assert last.external_ids == (erp(), erp("2"))


def test_of_an_erased_customer_nothing_is_left_but_that_there_was_one() -> None:
    given = registered(
        email="ana@example.com",
        phone=Phone(number="+5511999998888"),
        tax_ids=[tax_id(1)],
        addresses=[address(2)],
        consents=[consent()],
        tags=["vip"],
        external_ids=[erp(), personal()],
    )
    history = past(given, code_sent(), CustomerSuspended(until=NOW + DAY), ERASURE_REQUESTED, ERASED)
    assert known(history) == Customer(type="person", name="", erased_at=NOW - DAY)
    assert known(history).status == "erased"
    company = CustomerRegistered(customer_type="company", name="Padaria Central")
    assert known([company, ERASED]) == Customer(type="company", name="", erased_at=NOW - DAY)
    assert due(known(history)) is None


def test_an_erasure_that_a_restored_backup_has_undone_is_carried_out_again() -> None:
    reapplied = CustomerErased(erased_at=NOW, reason_code="reapplied", request_ref=None, keys_destroyed=1)
    for given in (past(REGISTERED), past(REGISTERED, ARCHIVED)):
        assert when(ReapplyErasure(), given=given) == [reapplied]
    assert when(ReapplyErasure(), given=[REGISTERED, ERASURE_REQUESTED]) == [
        CustomerErased(erased_at=NOW, reason_code="reapplied", request_ref="LGPD-7", keys_destroyed=1)
    ]


@pytest.mark.parametrize("command", [DoWhatIsDue(), ReapplyErasure()])
def test_an_erased_customer_is_not_erased_again(command: DoWhatIsDue | ReapplyErasure) -> None:
    assert when(command, given=[REGISTERED, ERASURE_REQUESTED, ERASED], now=DUE + DAY) == []


@pytest.mark.parametrize("until", [None, DUE])
def test_a_customer_under_a_legal_hold_cannot_be_erased(until: datetime | None) -> None:
    command = PlaceLegalHold(reason="tax audit", until=until)
    placed = when(command)
    assert placed == [CustomerLegalHoldPlaced(until=until, reason="tax audit")]
    for erasure in (AT_ONCE, RequestErasure(due_at=DUE)):
        with pytest.raises(CustomerIsHeld):
            when(erasure, given=[REGISTERED, *placed])
    assert when(command, given=[REGISTERED, *placed]) == []


def test_a_legal_hold_can_be_given_another_end() -> None:
    longer = when(
        PlaceLegalHold(reason="audit", until=DUE + DAY), given=[REGISTERED, CustomerLegalHoldPlaced(until=DUE)]
    )
    assert longer == [CustomerLegalHoldPlaced(until=DUE + DAY, reason="audit")]


def test_a_legal_hold_ends_at_its_end() -> None:
    held = past(REGISTERED, CustomerLegalHoldPlaced(until=DUE))
    with pytest.raises(CustomerIsHeld):
        when(RequestErasure(due_at=DUE), given=held, now=DUE - MOMENT)
    assert len(when(RequestErasure(due_at=DUE), given=held, now=DUE)) == 2


def test_under_a_legal_hold_a_pending_erasure_waits() -> None:
    pending = past(REGISTERED, ERASURE_REQUESTED)
    for_good = past(*pending, CustomerLegalHoldPlaced())
    assert due(known(for_good)) is None
    assert when(DoWhatIsDue(), given=for_good, now=DUE + DAY) == []
    longer = past(*pending, CustomerLegalHoldPlaced(until=DUE + DAY))
    assert due(known(longer)) == DUE + DAY
    assert when(DoWhatIsDue(), given=longer, now=DUE) == []
    assert len(when(DoWhatIsDue(), given=longer, now=DUE + DAY)) == 1
    shorter = past(*pending, CustomerLegalHoldPlaced(until=DUE - DAY))
    assert due(known(shorter)) == DUE
    assert len(when(DoWhatIsDue(), given=shorter, now=DUE)) == 1


@pytest.mark.parametrize("before", [[], [ARCHIVED], [ERASURE_REQUESTED]])
def test_once_a_legal_hold_is_lifted_the_customer_can_be_erased(before: list[CustomerEvent]) -> None:
    given = past(REGISTERED, *before, CustomerLegalHoldPlaced())
    lifted = when(LiftLegalHold(reason="over"), given=given)
    assert lifted == [CustomerLegalHoldLifted(reason="over")]
    assert when(AT_ONCE, given=[*given, *lifted])[-1] == erased("LGPD-8")
    assert when(LiftLegalHold(), given=[*given, *lifted]) == []
