"""What each event does to a customer's document, as given / when / then."""

from collections.abc import Sequence
from functools import reduce
from uuid import UUID

import pytest
from customerflow_projector.projections import HistoryBroken, project
from customerflow_shared import views
from customerflow_shared.events import (
    CustomerArchived,
    CustomerEmailChanged,
    CustomerEvent,
    CustomerRegistered,
    CustomerRenamed,
    CustomerRestored,
)
from customerflow_shared.views import CustomerView
from hypothesis import given as holds_for
from hypothesis import strategies as some
from msgspec.structs import replace

from .builders import ANA, EMAIL_REMOVED, REGISTERED, RENAMED, recorded

ACTIVE = CustomerView(
    id=ANA,
    version=1,
    type="person",
    name="Ana Souza",
    email="ana@example.com",
    status="active",
    created_at="2026-11-22T12:00:01.005Z",
    updated_at="2026-11-22T12:00:01.005Z",
)
SECOND = replace(ACTIVE, version=2, updated_at="2026-11-22T12:00:02.005Z")


def when(event: CustomerEvent, *, given: Sequence[CustomerEvent]) -> CustomerView:
    before = fold(given)
    return project(before, recorded(event, len(given) + 1))


def fold(history: Sequence[CustomerEvent]) -> CustomerView | None:
    return reduce(project, (recorded(event, version) for version, event in enumerate(history, start=1)), None)


def test_a_registration_begins_the_document() -> None:
    assert when(REGISTERED, given=[]) == ACTIVE


def test_a_company_without_an_address_is_shown_so() -> None:
    company = CustomerRegistered(customer_type="company", name="Padaria Lima Ltda.")
    assert when(company, given=[]) == replace(ACTIVE, type="company", name="Padaria Lima Ltda.", email=None)


def test_a_new_name_replaces_the_old_one() -> None:
    assert when(RENAMED, given=[REGISTERED]) == replace(SECOND, name="Ana Lima")


def test_a_new_address_replaces_the_old_one() -> None:
    changed = CustomerEmailChanged(email="lima@example.com", previous_email="ana@example.com")
    assert when(changed, given=[REGISTERED]) == replace(SECOND, email="lima@example.com")


def test_an_address_can_go() -> None:
    assert when(EMAIL_REMOVED, given=[REGISTERED]) == replace(SECOND, email=None)


def test_an_archived_customer_stays_to_be_read() -> None:
    assert when(CustomerArchived(), given=[REGISTERED]) == replace(SECOND, status="archived")


def test_a_restored_customer_is_as_before() -> None:
    restored = when(CustomerRestored(), given=[REGISTERED, CustomerArchived()])
    assert restored == replace(ACTIVE, version=3, updated_at="2026-11-22T12:00:03.005Z")


@pytest.mark.parametrize("event", [RENAMED, EMAIL_REMOVED, CustomerArchived(), CustomerRestored()])
def test_a_history_begins_with_a_registration(event: CustomerEvent) -> None:
    with pytest.raises(HistoryBroken, match="not a registration"):
        when(event, given=[])


@pytest.mark.parametrize("version", [0, 1, 3])
def test_only_the_next_event_can_be_projected(version: int) -> None:
    with pytest.raises(HistoryBroken, match=f"version {version} does not follow 1"):
        project(ACTIVE, recorded(RENAMED, version))


def test_the_stored_form_is_for_ever() -> None:
    """Its bytes are what clients get; a change here needs another `views.SCHEMA`."""
    assert (
        views.pack(replace(ACTIVE, id=UUID("019aab3e-7c00-7000-8000-000000000001"), name="Zoë"))
        == (
            '1\n{"id":"019aab3e-7c00-7000-8000-000000000001","version":1,"type":"person","name":"Zoë",'
            '"email":"ana@example.com","status":"active","createdAt":"2026-11-22T12:00:01.005Z",'
            '"updatedAt":"2026-11-22T12:00:01.005Z"}'
        ).encode()
    )


texts = some.text(min_size=1, max_size=20)
addresses = some.none() | some.emails()
registrations = some.builds(
    CustomerRegistered, customer_type=some.sampled_from(["person", "company"]), name=texts, email=addresses
)
changes = some.one_of(
    some.builds(CustomerRenamed, name=texts, previous_name=texts),
    some.builds(CustomerEmailChanged, email=addresses, previous_email=addresses),
    some.just(CustomerArchived()),
    some.just(CustomerRestored()),
)


@holds_for(registrations, some.lists(changes, max_size=15))
def test_the_document_shows_the_last_of_everything(
    registration: CustomerRegistered, history: list[CustomerEvent]
) -> None:
    name, email, status = registration.name, registration.email, "active"
    for event in history:
        match event:
            case CustomerRenamed():
                name = event.name
            case CustomerEmailChanged():
                email = event.email
            case CustomerArchived():
                status = "archived"
            case CustomerRestored():
                status = "active"
    view = fold([registration, *history])
    assert view is not None
    assert (view.name, view.email, view.status, view.version) == (name, email, status, len(history) + 1)
    assert (view.created_at, view.type) == (ACTIVE.created_at, registration.customer_type)
    assert views.unpack(views.pack(view)) == view
