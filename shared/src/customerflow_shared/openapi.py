"""Documentation of what handlers read by themselves: bodies that they parse more strictly than a framework would, and
headers.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPIMediaType, Operation, Parameter, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType


def header(name: str, description: str, *, required: bool = False, example: str | None = None) -> Parameter:
    return Parameter(
        name=name,
        param_in="header",
        required=required,
        description=description,
        schema=Schema(type=OpenAPIType.STRING, examples=[example] if example else None),
    )


def operation(
    *parameters: Parameter, body: type[msgspec.Struct] | None = None, media_type: str = "application/json"
) -> type[Operation]:
    """An operation with these parameters besides those that its handler declares, and a body of this struct."""

    @dataclass
    class Documented(Operation):
        def __post_init__(self) -> None:
            self.parameters = [*(self.parameters or []), *parameters]
            if body is not None:
                content = OpenAPIMediaType(schema=inline_schema(body))
                self.request_body = RequestBody(content={media_type: content}, required=True)

    return Documented


def inline_schema(struct: type[msgspec.Struct]) -> Any:
    """A struct's JSON schema without references, in the form in which msgspec gives it; Litestar passes it through."""
    _, definitions = msgspec.json.schema_components([struct], ref_template="{name}")

    def resolved(schema: Any) -> Any:
        match schema:
            case {"$ref": name}:
                return resolved(definitions[name])
            case dict():
                return {key: resolved(value) for key, value in schema.items()}
            case list():
                return [resolved(value) for value in schema]
            case _:
                return schema

    return resolved(definitions[struct.__name__])
