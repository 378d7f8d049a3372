"""The AsyncAPI 3.1 document, written from the side of a partner: the operations are what a partner's program does."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from customerflow_contract import schemas
from customerflow_contract.cloud_event import MEDIA_TYPE, TYPE_PREFIX
from customerflow_contract.events import ROUTING_KEYS
from customerflow_contract.examples import messages

EXCHANGE = "customerflow.integration"
LOG = "customerflow.integration.log"
VERSION = "1"  # of the whole; each type counts its own

GUARANTEES = {
    "At least once": "No message is lost, and each may come again: after a failure, it is sent once more. What was "
    "handled before is noticed by its `id`, which never changes.",
    "Order per customer": "The messages of a customer come in the order of their `sequence`, when they come for the "
    "first time; between customers there is no order. A `sequence` that is lower than one that was handled belongs to "
    "a repetition. Messages of one command may share a `sequence`: so notice repetitions by `id`.",
    "Gaps are normal": "`sequence` is the customer's version, and not every version means something to others; nor "
    "has everybody bound every routing key. A gap is no loss; do not wait for what is missing.",
    "Nothing personal": "Messages hold ids and the names of what changed. Who may know more reads it from the query "
    "service, at the version that was told or a later one.",
    "Additions only": "Within a version (`.v1`) fields and types of events are added, never removed or given another "
    "meaning: ignore what you do not know. What would break a reader comes as `.v2`, and `.v1` goes on beside it.",
}

BINDING = (
    f"Declare a durable queue of your own and bind it to the topic exchange `{EXCHANGE}` with the routing keys that "
    "you want (`customer.#` for all). Acknowledge a message when its effect is stored, not before."
)
CATCHING_UP = (
    f"The last seven days, up to a size, also stand in the stream queue `{LOG}`: read it from any offset or moment "
    "with the consumer argument `x-stream-offset` (`first`, `last`, `next`, a number or a timestamp), with a prefetch, "
    "and acknowledge what you have read. Reading takes nothing out of it."
)

_BINDING_VERSION = "0.3.0"


def document() -> dict[str, Any]:
    components = _components()
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "CustomerFlow integration events",
            "version": VERSION,
            "description": _text(
                "What happens to customers, for other systems: CloudEvents 1.0 in structured mode, over AMQP 0-9-1. "
                "This document is written from your side: its operations are what your program does.",
                BINDING,
                CATCHING_UP,
                *(f"**{title}.** {text}" for title, text in GUARANTEES.items()),
            ),
            "license": {"name": "MIT"},
        },
        "defaultContentType": MEDIA_TYPE,
        "servers": {
            "broker": {
                "host": "{host}",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "RabbitMQ, where CustomerFlow's operator has given you an account.",
                "variables": {"host": {"default": "localhost:5672", "description": "Host and port."}},
                "security": [{"$ref": "#/components/securitySchemes/account"}],
            }
        },
        "channels": {name: _channel(name) for name in ROUTING_KEYS.values()} | {LOG: _log()},
        "operations": dict(_operations()),
        "components": components,
    }


def _channel(name: str) -> dict[str, Any]:
    return {
        "address": name,
        "description": f"The routing key `{name}` of the topic exchange `{EXCHANGE}`.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": EXCHANGE, "type": "topic", "durable": True, "autoDelete": False},
                "bindingVersion": _BINDING_VERSION,
            }
        },
    }


def _log() -> dict[str, Any]:
    return {
        "address": LOG,
        "description": CATCHING_UP,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in ROUTING_KEYS.values()},
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {"name": LOG, "durable": True, "exclusive": False, "autoDelete": False},
                "bindingVersion": _BINDING_VERSION,
            }
        },
    }


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, name in ROUTING_KEYS.items():
        yield (
            f"receive{kind.__name__}",
            _receive(name, f"From a queue of your own that is bound to {name}", BINDING, [name]),
        )
    yield "readLog", _receive(LOG, "From any point of the last days", CATCHING_UP, ROUTING_KEYS.values())


def _receive(channel: str, summary: str, description: str, told: Iterable[str]) -> dict[str, Any]:
    channel_ref = "#/channels/" + channel
    return {
        "action": "receive",
        "channel": {"$ref": channel_ref},
        "summary": summary,
        "description": description,
        "messages": [{"$ref": f"{channel_ref}/messages/{name}"} for name in told],
        "bindings": {"amqp": {"ack": True, "bindingVersion": _BINDING_VERSION}},
    }


def _components() -> dict[str, Any]:
    template = "#/components/schemas/{name}"
    payloads: dict[str, Any] = {}
    structs: dict[str, Any] = {}
    for kind, name in ROUTING_KEYS.items():
        payloads[name], referred = schemas.message(kind, template)
        structs |= referred
    examples = {name: msgspec.to_builtins(event) for name, event in messages()}
    return {
        "messages": {
            name: {
                "name": TYPE_PREFIX + name,
                "title": in_words(kind.__name__),
                "summary": structs[kind.__name__]["description"],
                "description": _text(
                    structs[kind.__name__]["description"], GUARANTEES["At least once"], GUARANTEES["Order per customer"]
                ),
                "contentType": MEDIA_TYPE,
                "headers": {
                    "type": "object",
                    "properties": {
                        "traceparent": {
                            "type": ["string", "null"],
                            "description": "W3C Trace Context of the publishing; the payload has that of the command.",
                        }
                    },
                },
                "payload": {"$ref": template.format(name=name)},
                "correlationId": {"location": "$message.payload#/correlationid"},
                "examples": [{"name": name, "payload": examples[name]}],
            }
            for kind, name in ROUTING_KEYS.items()
        },
        "schemas": payloads | structs,
        "securitySchemes": {"account": {"type": "userPassword", "description": "An account of the broker."}},
    }


def in_words(struct: str) -> str:
    """`CustomerRegisteredV1` as "Customer registered"."""
    return " ".join(re.findall(r"[A-Z][a-z]+", struct)).capitalize()


def _text(*paragraphs: str) -> str:
    return "\n\n".join(paragraphs)
