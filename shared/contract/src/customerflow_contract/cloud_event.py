"""The envelope: every message is a CloudEvents 1.0 document in structured mode."""

from uuid import UUID

import msgspec

from customerflow_contract.events import ROUTING_KEYS, IntegrationEvent

MEDIA_TYPE = "application/cloudevents+json"
SOURCE = "/customerflow"
TYPE_PREFIX = "io.customerflow."


class NotAnEvent(ValueError):
    """The bytes are no CloudEvent of this contract. Neither this nor UnknownType repeats a value of them."""


class UnknownType(ValueError):
    """A CloudEvent of a type that this release of the contract does not know."""


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """Extension names are lower case without separators, as CloudEvents asks.

    `sequence` is the customer's version, zero-padded. It grows from event to event of a customer, with gaps: not every
    version is told.
    """

    specversion: str
    id: UUID
    type: str
    source: str
    subject: UUID
    time: str
    datacontenttype: str
    dataschema: str | msgspec.UnsetType = msgspec.UNSET
    sequence: str
    partitionkey: UUID
    correlationid: UUID
    causationid: UUID
    dataclassification: str
    dataregulation: str
    traceparent: str | msgspec.UnsetType = msgspec.UNSET


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
