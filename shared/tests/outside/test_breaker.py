"""The circuit breaker, by a clock of its own."""

import pytest
from customerflow_shared.outside import CircuitOpen, Policy
from customerflow_shared.outside.breaker import Breaker, State

POLICY = Policy(deadline=1, per_try=1, failures=3, window=6, memory=60, open_for=5, open_at_most=15)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("it", POLICY, clock)


def state(breaker: Breaker) -> State:
    """Asked anew, which a type checker takes for needless."""
    return breaker.state


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.admit().fail()


def opened(breaker: Breaker) -> Breaker:
    fail(breaker, POLICY.failures)
    assert state(breaker) is State.OPEN
    return breaker


def test_it_opens_at_the_last_of_so_many_failures(breaker: Breaker) -> None:
    fail(breaker, 2)
    assert state(breaker) is State.CLOSED
    fail(breaker)
    assert state(breaker) is State.OPEN


def test_failures_need_not_follow_one_another(breaker: Breaker) -> None:
    for _ in range(2):
        fail(breaker)
        breaker.admit().succeed()
    assert state(breaker) is State.CLOSED
    fail(breaker)
    assert state(breaker) is State.OPEN


def test_failures_among_many_successes_do_not_open_it(breaker: Breaker) -> None:
    for _ in range(20):
        fail(breaker)
        for _ in range(2):
            breaker.admit().succeed()
    assert state(breaker) is State.CLOSED


def test_old_failures_are_forgotten(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 2)
    clock.now += POLICY.memory
    fail(breaker, 2)
    assert state(breaker) is State.CLOSED
    fail(breaker)
    assert state(breaker) is State.OPEN


def test_while_it_is_open_it_refuses_and_says_for_how_long(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 3.5
    with pytest.raises(CircuitOpen) as refused:
        breaker.admit()
    assert refused.value.retry_after == pytest.approx(1.5)


def test_exactly_one_probe_is_let_through(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 5
    probe = breaker.admit()
    for _ in range(20):
        with pytest.raises(CircuitOpen):
            breaker.admit()
    clock.now += 3600
    with pytest.raises(CircuitOpen):
        breaker.admit()
    probe.succeed()
    assert state(breaker) is State.CLOSED
    breaker.admit()
    breaker.admit()


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_limit(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    for seconds in (5, 10, 15, 15):
        clock.now += seconds - 0.001
        with pytest.raises(CircuitOpen):
            breaker.admit()
        clock.now += 0.001
        fail(breaker)
        assert state(breaker) is State.OPEN


def test_after_it_has_closed_it_opens_for_the_first_time_again(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 5
    fail(breaker)
    clock.now += 10
    breaker.admit().succeed()
    fail(breaker, 2)
    assert state(breaker) is State.CLOSED  # what failed before is forgotten
    opened_at = clock.now
    fail(breaker)
    clock.now = opened_at + 5
    breaker.admit()


def test_cancellation_counts_neither_way(breaker: Breaker) -> None:
    fail(breaker, 2)
    for _ in range(20):
        breaker.admit().drop()
    assert state(breaker) is State.CLOSED
    fail(breaker)  # not pushed out of the window by those either
    assert state(breaker) is State.OPEN


def test_a_probe_that_is_cancelled_makes_the_next_one_the_probe(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 5
    breaker.admit().drop()
    probe = breaker.admit()
    with pytest.raises(CircuitOpen):
        breaker.admit()
    probe.succeed()
    assert state(breaker) is State.CLOSED


@pytest.mark.parametrize("outcome", ["succeed", "fail"])
def test_what_was_asked_before_it_opened_neither_closes_it_nor_keeps_it_open(
    breaker: Breaker, clock: Clock, outcome: str
) -> None:
    late = [breaker.admit() for _ in range(2)]
    opened(breaker)
    getattr(late[0], outcome)()
    assert state(breaker) is State.OPEN
    clock.now += 5
    probe = breaker.admit()
    getattr(late[1], outcome)()
    assert state(breaker) is State.HALF_OPEN
    probe.succeed()
    assert state(breaker) is State.CLOSED


def test_an_outcome_is_told_once(breaker: Breaker) -> None:
    permit = breaker.admit()
    for _ in range(10):
        permit.fail()
    assert state(breaker) is State.CLOSED
