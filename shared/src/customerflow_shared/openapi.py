"""Documentation of what handlers do by themselves: bodies that they parse more strictly than a framework would,
headers, and answers of several kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from litestar.openapi.spec import (
    Example,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

JSON = "application/json"


class Body(NamedTuple):
    """What a request carries; `example` is one that is accepted. So are the `examples`, by what they show, which stand
    in its place if there are several kinds.
    """

    struct: type[msgspec.Struct]
    example: Mapping[str, Any]
    media_type: str = JSON
    required: bool = True
    examples: Mapping[str, Mapping[str, Any]] = {}


class Answer(NamedTuple):
    """A success; `headers` name each header with what it says; `example` is a body as it may come."""

    description: str
    struct: type[msgspec.Struct] | None = None
    headers: Mapping[str, str] = {}
    example: Mapping[str, Any] | None = None


_HEADERS_OF_PROBLEMS = {
    "405": {"Allow": "The methods that the path takes."},
    "412": {"ETag": "The version that the customer has now."},
    "503": {"Retry-After": "Seconds after which to try again."},
}


def header(name: str, description: str, *, required: bool = False, example: str | None = None) -> Parameter:
    return Parameter(
        name=name,
        param_in="header",
        required=required,
        description=description,
        schema=Schema(type=OpenAPIType.STRING, examples=[example] if example else None),
    )


def operation(
    *parameters: Parameter, body: Body | None = None, answers: Mapping[int, Answer] | None = None
) -> type[Operation]:
    """An operation with these parameters besides those that its handler declares, and, if they are given, this body and
    these successes in place of what the handler's signature says.
    """

    @dataclass
    class Documented(Operation):
        def __post_init__(self) -> None:
            self.parameters = [*map(_identifying, self.parameters or []), *parameters]
            if body is not None:
                self.request_body = _request_body(body)
            self.responses = dict(self.responses or {})
            for status, told in self.responses.items():
                if isinstance(told, OpenAPIResponse) and (headers := _HEADERS_OF_PROBLEMS.get(status)):
                    told.headers = _headers(headers)
            if answers is not None:
                problems = {status: told for status, told in self.responses.items() if status >= "4"}
                self.responses = {str(status): _response(answer) for status, answer in answers.items()}
                self.responses.update(problems)

    return Documented


def _identifying(parameter: Parameter | Reference) -> Parameter | Reference:
    """Handlers take ids as text, to refuse unfit ones in words of their own."""
    if isinstance(parameter, Parameter) and parameter.param_in == "path" and parameter.name.endswith("_id"):
        parameter.schema = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID)
    return parameter


def _request_body(body: Body) -> RequestBody:
    content = OpenAPIMediaType(schema=inline_schema(body.struct))
    if body.examples:
        content.examples = {name: Example(summary=name, value=dict(value)) for name, value in body.examples.items()}
    else:
        content.example = dict(body.example)
    return RequestBody(content={body.media_type: content}, required=body.required)


def _response(answer: Answer) -> OpenAPIResponse:
    return OpenAPIResponse(
        description=answer.description,
        headers=_headers(answer.headers),
        content=_content(answer.struct, answer.example) if answer.struct else None,
    )


def _content(struct: type[msgspec.Struct], example: Mapping[str, Any] | None) -> dict[str, OpenAPIMediaType]:
    return {JSON: OpenAPIMediaType(schema=inline_schema(struct), example=dict(example) if example else None)}


def _headers(described: Mapping[str, str]) -> Any:
    return {
        name: OpenAPIHeader(description=description, schema=Schema(type=OpenAPIType.STRING))
        for name, description in described.items()
    }


def inline_schema(struct: Any) -> Any:
    """The JSON schema of a struct, or of one that is annotated, without references, in the form in which msgspec gives
    it; Litestar passes it through.
    """
    (whole,), definitions = msgspec.json.schema_components([struct], ref_template="{name}")

    def resolved(schema: Any) -> Any:
        match schema:
            case {"$ref": name, **more}:
                return resolved(definitions[name]) | more
            case dict():
                return {key: resolved(value) for key, value in schema.items()}
            case list():
                return [resolved(value) for value in schema]
            case _:
                return schema

    return resolved(whole)
