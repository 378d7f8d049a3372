"""Phone numbers, with the traps of the library closed.

It reads letters as digits, takes an extension out of the number and forgets it, makes a number of another country of
one that begins with `00`, and calls possible what no telephone has.
"""

import re
from functools import cache
from typing import Any

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumber

from customerflow_shared.inputs.countries import country
from customerflow_shared.inputs.fields import Fields, Parser, Unfit
from customerflow_shared.inputs.text import ascii_compatible, trimmed

MAX_PHONE = 40

_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"))
_SYNTAX = re.compile(r"\+?[0-9 ().\-/]*[0-9][0-9 ().\-/]*")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_INTERNATIONAL_PREFIX = re.compile(r"[ ().\-/]*0[ ().\-/]*0")


def phone_number(fields: Fields, name: str) -> str | None:
    """`phoneCountry` says where a number without + is at home."""
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
        number = _international(written) or _parsed(written, region)
        if number is None or not phonenumbers.is_valid_number(number):
            raise Unfit("phone-invalid", "There is no such number in its country.")
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    return parse


def _international(written: str) -> PhoneNumber | None:
    """What the library's parser makes of a number as programs write it, in a fraction of its time. None if it is none,
    or begins with what the parser might take off.
    """
    if not _E164.fullmatch(written):
        return None
    for end in (2, 3, 4):
        code, national = int(written[1:end]), written[end:]
        if code in COUNTRY_CODE_TO_REGION_CODE:
            return None if _national_prefix(code).match(national) else PhoneNumber(code, int(national))
    return None


@cache
def _national_prefix(code: int) -> re.Pattern[str]:
    """What is dialled before a number at home, and zeros, which are part of a number in Italy."""
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, COUNTRY_CODE_TO_REGION_CODE[code][0])
    prefix = metadata and metadata.national_prefix_for_parsing
    return re.compile(f"0|(?:{prefix})" if prefix else "0")


def _parsed(written: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return None
