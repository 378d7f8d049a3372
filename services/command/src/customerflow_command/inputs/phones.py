"""A customer's phone: a number with its extension."""

import re
from typing import Any

from customerflow_shared.inputs.clear import slug
from customerflow_shared.inputs.fields import REQUIRED, Fields, Unfit
from customerflow_shared.inputs.phones import phone_number
from customerflow_shared.inputs.text import ascii_compatible, trimmed
from customerflow_shared.inputs.times import past
from customerflow_shared.values import Phone
from msgspec import UNSET, UnsetType

from customerflow_command.customer.commands import VerifyPhone
from customerflow_command.inputs.context import Context

MAX_EXTENSION = 11

_EXTENSION = re.compile(r"[0-9]+")
_VERIFICATION = {"value", "phoneCountry", "method", "verifiedAt"}


def phone(fields: Fields) -> Phone | None:
    """`phone` with `phoneExtension`."""
    number, given_extension = phone_number(fields, "phone"), fields.optional("phoneExtension", extension)
    if fields.holds("phoneExtension") and not fields.holds("phone"):
        fields.refuse(Unfit("required", "An extension needs a phone."), "phone")
    return None if number is None else Phone(number=number, extension=given_extension)


def patched_phone(fields: Fields, present: Phone | None) -> Phone | UnsetType | None:
    """The extension belongs to its number: it stays if the number does, and goes with it."""
    if fields.mentions("phone"):
        given = phone(fields)
        if given is None or fields.mentions("phoneExtension") or present is None or given.number != present.number:
            return given
        return present
    phone_number(fields, "phone")
    given_extension = fields.patch("phoneExtension", extension)
    if given_extension is UNSET:
        return UNSET
    if present is None:
        if fields.holds("phoneExtension"):
            fields.refuse(Unfit("required", "An extension needs a phone, and the customer has none."), "phone")
        return UNSET
    return Phone(number=present.number, extension=given_extension)


def verify_phone(body: dict[str, Any], context: Context) -> VerifyPhone:
    """Verified is the number; its extension is nobody's to verify."""
    fields = Fields(body, _VERIFICATION)
    if not fields.holds("value"):
        fields.refuse(REQUIRED, "value")
    number = phone_number(fields, "value")
    method = fields.required("method", slug)
    verified_at = fields.required("verifiedAt", past(context.now))
    fields.check()
    return VerifyPhone(phone=Phone(number=number or ""), method=method, verified_at=verified_at)


def extension(value: Any) -> str:
    digits = ascii_compatible(trimmed(value, MAX_EXTENSION), "phone-syntax")
    if not _EXTENSION.fullmatch(digits):
        raise Unfit("phone-syntax", "An extension consists of digits.")
    return digits
