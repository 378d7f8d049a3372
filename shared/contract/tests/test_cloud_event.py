"""What is told can be read again; what is no event is refused, and what is new to the reader ignored."""

import json
from typing import Any
from uuid import UUID

import pytest
from customerflow_contract.cloud_event import TYPE_PREFIX, CloudEvent, NotAnEvent, UnknownType, decode, encode
from customerflow_contract.events import CustomerUpdatedV1

ANA = UUID(int=0xA)
EVENT = CloudEvent(
    specversion="1.0",
    id=UUID(int=1),
    type=TYPE_PREFIX + "customer.updated.v1",
    source="/customerflow",
    subject=ANA,
    time="2026-11-23T12:00:00.000Z",
    datacontenttype="application/json",
    sequence=f"{7:020d}",
    partitionkey=ANA,
    correlationid=UUID(int=2),
    causationid=UUID(int=3),
    dataclassification="internal",
    dataregulation="LGPD,GDPR",
    data=CustomerUpdatedV1(customer_id=ANA, version=7, changed=("email",)),
)
DOCUMENT: dict[str, Any] = json.loads(encode(EVENT))


def test_what_was_told_is_read_again() -> None:
    assert decode(encode(EVENT)) == EVENT


def test_what_is_not_known_is_ignored() -> None:
    newer = {**DOCUMENT, "deprecated": True, "data": {**DOCUMENT["data"], "reason": "new in a later release"}}
    assert decode(json.dumps(newer).encode()) == EVENT


def test_an_event_of_a_type_that_is_not_known_is_told_apart() -> None:
    with pytest.raises(UnknownType):
        decode(json.dumps({**DOCUMENT, "type": TYPE_PREFIX + "customer.updated.v2"}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ana@example.com",
        b"[]",
        json.dumps({**DOCUMENT, "id": "ana@example.com"}).encode(),
        json.dumps({**DOCUMENT, "data": {**DOCUMENT["data"], "version": "ana@example.com"}}).encode(),
        json.dumps({**DOCUMENT, "data": {"customerId": str(ANA), "version": 7}}).encode(),
        json.dumps({name: value for name, value in DOCUMENT.items() if name != "sequence"}).encode(),
    ],
)
def test_what_is_no_event_is_refused_and_not_repeated(body: bytes) -> None:
    with pytest.raises(NotAnEvent) as refused:
        decode(body)
    assert "ana@example.com" not in str(refused.value)
