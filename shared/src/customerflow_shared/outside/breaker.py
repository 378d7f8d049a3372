"""A circuit breaker: a service that fails is left alone, and then asked once whether it is well again."""

import enum
from collections import deque
from collections.abc import Callable

import structlog

from customerflow_shared.outside import meters
from customerflow_shared.outside.failures import CircuitOpen
from customerflow_shared.outside.policy import Policy

log = structlog.get_logger()

# half-open circuits refuse for as long as the probe lasts, which nobody knows
PROBE_LASTS = 1.0


class State(enum.IntEnum):
    """As the metric tells it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2

    @property
    def label(self) -> str:
        return self.name.lower().replace("_", "-")


class Permit:
    """For one try, whose outcome is told once; a second one does not count. One that was cancelled, or cut short, says
    nothing of the service: then `drop` it.
    """

    def __init__(self, settle: "Callable[[Permit, bool | None], None]", epoch: int) -> None:
        self._settle = settle
        self.epoch = epoch

    def succeed(self) -> None:
        self._settle(self, True)

    def fail(self) -> None:
        self._settle(self, False)

    def drop(self) -> None:
        self._settle(self, None)


class Breaker:
    """What was let through before the state changed is not counted after it: it tells of the past."""

    def __init__(self, service: str, policy: Policy, clock: Callable[[], float]) -> None:
        self._service = service
        self._policy = policy
        self._clock = clock
        self._failures: deque[tuple[float, bool]] = deque(maxlen=policy.window)  # when, and whether it has failed
        self._epoch = 0
        self._open_until = 0.0
        self._open_for = policy.open_for
        self.state = State.CLOSED
        meters.CIRCUIT.set(self.state, service)
        for state in State:
            meters.TRANSITIONS.begin(service, state.label)

    def admit(self) -> Permit:
        """Raises CircuitOpen."""
        if self.state is State.OPEN and self._clock() >= self._open_until:
            self._become(State.HALF_OPEN)
        elif self.state is not State.CLOSED:
            raise CircuitOpen(PROBE_LASTS if self.state is State.HALF_OPEN else self._open_until - self._clock())
        return Permit(self._settled, self._epoch)

    def _settled(self, permit: Permit, well: bool | None) -> None:
        epoch, permit.epoch = permit.epoch, -1
        if epoch != self._epoch:
            return
        if self.state is State.HALF_OPEN:
            self._probed(well)
        elif well is not None:
            now = self._clock()
            self._failures.append((now, not well))
            recent = sum(failed for at, failed in self._failures if at > now - self._policy.memory)
            if recent >= self._policy.failures:
                self._open(self._policy.open_for)

    def _probed(self, well: bool | None) -> None:
        if well:
            self._failures.clear()
            self._become(State.CLOSED)
        elif well is None:
            self._become(State.OPEN)  # the next one is the probe
        else:
            self._open(min(self._open_for * 2, self._policy.open_at_most))

    def _open(self, seconds: float) -> None:
        self._open_for = seconds
        self._open_until = self._clock() + seconds
        self._become(State.OPEN)

    def _become(self, state: State) -> None:
        self.state = state
        self._epoch += 1
        meters.CIRCUIT.set(state, self._service)
        meters.TRANSITIONS.add(1, self._service, state.label)
        log.warning("circuit changed", service=self._service, state=state.label)
