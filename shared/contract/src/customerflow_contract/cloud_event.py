"""The envelope: every message is a CloudEvents 1.0 document in structured mode."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from customerflow_contract.events import ROUTING_KEYS, IntegrationEvent, Moment

MEDIA_TYPE = "application/cloudevents+json"
SOURCE = "/customerflow"
TYPE_PREFIX = "io.customerflow."


class NotAnEvent(ValueError):
    """The bytes are no CloudEvent of this contract. Neither this nor UnknownType repeats a value of them."""


class UnknownType(ValueError):
    """A CloudEvent of a type that this release of the contract does not know."""


def _always(value: str) -> Meta:
    """What is promised, but not insisted on by a reader."""
    return Meta(extra_json_schema={"const": value})


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvent in structured mode. Extension attributes have names in lower case, without separators."""

    specversion: Annotated[str, _always("1.0")]
    id: Annotated[UUID, Meta(description="The same event always has the same id: by it, what came before is noticed.")]
    type: str
    source: Annotated[str, _always(SOURCE)]
    subject: Annotated[UUID, Meta(description="The customer.")]
    time: Annotated[
        Moment, Meta(description="When it was recorded. If it happened at another moment, that stands in `data`.")
    ]
    datacontenttype: Annotated[str, _always("application/json")]
    dataschema: Annotated[
        str | UnsetType, Meta(description="Where the JSON Schema of `data` is.", extra_json_schema={"format": "uri"})
    ] = UNSET
    sequence: Annotated[
        str,
        Meta(
            description="The customer's version, with zeros in front, so that it sorts as text too. From one message "
            "of a customer to the next it grows, or stays for what was recorded at once. Gaps are normal: not every "
            "version is told.",
            extra_json_schema={"pattern": "^[0-9]{20}$"},
        ),
    ]
    partitionkey: Annotated[UUID, Meta(description="The customer: within one, order counts.")]
    correlationid: Annotated[UUID, Meta(description="What the command belonged to, as its sender said.")]
    causationid: Annotated[UUID, Meta(description="The command; what has the same was done at once.")]
    dataclassification: Annotated[str, Meta(description="How `data` is to be handled: `internal`, not personal.")]
    dataregulation: Annotated[str, Meta(description="The laws on personal data that the customer is under.")]
    traceparent: Annotated[str | UnsetType, Meta(description="W3C Trace Context of the command.")] = UNSET


class CloudEvent(Attributes, frozen=True, kw_only=True):
    data: IntegrationEvent


class _Received(Attributes, frozen=True, kw_only=True):
    data: msgspec.Raw


_encoder = msgspec.json.Encoder()
_received = msgspec.json.Decoder(_Received)
_data = {TYPE_PREFIX + name: msgspec.json.Decoder(kind) for kind, name in ROUTING_KEYS.items()}


def encode(event: CloudEvent) -> bytes:
    return _encoder.encode(event)


def decode(body: bytes) -> CloudEvent:
    """Fields that are not known are ignored. Raises UnknownType or NotAnEvent."""
    try:
        received = _received.decode(body)
        if (decoder := _data.get(received.type)) is None:
            raise UnknownType("a newer release of the contract may know it")
        data = decoder.decode(received.data)
    except msgspec.DecodeError as error:
        raise NotAnEvent(str(error)) from None
    attributes = {name: getattr(received, name) for name in Attributes.__struct_fields__}
    return CloudEvent(**attributes, data=data)
