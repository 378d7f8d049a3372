"""Who waits to be written: in the order of arrival, and no two that touch the same in one group."""

import random
import time
from collections.abc import Iterable
from uuid import UUID

import pytest
from customerflow_command.unit import HashedClaim, Receipt, Unit
from customerflow_command.waiting import Waiting
from customerflow_shared.ids import uuid7

ANY_SIZE = 1_000_000


def unit(customer: UUID | None = None, *emails: str, key: str | None = None) -> Unit:
    return Unit(
        customer_id=customer or uuid7(),
        events=[],
        take=frozenset(HashedClaim("email", email.encode()) for email in emails),
        receipt=Receipt(key.encode(), b"") if key else None,
    )


def filled(units: Iterable[Unit]) -> Waiting:
    waiting = Waiting()
    for one in units:
        waiting.add(one)
    return waiting


def groups(waiting: Waiting, largest: int = 256) -> list[list[Unit]]:
    """What is written until nobody waits."""
    taken = []
    while waiting:
        taken.append(waiting.take(largest, ANY_SIZE))
        for one in taken[-1]:
            waiting.end(one)
    return taken


async def test_whoever_came_first_goes_first() -> None:
    units = [unit() for _ in range(10)]
    assert groups(filled(units), largest=4) == [units[:4], units[4:8], units[8:]]


async def test_a_group_is_no_larger_than_a_packet_may_be() -> None:
    units = [unit() for _ in range(3)]
    for one in units:
        one.size = lambda: 600  # type: ignore[method-assign]  # as large as that
    assert filled(units).take(256, 1000) == units[:2]


async def test_those_that_touch_the_same_follow_one_another() -> None:
    customer = uuid7()
    first, beside = unit(customer, "a"), unit()
    second, third, fourth = unit(customer), unit(None, "a", key="k"), unit(None, key="k")
    assert groups(filled([first, second, third, fourth, beside])) == [[first, beside], [second, third], [fourth]]


async def test_one_that_was_held_up_goes_before_those_that_came_later() -> None:
    customer = uuid7()
    first, second, later = unit(customer), unit(customer), [unit() for _ in range(6)]
    assert groups(filled([first, second, *later]), largest=2) == [
        [first, later[0]],
        [second, later[1]],
        later[2:4],
        later[4:],
    ]


async def test_what_is_being_written_holds_up_what_comes_meanwhile() -> None:
    customer = uuid7()
    first, second = unit(customer), unit(customer)
    waiting = filled([first])
    assert waiting.take(256, ANY_SIZE) == [first]
    waiting.add(second)
    assert len(waiting) == 1
    assert waiting.take(256, ANY_SIZE) == []
    waiting.end(first)
    assert waiting.take(256, ANY_SIZE) == [second]


async def test_whoever_leaves_is_not_written_and_holds_nobody_up() -> None:
    customer = uuid7()
    first, second, third = unit(customer), unit(customer), unit(customer)
    waiting = filled([first, second, third])
    waiting.leave(second)
    assert len(waiting) == 2
    assert groups(waiting) == [[first], [third]]
    assert len(waiting) == 0


async def test_whoever_leaves_when_it_is_taken_comes_too_late() -> None:
    one = unit()
    waiting = filled([one])
    assert waiting.take(256, ANY_SIZE) == [one]
    waiting.leave(one)
    assert len(waiting) == 0
    waiting.end(one)
    waiting.leave(one)
    assert len(waiting) == 0


async def test_whatever_comes_and_leaves_each_is_taken_once_and_in_order() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        customers = [uuid7() for _ in range(5)]
        units = [unit(chance.choice([*customers, None]), *chance.sample("abc", chance.randrange(3))) for _ in range(80)]
        waiting, coming, taken, left = Waiting(), [*units], list[Unit](), set[Unit]()
        while coming or waiting:
            for _ in range(min(len(coming), chance.randrange(9))):
                waiting.add(coming.pop(0))
            known = [one for one in units[: len(units) - len(coming)] if one not in taken and one not in left]
            if known and chance.random() < 0.3:
                waiting.leave(known[0])
                left.add(known[0])
            group = waiting.take(chance.randrange(1, 8), ANY_SIZE)
            touched = [key for one in group for key in one.touches]
            assert len(touched) == len(set(touched))
            taken += group
            for one in group:
                waiting.end(one)
        assert sorted(map(id, taken)) == sorted(id(one) for one in units if one not in left)
        for key in {key for one in units for key in one.touches}:
            order = [units.index(one) for one in taken if key in one.touches]
            assert order == sorted(order)


@pytest.mark.parametrize("emails", [[], ["wanted@example.com"]], ids=["nobody's", "one and the same"])
async def test_what_a_unit_costs_does_not_grow_with_the_backlog(emails: list[str]) -> None:
    def seconds(backlog: int) -> float:
        units = [unit(None, *emails) for _ in range(backlog)]
        begun = time.process_time()
        groups(filled(units))
        return (time.process_time() - begun) / backlog

    few, many = [min([seconds(backlog) for _ in range(3)]) for backlog in (500, 5_000)]
    assert many < 8 * few
