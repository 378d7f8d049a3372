"""The customer's tax ids: one of each type, but of the type `other` any number."""

from collections import Counter
from collections.abc import Iterable

from customerflow_shared.events import CustomerEvent, CustomerTaxIdAdded, CustomerTaxIdRemoved
from customerflow_shared.values import TaxId

from customerflow_command.customer.commands import AddTaxId, RemoveTaxId
from customerflow_command.customer.errors import TaxIdNotFound, TaxIdTypePresent
from customerflow_command.customer.limits import MAX_TAX_IDS, require_room
from customerflow_command.customer.state import OTHER_TAX_ID, Customer


def add(customer: Customer, command: AddTaxId) -> list[CustomerEvent]:
    wanted = command.tax_id
    if find(customer, wanted):
        return []
    require_one_of_each_type((*customer.tax_ids, wanted))
    require_room(MAX_TAX_IDS, customer.tax_ids)
    return [CustomerTaxIdAdded(tax_id_id=wanted.id, tax_id_type=wanted.type, value=wanted.value)]


def remove(customer: Customer, command: RemoveTaxId) -> list[CustomerEvent]:
    for held in customer.tax_ids:
        if held.id == command.tax_id_id:
            return [CustomerTaxIdRemoved(tax_id_id=held.id, tax_id_type=held.type, value=held.value)]
    raise TaxIdNotFound


def find(customer: Customer, wanted: TaxId) -> TaxId | None:
    """The one with the same value, whatever its id."""
    same = (held for held in customer.tax_ids if (held.type, held.value) == (wanted.type, wanted.value))
    return next(same, None)


def require_one_of_each_type(tax_ids: Iterable[TaxId]) -> None:
    counted = Counter(tax_id.type for tax_id in tax_ids if tax_id.type != OTHER_TAX_ID)
    if any(count > 1 for count in counted.values()):
        raise TaxIdTypePresent
