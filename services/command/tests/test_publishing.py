"""What other systems are told, byte for byte; and that it names no one."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import jsonschema_rs
import msgspec
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from customerflow_command.publishing import cloud_events
from customerflow_contract import cloud_event, schemas
from customerflow_contract import events as contract
from customerflow_shared.events import (
    EVENTS,
    CustomerArchived,
    CustomerEvent,
    CustomerRestored,
    CustomerSuspended,
    CustomerTagged,
    Metadata,
    Recorded,
    redacted_fields,
)

from .golden_messages import (
    CODE_REQUESTED,
    COMPLETE,
    CONSENT,
    EMAIL_CHANGED,
    ERASED,
    ERASURE_REQUESTED,
    ID,
    NOTHING,
    PHONE,
    RENAMED,
    TOLD,
)

VALIDATORS = {
    name: jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    for name, schema in schemas.documents().items()
}


def recorded(event: CustomerEvent, version: int = 7) -> Recorded:
    return Recorded(
        position=9,
        customer_id=UUID(int=1),
        version=version,
        event_id=UUID(int=version),
        recorded_at=datetime(2026, 11, 22, 15, 4, 5, 123_000, tzinfo=UTC),
        metadata=Metadata(
            causation_id=UUID(int=3),
            correlation_id=UUID(int=4),
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        event=event,
    )


def redacted(event: CustomerEvent) -> Recorded:
    """As the relay reads it once the customer's key is destroyed."""
    fields = msgspec.to_builtins(event) | redacted_fields(type(event))
    return msgspec.structs.replace(recorded(event), redacted=True, event=msgspec.convert(fields, CustomerEvent))


def told(*command: CustomerEvent) -> list[dict[str, Any]]:
    """The documents that tell a command of these events, the first of them with version 7."""
    return documents([recorded(event, version) for version, event in enumerate(command, start=7)])


def documents(command: Sequence[Recorded]) -> list[dict[str, Any]]:
    """Each is what its published schemas say, as an outside validator judges."""
    messages = [json.loads(cloud_event.encode(document)) for document in cloud_events(command)]
    for message in messages:
        name = message["type"].removeprefix("io.customerflow.")
        VALIDATORS[f"{name}.cloudevent"].validate(message)
        VALIDATORS[name].validate(message["data"])
    return messages


def names(messages: Sequence[dict[str, Any]]) -> list[str]:
    return [message["type"].removeprefix("io.customerflow.") for message in messages]


def test_the_envelope_is_pinned() -> None:
    assert told(CustomerArchived()) == [
        {
            "specversion": "1.0",
            "id": "00000000-0000-0000-0000-000000000007",
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
    ]


@pytest.mark.parametrize(("event", "name", "data"), TOLD, ids=lambda value: type(value).__name__)
def test_each_event_is_told_without_personal_data(event: CustomerEvent, name: str, data: dict[str, Any]) -> None:
    (message,) = told(event)
    assert names([message]) == [name]
    assert message["data"] == {"customerId": ID, "version": 7} | data
    text = json.dumps(message)
    assert "ecret" not in text
    assert PHONE.number not in text
    assert "1990" not in text


@pytest.mark.parametrize(("event", "name", "data"), TOLD, ids=lambda value: type(value).__name__)
def test_a_redacted_event_is_told_as_ever_for_nothing_of_it_was_personal(
    event: CustomerEvent, name: str, data: dict[str, Any]
) -> None:
    messages = documents([redacted(event)])
    if event is CODE_REQUESTED:
        assert messages == [], "nobody can deliver the code any more"
    else:
        assert [(message["type"], message["data"]) for message in messages] == [
            (f"io.customerflow.{name}", {"customerId": ID, "version": 7} | data)
        ]


def test_a_failed_try_means_nothing_to_others() -> None:
    assert told(NOTHING) == []
    assert names(told(NOTHING, RENAMED)) == ["customer.updated.v1"]


def test_every_event_is_told_or_means_nothing() -> None:
    assert {type(event).__name__ for event, _, _ in TOLD} | {type(NOTHING).__name__} == set(EVENTS)


def test_every_kind_of_message_has_a_routing_key_of_its_own() -> None:
    assert set(contract.ROUTING_KEYS) == set(get_args(contract.IntegrationEvent))
    assert {name for _, name, _ in TOLD} == set(contract.ROUTING_KEYS.values())


def test_the_consents_of_a_registration_are_told_one_by_one_always_under_the_same_ids() -> None:
    by_phone = msgspec.structs.replace(CONSENT, channel="phone", state="withdrawn")
    registration = msgspec.structs.replace(COMPLETE, consents=(CONSENT, by_phone))
    registered, *consents = messages = told(registration)
    assert registered["id"] == "00000000-0000-0000-0000-000000000007"
    assert names(consents) == ["customer.consent_changed.v1", "customer.consent_changed.v1"]
    assert [(one["data"]["channel"], one["data"]["state"], one["sequence"][-1]) for one in consents] == [
        ("email", "granted", "7"),
        ("phone", "withdrawn", "7"),
    ]
    assert [one["id"] for one in consents] == [
        "60c3821e-9e8f-5ff2-9752-b3767700288b",
        "30d6a10a-e1e9-597a-b499-0c8009618a93",
    ]
    assert told(registration) == messages
    assert names(documents([redacted(registration)])) == ["customer.registered.v1"]


def test_a_message_names_its_schema_below_the_address_at_which_the_contract_is_served() -> None:
    for url in ("https://crm.example.com/api/contract", "https://crm.example.com/api/contract/"):
        (message,) = cloud_events([recorded(CustomerArchived())], contract_url=url)
        assert message.dataschema == "https://crm.example.com/api/contract/schemas/customer.status_changed.v1.json"
    assert "dataschema" not in told(CustomerArchived())[0]


def test_the_cloudevents_sdk_reads_it() -> None:
    (message,) = cloud_events([recorded(CustomerRestored())])
    event = JSONFormat().read(CloudEvent, cloud_event.encode(message))
    assert event.get_id() == "00000000-0000-0000-0000-000000000007"
    assert event.get_subject() == ID


def test_the_updates_of_one_command_are_told_as_one_with_the_last_version() -> None:
    updated, archived = told(RENAMED, EMAIL_CHANGED, CustomerTagged(tag="vip"), RENAMED, CustomerArchived())
    assert updated["data"] == {"customerId": ID, "version": 10, "changed": ["name", "locale", "email", "tags"]}
    assert (updated["id"], updated["sequence"]) == (str(UUID(int=10)), "00000000000000000010")
    assert names([archived]) == ["customer.status_changed.v1"]


def test_updates_are_one_whatever_stands_between_them() -> None:
    suspended, updated = told(RENAMED, CustomerSuspended(), EMAIL_CHANGED)
    assert names([suspended, updated]) == ["customer.status_changed.v1", "customer.updated.v1"]
    assert updated["data"] == {"customerId": ID, "version": 9, "changed": ["name", "locale", "email"]}


def test_an_erasure_that_is_carried_out_at_once_is_told_as_asked_for_and_done() -> None:
    messages = told(ERASURE_REQUESTED, ERASED)
    assert names(messages) == ["customer.erasure_requested.v1", "customer.erased.v1"]
    assert [message["data"]["version"] for message in messages] == [7, 8]
