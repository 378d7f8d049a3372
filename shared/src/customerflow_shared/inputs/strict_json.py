"""Bodies as they arrive: exactly one JSON object, in UTF-8, without double members and numbers that are none."""

import json
from typing import Any

from customerflow_shared.problems import Problem


def json_object(body: bytes) -> dict[str, Any]:
    """Raises Problem `malformed-json` for anything but one JSON object with unique member names."""
    try:
        value = _decoder.decode(body.decode("utf-8"))
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


class _Refused(ValueError):
    pass


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused("An object has the same member twice.")
    return members


def _refuse_constant(_: str) -> None:
    raise _Refused("NaN and Infinity are not JSON.")


_decoder = json.JSONDecoder(object_pairs_hook=_unique_members, parse_constant=_refuse_constant)
