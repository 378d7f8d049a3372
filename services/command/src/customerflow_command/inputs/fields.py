"""From a request body to a command: strict JSON first, then every field with its own verdict, all faults at once."""

import json
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from customerflow_shared.events import CustomerType
from customerflow_shared.problems import Fault, Problem
from email_validator import EmailNotValidError, validate_email

from customerflow_command.customer import ChangeCustomer, RegisterCustomer

MAX_NAME = 200
MAX_EMAIL = 254
MAX_FAULTS = 100
READ_ONLY = frozenset({"id", "version", "status", "createdAt", "updatedAt"})

# letters and symbols that show nothing: Hangul fillers, the Braille blank
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
# embeddings, overrides and isolates: they turn the text around them
BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LINE_SEPARATORS = frozenset("\u2028\u2029")

_TYPES: tuple[CustomerType, ...] = ("person", "company")


def json_object(body: bytes) -> dict[str, Any]:
    """Raises Problem `malformed-json` for anything but one JSON object with unique member names."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique_members, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Problem("malformed-json", f"The body is not UTF-8: byte {error.start}.") from None
    except json.JSONDecodeError as error:
        raise Problem("malformed-json", f"The body is not JSON: character {error.pos}.") from None
    except RecursionError:
        raise Problem("malformed-json", "The body is nested too deeply.") from None
    except ValueError as error:
        # raised by our hooks, and by Python for integers of thousands of digits
        reason = str(error) if isinstance(error, _Refused) else "A number is too long."
        raise Problem("malformed-json", reason) from None
    if not isinstance(value, dict):
        raise Problem("malformed-json", "The body is not a JSON object.")
    return value


def register(body: Mapping[str, Any]) -> RegisterCustomer:
    """Raises Problem `invalid-fields` with one fault a field."""
    fields = _Fields(body, {"type", "name", "email"}, not_patchable=frozenset())
    customer_type = fields.required("type", _customer_type)
    name = fields.required("name", _name)
    email = fields.optional("email", _email)
    fields.check()
    return RegisterCustomer(
        customer_type=cast(CustomerType, customer_type),
        name=cast(str, name),
        email=None if email is msgspec.UNSET else email,
    )


def change(body: Mapping[str, Any]) -> ChangeCustomer:
    """A merge patch (RFC 7396): null removes. Raises Problem `invalid-fields` with one fault a field."""
    fields = _Fields(body, {"name", "email"}, not_patchable=frozenset({"type"}))
    name = msgspec.UNSET if "name" not in body else fields.required("name", _name)
    email = fields.optional("email", _email)
    fields.check()
    return ChangeCustomer(name=cast("str | msgspec.UnsetType", name), email=email)


def nothing(body: Mapping[str, Any]) -> None:
    """For commands that have no fields."""
    _Fields(body, set(), not_patchable=frozenset()).check()


class _Refused(ValueError):
    pass


class _Unfit(Exception):
    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail


class _Fields:
    """Reads fields one by one and remembers what was wrong with each."""

    def __init__(self, body: Mapping[str, Any], known: set[str], not_patchable: frozenset[str]) -> None:
        self._body = body
        self._faults = [_unexpected(name, not_patchable) for name in body if name not in known]

    def required(self, name: str, parse: Callable[[Any], str]) -> str | None:
        if self._body.get(name) is None:
            self._refuse(name, "required", "The field must be given, and may not be null.")
            return None
        return self._parse(name, parse)

    def optional(self, name: str, parse: Callable[[Any], str]) -> str | msgspec.UnsetType | None:
        if name not in self._body:
            return msgspec.UNSET
        return None if self._body[name] is None else self._parse(name, parse)

    def check(self) -> None:
        if self._faults:
            raise Problem("invalid-fields", "See `errors` for each field.", errors=self._faults[:MAX_FAULTS])

    def _parse(self, name: str, parse: Callable[[Any], str]) -> str | None:
        try:
            return parse(self._body[name])
        except _Unfit as unfit:
            self._refuse(name, unfit.code, unfit.detail)
            return None

    def _refuse(self, name: str, code: str, detail: str) -> None:
        self._faults.append(Fault(pointer=f"#/{name}", code=code, detail=detail))


def _unexpected(name: str, not_patchable: frozenset[str]) -> Fault:
    if name in READ_ONLY:
        return Fault(pointer=f"#/{name}", code="read-only-field", detail="The field is set by the system.")
    if name in not_patchable:
        return Fault(pointer=f"#/{name}", code="not-patchable", detail="The field cannot be changed by a patch.")
    shown = name[:64].encode("utf-8", "replace").decode().replace("~", "~0").replace("/", "~1")
    return Fault(pointer=f"#/{shown}", code="unknown-field", detail="There is no such field here.")


def _text(value: Any, limit: int) -> str:
    if not isinstance(value, str):
        raise _Unfit("type", "The value must be a string.")
    text = value.strip()
    if any(_is_forbidden(character) for character in text):
        raise _Unfit("invalid-characters", "Control characters and lone surrogates are not allowed.")
    if not any(_is_visible(character) for character in text):
        raise _Unfit("blank", "The value must not be blank.")
    if len(text) > limit:
        raise _Unfit("too-long", f"The value must have at most {limit} characters.")
    return text


def _is_forbidden(character: str) -> bool:
    code = ord(character)
    control = code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000
    return control or character in BIDI_CONTROLS or character in LINE_SEPARATORS


def _is_visible(character: str) -> bool:
    """Not a space, a format character or a mark that needs a letter."""
    return unicodedata.category(character)[0] not in "ZCM" and character not in BLANK


def _customer_type(value: Any) -> str:
    if not isinstance(value, str):
        raise _Unfit("type", "The value must be a string.")
    if value not in _TYPES:
        raise _Unfit("not-allowed", "The value must be `person` or `company`.")
    return value


def _name(value: Any) -> str:
    """Composed (NFC), so that what looks the same is the same, however it was typed."""
    return _text(unicodedata.normalize("NFC", value) if isinstance(value, str) else value, MAX_NAME)


def _email(value: Any) -> str:
    """The address as it was written, its domain lower-cased and in Unicode."""
    text = _text(value, MAX_EMAIL)
    try:
        return validate_email(text, check_deliverability=False, strict=True).normalized
    except EmailNotValidError:
        raise _Unfit("email-syntax", "The value is not an e-mail address that can be used.") from None


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused("An object has the same member twice.")
    return members


def _refuse_constant(_: str) -> None:
    raise _Refused("NaN and Infinity are not JSON.")
