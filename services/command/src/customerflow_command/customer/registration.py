"""How a customer comes to be."""

from datetime import datetime
from typing import TypeVar

from customerflow_shared.events import CustomerEvent, CustomerRegistered
from msgspec import UNSET, UnsetType

from customerflow_command.customer.commands import RegisterCustomer, UpsertCustomer
from customerflow_command.customer.contact import request_email_verification
from customerflow_command.customer.errors import RegistrationIncomplete
from customerflow_command.customer.limits import (
    MAX_ADDRESSES,
    MAX_ATTRIBUTES,
    MAX_CONSENTS,
    MAX_EXTERNAL_IDS,
    MAX_TAGS,
    MAX_TAX_IDS,
    require_at_most,
)
from customerflow_command.customer.state import evolve
from customerflow_command.customer.tax_ids import require_one_of_each_type

T = TypeVar("T")


def register(command: RegisterCustomer, now: datetime) -> list[CustomerEvent]:
    registered = _registered(command)
    if command.verification is None or command.email is None:
        return [registered]
    return [registered, *request_email_verification(evolve(None, registered), command.verification, now)]


def _registered(command: RegisterCustomer) -> CustomerRegistered:
    require_at_most(MAX_TAX_IDS, command.tax_ids)
    require_at_most(MAX_ADDRESSES, command.addresses)
    require_at_most(MAX_CONSENTS, command.consents)
    require_at_most(MAX_TAGS, command.tags)
    require_at_most(MAX_EXTERNAL_IDS, command.external_ids)
    require_at_most(MAX_ATTRIBUTES, command.attributes)
    require_one_of_each_type(command.tax_ids)
    profile, personal = command.profile, command.personal
    return CustomerRegistered(
        customer_type=command.customer_type,
        locale=given(profile.locale),
        timezone=given(profile.timezone),
        lifecycle_stage=given(profile.lifecycle_stage),
        countries=tuple(dict.fromkeys(address.country for address in command.addresses)),
        tags=command.tags,
        external_ids=tuple(one for one in command.external_ids if not one.personal),
        issues=command.issues,
        name=command.name,
        given_name=given(personal.given_name),
        family_name=given(personal.family_name),
        social_name=given(personal.social_name),
        legal_name=given(personal.legal_name),
        trade_name=given(personal.trade_name),
        birth_date=given(personal.birth_date),
        email=command.email,
        phone=command.phone,
        tax_ids=command.tax_ids,
        addresses=command.addresses,
        consents=command.consents,
        attributes=command.attributes,
        personal_external_ids=tuple(one for one in command.external_ids if one.personal),
    )


def register_by_external_id(command: UpsertCustomer, now: datetime) -> list[CustomerEvent]:
    """Where nobody has the external id, what else was a change must suffice for a registration."""
    change = command.change
    customer_type, name = change.profile.type, change.personal.name
    if customer_type is UNSET or name is UNSET:
        missing = [path for path, value in (("type", customer_type), ("name", name)) if value is UNSET]
        raise RegistrationIncomplete(missing)
    return register(
        RegisterCustomer(
            customer_type=customer_type,
            name=name,
            profile=change.profile,
            personal=change.personal,
            email=given(change.email),
            phone=given(change.phone),
            external_ids=(command.external_id,),
            attributes={key: value for key, value in (change.attributes or {}).items() if value is not None},
            issues=change.issues,
        ),
        now,
    )


def given(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value
