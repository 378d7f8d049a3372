"""Reads a JSON object field by field and gathers what is wrong, so that a caller hears of every fault at once."""

from collections.abc import Callable, Mapping, Set
from typing import Any, TypeAlias, TypeVar, cast

from msgspec import UNSET, UnsetType

from customerflow_shared.problems import Fault, Problem

MAX_FAULTS = 100
READ_ONLY = frozenset(
    {
        "id",
        "version",
        "status",
        "createdAt",
        "updatedAt",
        "emailVerifiedAt",
        "phoneVerifiedAt",
        "suspendedUntil",
        "dataQuality",
        "erasure",
    }
)
MAX_SHOWN = 64  # characters of the name of a field that we do not know

T = TypeVar("T")
Parser: TypeAlias = Callable[[Any], T]


class Unfit(Exception):
    """Why a value is refused. `detail` never repeats it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


REQUIRED = Unfit("required", "The field must be given, and may not be null.")


class Fields:
    """The members of one object. `check` tells all faults that were found in it, and in the objects inside it.

    A value that was refused reads as None, whatever its parser's type says: use nothing before `check`, or mind it.
    """

    def __init__(
        self,
        members: Mapping[str, Any],
        known: Set[str],
        *,
        not_patchable: Set[str] = frozenset(),
        at: str = "#",
        faults: list[Fault] | None = None,
    ) -> None:
        self._members = members
        self._at = at
        self._faults: list[Fault] = [] if faults is None else faults
        for name in members:
            if name not in known:
                self.refuse(_unexpected(name, not_patchable), name)

    def mentions(self, name: str) -> bool:
        return name in self._members

    def holds(self, name: str) -> bool:
        return self._members.get(name) is not None

    def required(self, name: str, parse: Parser[T]) -> T:
        value = self._members.get(name)
        return cast(T, self.refuse(REQUIRED, name)) if value is None else self.parse(value, parse, name)

    def optional(self, name: str, parse: Parser[T]) -> T | None:
        value = self._members.get(name)
        return None if value is None else self.parse(value, parse, name)

    def patch(self, name: str, parse: Parser[T]) -> T | UnsetType | None:
        """As in a merge patch (RFC 7396): what is absent stays, null removes."""
        return self.optional(name, parse) if name in self._members else UNSET

    def patch_required(self, name: str, parse: Parser[T]) -> T | UnsetType:
        return self.required(name, parse) if name in self._members else UNSET

    def parameter(self, name: str, value: object, parse: Parser[T]) -> T:
        """A value from the path, told with the faults of the body."""
        try:
            return parse(value)
        except Unfit as unfit:
            return cast(T, self.refuse_parameter(unfit, name))

    def values(self, name: str, limit: int, parse: Parser[T]) -> tuple[T, ...]:
        """An array; what is in it twice is taken once."""
        items = self._array(name, limit)
        return tuple(dict.fromkeys(self.parse(item, parse, name, str(index)) for index, item in enumerate(items)))

    def objects(self, name: str, limit: int, known: Set[str]) -> "list[Fields]":
        """The objects of an array, each to be read in its turn."""
        items = self._array(name, limit)
        return [
            self._inner(item, known, name, str(index))
            for index, item in enumerate(items)
            if self._is_object(item, name, str(index))
        ]

    def object(self, name: str, known: Set[str]) -> "Fields":
        """One without members if it is missing or none; the fault is noted."""
        value = self.required(name, lambda given: given)
        return self._inner(value if value is not None and self._is_object(value, name) else {}, known, name)

    def mapping(self, name: str, limit: int) -> Mapping[str, Any]:
        """An object whose members have names of the caller's choice; empty if it is missing or null."""
        value = self._members.get(name)
        if value is None or not self._is_object(value, name):
            return {}
        if len(value) > limit:
            self.refuse(Unfit("too-many", f"There may be at most {limit}."), name)
            return {}
        return cast(Mapping[str, Any], value)

    def parse(self, value: Any, parse: Parser[T], *path: str) -> T:
        try:
            return parse(value)
        except Unfit as unfit:
            return cast(T, self.refuse(unfit, *path))

    def refuse(self, unfit: Unfit, *path: str) -> None:
        """A member, or a member's member; without a path the object itself."""
        pointer = "/".join((self._at, *map(_escaped, path)))
        self._faults.append(Fault(pointer=pointer, code=unfit.code, detail=unfit.detail))

    def refuse_parameter(self, unfit: Unfit, name: str) -> None:
        self._faults.append(Fault(parameter=name, code=unfit.code, detail=unfit.detail))

    def check(self) -> None:
        """Raises Problem `invalid-fields`."""
        if self._faults:
            raise Problem("invalid-fields", "See `errors` for each field.", errors=self._faults[:MAX_FAULTS])

    def _array(self, name: str, limit: int) -> list[Any]:
        value = self._members.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(Unfit("type", "The value must be an array."), name)
        elif len(value) > limit:
            self.refuse(Unfit("too-many", f"There may be at most {limit}."), name)
        else:
            return value
        return []

    def _is_object(self, value: Any, *path: str) -> bool:
        if isinstance(value, dict):
            return True
        self.refuse(Unfit("type", "The value must be an object."), *path)
        return False

    def _inner(self, members: Mapping[str, Any], known: Set[str], *path: str) -> "Fields":
        return Fields(members, known, at="/".join((self._at, *path)), faults=self._faults)


def _unexpected(name: str, not_patchable: Set[str]) -> Unfit:
    if name in not_patchable:
        return Unfit("not-patchable", "The field cannot be changed by a patch; it has routes of its own.")
    if name in READ_ONLY:
        return Unfit("read-only-field", "The field is set by the system.")
    return Unfit("unknown-field", "There is no such field here.")


def _escaped(name: str) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    shown = name if name.isascii() else name.encode("utf-8", "replace").decode()
    return shown[:MAX_SHOWN].replace("~", "~0").replace("/", "~1")
