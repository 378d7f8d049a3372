"""E-mail addresses, as `email_validator` sees them. Nobody is asked over the network."""

import re
import unicodedata
from typing import Any

from email_validator import EmailNotValidError, validate_email

from customerflow_command.customer.commands import VerifyEmail
from customerflow_command.inputs.clear import slug
from customerflow_command.inputs.context import Context
from customerflow_command.inputs.fields import Fields, Unfit
from customerflow_command.inputs.text import text, trimmed
from customerflow_command.inputs.times import past

MAX_EMAIL = 254

# soft hyphen, joiners, fillers, variation selectors
_UNSEEN = re.compile(
    r"[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
_HOST = re.compile(r"\[.*\]|[\w-]+(\.[\w-]+)*")
_VERIFICATION = {"value", "method", "verifiedAt"}


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


def verify_email(body: dict[str, Any], context: Context) -> VerifyEmail:
    fields = Fields(body, _VERIFICATION)
    address = fields.required("value", email)
    method = fields.required("method", slug)
    verified_at = fields.required("verifiedAt", past(context.now))
    fields.check()
    return VerifyEmail(email=address, method=method, verified_at=verified_at)


def code(body: dict[str, Any]) -> str:
    """That somebody says to have got by e-mail."""
    fields = Fields(body, {"code"})
    given = fields.required("code", text(20))
    fields.check()
    return given


def _normal(address: str) -> str:
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
