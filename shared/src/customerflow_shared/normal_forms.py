"""The form in which two spellings of a value are equal: by it customers are unique, and found."""

import unicodedata


def email_key(email: str) -> str:
    """Case makes no difference, accents and dots do; a domain is the same in Unicode and in its ASCII form."""
    local, _, domain = email.rpartition("@")
    labels = unicodedata.normalize("NFC", domain.lower()).split(".")
    return f"{unicodedata.normalize('NFC', local.casefold())}@{'.'.join(map(_ascii_label, labels))}"


def _ascii_label(label: str) -> str:
    """Not Python's `idna` codec: that one follows the standard of 2003, to which two domains of today are one."""
    return label if label.isascii() else f"xn--{label.encode('punycode').decode()}"
