"""Addresses, at most twenty, and a default for each use."""

from uuid import UUID

import msgspec
import pytest
from customerflow_command.customer.commands import (
    AddAddress,
    ChangeAddress,
    Command,
    RemoveAddress,
    SetDefaultAddress,
)
from customerflow_command.customer.decide import resource
from customerflow_command.customer.errors import AddressNotFound, AddressUnknown, LimitReached
from customerflow_shared.events import (
    CustomerAddressAdded,
    CustomerAddressChanged,
    CustomerAddressRemoved,
    CustomerDefaultAddressSet,
)
from customerflow_shared.values import DefaultRole, Issue

from .sentences import REGISTERED, address, known, number, past, registered, when

HOME, OFFICE = address(1), address(2, "Rua Augusta")
WITH_BOTH = registered(addresses=[HOME, OFFICE])
ODD = (Issue(path=f"addresses/{number(1)}/city", code="city-unknown"),)


def default(role: DefaultRole, n: int, before: UUID | None = None) -> CustomerDefaultAddressSet:
    return CustomerDefaultAddressSet(role=role, address_id=number(n), previous_address_id=before)


def test_an_address_is_added_with_what_is_odd_about_it() -> None:
    command = AddAddress(address=HOME, issues=ODD)
    added = when(command)
    assert added == [
        CustomerAddressAdded(
            address_id=number(1), roles=("billing",), country="BR", region="SP", issues=ODD, address=HOME
        )
    ]
    after = known([REGISTERED, *added])
    assert after.addresses == (HOME,)
    assert resource(command, after) == number(1)


def test_a_region_that_is_no_code_is_not_kept_in_clear() -> None:
    somewhere = msgspec.structs.replace(HOME, region="Behind the seven hills")
    for region, kept in [("SP", "SP"), ("11", "11"), ("NSW", "NSW"), (somewhere.region, None), (None, None)]:
        wanted = msgspec.structs.replace(HOME, region=region)
        (added,) = when(AddAddress(address=wanted))
        (changed,) = when(
            ChangeAddress(address=wanted),
            given=[registered(addresses=[OFFICE, msgspec.structs.replace(HOME, label="x")])],
        )
        assert isinstance(added, CustomerAddressAdded)
        assert isinstance(changed, CustomerAddressChanged)
        assert (added.region, changed.region) == (kept, kept)
        assert added.address == wanted


def test_a_new_address_comes_after_those_before() -> None:
    added = when(AddAddress(address=address(3)), given=[WITH_BOTH])
    assert known([WITH_BOTH, *added]).addresses == (HOME, OFFICE, address(3))


def test_a_customer_has_at_most_twenty_addresses() -> None:
    nineteen = [address(n) for n in range(19)]
    assert when(AddAddress(address=address(99)), given=[registered(addresses=nineteen)]) != []
    with pytest.raises(LimitReached) as refused:
        when(AddAddress(address=address(99)), given=[registered(addresses=[*nineteen, address(19)])])
    assert refused.value.limit == 20


def test_a_changed_address_is_told_with_the_one_before() -> None:
    moved = msgspec.structs.replace(
        HOME, postal_code="01310-100", line1="Av. Brasil", roles=(), country="PT", region="11"
    )
    changed = when(ChangeAddress(address=moved, issues=ODD), given=[WITH_BOTH])
    assert changed == [
        CustomerAddressChanged(
            address_id=number(1),
            changed=("country", "line1", "roles", "region", "postalCode"),
            roles=(),
            country="PT",
            region="11",
            issues=ODD,
            address=moved,
            previous_address=HOME,
        )
    ]
    assert known([WITH_BOTH, *changed]).addresses == (moved, OFFICE)


def test_an_address_changed_to_what_it_is_has_not_changed() -> None:
    assert when(ChangeAddress(address=OFFICE, issues=ODD), given=[WITH_BOTH]) == []


def test_an_address_is_removed() -> None:
    removed = when(RemoveAddress(address_id=number(1)), given=[WITH_BOTH])
    assert removed == [CustomerAddressRemoved(address_id=number(1), address=HOME)]
    assert known([WITH_BOTH, *removed]).addresses == (OFFICE,)


def test_removing_an_address_leaves_no_default_that_leads_to_it() -> None:
    given = past(WITH_BOTH, default("billing", 1), default("shipping", 2))
    assert known(given).default_addresses == {"billing": number(1), "shipping": number(2)}
    removed = when(RemoveAddress(address_id=number(1)), given=given)
    assert known([*given, *removed]).default_addresses == {"shipping": number(2)}


@pytest.mark.parametrize("command", [ChangeAddress(address=address(3)), RemoveAddress(address_id=number(3))])
def test_an_address_that_is_not_there_can_neither_be_changed_nor_removed(command: Command) -> None:
    with pytest.raises(AddressNotFound):
        when(command, given=[WITH_BOTH])


def test_a_default_is_told_with_the_one_before() -> None:
    first = when(SetDefaultAddress(role="billing", address_id=number(1)), given=[WITH_BOTH])
    assert first == [default("billing", 1)]
    second = when(SetDefaultAddress(role="billing", address_id=number(2)), given=[WITH_BOTH, *first])
    assert second == [default("billing", 2, before=number(1))]
    assert known([WITH_BOTH, *first, *second]).default_addresses == {"billing": number(2)}


def test_one_address_may_be_the_default_for_both_uses() -> None:
    given = past(WITH_BOTH, default("billing", 1))
    assert when(SetDefaultAddress(role="shipping", address_id=number(1)), given=given) == [default("shipping", 1)]


def test_a_default_is_set_once() -> None:
    given = past(WITH_BOTH, default("billing", 1))
    assert when(SetDefaultAddress(role="billing", address_id=number(1)), given=given) == []


def test_an_address_that_is_not_there_cannot_become_a_default() -> None:
    with pytest.raises(AddressUnknown):
        when(SetDefaultAddress(role="billing", address_id=number(3)), given=[WITH_BOTH])
