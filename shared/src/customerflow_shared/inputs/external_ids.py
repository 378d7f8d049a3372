"""The names that other systems have for a customer."""

from typing import Any

from customerflow_shared.inputs.text import trimmed

MAX_EXTERNAL_ID = 255
EXTERNAL_ID = frozenset({"source", "value"})


def external_value(value: Any) -> str:
    """Compared byte by byte, so it stays as it is. The source is a slug."""
    return trimmed(value, MAX_EXTERNAL_ID)
