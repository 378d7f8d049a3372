"""The tax ids of a customer."""

from typing import Any

from customerflow_shared.inputs.fields import Fields, Unfit
from customerflow_shared.inputs.tax_ids import TAX_ID, typed_number
from customerflow_shared.values import TaxId

from customerflow_command.customer.commands import AddTaxId
from customerflow_command.customer.limits import MAX_TAX_IDS
from customerflow_command.customer.state import OTHER_TAX_ID
from customerflow_command.inputs.context import Context


def add_tax_id(body: dict[str, Any], context: Context) -> AddTaxId:
    fields = Fields(body, TAX_ID)
    tax_id = _tax_id(fields, context)
    fields.check()
    return AddTaxId(tax_id=tax_id)


def tax_ids(fields: Fields, context: Context) -> tuple[TaxId, ...]:
    """One of each type; of the type `other` any number, each value once."""
    seen: set[tuple[str, str]] = set()
    found = []
    for item in fields.objects("taxIds", MAX_TAX_IDS, TAX_ID):
        tax_id = _tax_id(item, context)
        unique = tax_id.type, tax_id.value if tax_id.type == OTHER_TAX_ID else ""
        if unique in seen:
            item.refuse(Unfit("tax-id-type-present", "There is another tax id of this type."), "type")
        if tax_id.type is not None:
            seen.add(unique)
        found.append(tax_id)
    return tuple(found)


def _tax_id(fields: Fields, context: Context) -> TaxId:
    kind, value = typed_number(fields)
    return TaxId(id=context.new_id(), type=kind, value=value)
