"""The small words: ids, shards, stored documents, times."""

import time
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from customerflow_shared import views
from customerflow_shared.ids import uuid7
from customerflow_shared.messaging import SHARDS, shard_of, shard_queue
from customerflow_shared.views import CustomerView

VIEW = CustomerView(
    id=UUID(int=1),
    version=7,
    type="person",
    name="Ana\nSouza",
    email=None,
    status="active",
    created_at="2026-11-22T15:04:05.123Z",
    updated_at="2026-11-22T15:04:05.123Z",
)


def test_ids_are_version_7_and_grow_with_time() -> None:
    first = uuid7()
    time.sleep(0.002)
    second = uuid7()
    assert first.version == second.version == 7
    assert first.variant == UUID(int=0x8000_0000_0000_0000).variant
    assert first < second


def test_a_customer_stays_in_its_shard_and_customers_spread_evenly() -> None:
    counts = [0] * SHARDS
    for _ in range(16_000):
        counts[shard_of(uuid7())] += 1
    assert min(counts) > 800
    # pinned: a customer that moved would have its events in two queues at once
    assert [shard_of(UUID(int=number)) for number in range(4)] == [5, 3, 9, 15]


def test_queues_are_named_by_shard() -> None:
    assert shard_queue(3) == "customerflow.projector.03"


def test_a_stored_document_starts_with_its_version() -> None:
    stored = views.pack(VIEW)
    assert stored == (
        b'7\n{"id":"00000000-0000-0000-0000-000000000001","version":7,"type":"person","name":"Ana\\nSouza",'
        b'"email":null,"status":"active","createdAt":"2026-11-22T15:04:05.123Z",'
        b'"updatedAt":"2026-11-22T15:04:05.123Z"}'
    )
    assert views.split(stored) == (7, stored[2:])
    assert views.unpack(stored) == VIEW


def test_times_are_shown_in_utc_to_the_millisecond() -> None:
    moment = datetime(2026, 11, 22, 12, 0, tzinfo=timezone(timedelta(hours=-3)))
    assert views.timestamp(moment) == "2026-11-22T15:00:00.000Z"
    assert views.timestamp(datetime(2026, 1, 1, 0, 0, 0, 999_999, UTC)) == "2026-01-01T00:00:00.999Z"


@pytest.mark.parametrize(
    ("key", "belongs"),
    [
        (views.customer_key(views.new_generation(), UUID(int=1)), True),
        (views.checkpoint_key(views.new_generation()), True),
        (views.LIVE, False),
        (views.BUILDING, False),
        (views.VOUCHED, False),
        ("cf:rebuild", False),
    ],
)
def test_a_generations_keys_are_told_from_the_others(key: str, belongs: bool) -> None:
    assert views.is_generation_key(key) is belongs


def test_a_generation_says_its_schema() -> None:
    assert views.schema_of(views.new_generation()) == views.SCHEMA
