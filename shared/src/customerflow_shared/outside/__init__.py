"""Calls to HTTP services of others: bounded in time, number and size, whatever those do.

A client is a `Client` with a `Policy`, which says in one place how the service is called; `Cache` keeps what it has
answered, `first_answer` asks one service after the other. The order inside a call is: deadline, bulkhead, retries,
breaker, deadline of a try.
"""

from customerflow_shared.outside.cache import Cache, Keeping, Kept
from customerflow_shared.outside.chain import NoAnswer, first_answer
from customerflow_shared.outside.client import Answer, Client, json_as
from customerflow_shared.outside.failures import (
    BadAnswer,
    BulkheadFull,
    CircuitOpen,
    Failed,
    NotAsked,
    OutsideError,
    TimedOut,
    Unreachable,
    Unwilling,
)
from customerflow_shared.outside.policy import Policy

__all__ = [
    "Answer",
    "BadAnswer",
    "BulkheadFull",
    "Cache",
    "CircuitOpen",
    "Client",
    "Failed",
    "Keeping",
    "Kept",
    "NoAnswer",
    "NotAsked",
    "OutsideError",
    "Policy",
    "TimedOut",
    "Unreachable",
    "Unwilling",
    "first_answer",
    "json_as",
]
