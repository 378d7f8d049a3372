"""From a domain event to what other systems are told of it: pure. Domain events themselves are internal."""

from collections.abc import Sequence
from typing import assert_never

from customerflow_shared.events import (
    CustomerArchived,
    CustomerEmailChanged,
    CustomerRegistered,
    CustomerRenamed,
    CustomerRestored,
    Recorded,
)
from customerflow_shared.integration import (
    ROUTING_KEYS,
    SOURCE,
    TYPE_PREFIX,
    CloudEvent,
    CustomerRegisteredV1,
    CustomerStatusChangedV1,
    CustomerUpdatedV1,
    IntegrationEvent,
)
from customerflow_shared.views import timestamp
from msgspec import UNSET
from msgspec.structs import replace


def integration_event(recorded: Recorded) -> IntegrationEvent:
    customer_id, version = recorded.customer_id, recorded.version
    match recorded.event:
        case CustomerRegistered() as event:
            return CustomerRegisteredV1(customer_id=customer_id, version=version, type=event.customer_type)
        case CustomerRenamed():
            return CustomerUpdatedV1(customer_id=customer_id, version=version, changed=["name"])
        case CustomerEmailChanged():
            return CustomerUpdatedV1(customer_id=customer_id, version=version, changed=["email"])
        case CustomerArchived():
            return CustomerStatusChangedV1(
                customer_id=customer_id, version=version, previous="active", current="archived"
            )
        case CustomerRestored():
            return CustomerStatusChangedV1(
                customer_id=customer_id, version=version, previous="archived", current="active"
            )
        case _:
            assert_never(recorded.event)


def cloud_events(command: Sequence[Recorded]) -> list[CloudEvent]:
    """What the events of one command mean to others: several updates are told as one, with the last version."""
    told: list[CloudEvent] = []
    changed: list[str] = []
    for recorded in command:
        event = integration_event(recorded)
        if isinstance(event, CustomerUpdatedV1):
            changed += [field for field in event.changed if field not in changed]
            event = replace(event, changed=changed)
            if told and isinstance(told[-1].data, CustomerUpdatedV1):
                told.pop()
        told.append(_envelope(recorded, event))
    return told


def _envelope(recorded: Recorded, event: IntegrationEvent) -> CloudEvent:
    return CloudEvent(
        specversion="1.0",
        id=recorded.event_id,
        type=TYPE_PREFIX + ROUTING_KEYS[type(event)],
        source=SOURCE,
        subject=recorded.customer_id,
        time=timestamp(recorded.recorded_at),
        datacontenttype="application/json",
        sequence=f"{recorded.version:020d}",
        partitionkey=recorded.customer_id,
        correlationid=recorded.metadata.correlation_id,
        causationid=recorded.metadata.causation_id,
        dataclassification="internal",
        dataregulation="LGPD,GDPR",
        traceparent=recorded.metadata.traceparent or UNSET,
        data=event,
    )
