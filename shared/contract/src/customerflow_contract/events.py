"""What other systems are told. Thin on purpose: ids and names of what changed, never personal data.

Inside a version only additions are made; readers ignore what they do not know. The docstrings and descriptions here are
those of the published schemas: they are written for readers who know nothing of this program.
"""

from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

Status: TypeAlias = Literal["active", "suspended", "archived"]
Moment: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""ISO 8601 in UTC, to the millisecond: 2026-11-22T15:04:05.123Z"""


class ExternalIdV1(Struct, frozen=True, kw_only=True):
    """The customer's name in another system; never one that is personal."""

    source: Annotated[str, Meta(description="The other system.")]
    value: Annotated[str, Meta(description="The customer's id there, to be compared byte by byte.")]


class CustomerLinksV1(Struct, frozen=True, kw_only=True):
    """Paths, to be resolved against the address of CustomerFlow."""

    customer: Annotated[str, Meta(description="Where the query service shows the customer.")] = field(name="self")


class DeliveryLinksV1(Struct, frozen=True, kw_only=True):
    """Paths, to be resolved against the address of CustomerFlow."""

    delivery: Annotated[
        str, Meta(description="Where the command service gives the address and the code to who holds the token for it.")
    ]


class IntegrationEventV1(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Times are ISO 8601 in UTC, to the millisecond; what there is not is left out."""

    customer_id: Annotated[UUID, Meta(description="Whom it is about.")]
    version: Annotated[
        int,
        Meta(
            ge=1, description="The customer's version with this change. Later ones are larger; not every one is told."
        ),
    ]


class CustomerRegisteredV1(IntegrationEventV1, frozen=True, kw_only=True):
    """A customer has been registered."""

    type: Literal["person", "company"]
    status: Status
    external_ids: Annotated[
        tuple[ExternalIdV1, ...],
        Meta(description="The customer's names in other systems, but for those that are personal."),
    ]
    country: Annotated[
        str | UnsetType, Meta(description="That of the first address, as ISO 3166-1 alpha-2; absent without address.")
    ] = UNSET
    links: CustomerLinksV1


class CustomerUpdatedV1(IntegrationEventV1, frozen=True, kw_only=True):
    """Something of a customer has changed: one message for all the changes of a command. What it is now is read from
    the query service, at this version or a later one.
    """

    changed: Annotated[
        tuple[str, ...],
        Meta(
            description="Fields of the customer as the query service answers it, whole ones, such as `email` or "
            "`addresses`; `emailVerified` and `phoneVerified` say that a contact has been verified. More names may "
            "come."
        ),
    ]


class CustomerConsentChangedV1(IntegrationEventV1, frozen=True, kw_only=True):
    """A customer's consent has been recorded, for one purpose by one channel; at the registration too, after
    `customer.registered.v1` and with its version.
    """

    purpose: Annotated[str, Meta(description="What for, such as `newsletter`; an organisation names its own.")]
    channel: Annotated[str, Meta(description="By which way, such as `email`.")]
    state: Annotated[
        Literal["granted", "withdrawn", "pending"],
        Meta(description="`pending` waits for a confirmation: it is no consent yet."),
    ]
    captured_at: Annotated[Moment, Meta(description="When the customer said so.")]


class CustomerStatusChangedV1(IntegrationEventV1, frozen=True, kw_only=True):
    """A customer has been suspended, reactivated, archived or restored."""

    previous: Annotated[Status, Meta(description="The status before.")] = field(name="from")
    current: Annotated[Status, Meta(description="The status from now on.")] = field(name="to")


class CustomerErasureRequestedV1(IntegrationEventV1, frozen=True, kw_only=True):
    """The erasure of a customer has been requested. It can be cancelled until it is due."""

    due_at: Annotated[Moment, Meta(description="When the customer will be erased.")]
    request_ref: Annotated[str | UnsetType, Meta(description="The requester's name for the request.")] = UNSET


class CustomerErasureCancelledV1(IntegrationEventV1, frozen=True, kw_only=True):
    """The requested erasure will not take place."""


class CustomerErasedV1(IntegrationEventV1, frozen=True, kw_only=True):
    """A customer has been erased: whoever holds data of this customer is to erase them too. Nothing else happens to the
    customer any more.
    """

    erased_at: Moment
    external_ids: Annotated[
        tuple[ExternalIdV1, ...],
        Meta(description="By these a system finds what it holds itself; those that are personal are not among them."),
    ]


class CustomerEmailVerificationRequestedV1(IntegrationEventV1, frozen=True, kw_only=True):
    """A code is to be delivered to a customer's e-mail address: who may, fetches both at `links.delivery`."""

    verification_id: UUID
    expires_at: Annotated[Moment, Meta(description="Until when the code can be used.")]
    links: DeliveryLinksV1


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
