"""What a document implies for the indexes, and what leads from one document's to the next's."""

from collections.abc import Iterable
from itertools import pairwise
from uuid import UUID

from customerflow_projector.indexes import _DEPENDS_ON, Command, Indexed, commands_between, difference, indexed
from customerflow_shared.events import Recorded
from customerflow_shared.views import CustomerView, ErasedView, View
from hypothesis import given as holds_for
from hypothesis import settings
from hypothesis import strategies as some
from msgspec.structs import replace

from .builders import LOOKUPS
from .given_when_then import ACTIVE, IN_CRM, IN_ERP, SHOWN_COMPLETE
from .lives import fold, lives

BORN = 1_795_348_801_005
ID = UUID(int=BORN << 80 | 7 << 76 | 1)
ONE = ID.bytes
ACTIVE = replace(ACTIVE, id=ID)
ERASED = ErasedView(id=ID, version=9, erased_at="2026-11-23T12:00:00.000Z")
NOTHING = Indexed({}, {}, frozenset())


def of(view: View | None) -> Indexed:
    return indexed(view, LOOKUPS)


def test_of_nothing_nothing() -> None:
    assert of(None) == NOTHING


def test_a_customer_is_ordered_filtered_found_and_counted() -> None:
    assert of(replace(ACTIVE, updated_at="2026-11-22T12:00:09.007Z")) == Indexed(
        members={
            ("order:created", ONE): 1_795_348_801_005,
            ("order:updated", ONE): 1_795_348_809_007,
            ("order:name", b"ana souza\0" + ONE): 0,
            ("facet:status:active", ONE): 1_795_348_801_005,
            ("facet:type:person", ONE): 1_795_348_801_005,
            ("words", b"ana\0" + ONE): 0,
            ("words", b"souza\0" + ONE): 0,
            ("lookup", LOOKUPS.email("ana@example.com") + ONE): 0,
        },
        fields={("names", ONE): b"ana souza\n"},
        totals=frozenset({("counts", "status:active"), ("counts", "type:person"), ("days", "2026-11-22")}),
    )


def test_a_customer_with_all_there_is_stands_everywhere() -> None:
    members, fields, totals = of(replace(SHOWN_COMPLETE, id=ID))
    assert {key.removeprefix("facet:") for key, _ in members if key.startswith("facet:")} == {
        "status:active",
        "type:person",
        "tag:vip",
        "tag:new",
        "country:BR",
        "stage:lead",
        "locale:pt-BR",
        "consent:newsletter/email",
        "consent:newsletter/sms",
        "source:erp",
        "source:crm",
        "issues",
    }
    assert {member[:-17] for key, member in members if key == "words"} == {
        *(b"ana", b"souza", b"aninha", b"maria", b"doces"),
    }
    assert {member[:-16] for key, member in members if key == "lookup"} == {
        LOOKUPS.email("ana@example.com"),
        LOOKUPS.phone("+5511999998888"),
        LOOKUPS.tax_id("br_cpf", "39053344705"),
        LOOKUPS.external_id(IN_ERP),
        LOOKUPS.external_id(IN_CRM),
    }
    assert fields == {("names", ONE): b"ana souza\naninha ana maria souza ana doces"}
    assert {total for key, total in totals if key == "counts"} == {
        "status:active",
        "type:person",
        "stage:lead",
        "country:BR",
        "consent:newsletter/email:granted",
        "consent:newsletter/sms:granted",
        "issues",
    }


def test_an_erased_customer_stands_in_the_orders_and_counts_as_erased() -> None:
    erased_at = 1_795_435_200_000
    assert of(ERASED) == Indexed(
        members={
            ("order:created", ONE): BORN,
            ("order:updated", ONE): erased_at,
            ("order:name", b"\xff\0" + ONE): 0,
            ("facet:status:erased", ONE): BORN,
        },
        fields={},
        totals=frozenset({("counts", "status:erased"), ("days", "2026-11-22")}),
    )


def test_what_stays_is_not_written_again() -> None:
    assert list(difference(of(ACTIVE), of(replace(ACTIVE, version=2, birth_date=None)))) == []
    moved = replace(ACTIVE, updated_at="2026-11-22T12:00:09.007Z")
    assert list(difference(of(ACTIVE), of(moved))) == [("ZADD", "order:updated", 1_795_348_809_007, ONE)]


def test_members_of_one_key_are_written_at_once() -> None:
    commands = list(difference(of(None), of(ACTIVE)))
    assert ("ZADD", "words", 0, b"ana\0" + ONE, 0, b"souza\0" + ONE) in commands
    assert len({command[:2] for command in commands if command[0] != "HINCRBY"}) == len(
        [command for command in commands if command[0] != "HINCRBY"]
    )


def carried_out(commands: Iterable[Command], there: Indexed) -> Indexed:
    """As Redis does it, for a customer that is alone in it."""
    members, fields, totals = dict(there.members), dict(there.fields), dict.fromkeys(there.totals, 1)
    for command in commands:
        match command:
            case ("ZADD", str(key), *scored):
                for score, member in zip(scored[::2], scored[1::2], strict=True):
                    assert isinstance(score, int | float)
                    assert isinstance(member, bytes)
                    members[key, member] = score
            case ("ZREM", str(key), *gone):
                for member in gone:
                    assert isinstance(member, bytes)
                    del members[key, member]
            case ("HSET", str(key), bytes(field), bytes(value)):
                fields[key, field] = value
            case ("HDEL", str(key), bytes(field)):
                del fields[key, field]
            case ("HINCRBY", str(key), str(field), int(by)):
                totals[key, field] = totals.get((key, field), 0) + by
            case other:
                raise AssertionError(other)
    assert set(totals.values()) <= {0, 1}
    return Indexed(members, fields, frozenset(total for total, count in totals.items() if count))


@settings(max_examples=100, deadline=None)
@holds_for(lives(), lives(), some.booleans())
def test_the_difference_leads_from_any_document_to_any_other(
    one: list[Recorded], other: list[Recorded], erased: bool
) -> None:
    before, after = of(fold(one)), of(replace(ERASED, id=fold(one).id) if erased else fold(other))
    assert carried_out(difference(before, after), before) == after
    assert carried_out(difference(NOTHING, after), NOTHING) == after


@settings(max_examples=100, deadline=None)
@holds_for(lives(), lives())
def test_parts_in_which_nothing_differs_are_left_out_for_a_reason(one: list[Recorded], other: list[Recorded]) -> None:
    documents = [fold(life[: end + 1]) for life in (one, other) for end in range(len(life))]
    for before, after in pairwise([*documents, documents[0]]):
        same_id = replace(after, id=before.id)
        assert carried_out(commands_between(before, same_id, LOOKUPS), of(before)) == of(same_id)
    assert carried_out(commands_between(None, documents[0], LOOKUPS), NOTHING) == of(documents[0])


def test_every_field_has_its_place_in_the_indexes_or_none() -> None:
    indexed_fields = {field for fields in _DEPENDS_ON.values() for field in fields}
    assert set(CustomerView.__struct_fields__) - indexed_fields == {
        *("id", "version", "updated_at"),  # in every part
        *("suspended_until", "given_name", "family_name", "birth_date", "email_verified_at", "phone_extension"),
        *("phone_verified_at", "timezone", "default_addresses", "attributes", "legal_hold"),
    }
