"""Texts: composed, trimmed, visible, short enough; and those that must have a certain form."""

import re
import unicodedata
from typing import Any, TypeVar
from uuid import UUID

from customerflow_shared.inputs.fields import Parser, Unfit

# control characters, lone surrogates, line separators; embeddings, overrides and isolates, which turn the text around;
# what is no character, and tags, which show nothing
_FORBIDDEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)
# letters and symbols that show nothing: Hangul fillers, the Braille blank
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

Choice = TypeVar("Choice", bound=str)


def string(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit("type", "The value must be a string.")
    return value


def trimmed(value: Any, limit: int) -> str:
    """As it was written, but for the spaces around it."""
    text = string(value).strip()
    if text and len(text) <= limit and text.isascii() and text.isprintable():
        return text
    if _FORBIDDEN.search(text):
        raise Unfit("invalid-characters", "Control characters and lone surrogates are not allowed.")
    if len(text) > limit:
        raise Unfit("too-long", f"The value must have at most {limit} characters.")
    if not any(map(_is_visible, text)):
        raise Unfit("blank", "The value must not be blank.")
    return text


def text(limit: int) -> Parser[str]:
    """Composed (NFC), so that what looks the same is the same, however it was typed."""

    def parse(value: Any) -> str:
        if isinstance(value, str) and value.isascii():
            return trimmed(value, limit)
        return trimmed(unicodedata.normalize("NFC", string(value)), limit)

    return parse


def one_of(*allowed: Choice) -> Parser[Choice]:
    detail = "The value must be " + " or ".join(f"`{choice}`" for choice in allowed) + "."
    choices: dict[str, Choice] = {choice: choice for choice in allowed}

    def parse(value: Any) -> Choice:
        try:
            return choices[string(value)]
        except KeyError:
            raise Unfit("not-allowed", detail) from None

    return parse


def uuid(value: Any, code: str) -> UUID:
    if not _UUID.fullmatch(string(value)):
        raise Unfit(code, "The value is not a UUID.")
    return UUID(value)


def ascii_compatible(value: str, code: str) -> str:
    """Full-width letters and digits become plain ones (NFKC). What then is not ASCII is refused: libraries take digits
    of other scripts for valid, and two spellings of one number would be two numbers.
    """
    plain = unicodedata.normalize("NFKC", value)
    if not plain.isascii():
        raise Unfit(code, "The value has characters that do not belong here.")
    return plain


def _is_visible(character: str) -> bool:
    """Not a space, a format character or a mark that needs a letter."""
    return unicodedata.category(character)[0] not in "ZCM" and character not in _BLANK
