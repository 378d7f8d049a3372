"""What only one customer may hold, in the form in which two spellings of it are equal."""

from collections.abc import Iterator
from typing import NamedTuple

from customerflow_shared.normal_forms import email_key
from customerflow_shared.values import ExternalId, Phone, TaxId
from msgspec import Struct

from customerflow_command.customer.state import OTHER_TAX_ID, Customer


class Claim(NamedTuple):
    kind: str
    normal_form: str


_NONE = frozenset[Claim]()


class Uniqueness(Struct, frozen=True, kw_only=True):
    """What must be unique besides external ids, which always are. Families share a phone."""

    email: bool = True
    tax_id: bool = True
    phone: bool = False


def changed_claims(
    before: Customer | None, after: Customer, unique: Uniqueness
) -> tuple[frozenset[Claim], frozenset[Claim]]:
    """What is to be taken, and what to be given back."""
    if before is not None and _holdings(before) == _holdings(after):
        return _NONE, _NONE
    held, holds = claims(before, unique), claims(after, unique)
    return holds - held, held - holds


def claims(customer: Customer | None, unique: Uniqueness) -> frozenset[Claim]:
    """An archived customer keeps what it holds, so that restoring cannot conflict; an erased one has nothing left."""
    return frozenset() if customer is None else frozenset(_held(customer, unique))


def _holdings(customer: Customer) -> tuple[object, ...]:
    """All that claims are made of."""
    return customer.external_ids, customer.email, customer.phone, customer.tax_ids


def _held(customer: Customer, unique: Uniqueness) -> Iterator[Claim]:
    yield from map(external_id_claim, customer.external_ids)
    if unique.email and customer.email is not None:
        yield Claim("email", email_key(customer.email))
    if unique.phone and customer.phone is not None:
        yield Claim("phone", _phone_key(customer.phone))
    if unique.tax_id:
        yield from (_tax_id_claim(tax_id) for tax_id in customer.tax_ids if tax_id.type != OTHER_TAX_ID)


def external_id_claim(external_id: ExternalId) -> Claim:
    return Claim(f"external-id:{external_id.source}", external_id.value)


def _tax_id_claim(tax_id: TaxId) -> Claim:
    return Claim(f"tax-id:{tax_id.type}", tax_id.value)


def _phone_key(phone: Phone) -> str:
    return phone.number if phone.extension is None else f"{phone.number};ext={phone.extension}"
