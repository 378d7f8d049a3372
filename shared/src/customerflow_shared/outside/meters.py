"""What can be seen of outside services. The names of services and operations are ours; nothing else is told."""

from opentelemetry import metrics

_meter = metrics.get_meter("customerflow.outside")

_calls = _meter.create_counter(
    "customerflow.outside.calls", unit="{call}", description="Calls to outside services, by how they ended"
)
_duration = _meter.create_histogram(
    "customerflow.outside.duration",
    unit="s",
    description="How long calls to outside services took, with waits and retries",
    explicit_bucket_boundaries_advisory=[0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30],
)
_retries = _meter.create_counter(
    "customerflow.outside.retries", unit="{retry}", description="Retries of calls: `made`, or `unaffordable`"
)
_breaker = _meter.create_gauge(
    "customerflow.outside.breaker", description="The circuit of an outside service: 0 closed, 1 half-open, 2 open"
)
_transitions = _meter.create_counter(
    "customerflow.outside.breaker.transitions",
    unit="{transition}",
    description="Changes of a circuit, by its new state",
)
_cached = _meter.create_counter(
    "customerflow.outside.cache",
    unit="{lookup}",
    description="Look-ups in caches of outside answers, by what was there",
)


def called(service: str, operation: str, outcome: str, seconds: float) -> None:
    told = {"service": service, "operation": operation, "outcome": outcome}
    _calls.add(1, told)
    _duration.record(seconds, told)


def retried(service: str, outcome: str) -> None:
    _retries.add(1, {"service": service, "outcome": outcome})


def breaker_is(service: str, state: int) -> None:
    _breaker.set(int(state), {"service": service})
    _transitions.add(1, {"service": service, "state": _STATES[state]})


def looked_up(cache: str, outcome: str) -> None:
    _cached.add(1, {"cache": cache, "outcome": outcome})


_STATES = ("closed", "half-open", "open")
