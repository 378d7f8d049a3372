"""What a timeline is made of: changes by path, entries, blocks."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from customerflow_shared import timeline
from customerflow_shared.timeline import BLOCK, Change, Entry, Flat, Who
from customerflow_shared.values import Address, ExternalId, Issue, TaxId
from customerflow_shared.views import ConsentView, CustomerView, LegalHold

ANA = UUID(int=0xA)
HOME = Address(id=UUID(int=1), country="BR", line1="Av. Paulista")
TIMES = ("2026-11-22T12:00:01.005Z", "2026-11-22T12:00:02.005Z")
VIEW = CustomerView(
    id=ANA,
    version=2,
    type="person",
    name="Ana Souza",
    status="active",
    tax_ids=(TaxId(id=UUID(int=2), type="br_cpf", value="39053344705"),),
    addresses=(HOME,),
    default_addresses={"billing": HOME.id},
    consents=(
        ConsentView(purpose="news/weekly", channel="e~mail", state="granted", captured_at=TIMES[0], source="shop"),
    ),
    tags=("b", "a"),
    external_ids=(ExternalId(source="erp", value="1/0"), ExternalId(source="erp/1", value="0")),
    attributes={"shoe": 38, "a/b": True, "": "empty"},
    data_quality=(Issue(path="name", code="odd"),),
    legal_hold=LegalHold(),
    created_at=TIMES[0],
    updated_at=TIMES[1],
)
FLAT: Flat = {
    "type": "person",
    "name": "Ana Souza",
    "status": "active",
    "taxIds/00000000-0000-0000-0000-000000000002": {
        "id": "00000000-0000-0000-0000-000000000002",
        "type": "br_cpf",
        "value": "39053344705",
    },
    "addresses/00000000-0000-0000-0000-000000000001": {
        "id": "00000000-0000-0000-0000-000000000001",
        "country": "BR",
        "line1": "Av. Paulista",
    },
    "defaultAddresses/billing": "00000000-0000-0000-0000-000000000001",
    "consents/news~1weekly/e~0mail": {
        "purpose": "news/weekly",
        "channel": "e~mail",
        "state": "granted",
        "capturedAt": "2026-11-22T12:00:01.005Z",
        "source": "shop",
    },
    "tags/b": "b",
    "tags/a": "a",
    "externalIds/erp/1~10": {"source": "erp", "value": "1/0"},
    "externalIds/erp~11/0": {"source": "erp/1", "value": "0"},
    "attributes/shoe": 38,
    "attributes/a~1b": True,
    "attributes/": "empty",
    "dataQuality": [{"path": "name", "code": "odd"}],
    "legalHold": {},
}
ENTRY = Entry(
    version=1,
    type="CustomerSuspended",
    occurred_at=TIMES[0],
    recorded_at=TIMES[1],
    actor=Who(type="user", id="u-7"),
    source="api",
    correlation_id="c-1",
    reason="chargeback",
    changes=(Change(path="status", before="active", after="suspended"),),
)


def test_a_document_is_told_by_paths() -> None:
    assert timeline.flat(VIEW) == FLAT
    assert list(timeline.flat(VIEW)) == list(FLAT)
    assert timeline.flat(None) == {}


def test_paths_lead_back_to_the_document() -> None:
    found = timeline.document(FLAT, str(ANA), 2, *TIMES)
    assert found == VIEW
    assert msgspec.json.encode(found) == msgspec.json.encode(VIEW)


def test_what_is_no_customers_is_no_document() -> None:
    with pytest.raises(msgspec.ValidationError):
        timeline.document({"name": "Ana"}, str(ANA), 2, *TIMES)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        pytest.param({}, {"a": 1}, [Change(path="a", after=1)], id="new"),
        pytest.param({"a": 1}, {}, [Change(path="a", before=1)], id="gone"),
        pytest.param({"a": 1}, {"a": 2}, [Change(path="a", before=1, after=2)], id="another"),
        pytest.param({"a": 1, "b": [2]}, {"b": [2], "a": 1}, [], id="the same"),
        pytest.param({"a": 1}, {"a": True}, [Change(path="a", before=1, after=True)], id="true is not 1"),
        pytest.param({"a": 1}, {"a": 1.0}, [Change(path="a", before=1, after=1.0)], id="1.0 is not 1"),
        pytest.param(
            {"a": 1, "b": 2},
            {"c": 3, "a": 4},
            [Change(path="a", before=1, after=4), Change(path="b", before=2), Change(path="c", after=3)],
            id="first what was there",
        ),
    ],
)
def test_changes_lead_from_one_to_the_other(before: Flat, after: Flat, changes: list[Change]) -> None:
    made = timeline.changes(before, after)
    assert list(made) == changes
    content: dict[str, Any] = dict(before)
    timeline.apply(content, made)
    assert content == after


def test_what_is_replaced_stays_where_it_stands_and_what_is_new_comes_last() -> None:
    content: Flat = {"tags/a": "a", "tags/b": "b"}
    timeline.apply(content, [Change(path="tags/c", after="c"), Change(path="tags/a", before="a", after="A")])
    assert list(content.items()) == [("tags/a", "A"), ("tags/b", "b"), ("tags/c", "c")]


def test_an_entry_comes_back_as_it_was() -> None:
    assert timeline.decode(timeline.encode(ENTRY)) == ENTRY
    assert b'"changes":[{"path":"status","from":"active","to":"suspended"}]' in timeline.encode(ENTRY)
    with pytest.raises(msgspec.DecodeError):
        timeline.decode(b"{}")


def test_of_a_redacted_entry_only_that_it_happened_is_left() -> None:
    assert timeline.encode(timeline.redacted(ENTRY)) == (
        b'{"version":1,"type":"CustomerSuspended","occurredAt":"2026-11-22T12:00:01.005Z",'
        b'"recordedAt":"2026-11-22T12:00:02.005Z","actor":{"type":"user","id":"u-7"},"source":"api",'
        b'"correlationId":"c-1","redacted":true}'
    )


@pytest.mark.parametrize("document", [None, b'{"id":1}'])
def test_a_block_gives_back_what_was_packed(document: bytes | None) -> None:
    entries = [timeline.encode(msgspec.structs.replace(ENTRY, version=version)) for version in range(1, BLOCK + 1)]
    packed = timeline.pack(entries, document)
    found = timeline.unpack(packed)
    assert [bytes(one) for one in found.entries] == entries
    assert (bytes(found.document) if found.document else None) == document
    assert len(packed) < sum(map(len, entries)) / 10
    assert timeline.pack(entries, document) == packed


@pytest.mark.parametrize("foreign", [b"", b"block", timeline.pack([], None)[:-5]])
def test_what_is_no_block_is_not_read_as_one(foreign: bytes) -> None:
    with pytest.raises(ValueError, match="no block of a timeline"):
        timeline.unpack(foreign)
