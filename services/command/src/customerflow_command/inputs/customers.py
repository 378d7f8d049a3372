"""A whole customer: registered, changed, or either."""

from typing import Any

from customerflow_shared.inputs.emails import email
from customerflow_shared.inputs.fields import Fields
from customerflow_shared.values import ExternalId
from msgspec import UNSET, structs

from customerflow_command.customer.commands import ChangeCustomer, RegisterCustomer, UpsertCustomer
from customerflow_command.customer.state import Customer
from customerflow_command.inputs import addresses, profile
from customerflow_command.inputs.attributes import attributes, patched_attributes
from customerflow_command.inputs.consents import consents
from customerflow_command.inputs.context import Context
from customerflow_command.inputs.labels import external_ids, tags
from customerflow_command.inputs.phones import patched_phone, phone
from customerflow_command.inputs.tax_ids import tax_ids

_CHANGEABLE = profile.FIELDS | {"type", "email", "phone", "phoneCountry", "phoneExtension", "attributes"}
_COLLECTIONS = frozenset({"taxIds", "addresses", "consents", "tags", "externalIds"})
_REGISTRABLE = _CHANGEABLE | _COLLECTIONS
_NOT_PATCHABLE = _COLLECTIONS | {"status", "defaultAddresses"}


def register(body: dict[str, Any], context: Context) -> RegisterCustomer:
    fields = Fields(body, _REGISTRABLE)
    customer_type = fields.required("type", profile.customer_type)
    name = fields.required("name", profile.name)
    plain, personal = profile.profile(fields), profile.personal_profile(fields, context)
    address, number = fields.optional("email", email), phone(fields)
    known_addresses, issues = addresses.addresses(fields, context)
    command = RegisterCustomer(
        customer_type=customer_type,
        name=name,
        profile=plain,
        personal=personal,
        email=address,
        phone=number,
        tax_ids=tax_ids(fields, context),
        addresses=known_addresses,
        consents=consents(fields, context),
        tags=tags(fields),
        external_ids=external_ids(fields, context),
        attributes=attributes(fields),
        issues=(*profile.name_issues(name), *issues),
    )
    fields.check()
    return command


def change(body: dict[str, Any], context: Context, customer: Customer) -> ChangeCustomer:
    """A merge patch (RFC 7396)."""
    return _change(body, context, customer)


def upsert(
    body: dict[str, Any], context: Context, external_id: ExternalId, customer: Customer | None = None
) -> UpsertCustomer:
    """A merge patch of `customer`, or of one that is not there yet."""
    return UpsertCustomer(external_id=external_id, change=_change(body, context, customer))


def _change(body: dict[str, Any], context: Context, customer: Customer | None) -> ChangeCustomer:
    fields = Fields(body, _CHANGEABLE, not_patchable=_NOT_PATCHABLE)
    customer_type = fields.patch_required("type", profile.customer_type)
    name = fields.patch_required("name", profile.name)
    plain, personal = profile.profile(fields), profile.personal_profile(fields, context)
    command = ChangeCustomer(
        profile=structs.replace(plain, type=customer_type),
        personal=structs.replace(personal, name=name),
        email=fields.patch("email", email),
        phone=patched_phone(fields, customer.phone if customer else None),
        attributes=patched_attributes(fields),
        issues=profile.name_issues(None if name is UNSET else name),
    )
    fields.check()
    return command
