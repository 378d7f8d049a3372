"""What can be seen of outside services. The names of services and operations are ours; nothing else is told."""

from typing import Final

from customerflow_shared import metrics

CALLS: Final = metrics.histogram(
    "customerflow.outside.call.duration",
    "s",
    "Calls to outside services, with waits and retries, by how they ended.",
    ["service", "operation", "outcome"],
    bounds=metrics.LONG_SECONDS,
)
RETRIES: Final = metrics.counter(
    "customerflow.outside.retries",
    "{retry}",
    "Retries of calls that were `made`, or `unaffordable` by their budget.",
    ["service", "outcome"],
)
CIRCUIT: Final = metrics.gauge(
    "customerflow.outside.circuit",
    "{state}",
    "The circuit of an outside service: 0 closed, 1 half-open, 2 open.",
    ["service"],
)
TRANSITIONS: Final = metrics.counter(
    "customerflow.outside.circuit.transitions",
    "{transition}",
    "Changes of a circuit, by its new state.",
    ["service", "state"],
)
CALLS_INSIDE: Final = metrics.gauge(
    "customerflow.outside.active_calls",
    "{call}",
    "Calls to an outside service that are under way, or wait for a place.",
    ["service"],
)
CACHED: Final = metrics.counter(
    "customerflow.outside.cache.requests",
    "{request}",
    "What was asked of a cache of outside answers: a `hit`, `loaded`, `stale`, or `failed`.",
    ["cache", "outcome"],
)
