"""The wire form of every event is pinned: what is on disk stays readable, and what is personal stays encrypted."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from customerflow_shared import events
from customerflow_shared.events import (
    EVENTS,
    Actor,
    CustomerArchived,
    CustomerEvent,
    CustomerRegistered,
    Metadata,
    Place,
    Recorded,
    event_name,
    personal_fields,
    redacted_fields,
)
from customerflow_shared.values import PersonalProfile
from msgspec.structs import replace

from .golden_events import GOLDEN

RECORDED = Recorded(
    position=12,
    customer_id=UUID(int=1),
    version=7,
    event_id=UUID(int=2),
    recorded_at=datetime(2026, 11, 22, 15, 4, 5, 123_000, tzinfo=UTC),
    metadata=Metadata(causation_id=UUID(int=3), correlation_id=UUID(int=4)),
    event=CustomerArchived(),
)
RECORDED_LINE = (
    b'{"position":12,"customerId":"00000000-0000-0000-0000-000000000001","version":7,'
    b'"eventId":"00000000-0000-0000-0000-000000000002","schemaVersion":1,'
    b'"recordedAt":"2026-11-22T15:04:05.123000Z","redacted":false,'
    b'"metadata":{"causationId":"00000000-0000-0000-0000-000000000003",'
    b'"correlationId":"00000000-0000-0000-0000-000000000004"},'
    b'"event":{"type":"CustomerArchived"}}'
)

# What is encrypted at rest, by event. A field that leaves this table would be stored in clear from then on, and the
# clear form of what was stored encrypted before would no longer be found: neither happens unnoticed.
PERSONAL = {
    "CustomerRegistered": {
        "name",
        "givenName",
        "familyName",
        "socialName",
        "legalName",
        "tradeName",
        "birthDate",
        "email",
        "phone",
        "taxIds",
        "addresses",
        "consents",
        "attributes",
        "personalExternalIds",
    },
    "CustomerProfileChanged": {"personal", "previousPersonal"},
    "CustomerEmailChanged": {"email", "previousEmail"},
    "CustomerPhoneChanged": {"phone", "previousPhone"},
    "CustomerEmailVerified": set(),
    "CustomerPhoneVerified": set(),
    "CustomerEmailVerificationRequested": {"codeHash"},
    "CustomerEmailVerificationFailed": set(),
    "CustomerTaxIdAdded": {"value"},
    "CustomerTaxIdRemoved": {"value"},
    "CustomerAddressAdded": {"address"},
    "CustomerAddressChanged": {"address", "previousAddress"},
    "CustomerAddressRemoved": {"address"},
    "CustomerDefaultAddressSet": set(),
    "CustomerConsentRecorded": {"evidenceRef"},
    "CustomerTagged": set(),
    "CustomerUntagged": set(),
    "CustomerExternalIdLinked": {"personalValue"},
    "CustomerExternalIdUnlinked": {"personalValue"},
    "CustomerAttributesChanged": {"changed", "attributes", "previousAttributes"},
    "CustomerSuspended": {"reason"},
    "CustomerReactivated": {"reason"},
    "CustomerArchived": {"reason"},
    "CustomerRestored": {"reason"},
    "CustomerLegalHoldPlaced": {"reason"},
    "CustomerLegalHoldLifted": {"reason"},
    "CustomerErasureRequested": {"reason"},
    "CustomerErasureCancelled": {"reason"},
    "CustomerErased": set(),
}


@pytest.mark.parametrize(("event", "line"), GOLDEN, ids=lambda value: type(value).__name__)
def test_the_form_of_an_event_is_pinned(event: CustomerEvent, line: str) -> None:
    assert msgspec.json.encode(event).decode() == line
    assert msgspec.json.decode(line, type=CustomerEvent) == event


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_pinned_with_all_of_its_fields_and_with_those_alone_that_it_must_have(name: str) -> None:
    shown = [msgspec.json.decode(line).keys() - {"type"} for event, line in GOLDEN if event_name(type(event)) == name]
    fields = msgspec.structs.fields(EVENTS[name])
    assert set().union(*shown) == {field.encode_name for field in fields}
    assert {field.encode_name for field in fields if field.required} in shown


def test_the_form_of_a_recorded_event_is_pinned() -> None:
    assert events.encode(RECORDED) == RECORDED_LINE
    assert events.decode(RECORDED_LINE) == RECORDED


def test_who_gave_the_command_and_what_is_redacted_is_told() -> None:
    recorded = replace(
        RECORDED,
        redacted=True,
        metadata=replace(
            RECORDED.metadata,
            source="system",
            actor=Actor(type="user", id="42"),
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    )
    line = RECORDED_LINE.replace(b'"redacted":false', b'"redacted":true').replace(
        b'000004"}',
        b'000004","source":"system","actor":{"type":"user","id":"42"},'
        b'"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}',
    )
    assert events.encode(recorded) == line
    assert events.decode(line) == recorded


def test_what_is_personal_is_pinned() -> None:
    assert {name: personal_fields(event) for name, event in EVENTS.items()} == PERSONAL


@pytest.mark.parametrize(("event", "line"), GOLDEN, ids=lambda value: type(value).__name__)
def test_an_event_whose_personal_fields_are_gone_is_still_an_event(event: CustomerEvent, line: str) -> None:
    personal, redacted = personal_fields(type(event)), redacted_fields(type(event))
    assert redacted.keys() == personal
    clear = {field: value for field, value in msgspec.json.decode(line).items() if field not in personal}
    read = msgspec.convert(clear | redacted, CustomerEvent)
    assert type(read) is type(event)
    assert msgspec.json.decode(msgspec.json.encode(read), type=CustomerEvent) == read
    for field in msgspec.structs.fields(event):
        if field.encode_name in personal:
            assert getattr(read, field.name) in (None, "", (), {}, PersonalProfile())
        else:
            assert getattr(read, field.name) == getattr(event, field.name)


def test_what_was_registered_before_0_2_can_be_read() -> None:
    line = b'{"type":"CustomerRegistered","customerType":"person","name":"Ana","email":null}'
    expected = CustomerRegistered(customer_type="person", name="Ana")
    assert msgspec.json.decode(line, type=CustomerEvent) == expected


def test_what_was_recorded_before_0_2_can_be_read() -> None:
    assert events.decode(RECORDED_LINE.replace(b'"redacted":false,', b"")) == RECORDED


def test_an_unknown_field_is_ignored_so_that_fields_can_be_added() -> None:
    line = RECORDED_LINE.replace(b'{"type":"CustomerArchived"}', b'{"type":"CustomerArchived","weather":"x"}')
    assert events.decode(line) == RECORDED


@pytest.mark.parametrize("name", ["CustomerTeleported", "CustomerRenamed"])
def test_of_an_unknown_event_the_place_is_known(name: str) -> None:
    line = RECORDED_LINE.replace(b"CustomerArchived", name.encode())
    assert events.decode(line) == Place(position=12, customer_id=UUID(int=1), version=7)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"position":1}',
        b"\xff",
        RECORDED_LINE.replace(b'"CustomerArchived"', b'"Customer\xff"'),
        RECORDED_LINE.replace(b'"CustomerArchived"', b'"CustomerArchived","x":' + b"[" * 100_000),
    ],
    ids=lambda line: repr(line[:20]),
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        events.decode(line)
