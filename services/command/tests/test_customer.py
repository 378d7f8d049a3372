"""Every business rule, as given / when / then."""

from collections.abc import Sequence
from functools import reduce

import pytest
from customerflow_command.customer import (
    ArchiveCustomer,
    ChangeCustomer,
    Claim,
    Command,
    Customer,
    CustomerIsArchived,
    CustomerNotFound,
    RegisterCustomer,
    RestoreCustomer,
    claims,
    decide,
    evolve,
)
from customerflow_shared.events import (
    CustomerArchived,
    CustomerEmailChanged,
    CustomerEvent,
    CustomerRegistered,
    CustomerRenamed,
    CustomerRestored,
)
from hypothesis import given as holds_for
from hypothesis import strategies as some

REGISTERED = CustomerRegistered(customer_type="person", name="Ana Souza", email="ana@example.com")
ARCHIVED = CustomerArchived()
RESTORED = CustomerRestored()


def state(given: Sequence[CustomerEvent]) -> Customer | None:
    return reduce(evolve, given, None)


def when(command: Command, *, given: Sequence[CustomerEvent] = ()) -> list[CustomerEvent]:
    return decide(state(given), command)


def test_registering_a_customer_states_who_it_is() -> None:
    command = RegisterCustomer(customer_type="company", name="Padaria Central", email="oi@example.com")
    assert when(command) == [
        CustomerRegistered(customer_type="company", name="Padaria Central", email="oi@example.com")
    ]


def test_a_new_name_renames() -> None:
    assert when(ChangeCustomer(name="Ana Lima"), given=[REGISTERED]) == [
        CustomerRenamed(name="Ana Lima", previous_name="Ana Souza")
    ]


def test_one_change_states_each_thing_that_changed() -> None:
    assert when(ChangeCustomer(name="Ana Lima", email=None), given=[REGISTERED]) == [
        CustomerRenamed(name="Ana Lima", previous_name="Ana Souza"),
        CustomerEmailChanged(email=None, previous_email="ana@example.com"),
    ]


def test_what_is_not_mentioned_stays() -> None:
    assert when(ChangeCustomer(email="new@example.com"), given=[REGISTERED]) == [
        CustomerEmailChanged(email="new@example.com", previous_email="ana@example.com")
    ]


@pytest.mark.parametrize(
    "command",
    [
        ChangeCustomer(),
        ChangeCustomer(name="Ana Souza"),
        ChangeCustomer(name="Ana Souza", email="ana@example.com"),
        RestoreCustomer(),
    ],
)
def test_a_command_that_changes_nothing_is_no_event(command: Command) -> None:
    assert when(command, given=[REGISTERED]) == []


def test_a_customer_is_archived_once() -> None:
    assert when(ArchiveCustomer(), given=[REGISTERED]) == [ARCHIVED]
    assert when(ArchiveCustomer(), given=[REGISTERED, ARCHIVED]) == []


def test_an_archived_customer_can_be_restored() -> None:
    assert when(RestoreCustomer(), given=[REGISTERED, ARCHIVED]) == [RESTORED]
    assert when(ChangeCustomer(name="Ana Lima"), given=[REGISTERED, ARCHIVED, RESTORED]) != []


def test_an_archived_customer_takes_no_changes() -> None:
    with pytest.raises(CustomerIsArchived):
        when(ChangeCustomer(name="Ana Lima"), given=[REGISTERED, ARCHIVED])


@pytest.mark.parametrize("command", [ChangeCustomer(name="Ana"), ArchiveCustomer(), RestoreCustomer()])
def test_only_an_existing_customer_can_be_changed(command: Command) -> None:
    with pytest.raises(CustomerNotFound):
        when(command)


def test_an_address_is_claimed_regardless_of_case() -> None:
    spellings = [
        CustomerRegistered(customer_type="person", name="Ana", email=email)
        for email in ("ana@example.com", "ANA@Example.COM")
    ]
    assert {claims(state([event])) for event in spellings} == {frozenset({Claim("email", "ana@example.com")})}


def test_accents_and_dots_make_different_addresses() -> None:
    emails = ("jose@example.com", "josé@example.com", "jo.se@example.com", "jose+x@example.com")
    held = {claims(state([CustomerRegistered(customer_type="person", name="José", email=email)])) for email in emails}
    assert len(held) == len(emails)


def test_an_archived_customer_keeps_its_claims_so_that_restoring_cannot_conflict() -> None:
    assert claims(state([REGISTERED, ARCHIVED])) == claims(state([REGISTERED])) != frozenset()


def test_a_customer_without_address_claims_nothing() -> None:
    assert claims(None) == frozenset()
    assert (
        claims(state([REGISTERED, CustomerEmailChanged(email=None, previous_email="ana@example.com")])) == frozenset()
    )


COMMANDS = some.one_of(
    some.builds(
        ChangeCustomer,
        name=some.sampled_from(["Ana", "Bia", "Caio"]),
        email=some.sampled_from([None, "a@example.com", "b@example.com"]),
    ),
    some.just(ArchiveCustomer()),
    some.just(RestoreCustomer()),
)


@holds_for(some.lists(COMMANDS, max_size=30))
def test_repeating_any_command_at_once_changes_nothing(commands: list[Command]) -> None:
    history: list[CustomerEvent] = [REGISTERED]
    for command in commands:
        try:
            history += when(command, given=history)
        except CustomerIsArchived:
            continue
        assert when(command, given=history) == []
