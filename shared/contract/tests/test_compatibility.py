"""Every change of a schema that could break a reader is found, with its place; nothing that cannot is held up."""

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import jsonschema_rs
import pytest
from customerflow_contract import schemas
from customerflow_contract.compatibility import breaks
from hypothesis import event, given, settings
from hypothesis import strategies as st

SCHEMAS = schemas.documents()


class Change(NamedTuple):
    document: str
    place: str
    what: str
    schema: dict[str, Any]
    path: str  # in a message

    def __str__(self) -> str:
        return f"{self.document} {self.place} {self.what}"


class Node:
    """A subschema in a copy of its document."""

    def __init__(self, document: str, where: tuple[str, ...], path: str) -> None:
        self.document, self.where, self.path = document, where, path

    def of(self, whole: Any) -> dict[str, Any]:
        for step in self.where:
            whole = whole[step]
        assert isinstance(whole, dict)
        return whole

    @property
    def schema(self) -> dict[str, Any]:
        return self.of(SCHEMAS[self.document])

    def changed(self, what: str, *, path: str = "", drop: str = "", **new: Any) -> Change:
        whole = copy.deepcopy(SCHEMAS[self.document])
        schema = self.of(whole)
        schema.pop(drop, None)
        schema |= new
        return Change(self.document, "/".join(self.where), what, whole, self.path + path)


def nodes(document: str, where: tuple[str, ...] = (), path: str = "$") -> Iterator[Node]:
    """Every subschema of which a message has a value; of one that is referred to more than once, the first place."""
    node = Node(document, where, path)
    if ref := node.schema.get("$ref"):
        yield from nodes(document, tuple(ref.removeprefix("#/").split("/")), path)
        return
    yield node
    for name in node.schema.get("properties", {}):
        yield from nodes(document, (*where, "properties", name), f"{path}.{name}")
    if "items" in node.schema:
        yield from nodes(document, (*where, "items"), f"{path}[*]")


NODES = [node for document in SCHEMAS for node in nodes(document)]


def breaking(node: Node) -> Iterator[Change]:
    schema = node.schema
    for name in schema.get("properties", {}):
        others = {key: value for key, value in schema["properties"].items() if key != name}
        required = [one for one in schema["required"] if one != name]
        yield node.changed(f"without {name}", path=f".{name}", properties=others, required=required)
        if name in schema["required"]:
            yield node.changed(f"with {name} optional", path=f".{name}", required=required)
        referred = {**schema["properties"], name: {"$ref": "elsewhere.json"}}
        yield Change(*node.changed(f"{name} elsewhere", properties=referred)[:-1], path="$")
    if "enum" in schema:
        yield node.changed("with another value", enum=[*schema["enum"], "deceased"])
        yield node.changed("with any value", drop="enum")
        yield node.changed("with any text", drop="enum", type="string")
    if "const" in schema:
        yield node.changed("with another value", const="other")
        yield node.changed("with any value", drop="const", type="string")
    if "type" in schema:
        yield node.changed("of any type", drop="type") if "const" not in schema else node.changed("null", const=None)
        yield node.changed("or null", type=[schema["type"], "null"], drop="const")
        yield node.changed("of another type", type="boolean", drop="const")
        yield node.changed("or of another type", drop="type", anyOf=[{"type": schema["type"]}, {"type": "boolean"}])
    if schema.get("type") == "integer":
        yield node.changed("a number", type="number")
    for key in {"format", "pattern", "minimum", "items"} & schema.keys():
        yield node.changed(f"without {key}", drop=key, path="[*]" if key == "items" else "")
    for key in {"format", "pattern"} & schema.keys():
        yield node.changed(f"of another {key}", **{key: "other"})
    if "minimum" in schema:
        yield node.changed("smaller", minimum=schema["minimum"] - 1)
        yield node.changed("with a limit of another kind", drop="minimum", exclusiveMinimum=0)
    # what is not understood
    yield node.changed("of an unknown kind", contentEncoding="base64")
    yield node.changed("one of", oneOf=[{"type": "string"}])
    unless: dict[str, Any] = {"not": {"const": 7}}
    yield node.changed("unless", **unless)


