"""The contract as a page for people: one HTML document that needs nothing else."""

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, NamedTuple

import msgspec

from customerflow_contract import schemas
from customerflow_contract.asyncapi import BINDING, CATCHING_UP, EXCHANGE, GUARANTEES, in_words
from customerflow_contract.events import ROUTING_KEYS
from customerflow_contract.examples import messages

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>CustomerFlow: the contract</title>
<style>
:root {{ color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent) }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem }}
h2 {{ margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem }}
dt {{ font-weight: 600 }} dd {{ margin: 0 0 .7rem }}
.wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line) }}
code, pre {{ font: .875em/1.5 ui-monospace, monospace }}
pre {{ overflow-x: auto; padding: 1rem; border: 1px solid var(--line); border-radius: .3rem }}
a {{ color: inherit }}
@media (max-width: 45rem) {{ td code {{ overflow-wrap: anywhere }} }}
</style></head>
<body>
<h1>CustomerFlow: the contract</h1>
<p>What happens to customers, for other systems: CloudEvents 1.0 in structured mode, over AMQP 0-9-1. For programs:
<a href="{base}/asyncapi.json">AsyncAPI 3.1</a>, and a JSON Schema of every message below.</p>
{toc}
<h2 id="binding">How to listen</h2>
<p>{binding}</p>
<p>{catching_up}</p>
<h2 id="guarantees">What is guaranteed</h2>
<dl>{guarantees}</dl>
<h2 id="envelope">The envelope</h2>
<p>{about_envelope}</p>
{envelope}
{events}
</body>
</html>
"""

_EVENT = """<h2 id="{name}">{title}</h2>
<p><code>{name}</code></p>
<p>{description}</p>
{fields}
<p>JSON Schema of <a href="{base}/schemas/{name}.json"><code>data</code></a>,
of <a href="{base}/schemas/{name}.cloudevent.json">the whole message</a>. An example:</p>
<pre>{example}</pre>
"""

_FORMATS = {"uuid": "UUID", "date-time": "time, ISO 8601 in UTC", "uri": "URL"}


class Field(NamedTuple):
    """`name` leads into objects and lists: `externalIds[].source`."""

    name: str
    type: str
    always: bool
    description: str


def html(base: str) -> str:
    """`base` is the path, relative to the page's, below which the documents are served."""
    documents = schemas.documents()
    examples = {name: msgspec.to_builtins(event) for name, event in messages()}
    titles = {name: in_words(kind.__name__) for kind, name in ROUTING_KEYS.items()}
    envelope = next(schema for name, schema in documents.items() if name.endswith(".cloudevent"))
    return _PAGE.format(
        base=escape(base),
        toc=_table(
            ("Routing key", "What has happened"),
            (
                (f'<a href="#{name}"><code>{name}</code></a>', _marked(documents[name]["description"]))
                for name in titles
            ),
        ),
        binding=_marked(BINDING),
        catching_up=_marked(CATCHING_UP),
        guarantees="".join(f"<dt>{escape(title)}</dt><dd>{_marked(text)}</dd>" for title, text in GUARANTEES.items()),
        about_envelope=_marked(f"{envelope['description']} Every message on `{EXCHANGE}` has these."),
        envelope=_fields_table(_envelope_fields(envelope)),
        events="".join(
            _EVENT.format(
                base=escape(base),
                name=name,
                title=escape(title),
                description=_marked(documents[name]["description"]),
                fields=_fields_table(fields(documents[name], documents[name])),
                example=escape(json.dumps(examples[name], indent=2, ensure_ascii=False)),
            )
            for name, title in titles.items()
        ),
    )


def _envelope_fields(envelope: schemas.Schema) -> Iterator[Field]:
    for field in fields(envelope, envelope):
        if field.name == "type":
            yield field._replace(type="text", description="`io.customerflow.` and the routing key.")
        elif field.name == "data":
            yield field._replace(description="What has happened, as below.")
        elif not field.name.startswith("data."):
            yield field


def fields(schema: schemas.Schema, document: schemas.Schema, above: str = "") -> Iterator[Field]:
    """Of an object, and of the objects in it."""
    for name, given in schema.get("properties", {}).items():
        part = _resolved(given, document)
        item = _resolved(part["items"], document) if "items" in part else {}
        yield Field(above + name, _type(part, item), name in schema.get("required", []), part.get("description", ""))
        yield from fields(part, document, f"{above}{name}.")
        yield from fields(item, document, f"{above}{name}[].")


def _resolved(schema: schemas.Schema, document: schemas.Schema) -> schemas.Schema:
    if "$ref" not in schema:
        return schema
    target: Mapping[str, Any] = document["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return {**target, **schema}


def _type(schema: schemas.Schema, item: schemas.Schema) -> str:
    match schema:
        case {"const": value}:
            return f"always `{value}`"
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"type": "array"}:
            return f"list of {'objects' if 'properties' in item else 'texts'}"
        case {"format": form}:
            return _FORMATS.get(form, str(form))
        case {"type": "string"}:
            return "text"
        case {"type": "integer"}:
            return "whole number"
        case _:
            return "object"


def _fields_table(rows: Iterator[Field]) -> str:
    return _table(
        ("Field", "Type", "", "Meaning"),
        (
            (
                f"<code>{escape(field.name)}</code>",
                _marked(field.type),
                "" if field.always else "optional",
                _marked(field.description),
            )
            for field in rows
        ),
    )


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Of cells that are HTML already."""
    cells = "".join(f"<th>{title}</th>" for title in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{cells}</tr>\n{body}</table></div>'


def _marked(text: str) -> str:
    """What stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
