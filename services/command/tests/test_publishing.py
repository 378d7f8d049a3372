"""What other systems are told, byte for byte; and that it names no one."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from customerflow_command.publishing import cloud_events
from customerflow_shared import integration
from customerflow_shared.events import (
    CustomerArchived,
    CustomerEmailChanged,
    CustomerEvent,
    CustomerRegistered,
    CustomerRenamed,
    CustomerRestored,
    Metadata,
    Recorded,
)

ID = "00000000-0000-0000-0000-000000000001"


def recorded(event: CustomerEvent, version: int = 7) -> Recorded:
    return Recorded(
        position=9,
        customer_id=UUID(int=1),
        version=version,
        event_id=UUID(int=2),
        recorded_at=datetime(2026, 11, 22, 15, 4, 5, 123_000, tzinfo=UTC),
        metadata=Metadata(
            causation_id=UUID(int=3),
            correlation_id=UUID(int=4),
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        event=event,
    )


def told(event: CustomerEvent) -> bytes:
    (document,) = cloud_events([recorded(event)])
    return integration.encode(document)


def test_the_envelope_is_pinned() -> None:
    assert json.loads(told(CustomerArchived())) == {
        "specversion": "1.0",
        "id": "00000000-0000-0000-0000-000000000002",
        "type": "io.customerflow.customer.status_changed.v1",
        "source": "/customerflow",
        "subject": ID,
        "time": "2026-11-22T15:04:05.123Z",
        "datacontenttype": "application/json",
        "sequence": "00000000000000000007",
        "partitionkey": ID,
        "correlationid": "00000000-0000-0000-0000-000000000004",
        "causationid": "00000000-0000-0000-0000-000000000003",
        "dataclassification": "internal",
        "dataregulation": "LGPD,GDPR",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "data": {"customerId": ID, "version": 7, "from": "active", "to": "archived"},
    }


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (
            CustomerRegistered(customer_type="company", name="Secret", email="secret@example.com"),
            "customer.registered.v1",
            {"type": "company", "status": "active"},
        ),
        (CustomerRenamed(name="Secret", previous_name="Secret"), "customer.updated.v1", {"changed": ["name"]}),
        (
            CustomerEmailChanged(email="secret@example.com", previous_email=None),
            "customer.updated.v1",
            {"changed": ["email"]},
        ),
        (CustomerArchived(), "customer.status_changed.v1", {"from": "active", "to": "archived"}),
        (CustomerRestored(), "customer.status_changed.v1", {"from": "archived", "to": "active"}),
    ],
)
def test_each_event_is_told_without_personal_data(event: CustomerEvent, name: str, data: dict[str, object]) -> None:
    document = told(event)
    assert json.loads(document)["type"] == f"io.customerflow.{name}"
    assert json.loads(document)["data"] == {"customerId": ID, "version": 7} | data
    assert b"ecret" not in document


def test_the_cloudevents_sdk_reads_it() -> None:
    event = JSONFormat().read(CloudEvent, told(CustomerRestored()))
    assert event.get_id() == "00000000-0000-0000-0000-000000000002"
    assert event.get_subject() == ID


def test_the_updates_of_one_command_are_told_as_one() -> None:
    command = [
        recorded(CustomerRenamed(name="A", previous_name="B"), 7),
        recorded(CustomerEmailChanged(email=None, previous_email=None), 8),
        recorded(CustomerRenamed(name="C", previous_name="A"), 9),
        recorded(CustomerArchived(), 10),
    ]
    updated, archived = (json.loads(integration.encode(event)) for event in cloud_events(command))
    assert updated["data"] == {"customerId": ID, "version": 9, "changed": ["name", "email"]}
    assert updated["sequence"] == "00000000000000000009"
    assert archived["type"] == "io.customerflow.customer.status_changed.v1"
