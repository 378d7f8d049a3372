"""What earlier releases have stored can still be read: the rows are theirs, byte for byte."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from customerflow_command.personal import MasterKeys, Sealed, unseal
from customerflow_command.store import EventReader, EventRow
from customerflow_command.upcasting import UPCASTERS, upcast
from customerflow_shared.events import (
    EVENTS,
    CustomerArchived,
    CustomerEmailChanged,
    CustomerEvent,
    CustomerProfileChanged,
    CustomerRegistered,
    CustomerRestored,
)
from customerflow_shared.values import PersonalProfile

RELEASE_0_1: dict[str, Any] = msgspec.json.decode(
    Path(__file__).with_name("golden").joinpath("release-0.1.json").read_bytes()
)
CUSTOMER = UUID(RELEASE_0_1["customerId"])
KEY = base64.b64decode(RELEASE_0_1["dataKey"])

# in the order of the rows: as it was, and as it is told once the customer's key is destroyed
READ: list[tuple[CustomerEvent, CustomerEvent]] = [
    (
        CustomerRegistered(customer_type="person", name="Ana Souza", email="Ana@example.com"),
        CustomerRegistered(customer_type="person", name=""),
    ),
    (
        CustomerProfileChanged(
            changed=("name",),
            personal=PersonalProfile(name="Ana Lima"),
            previous_personal=PersonalProfile(name="Ana Souza"),
        ),
        CustomerProfileChanged(changed=("name",)),
    ),
    (
        CustomerEmailChanged(email=None, previous_email="Ana@example.com"),
        CustomerEmailChanged(email=None, previous_email=None),
    ),
    (CustomerArchived(), CustomerArchived()),
    (CustomerRestored(), CustomerRestored()),
]


def sealed(row: dict[str, Any]) -> Sealed:
    pii = None if row["pii"] is None else base64.b64decode(row["pii"])
    return Sealed(row["type"], row["schemaVersion"], row["data"], pii)


@pytest.mark.parametrize(("row", "expected"), [*zip(RELEASE_0_1["rows"], READ, strict=True)])
def test_every_event_of_release_0_1_is_read_in_its_present_form(
    row: dict[str, Any], expected: tuple[CustomerEvent, CustomerEvent]
) -> None:
    assert unseal(sealed(row), KEY, CUSTOMER, UUID(row["eventId"])) == expected[0]
    assert unseal(sealed(row), None, CUSTOMER, UUID(row["eventId"])) == expected[1]


def test_what_is_read_has_the_schema_version_of_the_form_in_which_it_is_told() -> None:
    row = RELEASE_0_1["rows"][1]
    master = MasterKeys(f"k1={base64.b64encode(bytes(32)).decode()}")
    key = master.wrap(KEY)
    read = EventReader(master).read(
        EventRow(
            position=2,
            customer_id=CUSTOMER.bytes,
            version=2,
            event_id=UUID(row["eventId"]).bytes,
            schema_version=1,
            recorded_at=datetime(2026, 11, 22, tzinfo=UTC),
            metadata='{"causationId":"00000000-0000-0000-0000-000000000003",'
            '"correlationId":"00000000-0000-0000-0000-000000000004"}',
            name=row["type"],
            data=row["data"],
            pii=base64.b64decode(row["pii"]),
            master_key_id=key.master_key_id,
            wrapped_key=key.wrapped,
            erased=0,
        )
    )
    assert (type(read.event), read.schema_version, read.redacted) == (CustomerProfileChanged, 1, False)


def test_every_step_leads_to_a_form_of_today() -> None:
    for form in UPCASTERS:
        (name, version), _ = upcast(form, {})
        assert EVENTS[name].schema_version == version
        assert form[0] not in EVENTS or form[1] < EVENTS[form[0]].schema_version
