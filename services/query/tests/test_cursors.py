"""A cursor says nothing to whoever holds it, and nothing but what was given is taken."""

import base64

import pytest
from customerflow_query.listing import Cursors, Place
from customerflow_query.listing.cursors import LIFE
from customerflow_shared.problems import Problem

KEY = bytes(range(32))
PLACE = Place(1763812801005.0, b"souza silva\0" + bytes(16), 2)
BOUND = b"filters"


def cursors(key: bytes = KEY, purpose: str = "lists", *, now: float = 1000.0) -> Cursors[Place]:
    return Cursors(key, purpose, Place, now=lambda: now)


def refusal(of: Cursors[Place], cursor: str, bound: bytes = BOUND) -> str:
    with pytest.raises(Problem) as caught:
        of.read(cursor, bound)
    return caught.value.code


def test_a_cursor_leads_back_to_its_place() -> None:
    cursor = cursors().made(BOUND, PLACE)
    assert cursors().read(cursor, BOUND) == PLACE
    assert len(cursor) < 180


def test_nothing_can_be_read_in_it() -> None:
    raw = base64.urlsafe_b64decode(cursors().made(BOUND, PLACE) + "==")
    assert b"souza" not in raw
    assert BOUND not in raw
    other = base64.urlsafe_b64decode(cursors().made(BOUND, Place(PLACE.score, PLACE.member, 1)) + "==")
    assert sum(one == another for one, another in zip(raw, other, strict=True)) < len(raw) / 4


def test_a_change_of_any_bit_is_seen() -> None:
    cursor = cursors().made(BOUND, PLACE)
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    for at in range(len(raw)):
        for bit in range(8):
            changed = raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]
            assert refusal(cursors(), base64.urlsafe_b64encode(changed).rstrip(b"=").decode()) == "cursor-invalid"


def test_a_change_of_any_character_is_seen() -> None:
    cursor = cursors().made(BOUND, PLACE)
    for at in range(len(cursor)):
        for other in "AZ09-_=+ ":
            if other != cursor[at]:
                assert refusal(cursors(), cursor[:at] + other + cursor[at + 1 :]) == "cursor-invalid"
        assert refusal(cursors(), cursor[:at]) == "cursor-invalid"
        assert refusal(cursors(), cursor[:at] + cursor[at:] * 2) == "cursor-invalid"


@pytest.mark.parametrize("cursor", ["", "A", "AAAA", "\u0661" * 40, "x" * 10_000, " ", "null", "=" * 8, "a\n" * 30])
def test_what_was_never_given_is_not_taken(cursor: str) -> None:
    assert refusal(cursors(), cursor) == "cursor-invalid"


def test_it_belongs_to_its_list_its_kind_and_its_key() -> None:
    cursor = cursors().made(BOUND, PLACE)
    assert refusal(cursors(), cursor, b"others") == "cursor-mismatch"
    assert refusal(cursors(purpose="history"), cursor) == "cursor-invalid"
    assert refusal(cursors(key=bytes(32)), cursor) == "cursor-invalid"


def test_it_is_good_for_a_day() -> None:
    cursor = cursors(now=1000).made(BOUND, PLACE)
    assert cursors(now=1000 + LIFE - 1).read(cursor, BOUND) == PLACE
    assert refusal(cursors(now=1000 + LIFE), cursor) == "cursor-invalid"
