"""What other systems are told. Thin on purpose: ids and names of what changed, never personal data.

Inside a version only additions are made; readers ignore what they do not know.
"""

from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

Status: TypeAlias = Literal["active", "suspended", "archived"]


class ExternalIdV1(msgspec.Struct, frozen=True, kw_only=True):
    """The customer's name in another system; never one that is personal."""

    source: str
    value: str


class IntegrationEventV1(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Times are ISO 8601 in UTC, to the millisecond; what there is not is left out."""

    customer_id: UUID
    version: int


class CustomerRegisteredV1(IntegrationEventV1, frozen=True, kw_only=True):
    """`country` is that of the first address."""

    type: Literal["person", "company"]
    status: Status
    external_ids: tuple[ExternalIdV1, ...]
    country: str | None = None
    links: dict[Literal["self"], str]


class CustomerUpdatedV1(IntegrationEventV1, frozen=True, kw_only=True):
    """`changed` names fields of the customer as a query answers it, whole ones: `email`, `addresses`; `emailVerified`
    and `phoneVerified` say that a contact has been verified.
    """

    changed: tuple[str, ...]


class CustomerConsentChangedV1(IntegrationEventV1, frozen=True, kw_only=True):
    purpose: str
    channel: str
    state: Literal["granted", "withdrawn", "pending"]
    captured_at: str


class CustomerStatusChangedV1(IntegrationEventV1, frozen=True, kw_only=True):
    previous: Status = msgspec.field(name="from")
    current: Status = msgspec.field(name="to")


class CustomerErasureRequestedV1(IntegrationEventV1, frozen=True, kw_only=True):
    """`request_ref` is the requester's name for the request."""

    due_at: str
    request_ref: str | None = None


class CustomerErasureCancelledV1(IntegrationEventV1, frozen=True, kw_only=True):
    pass


class CustomerErasedV1(IntegrationEventV1, frozen=True, kw_only=True):
    """By `external_ids` a system finds what it holds itself, to erase it."""

    erased_at: str
    external_ids: tuple[ExternalIdV1, ...]


class CustomerEmailVerificationRequestedV1(IntegrationEventV1, frozen=True, kw_only=True):
    """A code is to be delivered: who may, fetches it and the address at `links.delivery`."""

    verification_id: UUID
    expires_at: str
    links: dict[Literal["delivery"], str]


IntegrationEvent: TypeAlias = (
    CustomerRegisteredV1
    | CustomerUpdatedV1
    | CustomerConsentChangedV1
    | CustomerStatusChangedV1
    | CustomerErasureRequestedV1
    | CustomerErasureCancelledV1
    | CustomerErasedV1
    | CustomerEmailVerificationRequestedV1
)

ROUTING_KEYS: dict[type[IntegrationEvent], str] = {
    CustomerRegisteredV1: "customer.registered.v1",
    CustomerUpdatedV1: "customer.updated.v1",
    CustomerConsentChangedV1: "customer.consent_changed.v1",
    CustomerStatusChangedV1: "customer.status_changed.v1",
    CustomerErasureRequestedV1: "customer.erasure_requested.v1",
    CustomerErasureCancelledV1: "customer.erasure_cancelled.v1",
    CustomerErasedV1: "customer.erased.v1",
    CustomerEmailVerificationRequestedV1: "customer.email_verification_requested.v1",
}
