"""The collector to which our own stack reports."""

from typing import Final

from customerflow_local import sink
from customerflow_local.sink import Span

__all__ = ["Sink", "Span"]

# Preferred, so that a stack that is kept running between two runs need not be told of another port.
_PORT: Final = 14318


class Sink(sink.Sink):
    def __init__(self) -> None:
        super().__init__(_PORT, or_another=True)
