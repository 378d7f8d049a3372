"""One service after the other."""

import asyncio

import pytest
from customerflow_shared.outside import CircuitOpen, NoAnswer, Unreachable, Unwilling, first_answer
from customerflow_shared.outside.chain import Ask


def says(value: str | None) -> Ask[str]:
    async def ask() -> str | None:
        return value

    return ask


def fails(error: Exception) -> Ask[str]:
    async def ask() -> str | None:
        raise error

    return ask


async def hangs() -> str | None:
    await asyncio.Event().wait()
    return ""


@pytest.mark.parametrize(
    ("asks", "answer"),
    [
        ([says("a"), fails(AssertionError())], "a"),  # nobody else is asked
        ([fails(Unreachable()), says("b")], "b"),
        ([says(None), says("b")], "b"),
        ([says(None), fails(Unreachable())], None),
        ([fails(Unreachable()), says(None)], None),
        ([says(None), hangs], None),
    ],
)
async def test_the_first_who_knows_is_believed_and_a_denial_if_nobody_knows(
    asks: list[Ask[str]], answer: str | None
) -> None:
    assert await first_answer(asks, within=0.05) == answer


@pytest.mark.parametrize(
    ("asks", "wait"),
    [
        ([], None),
        ([fails(Unreachable()), hangs], None),
        ([fails(CircuitOpen(9)), fails(Unwilling(429, 7)), fails(Unwilling(500, None))], 7),
    ],
)
async def test_without_any_answer_it_is_told_when_to_ask_again(asks: list[Ask[str]], wait: float | None) -> None:
    with pytest.raises(NoAnswer) as error:
        await first_answer(asks, within=0.05)
    assert error.value.retry_after == wait


async def test_an_error_of_ours_is_not_taken_for_a_failure_of_theirs() -> None:
    with pytest.raises(ZeroDivisionError):
        await first_answer([fails(ZeroDivisionError()), says("b")], within=1)
