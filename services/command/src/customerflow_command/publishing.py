"""From the domain events of a command to what other systems are told of it: pure. Domain events themselves are
internal.

Of a redacted event what its clear part says is told.
"""

from collections.abc import Iterator, Sequence
from typing import assert_never
from uuid import UUID, uuid5

from customerflow_contract.cloud_event import SOURCE, TYPE_PREFIX, CloudEvent
from customerflow_contract.events import (
    ROUTING_KEYS,
    CustomerConsentChangedV1,
    CustomerEmailVerificationRequestedV1,
    CustomerErasedV1,
    CustomerErasureCancelledV1,
    CustomerErasureRequestedV1,
    CustomerLinksV1,
    CustomerRegisteredV1,
    CustomerStatusChangedV1,
    CustomerUpdatedV1,
    DeliveryLinksV1,
    ExternalIdV1,
    IntegrationEvent,
    Status,
)
from customerflow_shared.events import (
    CustomerAddressAdded,
    CustomerAddressChanged,
    CustomerAddressRemoved,
    CustomerArchived,
    CustomerAttributesChanged,
    CustomerConsentRecorded,
    CustomerDefaultAddressSet,
    CustomerEmailChanged,
    CustomerEmailVerificationFailed,
    CustomerEmailVerificationRequested,
    CustomerEmailVerified,
    CustomerErased,
    CustomerErasureCancelled,
    CustomerErasureRequested,
    CustomerExternalIdLinked,
    CustomerExternalIdUnlinked,
    CustomerLegalHoldLifted,
    CustomerLegalHoldPlaced,
    CustomerPhoneChanged,
    CustomerPhoneVerified,
    CustomerProfileChanged,
    CustomerReactivated,
    CustomerRegistered,
    CustomerRestored,
    CustomerSuspended,
    CustomerTagged,
    CustomerTaxIdAdded,
    CustomerTaxIdRemoved,
    CustomerUntagged,
    Recorded,
)
from customerflow_shared.values import Consent, ExternalId
from customerflow_shared.views import timestamp, unless_none
from msgspec import UNSET
from msgspec.structs import replace


def command_of(recorded: Recorded) -> tuple[UUID, UUID]:
    """What the events of one command have in common. They stand together, for they were committed together."""
    return recorded.customer_id, recorded.metadata.causation_id


def cloud_events(command: Sequence[Recorded], contract_url: str | None = None) -> list[CloudEvent]:
    """What the events of one command mean to others, which may be nothing. Its updates are told as one, when and with
    the version of the last. `contract_url` is where the contract is served, if anywhere.
    """
    messages: list[CloudEvent] = []
    changed: dict[str, None] = {}
    for recorded in command:
        for event in integration_events(recorded):
            if isinstance(event, CustomerUpdatedV1):
                changed |= dict.fromkeys(event.changed)
                event = replace(event, changed=tuple(changed))
                messages = [earlier for earlier in messages if not isinstance(earlier.data, CustomerUpdatedV1)]
            messages.append(_envelope(recorded, event, contract_url))
    return messages


