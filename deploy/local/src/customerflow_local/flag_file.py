"""A file of feature flags that tests and the demo change while programs read it."""

import json
import os
from pathlib import Path
from typing import Any


class FlagFile:
    """Each change is in the file when it returns: whole, by a rename, as an operator should make it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._flags: dict[str, Any] = {}
        self._replace()

    def switch(self, key: str, variant: str) -> None:
        """`on` or `off`, for everybody."""
        self._flags[key] = _flag(variant)
        self._replace()

    def roll_out(self, key: str, percent: int) -> None:
        """To as many of a hundred customers; who is in stays in when it becomes more."""
        self.target(key, {"fractional": [["on", percent], ["off", 100 - percent]]})

    def target(self, key: str, rule: dict[str, Any]) -> None:
        self._flags[key] = _flag("off") | {"targeting": rule}
        self._replace()

    def write(self, content: str) -> None:
        """Whatever it is; the next change writes a sound file again."""
        beside = self.path.with_suffix(".new")
        beside.write_text(content, encoding="utf-8")
        os.replace(beside, self.path)

    def _replace(self) -> None:
        self.write(json.dumps({"flags": self._flags}))


def _flag(variant: str) -> dict[str, Any]:
    return {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": variant}