def harmless(node: Node) -> Iterator[Change]:
    schema = node.schema
    yield node.changed("explained", title="T", description="D", deprecated=True, examples=["E"], default="F")
    if schema.get("type") == "object":
        for more in ({"type": "string"}, {"type": ["object", "null"]}, {}, {"enum": [1, 2]}):
            wider = {**schema["properties"], "brandNew": more}
            yield node.changed("with more", properties=wider)
            yield node.changed("always with more", properties=wider, required=[*schema["required"], "brandNew"])
        yield node.changed("with all of it", required=list(schema["properties"]))
        yield node.changed("closed", additionalProperties=False)
    if "enum" in schema:
        yield node.changed("with fewer values", enum=schema["enum"][1:])
        yield node.changed("with one value", drop="enum", const=schema["enum"][0])
        yield node.changed("of a type", type="string")
    elif schema.get("type") == "string" and "const" not in schema:
        yield node.changed("longer", minLength=1, maxLength=1000)
        if not {"format", "pattern"} & schema.keys():
            yield node.changed("in a format", format="uri", pattern="^[a-z]")
            yield node.changed("with one value", const="a")
            yield node.changed("either", drop="type", anyOf=[{"enum": ["a"]}, {"type": "string", "maxLength": 3}])
    if schema.get("type") == "integer":
        yield node.changed("in a range", minimum=schema.get("minimum", 0) + 1, maximum=1_000_000)
    if schema.get("type") == "array":
        yield node.changed("with one at least", minItems=1, maxItems=9)


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_as_it_was_breaks_nothing(name: str) -> None:
    assert breaks(SCHEMAS[name], copy.deepcopy(SCHEMAS[name])) == []


@pytest.mark.parametrize("node", NODES, ids=lambda node: f"{node.document} {node.path}")
def test_every_change_that_breaks_a_reader_is_found_at_its_place(node: Node) -> None:
    for change in breaking(node):
        found = breaks(SCHEMAS[change.document], change.schema)
        assert found, change
        assert {each.path for each in found} == {change.path}, (str(change), found)


@pytest.mark.parametrize("node", NODES, ids=lambda node: f"{node.document} {node.path}")
def test_no_addition_is_held_up(node: Node) -> None:
    for change in harmless(node):
        assert breaks(SCHEMAS[change.document], change.schema) == [], change


def test_the_changes_reach_all_of_a_message() -> None:
    paths = {node.path for node in NODES if node.document == "customer.registered.v1.cloudevent"}
    assert {"$.type", "$.sequence", "$.data.version", "$.data.externalIds[*].source", "$.data.links.self"} <= paths


@pytest.mark.parametrize(
    ("released", "current", "told"),
    [
        (
            {"type": "object", "additionalProperties": False},
            {"type": "object"},
            "$.*: was never there, as the released schema says",
        ),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "object", "additionalProperties": {"type": "integer"}},
            "$.*: may be of integer type now; it was string",
        ),
        (
            {"additionalProperties": {"type": "string"}},
            {"properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "string"}},
            "$.a: may be of null type now; it was string",
        ),
        ({"properties": {"a": {}}}, {"properties": {"a": False}}, "$.a: is not told any more"),
        ({"const": 1}, {"const": True}, "$: may be True now; it was 1"),
        ({"enum": ["a", "b"]}, {"enum": ["b", "c"]}, "$: may be 'c' now; it was 'a', 'b'"),
        ({"maxLength": 5}, {"maxLength": 6}, "$: maxLength was 5, and is 6"),
        ({"maxItems": 5}, {}, "$: maxItems was 5, and is gone"),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "$: may be integer, which is none of what was released",
        ),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"items": {"$ref": "#/$defs/A"}}}},
            {"$ref": "#/$defs/A", "$defs": {"A": {"items": {"$ref": "#/$defs/A"}}}},
            "$: cannot be judged: #/$defs/A refers to itself",
        ),
        ({"$ref": "#/$defs/A"}, {}, "$: cannot be judged: #/$defs/A is not there"),
        ({"$dynamicRef": "#a"}, {"$dynamicRef": "#a"}, "$: cannot be judged: $dynamicRef depends on where it stands"),
        (
            {"oneOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"type": "string"}}},
            {"oneOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"type": "null"}}},
            "$: cannot be judged: oneOf refers to another schema",
        ),
        (
            {"type": "object", "unevaluatedProperties": False},
            {"type": "object", "unevaluatedProperties": False, "properties": {"a": {}}},
            "$: cannot be judged: beside unevaluatedProperties something differs",
        ),
        (
            {"type": "string"},
            {"type": "string", "anyOf": [{"type": "null"}]},
            "$: cannot be judged: type stands twice",
        ),
        ({"$ref": "a.json"}, {"$ref": "a.json"}, "$: cannot be judged: a.json is not within the document"),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "object"},
            "$.*: may be of any type now; it was string",
        ),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B", "items": {"$ref": "#/$defs/A"}}, "B": {}}},
            {},
            "$: cannot be judged: #/$defs/A refers to itself",
        ),
        ({"items": 5}, {}, "$: cannot be judged: a schema is an object, true or false"),
        ({"not": {"const": 1}}, {"not": {"const": 2}}, "$: cannot be judged: not differs"),
        ({"not": {"const": 1}}, {}, "$: cannot be judged: not differs"),
        ({"type": "string"}, {}, "$: may be of any type now; it was string"),
        ({"type": "string"}, {"enum": ["a", 1, None]}, "$: may be of integer or null type now; it was string"),
        ({"enum": ["a", None]}, {"type": "string"}, "$: may be anything else than 'a', None now"),
        (
            {"properties": {"a": {}}, "required": ["a"]},
            {"properties": {"a": {}}},
            "$.a: was always there, and may be left out now",
        ),
        (
            {"type": ["string", "null"]},
            {"anyOf": [{"const": 1}, {"type": "string"}]},
            "$: may be 1, which is none of what was released",
        ),
        (
            {"type": ["boolean", "string"]},
            {"type": "object"},
            "$: may be object, which is none of what was released",
        ),
        (
            {"type": ["boolean", "string"]},
            {"enum": [1, None]},
            "$: may be 1, None, which is none of what was released",
        ),
        (
            {"type": ["boolean", "string"]},
            {},
            "$: may be string or number or integer or boolean or null or array or object, "
            "which is none of what was released",
        ),
        (
            {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}], "$defs": {"A": {"type": "string"}}},
            {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}], "$defs": {"A": {"type": "array"}}},
            "$: may be array, which is none of what was released",
        ),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}}},
            {},
            "$: cannot be judged: #/$defs/A refers to itself",
        ),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}}}},
            {},
            "$: cannot be judged: #/$defs/A refers to itself",
        ),
        (
            {"$ref": "#/$defs/A", "items": {"$ref": "#/$defs/B"}, "$defs": {"A": {}, "B": {"type": "string"}}},
            {"$ref": "#/$defs/A", "items": {"$ref": "#/$defs/B"}, "$defs": {"A": {}, "B": {"type": "array"}}},
            "$[*]: may be of array type now; it was string",
        ),
    ],
)
def test_it_is_said_what_breaks_and_where(released: dict[str, Any], current: dict[str, Any], told: str) -> None:
    assert [str(found) for found in breaks(released, current)] == [told]