def integration_events(recorded: Recorded) -> Iterator[IntegrationEvent]:
    customer_id, version = recorded.customer_id, recorded.version

    def updated(*changed: str) -> CustomerUpdatedV1:
        return CustomerUpdatedV1(customer_id=customer_id, version=version, changed=changed)

    def status_changed(previous: Status, current: Status) -> CustomerStatusChangedV1:
        return CustomerStatusChangedV1(customer_id=customer_id, version=version, previous=previous, current=current)

    match recorded.event:
        case CustomerRegistered() as event:
            yield CustomerRegisteredV1(
                customer_id=customer_id,
                version=version,
                type=event.customer_type,
                status="active",
                external_ids=_external_ids(event.external_ids),
                country=event.countries[0] if event.countries else UNSET,
                links=CustomerLinksV1(customer=f"/v1/customers/{customer_id}"),
            )
            for consent in event.consents:
                yield _consent_changed(recorded, consent)
        case CustomerProfileChanged() as event:
            yield updated(*event.changed)
        case CustomerEmailChanged():
            yield updated("email")
        case CustomerPhoneChanged():
            yield updated("phone")
        case CustomerEmailVerified():
            yield updated("emailVerified")
        case CustomerPhoneVerified():
            yield updated("phoneVerified")
        case CustomerEmailVerificationRequested() as event:
            if not recorded.redacted:  # nobody can deliver it any more
                yield CustomerEmailVerificationRequestedV1(
                    customer_id=customer_id,
                    version=version,
                    verification_id=event.verification_id,
                    expires_at=timestamp(event.expires_at),
                    links=DeliveryLinksV1(
                        delivery=f"/internal/customers/{customer_id}/email/verifications/{event.verification_id}"
                    ),
                )
        case CustomerEmailVerificationFailed():
            return
        case CustomerTaxIdAdded() | CustomerTaxIdRemoved():
            yield updated("taxIds")
        case CustomerAddressAdded() | CustomerAddressChanged() | CustomerAddressRemoved():
            yield updated("addresses")
        case CustomerDefaultAddressSet():
            yield updated("defaultAddresses")
        case CustomerConsentRecorded() as event:
            yield _consent_changed(recorded, event)
        case CustomerTagged() | CustomerUntagged():
            yield updated("tags")
        case CustomerExternalIdLinked() | CustomerExternalIdUnlinked():
            yield updated("externalIds")
        case CustomerAttributesChanged():
            yield updated("attributes")
        case CustomerSuspended():
            yield status_changed("active", "suspended")
        case CustomerReactivated():
            yield status_changed("suspended", "active")
        case CustomerArchived() as event:
            yield status_changed(event.previous_status, "archived")
        case CustomerRestored() as event:
            yield status_changed("archived", event.status)
        case CustomerLegalHoldPlaced() | CustomerLegalHoldLifted():
            yield updated("legalHold")
        case CustomerErasureRequested() as event:
            yield CustomerErasureRequestedV1(
                customer_id=customer_id,
                version=version,
                due_at=timestamp(event.due_at),
                request_ref=unless_none(event.request_ref),
            )
        case CustomerErasureCancelled():
            yield CustomerErasureCancelledV1(customer_id=customer_id, version=version)
        case CustomerErased() as event:
            yield CustomerErasedV1(
                customer_id=customer_id,
                version=version,
                erased_at=timestamp(event.erased_at),
                external_ids=_external_ids(event.external_ids),
            )
        case _:
            assert_never(recorded.event)


def _external_ids(external_ids: Sequence[ExternalId]) -> tuple[ExternalIdV1, ...]:
    return tuple(ExternalIdV1(source=one.source, value=one.value) for one in external_ids if not one.personal)


def _consent_changed(recorded: Recorded, consent: Consent | CustomerConsentRecorded) -> CustomerConsentChangedV1:
    return CustomerConsentChangedV1(
        customer_id=recorded.customer_id,
        version=recorded.version,
        purpose=consent.purpose,
        channel=consent.channel,
        state=consent.state,
        captured_at=timestamp(consent.captured_at),
    )


def _envelope(recorded: Recorded, event: IntegrationEvent, contract_url: str | None) -> CloudEvent:
    name = ROUTING_KEYS[type(event)]
    return CloudEvent(
        specversion="1.0",
        id=_id(recorded, event),
        type=TYPE_PREFIX + name,
        source=SOURCE,
        subject=recorded.customer_id,
        time=timestamp(recorded.recorded_at),
        datacontenttype="application/json",
        dataschema=f"{contract_url.rstrip('/')}/schemas/{name}.json" if contract_url else UNSET,
        sequence=f"{recorded.version:020d}",
        partitionkey=recorded.customer_id,
        correlationid=recorded.metadata.correlation_id,
        causationid=recorded.metadata.causation_id,
        dataclassification="internal",
        dataregulation="LGPD,GDPR",
        traceparent=recorded.metadata.traceparent or UNSET,
        data=event,
    )


def _id(recorded: Recorded, event: IntegrationEvent) -> UUID:
    """The domain event's own; the consents of a registration, being several, have ids that follow from it. The same
    event is always told under the same id.
    """
    if isinstance(recorded.event, CustomerRegistered) and isinstance(event, CustomerConsentChangedV1):
        return uuid5(recorded.event_id, f"{event.purpose}/{event.channel}")
    return recorded.event_id
