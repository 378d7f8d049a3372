"""The age of the oldest message, as the numbers of messages tell it."""

from collections import deque

import pytest
from customerflow_partners.ages import Age, Sample, of_oldest
from hypothesis import given
from hypothesis import strategies as st

EVERY_MINUTE = [Sample(0, 0), Sample(60, 10), Sample(120, 10), Sample(180, 30), Sample(240, 40)]


@pytest.mark.parametrize(
    ("backlog", "age"),
    [
        (1, Age(0, 60)),
        (10, Age(0, 60)),
        (11, Age(60, 120)),
        (30, Age(60, 120)),
        (31, Age(180, 240)),
        (40, Age(180, 240)),
    ],
)
def test_the_oldest_came_between_two_samples(backlog: int, age: Age) -> None:
    assert of_oldest(EVERY_MINUTE, [], backlog, 240) == age
    assert of_oldest(EVERY_MINUTE[::-1], [], backlog, 240) == age


def test_of_more_than_have_ever_been_counted_the_oldest_is_as_old_as_the_first_that_was_or_older() -> None:
    assert of_oldest(EVERY_MINUTE, [], 41, 240) == Age(180, None)
    assert of_oldest([Sample(0, 0), Sample(60, 0)], [], 1, 60) == Age(0, None)


def test_what_was_there_before_the_first_sample_may_be_of_any_age() -> None:
    assert of_oldest(EVERY_MINUTE[1:], [], 40, 240) == Age(180, None)


def test_what_is_not_counted_yet_came_after_the_queue_was_empty_the_last_time() -> None:
    lengths = [Sample(0, 0), Sample(60, 3), Sample(230, 0), Sample(235, 0)]
    assert of_oldest(EVERY_MINUTE, lengths, 30, 240) == Age(0, 15)
    assert of_oldest(EVERY_MINUTE, [*lengths, Sample(241, 0)], 30, 240) == Age(0, 15)  # it is ahead of the clock


def test_a_length_of_0_from_before_anything_was_counted_tells_nothing() -> None:
    assert of_oldest(EVERY_MINUTE[1:], [Sample(30, 0)], 40, 240) == Age(180, None)


def test_without_messages_or_samples_there_is_no_age() -> None:
    assert of_oldest(EVERY_MINUTE, [], 0, 240) is None
    assert of_oldest([], [], 7, 240) is None


def test_a_clock_that_is_behind_makes_no_age_negative() -> None:
    assert of_oldest(EVERY_MINUTE, [], 1, 200) == Age(0, 20)
    assert of_oldest(EVERY_MINUTE, [], 1, 10) == Age(0, 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from(("take", "drop", "give back"))),
        min_size=1,
        max_size=60,
    )
)
def test_whatever_comes_in_and_goes_out_the_age_is_within_its_bounds(turns: list[tuple[int, int, str]]) -> None:
    queue, came_in, samples, lengths = deque[int](), 0, [Sample(0, 0)], [Sample(0, 0)]
    for second, (coming, going, how) in enumerate(turns, 1):
        queue.extend([second] * coming)
        came_in += coming
        gone = [queue.popleft() for _ in range(min(going, len(queue)))]
        if how == "give back":
            queue.extendleft(reversed(gone))
        if second % 3 == 0 or second == len(turns):
            samples.append(Sample(second, came_in))
            lengths.append(Sample(second, len(queue)))
    age = of_oldest(samples, lengths, len(queue), len(turns))
    if not queue:
        assert age is None
        return
    assert age is not None
    assert age.at_most is not None
    assert age.at_least <= len(turns) - queue[0] <= age.at_most
