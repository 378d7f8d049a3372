"""The small words: ids, shards, stored documents, times."""

import time
from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID

import pytest
from customerflow_shared import views
from customerflow_shared.ids import uuid7
from customerflow_shared.messaging import SHARDS, shard_of, shard_queue
from customerflow_shared.values import Address, ExternalId, Issue, TaxId
from customerflow_shared.views import ConsentView, CustomerView, ErasedView, Erasure

VIEW = CustomerView(
    id=UUID(int=1),
    version=7,
    type="person",
    name="Ana\nSouza",
    status="active",
    created_at="2026-11-22T15:04:05.123Z",
    updated_at="2026-11-22T15:04:05.123Z",
)
ERASED = ErasedView(id=UUID(int=1), version=8, erased_at="2026-11-22T15:04:05.123Z")


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
        b'"status":"active","createdAt":"2026-11-22T15:04:05.123Z","updatedAt":"2026-11-22T15:04:05.123Z"}'
    )
    assert views.split(stored) == (7, False, stored[2:])
    assert views.unpack(stored) == VIEW


def test_what_is_left_of_an_erased_customer_is_told_apart_without_reading_it() -> None:
    stored = views.pack(ERASED)
    assert stored == (
        b'8 erased\n{"id":"00000000-0000-0000-0000-000000000001","version":8,"status":"erased",'
        b'"erasedAt":"2026-11-22T15:04:05.123Z"}'
    )
    assert views.split(stored) == (8, True, stored[9:])
    assert views.unpack(stored) == ERASED


def test_the_stored_form_is_for_ever() -> None:
    """Its bytes are what clients get; a change here needs another `views.SCHEMA`."""
    view = CustomerView(
        id=UUID(int=1),
        version=7,
        type="company",
        name="Ana Doces",
        status="suspended",
        suspended_until="2027-11-22T15:04:05.123Z",
        given_name="Ana",
        family_name="Souza",
        social_name="Aninha",
        legal_name="Ana Maria Souza",
        trade_name="Ana Doces",
        birth_date=date(1990, 2, 28),
        email="ana@example.com",
        email_verified_at="2026-11-22T15:04:05.123Z",
        phone="+5511999998888",
        phone_extension="12",
        phone_verified_at="2026-11-22T15:04:05.123Z",
        locale="pt-BR",
        timezone="America/Sao_Paulo",
        lifecycle_stage="lead",
        tax_ids=(TaxId(id=UUID(int=2), type="br_cpf", value="39053344705"),),
        addresses=(Address(id=UUID(int=3), country="BR", line1="Av. Paulista", roles=("billing",)),),
        default_addresses={"billing": UUID(int=3)},
        consents=(
            ConsentView(
                purpose="newsletter",
                channel="email",
                state="granted",
                captured_at="2026-11-22T15:04:05.123Z",
                source="checkout",
            ),
        ),
        tags=("vip",),
        external_ids=(ExternalId(source="erp", value="10442"),),
        attributes={"shoe": 38, "vegan": True},
        data_quality=(Issue(path="name", code="name-unusual"),),
        erasure=Erasure(due_at="2026-12-22T15:04:05.123Z", request_ref="LGPD-7"),
        created_at="2026-11-22T15:04:05.123Z",
        updated_at="2026-11-22T15:04:05.123Z",
    )
    stored = views.pack(view)
    assert stored.decode() == (
        '7\n{"id":"00000000-0000-0000-0000-000000000001","version":7,"type":"company","name":"Ana Doces",'
        '"status":"suspended","suspendedUntil":"2027-11-22T15:04:05.123Z","givenName":"Ana",'
        '"familyName":"Souza","socialName":"Aninha","legalName":"Ana Maria Souza","tradeName":"Ana Doces",'
        '"birthDate":"1990-02-28","email":"ana@example.com","emailVerifiedAt":"2026-11-22T15:04:05.123Z",'
        '"phone":"+5511999998888","phoneExtension":"12","phoneVerifiedAt":"2026-11-22T15:04:05.123Z",'
        '"locale":"pt-BR","timezone":"America/Sao_Paulo","lifecycleStage":"lead",'
        '"taxIds":[{"id":"00000000-0000-0000-0000-000000000002","type":"br_cpf","value":"39053344705"}],'
        '"addresses":[{"id":"00000000-0000-0000-0000-000000000003","country":"BR","line1":"Av. Paulista",'
        '"roles":["billing"]}],"defaultAddresses":{"billing":"00000000-0000-0000-0000-000000000003"},'
        '"consents":[{"purpose":"newsletter","channel":"email","state":"granted",'
        '"capturedAt":"2026-11-22T15:04:05.123Z","source":"checkout"}],"tags":["vip"],'
        '"externalIds":[{"source":"erp","value":"10442"}],"attributes":{"shoe":38,"vegan":true},'
        '"dataQuality":[{"path":"name","code":"name-unusual"}],"erasure":{"dueAt":"2026-12-22T15:04:05.123Z",'
        '"requestRef":"LGPD-7"},"createdAt":"2026-11-22T15:04:05.123Z","updatedAt":"2026-11-22T15:04:05.123Z"}'
    )
    assert views.unpack(stored) == view


@pytest.mark.parametrize("stored", [b"", b"{}", b"x\n{}", b" erased\n{}", b"7 gone\n{}", b"7erased\n{}", b"\n7"])
def test_what_is_no_stored_document_is_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        views.split(stored)


def test_times_are_shown_in_utc_to_the_millisecond() -> None:
    moment = datetime(2026, 11, 22, 12, 0, tzinfo=timezone(timedelta(hours=-3)))
    assert views.timestamp(moment) == "2026-11-22T15:00:00.000Z"
    assert views.timestamp(datetime(2026, 1, 1, 0, 0, 0, 999_999, UTC)) == "2026-01-01T00:00:00.999Z"


@pytest.mark.parametrize(
    ("key", "belongs"),
    [
        pytest.param(views.customer_key(views.new_generation(), UUID(int=1)), True, id="customer"),
        pytest.param(views.checkpoint_key(views.new_generation()), True, id="checkpoint"),
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
