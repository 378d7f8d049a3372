"""The customer's postal addresses, and which of them is used for what unless somebody says otherwise."""

import re
from uuid import UUID

from customerflow_shared.events import (
    CustomerAddressAdded,
    CustomerAddressChanged,
    CustomerAddressRemoved,
    CustomerDefaultAddressSet,
    CustomerEvent,
)
from customerflow_shared.values import Address

from customerflow_command.customer.commands import AddAddress, ChangeAddress, RemoveAddress, SetDefaultAddress
from customerflow_command.customer.errors import AddressNotFound, AddressUnknown
from customerflow_command.customer.limits import MAX_ADDRESSES, require_room
from customerflow_command.customer.state import Customer

_REGION_CODE = re.compile(r"[A-Z0-9]{1,3}")


def add(customer: Customer, command: AddAddress) -> list[CustomerEvent]:
    require_room(MAX_ADDRESSES, customer.addresses)
    address = command.address
    return [
        CustomerAddressAdded(
            address_id=address.id,
            roles=address.roles,
            country=address.country,
            region=region_code(address),
            issues=command.issues,
            address=address,
        )
    ]


def change(customer: Customer, command: ChangeAddress) -> list[CustomerEvent]:
    address = command.address
    present = find(customer, address.id)
    if present is None:
        raise AddressNotFound
    changed = paths_that_differ(present, address)
    if not changed:
        return []
    return [
        CustomerAddressChanged(
            address_id=address.id,
            changed=changed,
            roles=address.roles,
            country=address.country,
            region=region_code(address),
            issues=command.issues,
            address=address,
            previous_address=present,
        )
    ]


def region_code(address: Address) -> str | None:
    """Where a country has no codes for them, a region is a text of any kind: that is kept with the personal data."""
    return address.region if address.region and _REGION_CODE.fullmatch(address.region) else None


def paths_that_differ(one: Address, other: Address) -> tuple[str, ...]:
    return tuple(
        path
        for path, name in zip(one.__struct_encode_fields__, one.__struct_fields__, strict=True)
        if getattr(one, name) != getattr(other, name)
    )


def remove(customer: Customer, command: RemoveAddress) -> list[CustomerEvent]:
    present = find(customer, command.address_id)
    if present is None:
        raise AddressNotFound
    return [CustomerAddressRemoved(address_id=present.id, address=present)]


def set_default(customer: Customer, command: SetDefaultAddress) -> list[CustomerEvent]:
    if find(customer, command.address_id) is None:
        raise AddressUnknown
    previous = customer.default_addresses.get(command.role)
    if previous == command.address_id:
        return []
    return [CustomerDefaultAddressSet(role=command.role, address_id=command.address_id, previous_address_id=previous)]


def find(customer: Customer, address_id: UUID) -> Address | None:
    return next((address for address in customer.addresses if address.id == address_id), None)
