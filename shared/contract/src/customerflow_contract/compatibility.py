"""Whether all that a producer sends under one schema is accepted by who reads under an earlier one.

A field that is gone breaks too, even one that was optional: somebody reads it. What cannot be judged counts as broken.
Only annotations, and what is added or narrowed, may differ.
"""

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

Schema: TypeAlias = Mapping[str, Any]


class Break(NamedTuple):
    """`path` leads to the value in a message: `$.data.externalIds[*].source`."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Unjudgeable(Exception):
    """A schema that refers outside itself, or to itself."""


_ANNOTATIONS = {"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"}
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_SAME = ("pattern", "format")
_JUDGED = {"type", "const", "enum", "properties", "required", "additionalProperties", "items", "anyOf"}
_JUDGED |= {*_LEAST, *_MOST, *_SAME}
_NOTHING: Schema = {"not": {}}
_TYPES = ("string", "number", "integer", "boolean", "null", "array", "object")


def breaks(released: Schema, current: Schema) -> list[Break]:
    """What of the messages under the current schema a reader under the released one cannot take."""
    try:
        return list(_compare("$", _expanded(released, released), _expanded(current, current)))
    except Unjudgeable as error:
        return [Break("$", f"cannot be judged: {error}")]


def _expanded(schema: Any, document: Schema, within: Sequence[str] = ()) -> Any:
    """Without references and definitions; true as {}, false as what nothing can be."""
    match schema:
        case bool():
            return {} if schema else _NOTHING
        case {"$dynamicRef": _}:
            raise Unjudgeable("$dynamicRef depends on where it stands")
        case {"$ref": str(ref), **beside}:
            target = _expanded(_referred(ref, document, within), document, [*within, ref])
            return _both(target, _expanded(beside, document, within))
        case dict():
            return {key: _part(key, value, document, within) for key, value in schema.items() if key != "$defs"}
        case _:
            raise Unjudgeable("a schema is an object, true or false")


def _part(key: str, value: Any, document: Schema, within: Sequence[str]) -> Any:
    match key, value:
        case "properties", dict():
            return {name: _expanded(schema, document, within) for name, schema in value.items()}
        case "items" | "additionalProperties", _:
            return _expanded(value, document, within)
        case "anyOf", list():
            return [_expanded(schema, document, within) for schema in value]
        case _ if key not in _JUDGED | _ANNOTATIONS and _refers(value):
            raise Unjudgeable(f"{key} refers to another schema")
        case _:
            return value


def _refers(value: Any) -> bool:
    if isinstance(value, dict):
        return any(key in ("$ref", "$dynamicRef") or _refers(each) for key, each in value.items())
    return isinstance(value, list) and any(map(_refers, value))


def _referred(ref: str, document: Schema, within: Sequence[str]) -> Any:
    if ref in within:
        raise Unjudgeable(f"{ref} refers to itself")
    found: Any = document
    if not ref.startswith("#/"):
        raise Unjudgeable(f"{ref} is not within the document")
    for step in ref[2:].split("/"):
        if not isinstance(found, dict) or step not in found:
            raise Unjudgeable(f"{ref} is not there")
        found = found[step]
    return found


def _both(one: Schema, other: Schema) -> Schema:
    """What both ask for. Raises Unjudgeable if they speak of the same."""
    if shared := [key for key in one.keys() & other.keys() if key not in _ANNOTATIONS and one[key] != other[key]]:
        raise Unjudgeable(f"{sorted(shared)[0]} stands twice")
    return {**one, **other}


def _alternatives(schema: Schema) -> list[Schema]:
    """One of which everything is that is accepted; each has one type at most, and no `anyOf`."""
    if "anyOf" in schema:
        beside = {key: value for key, value in schema.items() if key != "anyOf"}
        return [one for each in schema["anyOf"] for one in _alternatives(_both(each, beside))]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": each} for each in schema["type"]]
    return [schema]


def _compare(path: str, released: Schema, current: Schema) -> Iterator[Break]:
    if current == _NOTHING or not released.keys() - _ANNOTATIONS:
        return
    if released == _NOTHING:
        yield Break(path, "was never there, as the released schema says")
        return
    try:
        accepted, sent = _alternatives(released), _alternatives(current)
    except Unjudgeable as error:
        yield Break(path, f"cannot be judged: {error}")
        return
    if len(accepted) == len(sent) == 1:
        yield from _compare_one(path, accepted[0], sent[0])
        return
    for one in sent:
        tries = [list(_compare_one(path, each, one)) for each in accepted]
        if not all(tries):
            continue
        if len(tries) == 1:
            yield from tries[0]
        else:
            yield Break(path, f"may be {_shown(one)}, which is none of what was released")


def _compare_one(path: str, released: Schema, current: Schema) -> Iterator[Break]:
    for key in sorted((released.keys() | current.keys()) - _JUDGED - _ANNOTATIONS):
        if key not in released or key not in current or not _same(released[key], current[key]):
            yield Break(path, f"cannot be judged: {key} differs")
        elif key.startswith("unevaluated") and not _same(released, current):
            yield Break(path, f"cannot be judged: beside {key} something differs")
    widened = list(_values(path, released, current))
    yield from widened
    if not widened:
        yield from _constraints(path, released, current)
        yield from _members(path, released, current)
        yield from _items(path, released, current)


def _values(path: str, released: Schema, current: Schema) -> Iterator[Break]:
    """Type, enum and const."""
    known, told = _listed(released), _listed(current)
    if known is not None:
        if told is None:
            yield Break(path, f"may be anything else than {_listing(known)} now")
            return
        if more := [value for value in told if not any(_same(value, one) for one in known)]:
            yield Break(path, f"may be {_listing(more)} now; it was {_listing(known)}")
            return
    types, before = _types(current), _types(released)
    if wider := [each for each in types if each not in before and not (each == "integer" and "number" in before)]:
        yield Break(path, f"may be of {_of(types, wider)} type now; it was {' or '.join(before)}")


def _listed(schema: Schema) -> list[Any] | None:
    """The values that it can be, if there is a list of them."""
    given: list[Any] | None = schema.get("enum")
    if "const" in schema:
        return [value for value in [schema["const"]] if given is None or any(_same(value, one) for one in given)]
    return given


def _types(schema: Schema) -> Sequence[str]:
    if "type" in schema:
        return [schema["type"]]
    if (values := _listed(schema)) is not None:
        return sorted({_type(value) for value in values})
    return _TYPES


def _type(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case None:
            return "null"
        case list():
            return "array"
        case _:
            return "object"


def _constraints(path: str, released: Schema, current: Schema) -> Iterator[Break]:
    kept = {
        **{key: operator.ge for key in _LEAST},
        **{key: operator.le for key in _MOST},
        **{key: operator.eq for key in _SAME},
    }
    for key, is_kept in kept.items():
        if key in released and not (key in current and is_kept(current[key], released[key])):
            yield Break(path, f"{key} was {released[key]}, and is {current.get(key, 'gone')}")


def _members(path: str, released: Schema, current: Schema) -> Iterator[Break]:
    before, now = released.get("properties", {}), current.get("properties", {})
    others, others_now = released.get("additionalProperties", {}), current.get("additionalProperties", {})
    for name, schema in before.items():
        if now.get(name, _NOTHING) == _NOTHING:
            yield Break(f"{path}.{name}", "is not told any more")
        else:
            yield from _compare(f"{path}.{name}", schema, now[name])
    for name in [name for name in now if name not in before]:
        yield from _compare(f"{path}.{name}", others, now[name])
    for name in released.get("required", []):
        if name not in current.get("required", []):
            yield Break(f"{path}.{name}", "was always there, and may be left out now")
    yield from _compare(f"{path}.*", others, others_now)


def _items(path: str, released: Schema, current: Schema) -> Iterator[Break]:
    if "items" in released:
        yield from _compare(f"{path}[*]", released["items"], current.get("items", {}))


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: `true` is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def _shown(schema: Schema) -> str:
    values = _listed(schema)
    return _listing(values) if values is not None else " or ".join(_types(schema))


def _of(types: Sequence[str], wider: Sequence[str]) -> str:
    return "any" if types == _TYPES else " or ".join(wider)


def _listing(values: Sequence[Any]) -> str:
    return ", ".join(map(repr, values))