@pytest.mark.parametrize(
    ("released", "current"),
    [
        ({"type": "number"}, {"type": "integer"}),
        ({"type": ["number", "null"]}, {"type": "integer"}),
        ({"type": "string"}, False),
        ({"type": "object", "examples": [{"$ref": "of no meaning"}]}, {"type": "object"}),
        ({}, {"not": {"const": 1}}),
        ({"properties": {"a": {}}, "required": []}, {"properties": {"a": {"type": "null"}}}),
        ({"properties": {"a": True}, "additionalProperties": True}, {"properties": {"a": {"type": "null"}}}),
        ({"unevaluatedProperties": False, "type": "object"}, {"unevaluatedProperties": False, "type": "object"}),
        ({"dependentRequired": {"a": ["b"]}}, {"dependentRequired": {"a": ["b"]}, "type": "object"}),
        ({"$ref": "#/$defs/A", "type": "string", "$defs": {"A": {"type": "string"}}}, {"type": "string"}),
        (
            {"$ref": "#/$defs/A", "title": "T", "$defs": {"A": {"type": "string", "title": "A"}}},
            {"type": "string", "format": "uri"},
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["null", "string"]}),
        ({"type": "string", "anyOf": [{"minLength": 1}, {"maxLength": 9}]}, {"type": "string", "minLength": 2}),
        ({"additionalProperties": {"type": "string"}}, {"additionalProperties": {"type": "string", "pattern": "a"}}),
        ({"properties": {"a": {"type": "string"}}}, {"properties": {"a": {"type": "string"}, "b": {}}}),
    ],
)
def test_what_is_narrower_or_said_in_another_way_breaks_nothing(released: dict[str, Any], current: Any) -> None:
    assert breaks(released, current) == []


VALUES: list[tuple[Any, str]] = [
    ("a", "string"),
    (1, "integer"),
    (1.5, "number"),
    (True, "boolean"),
    (None, "null"),
    (["a"], "array"),
    ({"a": 1}, "object"),
]


