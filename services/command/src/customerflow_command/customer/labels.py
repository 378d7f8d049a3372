"""What others hang on a customer: tags, and its names in other systems."""

from customerflow_shared.events import (
    CustomerEvent,
    CustomerExternalIdLinked,
    CustomerExternalIdUnlinked,
    CustomerTagged,
    CustomerUntagged,
)
from customerflow_shared.values import ExternalId

from customerflow_command.customer.commands import LinkExternalId, TagCustomer, UnlinkExternalId, UntagCustomer
from customerflow_command.customer.limits import MAX_EXTERNAL_IDS, MAX_TAGS, require_room
from customerflow_command.customer.state import Customer


def tag(customer: Customer, command: TagCustomer) -> list[CustomerEvent]:
    if command.tag in customer.tags:
        return []
    require_room(MAX_TAGS, customer.tags)
    return [CustomerTagged(tag=command.tag)]


def untag(customer: Customer, command: UntagCustomer) -> list[CustomerEvent]:
    return [CustomerUntagged(tag=command.tag)] if command.tag in customer.tags else []


def link(customer: Customer, command: LinkExternalId) -> list[CustomerEvent]:
    wanted = command.external_id
    if find(customer, wanted):
        return []
    require_room(MAX_EXTERNAL_IDS, customer.external_ids)
    if wanted.personal:
        return [CustomerExternalIdLinked(source=wanted.source, value=None, personal_value=wanted.value)]
    return [CustomerExternalIdLinked(source=wanted.source, value=wanted.value)]


def unlink(customer: Customer, command: UnlinkExternalId) -> list[CustomerEvent]:
    held = find(customer, command.external_id)
    if held is None:
        return []
    # as it was linked: whether its source is personal may have been decided anew since
    if held.personal:
        return [CustomerExternalIdUnlinked(source=held.source, value=None, personal_value=held.value)]
    return [CustomerExternalIdUnlinked(source=held.source, value=held.value)]


def find(customer: Customer, wanted: ExternalId) -> ExternalId | None:
    same = (held for held in customer.external_ids if (held.source, held.value) == (wanted.source, wanted.value))
    return next(same, None)
