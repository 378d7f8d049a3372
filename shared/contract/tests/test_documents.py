"""The published documents are of use to others: outside tools read them, and the examples are what they say."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from customerflow_contract import asyncapi, examples, schemas
from customerflow_contract.cloud_event import CloudEvent, decode, encode
from customerflow_contract.events import ROUTING_KEYS

NAMES = list(ROUTING_KEYS.values())
SCHEMAS = schemas.documents()
DOCUMENT = asyncapi.document()
EXAMPLES = dict(examples.messages())
FILES = Path(__file__).resolve().parents[1] / "files"


def validator(schema: Any) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def values(document: Any, key: str) -> Iterator[Any]:
    """Whatever stands under this key, at any depth."""
    if isinstance(document, dict):
        yield from (value for name, value in document.items() if name == key)
        document = list(document.values())
    if isinstance(document, list):
        for each in document:
            yield from values(each, key)


def resolved(ref: str, document: Any) -> Any:
    assert ref.startswith("#/")
    for step in ref[2:].split("/"):
        document = document[step]
    return document


@pytest.mark.parametrize("name", NAMES)
def test_an_outside_validator_accepts_each_example_and_a_reader_decodes_it(name: str) -> None:
    body = encode(EXAMPLES[name])
    validator(SCHEMAS[f"{name}.cloudevent"]).validate(json.loads(body))
    validator(SCHEMAS[name]).validate(json.loads(body)["data"])
    assert decode(body) == EXAMPLES[name]


@pytest.mark.parametrize("name", NAMES)
def test_each_example_shows_all_that_there_can_be(name: str) -> None:
    body = json.loads(encode(EXAMPLES[name]))
    assert body.keys() == SCHEMAS[f"{name}.cloudevent"]["properties"].keys()
    assert body["data"].keys() == SCHEMAS[name]["properties"].keys()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "other",
    [
        {"type": "io.customerflow.customer.updated.v2"},
        {"specversion": "0.3"},
        {"sequence": "7"},
        {"time": "yesterday"},
        {"subject": "ana@example.com"},
        {"data": None},
    ],
)
def test_a_message_that_is_otherwise_is_refused_by_the_schema(name: str, other: dict[str, Any]) -> None:
    body = json.loads(encode(EXAMPLES[name])) | other
    assert not validator(SCHEMAS[f"{name}.cloudevent"]).is_valid(body)


@pytest.mark.parametrize("name", NAMES)
def test_a_message_without_one_of_its_promised_fields_is_refused_by_the_schema(name: str) -> None:
    whole, data = SCHEMAS[f"{name}.cloudevent"], SCHEMAS[name]
    body = json.loads(encode(EXAMPLES[name]))
    for field in whole["required"]:
        assert not validator(whole).is_valid({key: value for key, value in body.items() if key != field})
    for field in data["required"]:
        assert not validator(data).is_valid({key: value for key, value in body["data"].items() if key != field})
    assert {"customerId", "version"} <= set(data["required"])


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_one_and_stands_on_its_own(name: str) -> None:
    jsonschema_rs.meta.validate(SCHEMAS[name])
    assert SCHEMAS[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for ref in values(SCHEMAS[name], "$ref"):
        resolved(ref, SCHEMAS[name])


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_newer_message_with_more_in_it_is_accepted(name: str) -> None:
    body = json.loads(encode(EXAMPLES[name.removesuffix(".cloudevent")]))
    newer = body if name.endswith(".cloudevent") else body["data"]
    validator(SCHEMAS[name]).validate({**newer, "new": {"in": ["a", "later", "release"]}})


def test_all_that_the_asyncapi_document_refers_to_is_there() -> None:
    refs = list(values(DOCUMENT, "$ref"))
    assert len(refs) > 50
    for ref in refs:
        resolved(ref, DOCUMENT)


def test_every_routing_key_has_a_channel_an_operation_and_a_message() -> None:
    assert list(DOCUMENT["channels"]) == [*NAMES, "customerflow.integration.log"]
    for kind, name in ROUTING_KEYS.items():
        channel = DOCUMENT["channels"][name]
        operation = DOCUMENT["operations"][f"receive{kind.__name__}"]
        message = DOCUMENT["components"]["messages"][name]
        assert channel["address"] == name
        assert channel["bindings"]["amqp"]["is"] == "routingKey"
        assert channel["bindings"]["amqp"]["exchange"]["name"] == "customerflow.integration"
        assert (operation["action"], operation["channel"]) == ("receive", {"$ref": f"#/channels/{name}"})
        assert message["contentType"] == "application/cloudevents+json"
        for ref in (channel["messages"][name]["$ref"], operation["messages"][0]["$ref"]):
            reached = resolved(ref, DOCUMENT)
            assert resolved(reached["$ref"], DOCUMENT) == message if "$ref" in reached else reached == message
        assert resolved(message["payload"]["$ref"], DOCUMENT)["title"] == message["name"]


def test_all_messages_can_be_read_from_the_log() -> None:
    log = DOCUMENT["channels"]["customerflow.integration.log"]
    assert list(log["messages"]) == NAMES
    assert log["bindings"]["amqp"]["queue"]["name"] == "customerflow.integration.log"
    assert len(DOCUMENT["operations"]["readLog"]["messages"]) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_payload_in_the_asyncapi_document_is_that_of_the_schema(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    payload = {"$ref": message["payload"]["$ref"], "components": DOCUMENT["components"]}
    for example in message["examples"]:
        validator(payload).validate(example["payload"])
        assert msgspec.convert(example["payload"]["data"], type(EXAMPLES[name].data)) == EXAMPLES[name].data
    assert not validator(payload).is_valid({**message["examples"][0]["payload"], "type": "another"})


def test_who_reads_it_is_told_what_is_guaranteed() -> None:
    text = DOCUMENT["info"]["description"]
    for guarantee in ("At least once", "Order per customer", "Gaps are normal", "`id`", "`sequence`"):
        assert guarantee in text


@pytest.mark.parametrize("name", NAMES)
def test_every_event_says_what_has_happened(name: str) -> None:
    assert len(SCHEMAS[name]["description"]) > 20
    assert "\n" not in SCHEMAS[name]["description"]


def test_the_example_in_the_repository_is_what_is_sent() -> None:
    body = json.loads((FILES / "examples" / "customer.registered.v1.json").read_text())
    assert isinstance(decode(json.dumps(body).encode()), CloudEvent)
    assert body == json.loads(encode(EXAMPLES["customer.registered.v1"]))
