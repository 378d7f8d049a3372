"""Every business rule of a customer, pure: `decide` and `evolve`, and what must be unique across customers.

CustomerError
+-- CustomerNotFound
+-- CustomerIsArchived
"""

import unicodedata
from typing import Literal, NamedTuple, TypeAlias, assert_never

import msgspec
from customerflow_shared.events import (
    CustomerArchived,
    CustomerEmailChanged,
    CustomerEvent,
    CustomerRegistered,
    CustomerRenamed,
    CustomerRestored,
    CustomerType,
)


class RegisterCustomer(msgspec.Struct, frozen=True, kw_only=True):
    customer_type: CustomerType
    name: str
    email: str | None = None


class ChangeCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """What is not mentioned stays; an `email` of None removes the address."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    email: str | msgspec.UnsetType | None = msgspec.UNSET


class ArchiveCustomer(msgspec.Struct, frozen=True):
    pass


class RestoreCustomer(msgspec.Struct, frozen=True):
    pass


Command: TypeAlias = RegisterCustomer | ChangeCustomer | ArchiveCustomer | RestoreCustomer


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """As much of a customer as the rules read."""

    status: Literal["active", "archived"]
    name: str
    email: str | None


class Claim(NamedTuple):
    """A value that only one customer may hold, in the form in which two spellings of it are equal."""

    kind: str
    normal_form: str


class CustomerError(Exception):
    """A rule forbids the command."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class CustomerNotFound(CustomerError):
    """No customer has this id."""


class CustomerIsArchived(CustomerError):
    """An archived customer takes no changes until it is restored."""


def decide(customer: Customer | None, command: Command) -> list[CustomerEvent]:
    """The events that the command amounts to; none if it changes nothing."""
    match command:
        case RegisterCustomer():
            return [CustomerRegistered(customer_type=command.customer_type, name=command.name, email=command.email)]
        case ChangeCustomer():
            return change(existing(customer), command)
        case ArchiveCustomer():
            return [] if existing(customer).status == "archived" else [CustomerArchived()]
        case RestoreCustomer():
            return [] if existing(customer).status == "active" else [CustomerRestored()]
        case _:
            assert_never(command)


def change(customer: Customer, command: ChangeCustomer) -> list[CustomerEvent]:
    if customer.status == "archived":
        raise CustomerIsArchived
    events: list[CustomerEvent] = []
    if command.name is not msgspec.UNSET and command.name != customer.name:
        events.append(CustomerRenamed(name=command.name, previous_name=customer.name))
    if command.email is not msgspec.UNSET and command.email != customer.email:
        events.append(CustomerEmailChanged(email=command.email, previous_email=customer.email))
    return events


def existing(customer: Customer | None) -> Customer:
    if customer is None:
        raise CustomerNotFound
    return customer


def evolve(customer: Customer | None, event: CustomerEvent) -> Customer:
    """Never refuses: what has happened has happened."""
    match event:
        case CustomerRegistered():
            return Customer(status="active", name=event.name, email=event.email)
        case CustomerRenamed():
            return msgspec.structs.replace(existing(customer), name=event.name)
        case CustomerEmailChanged():
            return msgspec.structs.replace(existing(customer), email=event.email)
        case CustomerArchived():
            return msgspec.structs.replace(existing(customer), status="archived")
        case CustomerRestored():
            return msgspec.structs.replace(existing(customer), status="active")
        case _:
            assert_never(event)


def claims(customer: Customer | None) -> frozenset[Claim]:
    """What the customer holds alone. An archived customer keeps it, so that restoring cannot conflict."""
    if customer is None or customer.email is None:
        return frozenset()
    local, _, domain = customer.email.rpartition("@")
    return frozenset({Claim("email", f"{unicodedata.normalize('NFC', local.casefold())}@{domain.lower()}")})
