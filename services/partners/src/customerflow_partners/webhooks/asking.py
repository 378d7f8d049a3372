"""A webhook as it is asked for, read strictly."""

import re
from collections.abc import Mapping
from typing import Any

from customerflow_shared.inputs.clear import remark
from customerflow_shared.inputs.fields import Fields, Unfit
from customerflow_shared.inputs.text import string
from msgspec import UNSET

from customerflow_partners.inputs import routing_keys, whole_number
from customerflow_partners.webhooks import addresses
from customerflow_partners.webhooks.addresses import AddressRefused
from customerflow_partners.webhooks.keeping import Wish

MAX_DESCRIPTION = 200
MAX_OVERLAP = 7 * 86_400  # seconds
MAX_REASON = 500

_FIELDS = {"url", "routingKeys", "description"}
_DELIVERY = re.compile(r"[0-9]{1,18}")

description = remark(MAX_DESCRIPTION)
reason = remark(MAX_REASON)
overlap = whole_number(0, MAX_OVERLAP)


def url(value: Any) -> str:
    """As far as it can be told without asking what its host stands for. Raises Unfit."""
    try:
        addresses.target(string(value))
    except AddressRefused as refused:
        raise unfit(refused) from None
    return str(value)


def unfit(refused: AddressRefused) -> Unfit:
    return Unfit("url-refused", refused.detail)


def wish(body: Mapping[str, Any]) -> Wish:
    """Of a new webhook. Raises Problem `invalid-fields` with all faults."""
    fields = Fields(body, _FIELDS)
    address = fields.required("url", url)
    keys = routing_keys(fields)
    told = fields.optional("description", description)
    fields.check()
    return Wish(url=address, routing_keys=keys, description=told or "")


def changes(body: Mapping[str, Any]) -> Wish:
    """A merge patch (RFC 7396). Raises Problem `invalid-fields` with all faults."""
    fields = Fields(body, _FIELDS)
    address = fields.patch_required("url", url)
    keys = routing_keys(fields) if fields.mentions("routingKeys") else UNSET
    told = fields.patch("description", description)
    fields.check()
    return Wish(url=address, routing_keys=keys, description="" if told is None else told)


def delivery(text: str) -> int | None:
    """None: there cannot be one of this id."""
    return int(text) if _DELIVERY.fullmatch(text) else None
