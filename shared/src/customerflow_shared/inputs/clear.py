"""Words that are kept in clear, and outlive an erasure: what says who somebody is does not belong there.

An e-mail address, a phone number, a CPF or CNPJ is refused wherever it stands in the text. A name cannot be told from
another word.
"""

import getpass
import re
import unicodedata
from typing import Any

from customerflow_shared.inputs.fields import Parser, Unfit
from customerflow_shared.inputs.tax_ids import is_brazilian
from customerflow_shared.inputs.text import string, text, trimmed

SHORTEST = 11  # characters of a CPF, the shortest without a mark
_MARKS = re.compile(r"[@+(]")

_ACTOR = re.compile(r"(user|service):([A-Za-z0-9._-]{1,64})")
_SLUG = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,49}")
_TOKEN = re.compile(r"\w[\w .:/#+-]{0,99}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
# as it is written for others: with + or an area code in brackets; bare digits may be anything
_PHONE = re.compile(r"\+[0-9][0-9 .()\-]{6,}|\([0-9]{2,4}\) ?[0-9][0-9 .\-]{5,}")
_CPF = re.compile(r"(?<!\w)[0-9]{3}[ .]?[0-9]{3}[ .]?[0-9]{3}[ \-]?[0-9]{2}(?!\w)")
_CNPJ = re.compile(r"(?<!\w)[0-9A-Z]{2}[ .]?[0-9A-Z]{3}[ .]?[0-9A-Z]{3}[ /]?[0-9A-Z]{4}[ \-]?[0-9]{2}(?!\w)")


def says_who(given: str) -> bool:
    if len(given) < SHORTEST and given.isascii() and not _MARKS.search(given):
        return False
    plain = unicodedata.normalize("NFKC", given).upper()
    if _EMAIL.search(plain) or _PHONE.search(plain):
        return True
    return any(is_brazilian(found[0]) for form in (_CPF, _CNPJ) for found in form.finditer(plain))


def slug(value: Any, code: str = "format") -> str:
    """A name for programs: what tags, purposes and channels are made of."""
    given = string(value).strip()
    if not _SLUG.fullmatch(given):
        raise Unfit(code, "The value must be 1 to 50 of a-z, 0-9, _ . : - and begin with a letter or digit.")
    return _of_nobody(given, code)


def token(value: Any) -> str:
    """A reference to something elsewhere."""
    given = trimmed(unicodedata.normalize("NFC", string(value)), 100)
    if not _TOKEN.fullmatch(given):
        raise Unfit("format", "The value must be letters, digits, spaces and _ . : / # + - only.")
    return _of_nobody(given, "format")


def remark(limit: int) -> Parser[str]:
    """What somebody has to say, in at most so many characters."""
    composed = text(limit)
    return lambda value: _of_nobody(composed(value), "format")


def actor(value: Any) -> str:
    """Who acts: `user:<id>` or `service:<id>`, an id of programs."""
    found = _ACTOR.fullmatch(string(value))
    if found is None or says_who(found[2]):
        raise Unfit("format", "The value must be user:<id> or service:<id>.")
    return found[0]


def logged_in(otherwise: str) -> str:
    """The actor who is logged in, unless nobody is, or the name is none of programs."""
    try:
        return actor(f"user:{getpass.getuser()}")
    except (Unfit, KeyError, OSError):
        return otherwise


def _of_nobody(given: str, code: str) -> str:
    if says_who(given):
        raise Unfit(code, "The value is kept in clear, and holds an e-mail address, a phone number or a tax id.")
    return given
