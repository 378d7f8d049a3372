"""Phone numbers, with the traps of the library closed.

It reads letters as digits, takes an extension out of the number and forgets it, makes a number of another country of
one that begins with `00`, and calls possible what no telephone has.
"""

import re
from typing import Any

import phonenumbers
from customerflow_shared.values import Phone
from msgspec import UNSET, UnsetType

from customerflow_command.customer.commands import VerifyPhone
from customerflow_command.inputs.clear import slug
from customerflow_command.inputs.context import Context
from customerflow_command.inputs.countries import country
from customerflow_command.inputs.fields import REQUIRED, Fields, Parser, Unfit
from customerflow_command.inputs.text import ascii_compatible, trimmed
from customerflow_command.inputs.times import past

MAX_PHONE = 40
MAX_EXTENSION = 11

_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"))
_SYNTAX = re.compile(r"\+?[0-9 ().\-/]*[0-9][0-9 ().\-/]*")
_INTERNATIONAL_PREFIX = re.compile(r"[ ().\-/]*0[ ().\-/]*0")
_EXTENSION = re.compile(r"[0-9]+")
_VERIFICATION = {"value", "phoneCountry", "method", "verifiedAt"}


def phone(fields: Fields) -> Phone | None:
    """`phone` with `phoneExtension`; `phoneCountry` says where a number without + is at home."""
    number, given_extension = _number(fields, "phone"), fields.optional("phoneExtension", extension)
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
    _number(fields, "phone")
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
    number = _number(fields, "value")
    method = fields.required("method", slug)
    verified_at = fields.required("verifiedAt", past(context.now))
    fields.check()
    return VerifyPhone(phone=Phone(number=number or ""), method=method, verified_at=verified_at)


def extension(value: Any) -> str:
    digits = ascii_compatible(trimmed(value, MAX_EXTENSION), "phone-syntax")
    if not _EXTENSION.fullmatch(digits):
        raise Unfit("phone-syntax", "An extension consists of digits.")
    return digits


def _number(fields: Fields, name: str) -> str | None:
    region = fields.optional("phoneCountry", country)
    if fields.holds("phoneCountry") and region is None:
        # already refused; with a + the number speaks for itself
        return None
    return fields.optional(name, e164(region))


def e164(region: str | None) -> Parser[str]:
    def parse(value: Any) -> str:
        written = ascii_compatible(trimmed(value, MAX_PHONE).translate(_DASHES), "phone-syntax")
        if not _SYNTAX.fullmatch(written):
            raise Unfit("phone-syntax", "A phone number consists of digits; an extension has a field of its own.")
        if _INTERNATIONAL_PREFIX.match(written):
            raise Unfit("phone-ambiguous-prefix", "Write + instead of 00 before the code of a country.")
        if region is None and not written.startswith("+"):
            raise Unfit("phone-country-required", "Begin the number with + and its country, or give `phoneCountry`.")
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            number = None
        if number is None or not phonenumbers.is_valid_number(number):
            raise Unfit("phone-invalid", "There is no such number in its country.")
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    return parse
