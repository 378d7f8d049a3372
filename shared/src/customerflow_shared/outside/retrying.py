"""When a call is tried again, and after which pause.

The library for it, stamina, is not used. Its `timeout` is looked at between tries only: three tries with pauses of 0.4
and 0.8 s took 1.25 s of allowed 0.5 s. It asks what a failure means after the last try too, so a budget would pay for
retries that nobody makes. And for the whole process it logs the text of errors, which may be personal.
"""

from collections.abc import Callable

from customerflow_shared.outside.failures import BadAnswer, Failed
from customerflow_shared.outside.policy import Policy


class Budget:
    """Retries are bought with calls: so they grow with the load, but not with the failures."""

    def __init__(self, policy: Policy) -> None:
        self._per_call = policy.retries_per_call
        self._most = policy.retry_burst
        self._left = policy.retry_burst

    def earn(self) -> None:
        self._left = min(self._left + self._per_call, self._most)

    def spend(self) -> bool:
        """Whether there was a retry left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def is_passing(error: Failed) -> bool:
    """An answer that is not as agreed will be no better the next time."""
    return not isinstance(error, BadAnswer)


def pause(policy: Policy, number: int, error: Failed, chance: Callable[[], float]) -> float:
    """After the `number`-th try, from 1. `chance` gives 0.0 <= x < 1.0."""
    most = min(policy.first_pause * 2.0 ** min(number - 1, 60), policy.longest_pause)
    return max(most * (1 + chance()) / 2, error.retry_after or 0.0)
