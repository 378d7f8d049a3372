"""What an event becomes in a customer's timeline; and that the timeline holds all that the document ever was."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from customerflow_projector import history
from customerflow_projector.projections import project
from customerflow_shared import timeline, views
from customerflow_shared.events import Actor, CustomerConsentRecorded, CustomerEvent, Metadata, Recorded
from customerflow_shared.timeline import Change, Entry, Who
from customerflow_shared.views import CustomerView
from hypothesis import given as holds_for
from hypothesis import settings
from msgspec.structs import asdict, replace

from .builders import REGISTERED, RENAMED, recorded
from .given_when_then import (
    ACTIVE,
    EMAIL_VERIFIED,
    ERASED,
    MOMENT,
    NEWSLETTER,
    PHONE_VERIFIED,
    SHOWN,
    SUSPENDED,
)
from .lives import lives, redacted

AFTER = replace(ACTIVE, version=2, name="Ana Lima")
TOLD = Entry(
    version=2,
    type="CustomerProfileChanged",
    occurred_at="2026-11-22T12:00:02.005Z",
    recorded_at="2026-11-22T12:00:02.005Z",
    actor=Who(type="anonymous"),
    source="api",
    correlation_id="00000000-0000-0000-0000-000000000002",
    changes=(Change(path="name", before="Ana Souza", after="Ana Lima"),),
)


def entry(event: CustomerEvent, before: CustomerView | None = ACTIVE) -> Entry:
    past = recorded(event, before.version + 1 if before else 1)
    return history.entry(before, past, project(before, past))


def test_an_event_is_told_with_what_it_changed() -> None:
    assert entry(RENAMED) == TOLD


def test_a_registration_is_told_with_all_there_is() -> None:
    first = entry(REGISTERED, before=None)
    assert first.changes == (
        Change(path="type", after="person"),
        Change(path="name", after="Ana Souza"),
        Change(path="status", after="active"),
        Change(path="email", after="ana@example.com"),
    )


def test_who_did_it_is_told() -> None:
    metadata = Metadata(
        causation_id=UUID(int=1),
        correlation_id=UUID(int=7),
        source="system",
        actor=Actor(type="user", id="u-7"),
    )
    told = history.entry(ACTIVE, replace(recorded(RENAMED, 2), metadata=metadata), AFTER)
    assert told == replace(TOLD, actor=Who(type="user", id="u-7"), source="system", correlation_id=str(UUID(int=7)))


def test_the_wire_form_names_the_kind_of_actor_always() -> None:
    assert timeline.encode(TOLD) == (
        b'{"version":2,"type":"CustomerProfileChanged","occurredAt":"2026-11-22T12:00:02.005Z",'
        b'"recordedAt":"2026-11-22T12:00:02.005Z","actor":{"type":"anonymous"},"source":"api",'
        b'"correlationId":"00000000-0000-0000-0000-000000000002",'
        b'"changes":[{"path":"name","from":"Ana Souza","to":"Ana Lima"}]}'
    )


@pytest.mark.parametrize(
    "event",
    [EMAIL_VERIFIED, PHONE_VERIFIED, ERASED, CustomerConsentRecorded(**asdict(NEWSLETTER), previous_state=None)],
    ids=lambda event: type(event).__name__,
)
def test_an_event_that_has_a_time_of_its_own_happened_then(event: CustomerEvent) -> None:
    told = entry(event)
    assert (told.occurred_at, told.recorded_at) == (SHOWN, "2026-11-22T12:00:02.005Z")


def test_a_reason_is_told() -> None:
    assert entry(SUSPENDED).reason == "chargeback"
    assert entry(RENAMED).reason is None


def test_of_a_redacted_event_nothing_is_told_of_what_it_was() -> None:
    past = recorded(SUSPENDED, 2)
    told = history.entry(ACTIVE, redacted(past), project(ACTIVE, redacted(past)))
    assert told == timeline.redacted(history.entry(ACTIVE, past, project(ACTIVE, past))) == history.bare(past)
    assert (told.redacted, told.reason, told.changes) == (True, None, ())


def test_an_erasure_is_told_without_what_there_was() -> None:
    told = entry(ERASED)
    assert (told.type, told.redacted, told.reason, told.changes) == ("CustomerErased", True, None, ())


@settings(max_examples=300, deadline=None)
@holds_for(lives(more=(0, 2)))
def test_the_document_of_every_version_is_the_fold_of_the_entries_up_to_it(life: list[Recorded]) -> None:
    content: timeline.Flat = {}
    view: views.View | None = None
    for past in life:
        before, view = view, project(view, past)
        stored = timeline.encode(history.entry(before, past, view))
        timeline.apply(content, timeline.decode(stored).changes)
        assert isinstance(view, CustomerView)
        found = timeline.document(content, str(view.id), view.version, view.created_at, view.updated_at)
        assert msgspec.json.encode(found) == msgspec.json.encode(view)


@settings(max_examples=200, deadline=None)
@holds_for(lives(), lives())
def test_what_differs_is_found_without_looking_at_what_is_shared(one: list[Recorded], other: list[Recorded]) -> None:
    documents: list[CustomerView] = []
    for life in (one, other):
        view: views.View | None = None
        for past in life:
            view = project(view, past)
            assert isinstance(view, CustomerView)
            documents.append(view)
    for before, after in zip([None, *documents], documents, strict=False):
        changes = timeline.changes(timeline.flat(before), timeline.flat(after))
        stored = views.unpack(views.pack(before)) if before else None  # shares nothing
        assert not isinstance(stored, views.ErasedView)
        assert timeline.changes_between(before, after) == timeline.changes_between(stored, after) == changes


@settings(max_examples=100, deadline=None)
@holds_for(lives(erased=True))
def test_what_is_told_of_an_erased_customer_is_the_same_before_and_after(life: list[Recorded]) -> None:
    """Whether its entries are stripped of what they told, or made of events that are redacted."""
    view: views.View | None = None
    for past in life:
        before, view = view, project(view, past)
        stripped = timeline.redacted(history.entry(before, past, view))
        assert timeline.encode(stripped) == timeline.encode(history.bare(past))
        assert timeline.encode(stripped) == timeline.encode(history.entry(before, redacted(past), view))


def test_entries_are_packed_with_what_follows_them() -> None:
    entries = [timeline.encode(replace(TOLD, version=version)) for version in range(1, 131)]
    blocks, left = history.packed(entries, [b'{"version":64}', None])
    assert [timeline.unpack(block).document for block in blocks] == [msgspec.Raw(b'{"version":64}'), None]
    assert left == entries[128:]
    assert [one.version for one in history.unpacked(blocks, left)] == list(range(1, 131))
    assert history.packed(entries[:63], []) == ([], entries[:63])


@pytest.mark.parametrize(
    ("blocks", "entries"), [([b"no block"], []), ([], [b"{"]), ([timeline.pack([b"{}"], None)], [])]
)
def test_what_is_no_timeline_is_not_read_as_one(blocks: list[bytes], entries: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        history.unpacked(blocks, entries)


def test_times_are_those_of_the_event_store() -> None:
    moment = datetime(2026, 11, 22, 12, 0, 2, 5_000, tzinfo=UTC)
    assert TOLD.recorded_at == views.timestamp(moment)
    assert views.timestamp(MOMENT) == SHOWN
