"""Metrics: one set of instruments, for Prometheus (`/metrics`) and for OTLP.

They count in plain Python, a dict and a bisection: 0.2 microseconds, where OpenTelemetry's SDK takes 14 for a
measurement with two readers, and a whole read takes 70. When somebody collects, OpenTelemetry's observable instruments
read counters and gauges; of histograms it has no observable ones, so each reader is handed their points.

Labels are few and bounded: routes, kinds and outcomes, never ids. Should an instrument have more than `MOST_POINTS`
sets of labels all the same, the others go into one point (`otel.metric.overflow`).
"""

import os
import resource as limits
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, ParamSpec, TypeAlias, TypeVar

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

NAME: Final = "customerflow"
ENABLED: Final = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
"""Else nothing is counted, and nobody is told."""
MEDIA_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
MOST_POINTS = 500
LAST_METRICS_MS = 2000

Label: TypeAlias = str | int
Labels: TypeAlias = tuple[Label, ...]
_OVERFLOW: Final[Labels] = ("otel.metric.overflow",)
_BEGAN: Final = time.time_ns()

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of what takes half a millisecond to ten seconds."""
LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Buckets of what takes milliseconds, or as long as a server is away."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Instrument:
    """A name (of OpenTelemetry's semantic conventions where they have one), a unit, and the names of its labels, whose
    values are given in their order with each measurement; `""` is a label that is not there. `fixed` is the same for
    all measurements.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        name: str,
        unit: str,
        description: str,
        labels: Sequence[str] = (),
        fixed: Mapping[str, Label] | None = None,
    ) -> None:
        self.name = name
        self.unit = unit
        self.description = description
        self._labels = tuple(labels)
        self._fixed = dict(fixed or {})
        self._points: dict[Labels, Any] = {}
        self._begin()

    def _begin(self) -> None:
        """Nothing has been measured."""

    def attributes(self, values: Labels) -> dict[str, Label]:
        if values is _OVERFLOW:
            return {**self._fixed, "otel.metric.overflow": "true"}
        given = {name: value for name, value in zip(self._labels, values, strict=True) if value != ""}
        return {**self._fixed, **given}

    def _key(self, values: Labels) -> Labels:
        """Of a new point."""
        if len(values) != len(self._labels):
            raise ValueError(f"{self.name} has the labels {self._labels}, not {values}")
        return values if len(self._points) < MOST_POINTS else _OVERFLOW


class Counter(Instrument):
    """Only grows. One without labels begins at nought; of the others, each does with `begin`."""

    kind = "counter"

    _points: dict[Labels, float]

    def _begin(self) -> None:
        if not self._labels:
            self.begin()

    def begin(self, *values: Label) -> None:
        """Show it before it is counted: what begins at one cannot be seen to grow."""
        self.add(0, *values)

    def add(self, amount: float, *values: Label) -> None:
        try:
            self._points[values] += amount
        except KeyError:
            key = self._key(values)
            self._points[key] = self._points.get(key, 0) + amount

    def value(self, *values: Label) -> float:
        return self._points.get(values, 0)

    def observe(self) -> Iterator[tuple[float, dict[str, Label]]]:
        for values, amount in list(self._points.items()):
            yield amount, self.attributes(values)


class UpDownCounter(Counter):
    """Grows and shrinks; the sum over all processes has a meaning."""

    kind = "up_down_counter"


class Gauge(Instrument):
    """What was measured last, or what is read when somebody collects. While it is not known it is not told."""

    kind = "gauge"

    _points: dict[Labels, Callable[[], float | None]]

    def set(self, measured: float | None, *values: Label) -> None:
        self.read(lambda: measured, *values)

    def read(self, reading: Callable[[], float | None], *values: Label) -> None:
        """Called in another thread, at each collection; None: not known."""
        key = values if values in self._points else self._key(values)
        self._points[key] = reading

    def only(self, measured: Mapping[Labels, float | None]) -> None:
        """This was measured last, and of all else nothing is known any more."""
        for values in self._points.keys() - measured.keys():
            del self._points[values]
        for values, one in measured.items():
            self.set(one, *values)

    def value(self, *values: Label) -> float | None:
        reading = self._points.get(values)
        return reading() if reading else None

    def observe(self) -> Iterator[tuple[float, dict[str, Label]]]:
        for values, reading in list(self._points.items()):
            if (measured := reading()) is not None:
                yield measured, self.attributes(values)


class ReadCounter(Gauge):
    """Read like a gauge, but it only grows."""

    kind = "counter"


