"""Addresses: each field by itself, then what the country asks of them together."""

from typing import Any
from uuid import UUID

import msgspec
from customerflow_shared.inputs.countries import country
from customerflow_shared.inputs.fields import REQUIRED, Fields, Unfit
from customerflow_shared.inputs.text import ascii_compatible, one_of, text, trimmed, uuid
from customerflow_shared.values import Address, AddressRole, DefaultRole, Issue

from customerflow_command.customer.commands import AddAddress, ChangeAddress, SetDefaultAddress
from customerflow_command.customer.limits import MAX_ADDRESSES
from customerflow_command.inputs import postal
from customerflow_command.inputs.context import Context

_KNOWN = frozenset(
    {
        "label",
        "roles",
        "country",
        "postalCode",
        "line1",
        "number",
        "line2",
        "district",
        "city",
        "region",
        "recipient",
    }
)
_ROLES: tuple[AddressRole, ...] = ("billing", "shipping", "residential")
_DEFAULT_ROLES: tuple[DefaultRole, ...] = ("billing", "shipping")

_role, _default_role = one_of(*_ROLES), one_of(*_DEFAULT_ROLES)
_label, _line, _place, _house = text(50), text(200), text(100), text(20)


def add_address(body: dict[str, Any], context: Context) -> AddAddress:
    fields = Fields(body, _KNOWN)
    address, issues = _address(fields, context.new_id())
    fields.check()
    return AddAddress(address=address, issues=issues)


def change_address(body: dict[str, Any], context: Context, current: Address) -> ChangeAddress:
    """A merge patch. The address is read as it shall be, so it must satisfy its country as a whole."""
    present = msgspec.to_builtins(current) | {"roles": list(current.roles)}
    del present["id"]
    fields = Fields(present | body, _KNOWN)
    address, issues = _address(fields, current.id)
    fields.check()
    return ChangeAddress(address=address, issues=issues)


def default_address(body: dict[str, Any], role: str) -> SetDefaultAddress:
    fields = Fields(body, {"addressId"})
    known_role = fields.parameter("role", role, _default_role)
    address_id = fields.required("addressId", lambda value: uuid(value, "address-unknown"))
    fields.check()
    return SetDefaultAddress(role=known_role, address_id=address_id)


def addresses(fields: Fields, context: Context) -> tuple[tuple[Address, ...], tuple[Issue, ...]]:
    found = [_address(item, context.new_id()) for item in fields.objects("addresses", MAX_ADDRESSES, _KNOWN)]
    return tuple(address for address, _ in found), tuple(issue for _, issues in found for issue in issues)


def _address(fields: Fields, address_id: UUID) -> tuple[Address, tuple[Issue, ...]]:
    address = Address(
        id=address_id,
        label=fields.optional("label", _label),
        roles=fields.values("roles", len(_ROLES), _role),
        country=fields.required("country", country),
        postal_code=fields.optional("postalCode", _postal_code),
        line1=fields.required("line1", _line),
        number=fields.optional("number", _house),
        line2=fields.optional("line2", _line),
        district=fields.optional("district", _place),
        city=fields.optional("city", _place),
        region=fields.optional("region", _place),
        recipient=fields.optional("recipient", _line),
    )
    return _as_its_country_has_it(fields, address) if address.country else (address, ())


def _as_its_country_has_it(fields: Fields, address: Address) -> tuple[Address, tuple[Issue, ...]]:
    rules = postal.rules(address.country)
    for name in sorted(rules.required):
        if not fields.holds(name):
            fields.refuse(REQUIRED, name)
    postal_code, region = address.postal_code, address.region
    if address.country == "BR" and postal_code and len(postal_code) == 8:
        postal_code = f"{postal_code[:5]}-{postal_code[5:]}"
    is_postal_code = postal_code is not None and (rules.postal_code is None or rules.postal_code.fullmatch(postal_code))
    if postal_code is not None and not is_postal_code:
        fields.refuse(Unfit("postal-format", "The country has no such postal code."), "postalCode")
    known = None
    if region is not None and rules.regions:
        region = region.upper()
        known = rules.regions.get(region)
        if known is None:
            fields.refuse(Unfit("region-unknown", "The country has no region of this code in ISO 3166-2."), "region")
    if known and known.postal_code and postal_code and is_postal_code and not known.postal_code.match(postal_code):
        fields.refuse(Unfit("postal-region-mismatch", "The postal code lies in another region."), "postalCode")
    address = msgspec.structs.replace(address, postal_code=postal_code, region=region)
    unknown_city = known and known.cities and address.city and postal.fold(address.city) not in known.cities
    return address, (Issue(path=f"addresses/{address.id}/city", code="city-unknown"),) if unknown_city else ()


def _postal_code(value: Any) -> str:
    """In capitals, with plain digits; whether it is one only its country knows."""
    return " ".join(ascii_compatible(trimmed(value, 20), "postal-format").upper().split())
