"""The public contract: what other systems are told. Thin on purpose: ids and names of what changed, never personal
data.

Every message is a CloudEvents 1.0 document in structured mode. Inside a version only additions are made; readers
ignore what they do not know.
"""

from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

MEDIA_TYPE = "application/cloudevents+json"
SOURCE = "/customerflow"
TYPE_PREFIX = "io.customerflow."


class CustomerRegisteredV1(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    customer_id: UUID
    version: int
    type: Literal["person", "company"]
    status: Literal["active"] = "active"


class CustomerUpdatedV1(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    customer_id: UUID
    version: int
    changed: list[str]


class CustomerStatusChangedV1(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"customer_id": "customerId", "previous": "from", "current": "to"},
):
    customer_id: UUID
    version: int
    previous: Literal["active", "archived"]
    current: Literal["active", "archived"]


IntegrationEvent: TypeAlias = CustomerRegisteredV1 | CustomerUpdatedV1 | CustomerStatusChangedV1

ROUTING_KEYS: dict[type[IntegrationEvent], str] = {
    CustomerRegisteredV1: "customer.registered.v1",
    CustomerUpdatedV1: "customer.updated.v1",
    CustomerStatusChangedV1: "customer.status_changed.v1",
}


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Extension names are lower case without separators, as CloudEvents asks.

    `sequence` is the customer's version, zero-padded.
    """

    specversion: str
    id: UUID
    type: str
    source: str
    subject: UUID
    time: str
    datacontenttype: str
    sequence: str
    partitionkey: UUID
    correlationid: UUID
    causationid: UUID
    dataclassification: str
    dataregulation: str
    traceparent: str | msgspec.UnsetType
    data: IntegrationEvent


_encoder = msgspec.json.Encoder()


def encode(event: CloudEvent) -> bytes:
    return _encoder.encode(event)