@pytest.mark.parametrize(("value", "kind"), VALUES)
def test_a_value_is_of_its_own_json_type_alone(value: Any, kind: str) -> None:
    assert breaks({"type": kind}, {"const": value}) == []
    assert breaks({"type": kind}, {"enum": [value]}) == []
    for _, other in VALUES:
        if other != kind and (kind, other) != ("integer", "number"):
            (found,) = breaks({"type": other}, {"const": value})
            assert str(found) == f"$: may be of {kind} type now; it was {other}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        ([1, 2], [1]),
        ([1], [1, 2]),
        ([1], [True]),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1, "b": 1}),
        ([{"a": [1]}], [{"a": [2]}]),
        ([], {}),
        ([1], "1"),
        ([1], 5),
        ({"a": 1}, "a"),
        ("1", 1),
    ],
)
def test_values_are_the_same_as_json_has_it(one: Any, other: Any) -> None:
    for value in (one, other):
        assert breaks({"const": value}, {"const": copy.deepcopy(value)}) == []
    assert breaks({"const": one}, {"const": other})
    assert breaks({"const": other}, {"const": one})


@pytest.mark.parametrize("ref", [{"$ref": "#/$defs/A"}, {"$dynamicRef": "#A"}])
@pytest.mark.parametrize("key", ["oneOf", "allOf", "not", "patternProperties"])
def test_what_is_not_understood_is_not_judged_if_it_refers_to_something_at_any_depth(key: str, ref: Any) -> None:
    schema = {key: [{"properties": {"a": ref}}], "$defs": {"A": {}}}
    (found,) = breaks(schema, schema)
    assert str(found) == f"$: cannot be judged: {key} refers to another schema"
    plain = {key: [{"properties": {"a": {"type": "string"}}}]}
    assert breaks(plain, plain) == []


def test_of_what_has_a_list_of_values_and_one_value_only_what_is_both_can_be() -> None:
    assert breaks({"const": 1}, {"const": 1, "enum": [1, 2]}) == []
    assert breaks({"enum": [1, 2], "const": 2}, {"const": 2}) == []
    assert breaks({"enum": [1], "const": 2}, {"const": 2})


# small enough that two that are drawn often have to do with one another

SCALARS: list[Any] = [None, True, False, 0, 1, 2, 1.5, "", "a", "b", "aa"]
INSTANCES: list[Any] = [
    *SCALARS,
    *([each] for each in SCALARS),
    [],
    ["a", 1],
    {},
    *({name: each} for name in "ab" for each in [*SCALARS, ["a"], {}, {"a": "a"}]),
    *({"a": one, "b": other} for one in SCALARS for other in (None, 1, "a")),
]
TYPES = ["string", "integer", "number", "boolean", "null", "array", "object"]

FLAT = st.fixed_dictionaries(
    {},
    optional={
        "type": st.one_of(
            st.sampled_from(TYPES), st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True)
        ),
        "enum": st.lists(st.sampled_from(SCALARS), min_size=1, max_size=4),
        "const": st.sampled_from(SCALARS),
        "minimum": st.integers(0, 2),
        "exclusiveMaximum": st.integers(1, 3),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "pattern": st.sampled_from(["a", "b"]),
        "not": st.sampled_from([{"const": 1}, {"type": "string"}]),
    },
)
DEEP = st.recursive(
    FLAT,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string"]),
            "properties": st.dictionaries(st.sampled_from("ab"), inner | st.booleans(), max_size=2),
            "required": st.lists(st.sampled_from("ab"), unique=True),
            "additionalProperties": inner | st.booleans(),
            "propertyNames": st.just({"const": "a"}),
            "items": inner | st.booleans(),
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "oneOf": st.just([{"type": "string"}, {"type": "object"}]),
        },
    ),
    max_leaves=4,
)


@st.composite
def edited(draw: st.DrawFn, schema: Any) -> Any:
    if not isinstance(schema, dict) or draw(st.integers(0, 5)) == 0:
        return draw(DEEP)
    edited_one: dict[str, Any] = {}
    for key, value in schema.items():
        match draw(st.integers(0, 4)), key:
            case 0, _:
                continue
            case 1, "properties":
                edited_one[key] = {name: draw(edited(inner)) for name, inner in value.items()}
            case 1, "anyOf":
                edited_one[key] = [draw(edited(inner)) for inner in value]
            case 1, "items" | "additionalProperties":
                edited_one[key] = draw(edited(value))
            case _:
                edited_one[key] = value
    return {**edited_one, **draw(FLAT)} if draw(st.integers(0, 2)) == 0 else edited_one


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_whatever_is_sent_under_what_breaks_nothing_is_accepted_by_an_outside_validator(data: st.DataObject) -> None:
    released = data.draw(DEEP)
    current = data.draw(edited(released))
    found = breaks(released, current)
    event("breaks" if found else "the same" if released == current else "compatible")
    if not found:
        reader, sender = jsonschema_rs.validator_for(released), jsonschema_rs.validator_for(current)
        for instance in INSTANCES:
            if sender.is_valid(instance):
                assert reader.is_valid(instance), instance
