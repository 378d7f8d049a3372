"""The wire form of every event is pinned: what is on disk stays readable."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from customerflow_shared import events
from customerflow_shared.events import (
    EVENTS,
    CustomerArchived,
    CustomerEmailChanged,
    CustomerEvent,
    CustomerRegistered,
    CustomerRenamed,
    CustomerRestored,
    Metadata,
    Place,
    Recorded,
    event_name,
    personal_fields,
)

# A golden line is never changed, only added: these bytes are in somebody's database.
GOLDEN: list[tuple[CustomerEvent, str]] = [
    (
        CustomerRegistered(customer_type="person", name="Ana", email="ana@example.com"),
        '{"type":"CustomerRegistered","customerType":"person","name":"Ana","email":"ana@example.com"}',
    ),
    (
        CustomerRegistered(customer_type="company", name="Ana"),
        '{"type":"CustomerRegistered","customerType":"company","name":"Ana","email":null}',
    ),
    (
        CustomerRenamed(name="Bia", previous_name="Ana"),
        '{"type":"CustomerRenamed","name":"Bia","previousName":"Ana"}',
    ),
    (
        CustomerEmailChanged(email=None, previous_email="ana@example.com"),
        '{"type":"CustomerEmailChanged","email":null,"previousEmail":"ana@example.com"}',
    ),
    (CustomerArchived(), '{"type":"CustomerArchived"}'),
    (CustomerRestored(), '{"type":"CustomerRestored"}'),
]

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
    b'"recordedAt":"2026-11-22T15:04:05.123000Z",'
    b'"metadata":{"causationId":"00000000-0000-0000-0000-000000000003",'
    b'"correlationId":"00000000-0000-0000-0000-000000000004"},'
    b'"event":{"type":"CustomerArchived"}}'
)


@pytest.mark.parametrize(("event", "line"), GOLDEN)
def test_the_form_of_an_event_is_pinned(event: CustomerEvent, line: str) -> None:
    assert msgspec.json.encode(event).decode() == line
    assert msgspec.json.decode(line, type=CustomerEvent) == event


def test_every_event_has_a_golden_line() -> None:
    assert {event_name(type(event)) for event, _ in GOLDEN} == set(EVENTS)


def test_the_form_of_a_recorded_event_is_pinned() -> None:
    assert events.encode(RECORDED) == RECORDED_LINE
    assert events.decode(RECORDED_LINE) == RECORDED


def test_what_is_personal_is_pinned() -> None:
    assert {name: set(personal_fields(event)) for name, event in EVENTS.items()} == {
        "CustomerRegistered": {"name", "email"},
        "CustomerRenamed": {"name", "previousName"},
        "CustomerEmailChanged": {"email", "previousEmail"},
        "CustomerArchived": set(),
        "CustomerRestored": set(),
    }


def test_an_unknown_field_is_ignored_so_that_fields_can_be_added() -> None:
    line = RECORDED_LINE.replace(b'{"type":"CustomerArchived"}', b'{"type":"CustomerArchived","reason":"x"}')
    assert events.decode(line) == RECORDED


def test_of_an_unknown_event_the_place_is_known() -> None:
    line = RECORDED_LINE.replace(b"CustomerArchived", b"CustomerTeleported")
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
