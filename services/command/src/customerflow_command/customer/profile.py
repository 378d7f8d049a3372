"""What a change of the plain fields, of the contact points and of the attributes amounts to."""

from typing import TypeVar

from customerflow_shared.events import (
    CustomerAttributesChanged,
    CustomerEmailChanged,
    CustomerEvent,
    CustomerPhoneChanged,
    CustomerProfileChanged,
)
from customerflow_shared.values import Attribute, PersonalProfile, Profile, given_fields
from msgspec import UNSET

from customerflow_command.customer.commands import ChangeCustomer
from customerflow_command.customer.limits import MAX_ATTRIBUTES, require_at_most
from customerflow_command.customer.state import Customer

Fields = TypeVar("Fields", Profile, PersonalProfile)


def change(customer: Customer, command: ChangeCustomer) -> list[CustomerEvent]:
    return [
        *change_profile(customer, command),
        *change_email(customer, command),
        *change_phone(customer, command),
        *change_attributes(customer, command),
    ]


def change_profile(customer: Customer, command: ChangeCustomer) -> list[CustomerEvent]:
    profile, previous_profile = difference(customer, command.profile)
    personal, previous_personal = difference(customer, command.personal)
    changed = paths(profile) + paths(personal)
    if not changed:
        return []
    return [
        CustomerProfileChanged(
            changed=changed,
            profile=profile,
            previous_profile=previous_profile,
            issues=() if personal.name is UNSET else command.issues,
            personal=personal,
            previous_personal=previous_personal,
        )
    ]


def difference(customer: Customer, wanted: Fields) -> tuple[Fields, Fields]:
    """What really changes, and what was there before; all else is UNSET."""
    changed = {name: value for name, value in given_fields(wanted).items() if value != getattr(customer, name)}
    previous = {name: present for name in changed if (present := getattr(customer, name)) is not None}
    fields = type(wanted)
    return fields(**changed), fields(**previous)


def paths(fields: Profile | PersonalProfile) -> tuple[str, ...]:
    return tuple(
        path
        for path, name in zip(fields.__struct_encode_fields__, fields.__struct_fields__, strict=True)
        if getattr(fields, name) is not UNSET
    )


def change_email(customer: Customer, command: ChangeCustomer) -> list[CustomerEvent]:
    if command.email is UNSET or command.email == customer.email:
        return []
    return [CustomerEmailChanged(email=command.email, previous_email=customer.email)]


def change_phone(customer: Customer, command: ChangeCustomer) -> list[CustomerEvent]:
    if command.phone is UNSET or command.phone == customer.phone:
        return []
    return [CustomerPhoneChanged(phone=command.phone, previous_phone=customer.phone)]


def change_attributes(customer: Customer, command: ChangeCustomer) -> list[CustomerEvent]:
    if command.attributes is UNSET:
        return []
    present = customer.attributes
    wanted = dict.fromkeys(present) if command.attributes is None else command.attributes
    changed = tuple(key for key, value in wanted.items() if not same(value, present.get(key)))
    if not changed:
        return []
    after = {key: value for key, value in {**present, **wanted}.items() if value is not None}
    require_at_most(MAX_ATTRIBUTES, after)
    return [
        CustomerAttributesChanged(
            changed=changed,
            attributes={key: after[key] for key in changed if key in after},
            previous_attributes={key: present[key] for key in changed if key in present},
        )
    ]


def same(one: Attribute | None, other: Attribute | None) -> bool:
    """To Python, 1 and True are equal."""
    return type(one) is type(other) and one == other
