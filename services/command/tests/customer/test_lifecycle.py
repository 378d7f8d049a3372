"""Suspended, archived, and back."""

import pytest
from customerflow_command.customer.commands import (
    ArchiveCustomer,
    Command,
    DoWhatIsDue,
    ReactivateCustomer,
    RestoreCustomer,
    SuspendCustomer,
    TagCustomer,
)
from customerflow_command.customer.errors import CustomerIsArchived, InvalidTransition
from customerflow_command.customer.state import due
from customerflow_shared.events import (
    CustomerArchived,
    CustomerReactivated,
    CustomerRestored,
    CustomerSuspended,
)

from .sentences import ARCHIVED, DAY, MOMENT, NOW, REGISTERED, SUSPENDED, known, past, when

TOMORROW = NOW + DAY
UNTIL_TOMORROW = CustomerSuspended(until=TOMORROW, reason="chargeback")
REACTIVATED = CustomerReactivated()


def test_a_customer_is_suspended_until_somebody_reactivates_it() -> None:
    suspended = when(SuspendCustomer(reason="chargeback"))
    assert suspended == [CustomerSuspended(until=None, reason="chargeback")]
    assert known([REGISTERED, *suspended]).status == "suspended"
    assert due(known([REGISTERED, *suspended])) is None


def test_a_customer_is_suspended_for_a_time() -> None:
    suspended = when(SuspendCustomer(reason="chargeback", until=TOMORROW))
    assert suspended == [UNTIL_TOMORROW]
    assert due(known([REGISTERED, *suspended])) == TOMORROW


def test_a_customer_is_suspended_once() -> None:
    assert when(SuspendCustomer(reason="another"), given=[REGISTERED, SUSPENDED]) == []
    again = SuspendCustomer(reason="another", until=TOMORROW)
    assert when(again, given=[REGISTERED, UNTIL_TOMORROW]) == []


def test_the_end_of_a_suspension_can_be_moved() -> None:
    moved = when(SuspendCustomer(reason="fraud", until=TOMORROW + DAY), given=[REGISTERED, UNTIL_TOMORROW])
    assert moved == [CustomerSuspended(until=TOMORROW + DAY, reason="fraud")]
    assert due(known([REGISTERED, UNTIL_TOMORROW, *moved])) == TOMORROW + DAY


def test_a_suspension_can_be_made_to_last() -> None:
    given = past(REGISTERED, UNTIL_TOMORROW)
    moved = when(SuspendCustomer(reason="fraud"), given=given)
    assert moved == [CustomerSuspended(until=None, reason="fraud")]
    assert due(known([*given, *moved])) is None


def test_a_suspended_customer_still_takes_changes() -> None:
    assert len(when(TagCustomer(tag="vip"), given=[REGISTERED, SUSPENDED])) == 1


def test_a_suspended_customer_is_reactivated_once() -> None:
    given = past(REGISTERED, UNTIL_TOMORROW)
    reactivated = when(ReactivateCustomer(reason="paid"), given=given)
    assert reactivated == [CustomerReactivated(reason="paid")]
    assert known([*given, *reactivated]) == known([REGISTERED])
    assert when(ReactivateCustomer(), given=[*given, *reactivated]) == []


def test_a_suspension_counts_until_its_end_has_been_recorded() -> None:
    given = past(REGISTERED, UNTIL_TOMORROW)
    assert when(DoWhatIsDue(), given=given, now=TOMORROW - MOMENT) == []
    assert when(DoWhatIsDue(), given=given, now=TOMORROW) == [REACTIVATED]
    assert when(ReactivateCustomer(), given=given, now=TOMORROW + DAY) == [REACTIVATED]


def test_nothing_is_due_of_an_active_customer_or_one_that_is_suspended_for_good() -> None:
    assert when(DoWhatIsDue()) == []
    assert when(DoWhatIsDue(), given=[REGISTERED, SUSPENDED]) == []


def test_a_customer_is_archived_once() -> None:
    archived = when(ArchiveCustomer(reason="moved away"))
    assert archived == [CustomerArchived(previous_status="active", reason="moved away")]
    assert known([REGISTERED, *archived]).status == "archived"
    assert when(ArchiveCustomer(), given=[REGISTERED, *archived]) == []


def test_an_archived_customer_can_be_restored() -> None:
    given = past(REGISTERED, ARCHIVED)
    restored = when(RestoreCustomer(reason="came back"), given=given)
    assert restored == [CustomerRestored(status="active", reason="came back")]
    assert known([*given, *restored]) == known([REGISTERED])
    assert len(when(TagCustomer(tag="vip"), given=[*given, *restored])) == 1


def test_a_customer_that_was_suspended_when_it_was_archived_is_suspended_again() -> None:
    given = past(REGISTERED, UNTIL_TOMORROW)
    archived = when(ArchiveCustomer(), given=given)
    assert archived == [CustomerArchived(previous_status="suspended")]
    given += archived
    assert known(given).status == "archived"
    restored = when(RestoreCustomer(), given=given)
    assert restored == [CustomerRestored(status="suspended")]
    after = known([*given, *restored])
    assert (after.status, after.suspended_until) == ("suspended", TOMORROW)


def test_a_suspension_that_ends_while_the_customer_is_archived_ends_once_it_is_restored() -> None:
    given = past(REGISTERED, UNTIL_TOMORROW, CustomerArchived(previous_status="suspended"))
    assert due(known(given)) is None
    assert when(DoWhatIsDue(), given=given, now=TOMORROW + DAY) == []
    given.append(CustomerRestored(status="suspended"))
    assert due(known(given)) == TOMORROW
    assert when(DoWhatIsDue(), given=given, now=TOMORROW + DAY) == [REACTIVATED]


def test_restoring_an_active_customer_changes_nothing() -> None:
    assert when(RestoreCustomer()) == []


def test_a_suspended_customer_is_reactivated_and_not_restored() -> None:
    with pytest.raises(InvalidTransition) as refused:
        when(RestoreCustomer(), given=[REGISTERED, SUSPENDED])
    assert (refused.value.current, refused.value.allowed) == ("suspended", ("active", "archived"))


@pytest.mark.parametrize("command", [SuspendCustomer(reason="fraud"), ReactivateCustomer()])
def test_an_archived_customer_is_neither_suspended_nor_reactivated(command: Command) -> None:
    with pytest.raises(CustomerIsArchived):
        when(command, given=[REGISTERED, ARCHIVED])
