"""JSON Schemas (2020-12) of what is told, as the structs have it: of each type's `data`, and of the whole message.

Each stands on its own: what it refers to is within it.
"""

import inspect
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from customerflow_contract.cloud_event import TYPE_PREFIX, Attributes
from customerflow_contract.events import ROUTING_KEYS, IntegrationEvent

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MEDIA_TYPE = "application/schema+json"


def documents() -> dict[str, Schema]:
    """Every schema by the name under which it is published: `customer.registered.v1` is that of the data,
    `customer.registered.v1.cloudevent` that of the message.
    """
    found: dict[str, Schema] = {}
    for kind, name in ROUTING_KEYS.items():
        root, definitions = components(kind, "#/$defs/{name}")
        found[name] = _document(definitions.pop(kind.__name__) if root else {}, definitions)
        found[f"{name}.cloudevent"] = _document(*message(kind, "#/$defs/{name}"))
    return found


def message(kind: type[IntegrationEvent], ref_template: str) -> tuple[Schema, dict[str, Schema]]:
    """The schema of the whole message, and those that it refers to by the template."""
    data, definitions = components(kind, ref_template)
    _, envelope = components(Attributes, ref_template)
    whole = envelope.pop(Attributes.__name__)
    name = ROUTING_KEYS[kind]
    return {
        **whole,
        "title": TYPE_PREFIX + name,
        "properties": whole["properties"] | {"type": {"const": TYPE_PREFIX + name}, "data": data},
        "required": [*whole["required"], "data"],
    }, envelope | definitions


def components(struct: type[msgspec.Struct], ref_template: str) -> tuple[Schema, dict[str, Schema]]:
    (root,), definitions = msgspec.json.schema_components([struct], ref_template=ref_template)
    return root, {name: _in_one_line(definition) for name, definition in definitions.items()}


def _document(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    return {"$schema": DIALECT, **schema, **({"$defs": dict(definitions)} if definitions else {})}


def _in_one_line(definition: Schema) -> Schema:
    """A docstring is wrapped for those who read the code."""
    if text := definition.get("description"):
        return definition | {"description": " ".join(inspect.cleandoc(text).split())}
    return definition
