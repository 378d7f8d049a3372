"""E-mail addresses, as `email_validator` sees them. Nobody is asked over the network."""

import re
import unicodedata
from functools import lru_cache
from typing import Any

from email_validator import EmailNotValidError, validate_email

from customerflow_shared.inputs.fields import Unfit
from customerflow_shared.inputs.text import trimmed

MAX_EMAIL = 254

# soft hyphen, joiners, fillers, variation selectors
_UNSEEN = re.compile(
    r"[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
# what the library takes as it is, and most addresses begin with; of capitals it has views of its own
_PLAIN_LOCAL = re.compile(r"[a-z0-9_+-]+(\.[a-z0-9_+-]+)*")
_MAX_LOCAL = 64
_HOST = re.compile(r"\[.*\]|[\w-]+(\.[\w-]+)*")


def email(value: Any) -> str:
    """The address as it was written, its domain lower-cased and in Unicode."""
    given = trimmed(value, MAX_EMAIL)
    if _UNSEEN.search(given) or unicodedata.normalize("NFKC", given) != unicodedata.normalize("NFC", given):
        # two addresses that look the same would be two
        raise Unfit("email-syntax", "The value has characters that show nothing, or look like others.")
    try:
        return _normal(given)
    except EmailNotValidError:
        pass
    if _is_only_the_domain_unfit(given):
        raise Unfit("email-domain", "The part after the @ is no domain of the internet that could receive mail.")
    raise Unfit("email-syntax", "The value is not an e-mail address that can be used.")


def _normal(address: str) -> str:
    local, _, domain = address.rpartition("@")
    if len(local) <= _MAX_LOCAL and _PLAIN_LOCAL.fullmatch(local) and (known := _known_domain(domain)):
        return f"{local}@{known}"
    return _validated(address)


@lru_cache(maxsize=1000)
def _known_domain(domain: str) -> str | None:
    """Most addresses are at a few domains, and to look at one takes longest. None: the whole address must be looked at,
    for it may be too long or unfit.
    """
    try:
        normal = _validated(f"x@{domain}").removeprefix("x@")
    except EmailNotValidError:
        return None
    room = MAX_EMAIL - _MAX_LOCAL - 1
    return normal if domain.isascii() and max(len(domain), len(normal.encode())) <= room else None


def _validated(address: str) -> str:
    return validate_email(address, check_deliverability=False, strict=True).normalized


def _is_only_the_domain_unfit(address: str) -> bool:
    local, _, domain = address.rpartition("@")
    if not _HOST.fullmatch(domain):
        return False
    try:
        _normal(f"{local}@example.com")
    except EmailNotValidError:
        return False
    return True
