"""A message of each type, as it may come."""

from collections.abc import Iterator
from uuid import UUID

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
)

ANA = UUID("0193f0a0-7c1e-7d52-9a54-2f6d1b0c9e11")
CODE = UUID("0193f0a1-51aa-7c03-8f2e-5b7d90c4e201")
IN_ERP = ExternalIdV1(source="erp", value="10442")

DATA: tuple[IntegrationEvent, ...] = (
    CustomerRegisteredV1(
        customer_id=ANA,
        version=1,
        type="person",
        status="active",
        external_ids=(IN_ERP,),
        country="BR",
        links=CustomerLinksV1(customer=f"/v1/customers/{ANA}"),
    ),
    CustomerEmailVerificationRequestedV1(
        customer_id=ANA,
        version=2,
        verification_id=CODE,
        expires_at="2026-11-22T15:34:05.123Z",
        links=DeliveryLinksV1(delivery=f"/internal/customers/{ANA}/email/verifications/{CODE}"),
    ),
    CustomerUpdatedV1(customer_id=ANA, version=4, changed=("name", "addresses")),
    CustomerConsentChangedV1(
        customer_id=ANA,
        version=5,
        purpose="newsletter",
        channel="email",
        state="granted",
        captured_at="2026-11-22T15:04:05.123Z",
    ),
    CustomerStatusChangedV1(customer_id=ANA, version=6, previous="active", current="suspended"),
    CustomerErasureRequestedV1(
        customer_id=ANA, version=8, due_at="2026-12-22T15:04:05.123Z", request_ref="ticket-20417"
    ),
    CustomerErasureCancelledV1(customer_id=ANA, version=9),
    CustomerErasedV1(customer_id=ANA, version=11, erased_at="2026-12-24T09:00:00.000Z", external_ids=(IN_ERP,)),
)


def messages() -> Iterator[tuple[str, CloudEvent]]:
    """With the routing key of each. They are one customer's, in their order."""
    for number, data in enumerate(DATA, start=1):
        name = ROUTING_KEYS[type(data)]
        yield (
            name,
            CloudEvent(
                specversion="1.0",
                id=UUID(f"0193f0a2-0000-7000-8000-{number:012d}"),
                type=TYPE_PREFIX + name,
                source=SOURCE,
                subject=ANA,
                time=f"2026-11-22T15:{number:02d}:05.123Z" if number < len(DATA) else "2026-12-24T09:00:00.000Z",
                datacontenttype="application/json",
                dataschema=f"https://customers.example.com/contract/schemas/{name}.json",
                sequence=f"{data.version:020d}",
                partitionkey=ANA,
                correlationid=UUID(f"0193f0a1-0200-7a00-8000-{number:012d}"),
                causationid=UUID(f"0193f0a1-0300-7a00-8000-{number:012d}"),
                dataclassification="internal",
                dataregulation="LGPD,GDPR",
                traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                data=data,
            ),
        )