class _Point:
    __slots__ = ("counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum = 0.0


class Histogram(Instrument):
    """`bounds` are the upper bounds of its buckets, inclusive; one more takes the rest."""

    kind = "histogram"
    _points: dict[Labels, _Point]

    def __init__(
        self,
        name: str,
        unit: str,
        description: str,
        labels: Sequence[str] = (),
        fixed: Mapping[str, Label] | None = None,
        *,
        bounds: Sequence[float] = SECONDS,
    ) -> None:
        self._bounds = tuple(map(float, bounds))
        super().__init__(name, unit, description, labels, fixed)

    def _begin(self) -> None:
        if not self._labels:
            self._point(())

    def record(self, measured: float, *values: Label) -> None:
        try:
            point = self._points[values]
        except KeyError:
            point = self._point(values)
        point.counts[bisect_left(self._bounds, measured)] += 1
        point.sum += measured

    def count(self, *values: Label) -> int:
        return sum(self._points[values].counts) if values in self._points else 0

    def _point(self, values: Labels) -> _Point:
        return self._points.setdefault(self._key(values), _Point(len(self._bounds) + 1))

    def collected(self, now: int) -> Metric:
        points = []
        for values, point in list(self._points.items()):
            counts = tuple(point.counts)
            unknown: Any = None  # least and most are optional, and nobody could say of which time they were
            points.append(
                HistogramDataPoint(
                    self.attributes(values),
                    _BEGAN,
                    now,
                    sum(counts),
                    point.sum,
                    counts,
                    self._bounds,
                    unknown,
                    unknown,
                )
            )
        return Metric(self.name, self.description, self.unit, HistogramData(points, AggregationTemporality.CUMULATIVE))


class Registry:
    """The instruments of a process."""

    def __init__(self) -> None:
        self._instruments: dict[str, Instrument] = {}
        self._watching: list[Meter] = []

    def __iter__(self) -> Iterator[Instrument]:
        return iter(list(self._instruments.values()))

    def add(self, instrument: Instrument) -> None:
        if instrument.name in self._instruments:
            raise ValueError(f"there is a metric {instrument.name} already")
        self._instruments[instrument.name] = instrument
        for meter in self._watching:
            _observe(meter, instrument)

    def watch(self, meter: Meter) -> None:
        """Let the meter observe what there is, and what will be."""
        self._watching.append(meter)
        for instrument in self:
            _observe(meter, instrument)

    def histograms(self) -> list[Metric]:
        now = time.time_ns()
        return [one.collected(now) for one in self if isinstance(one, Histogram)]


def _observe(meter: Meter, instrument: Instrument) -> None:
    if isinstance(instrument, Counter | Gauge):
        create = getattr(meter, f"create_observable_{instrument.kind}")
        create(instrument.name, [partial(_observations, instrument)], instrument.unit, instrument.description)


def _observations(instrument: Counter | Gauge, _: CallbackOptions) -> Iterable[Observation]:
    return [Observation(amount, attributes) for amount, attributes in instrument.observe()]


def _nothing(*_: object) -> None:
    """What is counted while OpenTelemetry is switched off as a whole."""


if not ENABLED:
    setattr(Counter, "add", _nothing)  # noqa: B010  # a method
    setattr(Histogram, "record", _nothing)  # noqa: B010

REGISTRY: Final = Registry()
P = ParamSpec("P")
Made = TypeVar("Made", bound=Instrument)


def _registered(make: Callable[P, Made]) -> Callable[P, Made]:
    """The same, and `REGISTRY` has what it makes."""

    def made(*arguments: P.args, **options: P.kwargs) -> Made:
        instrument = make(*arguments, **options)
        REGISTRY.add(instrument)
        return instrument

    return made


counter = _registered(Counter)
up_down_counter = _registered(UpDownCounter)
gauge = _registered(Gauge)
histogram = _registered(Histogram)


class _WithHistograms(MetricReader):
    """A reader that is handed the registry's histograms with what OpenTelemetry has collected."""

    registry: Registry

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **options: Any) -> None:
        (first,) = metrics_data.resource_metrics
        mine = {one.scope.name: one for one in first.scope_metrics}
        scope = mine.pop(NAME, None) or ScopeMetrics(InstrumentationScope(NAME), [], "")
        # in one scope with the others: of two that are alike the exporter sends the last
        together = ScopeMetrics(scope.scope, [*scope.metrics, *self.registry.histograms()], scope.schema_url)
        first = ResourceMetrics(first.resource, [*mine.values(), together], first.schema_url)
        super()._receive_metrics(MetricsData([first]), timeout_millis, **options)  # type: ignore[safe-super]


class _ForPrometheus(_WithHistograms, PrometheusMetricReader):
    pass


class _ForOtlp(_WithHistograms, PeriodicExportingMetricReader):
    pass


class Exposition:
    """Who reads a registry: Prometheus when it asks, and OTLP by itself if somebody takes it."""

    def __init__(self, registry: Registry, resource: Resource) -> None:
        # one of its own: the library's default one is of the whole process
        self._for_prometheus = CollectorRegistry()
        readers: list[_WithHistograms] = [_ForPrometheus(scope_info_enabled=False, registry=self._for_prometheus)]
        if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
            readers.append(_ForOtlp(OTLPMetricExporter()))
        for reader in readers:
            reader.registry = registry
        self._provider = MeterProvider(readers, resource, shutdown_on_exit=False)
        registry.watch(self._provider.get_meter(NAME))
        self._one_at_a_time = threading.Lock()

    def text(self) -> bytes:
        """All metrics, as Prometheus reads them (`MEDIA_TYPE`). Takes milliseconds: not for the event loop."""
        with self._one_at_a_time:
            return generate_latest(self._for_prometheus)

    def shut_down(self) -> None:
        """Send the last ones, if somebody takes them within `LAST_METRICS_MS`."""
        self._provider.shutdown(LAST_METRICS_MS)


_exposition: Exposition | None = None


def configure(resource: Resource) -> None:
    """Call once, first thing in a program."""
    global _exposition
    _exposition = Exposition(REGISTRY, resource)


def text() -> bytes:
    """What the program's `/metrics` tells."""
    if _exposition is None:
        configure(Resource.create({}))
        assert _exposition is not None
    return _exposition.text()


def shut_down() -> None:
    if _exposition is not None:
        _exposition.shut_down()


gauge("process.uptime", "s", "Since the program has started.").read(lambda: (time.time_ns() - _BEGAN) / 1e9)

_cpu = _registered(ReadCounter)("process.cpu.time", "s", "Processor time that the program has taken.", ["cpu.mode"])
_cpu.read(lambda: limits.getrusage(limits.RUSAGE_SELF).ru_utime, "user")
_cpu.read(lambda: limits.getrusage(limits.RUSAGE_SELF).ru_stime, "system")


def _resident() -> float | None:
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * limits.getpagesize()
    except OSError:
        return None


gauge("process.memory.usage", "By", "Memory that the program holds.").read(_resident)
