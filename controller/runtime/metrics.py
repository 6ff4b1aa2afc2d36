"""All series of the runtime, in a registry of their own (spec runtime §9.2, §12.5, §16.3, §21).

Names, labels and buckets are those of the reference where it has them, so that dashboards keep working. Gauges that
follow from state are computed when they are scraped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

__all__ = ["Histograms", "Metrics", "Number", "Numbers", "QueueReading", "Tally"]

QUEUE_BUCKETS = tuple(1e-8 * 10**power for power in range(12))
RECONCILE_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
    *(1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60),
)
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
MOST_PRIORITIES = 25  # label values; more would let a caller's numbers fill the server
TOO_MANY_PRIORITIES = "exceeded_cardinality_limit"


@dataclass(frozen=True, slots=True)
class QueueReading:
    """What a queue says of itself at one moment."""

    ready_by_priority: Mapping[int, int]
    unfinished_seconds: float
    longest_running_seconds: float


class _Queue(Protocol):
    def reading(self) -> QueueReading: ...


class _Queues(Collector):
    """Depth and running times, read off the queues when somebody asks."""

    def __init__(self) -> None:
        self.queues: dict[str, _Queue] = {}

    def collect(self) -> Iterator[Metric]:
        labels = ("name", "controller")
        depth = GaugeMetricFamily("workqueue_depth", "Keys that are ready.", labels=(*labels, "priority"))
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds", "Sum of the running times of all keys in work.", labels=labels
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds", "Running time of the key longest in work.", labels=labels
        )
        for name, queue in self.queues.items():
            reading = queue.reading()
            for priority, count in _bounded(reading.ready_by_priority).items():
                depth.add_metric((name, name, priority), count)
            unfinished.add_metric((name, name), reading.unfinished_seconds)
            longest.add_metric((name, name), reading.longest_running_seconds)
        return iter((depth, unfinished, longest))


def _bounded(ready: Mapping[int, int]) -> dict[str, int]:
    """At most 25 label values; the level 0 always has one."""
    result: dict[str, int] = {"0": 0}
    for priority in sorted(ready):
        label = str(priority)
        if label not in result and len(result) >= MOST_PRIORITIES:
            label = TOO_MANY_PRIORITIES
        result[label] = result.get(label, 0) + ready[priority]
    return result


class _Readings(Collector):
    """Gauges of one label whose values somebody else keeps."""

    def __init__(self, name: str, text: str, label: str) -> None:
        self._name, self._text, self._label = name, text, label
        self.sources: list[Callable[[], Iterable[tuple[str, float]]]] = []

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._text, labels=(self._label,))
        for source in self.sources:
            for label, value in source():
                family.add_metric((label,), value)
        yield family


class Number:
    """One counter or gauge: a plain number, in one thread. The library's own take a lock, four times per reconcile."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, by: float = 1.0) -> None:
        """Count."""
        self.value += by

    def dec(self) -> None:
        """One less, of a gauge."""
        self.value -= 1.0

    def set(self, value: float) -> None:
        """The level of a gauge."""
        self.value = value


class Numbers(Collector):
    """A counter or gauge for each combination of label values."""

    def __init__(
        self, family: type[CounterMetricFamily | GaugeMetricFamily], name: str, text: str, labels: tuple[str, ...]
    ) -> None:
        self._family, self._name, self._text, self._labels = family, name, text, labels
        self._numbers: dict[tuple[str, ...], Number] = {}

    def labels(self, *values: str) -> Number:
        """The one for those values."""
        number = self._numbers.get(values)
        if number is None:
            if len(values) != len(self._labels):
                raise ValueError(f"{self._name} has the labels {self._labels}, not {values}")
            number = self._numbers[values] = Number()
        return number

    def collect(self) -> Iterator[Metric]:
        family = self._family(self._name, self._text, labels=self._labels)
        for values, number in self._numbers.items():
            family.add_metric(values, number.value)
        yield family


class Tally:
    """One histogram: a list of counts, in one thread, so that an observation costs what a list costs."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count it."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Histograms(Collector):
    """A histogram for each combination of label values."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...], labels: tuple[str, ...]) -> None:
        self._name, self._text, self._bounds, self._labels = name, text, bounds, labels
        self._tallies: dict[tuple[str, ...], Tally] = {}

    def labels(self, *values: str) -> Tally:
        """The one for those values."""
        tally = self._tallies.get(values)
        if tally is None:
            tally = self._tallies[values] = Tally(self._bounds)
        return tally

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        bounds = [floatToGoString(one) for one in (*self._bounds, float("inf"))]  # type: ignore[no-untyped-call]
        for values, tally in self._tallies.items():
            cumulative = accumulate(tally.counts)
            family.add_metric(values, list(zip(bounds, cumulative, strict=True)), tally.total)
        yield family


class Metrics:
    """The series, by the room that moves them. `registry` is open for what the application adds."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.queues = _Queues()
        self.registry.register(self.queues)
        self._queue_series()
        self._controller_series()
        self._client_series()
        self._cache_series()
        self.events = self._counter("events_recorded_total", "Events handed to the recorder.", "type")
        self.events_dropped = self._counter("events_dropped_total", "Events that were not delivered.", "cause")
        self.loop_lag = self._histogram(
            "event_loop_lag_seconds", "How late a timer of the event loop fires.", (0.001, 0.005, 0.02, 0.1, 0.5, 1, 5)
        ).labels()
        self.loop_blocked = self._counter(
            "event_loop_blocked_total", "Times a task was seen to hold the loop."
        ).labels()
        self.gc_pauses = self._histogram(
            "gc_pause_seconds", "Pauses of the collector above 10 ms.", (0.02, 0.05, 0.1, 0.2, 0.5, 1), "generation"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Numbers:
        return self._numbers(CounterMetricFamily, name, text, labels)

    def _gauge(self, name: str, text: str, *labels: str) -> Numbers:
        return self._numbers(GaugeMetricFamily, name, text, labels)

    def _numbers(
        self, family: type[CounterMetricFamily | GaugeMetricFamily], name: str, text: str, labels: tuple[str, ...]
    ) -> Numbers:
        numbers = Numbers(family, name, text, labels)
        self.registry.register(numbers)
        return numbers

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Histograms:
        histograms = Histograms(name, text, bounds, labels)
        self.registry.register(histograms)
        return histograms

    def _readings(self, name: str, text: str, label: str) -> _Readings:
        readings = _Readings(name, text, label)
        self.registry.register(readings)
        return readings

    def _queue_series(self) -> None:
        labels = ("name", "controller")
        self.queue_adds = self._counter("workqueue_adds_total", "Keys that became ready.", *labels)
        self.queue_retries = self._counter("workqueue_retries_total", "Keys added after a back-off.", *labels)
        self.queue_duration = self._histogram(
            "workqueue_queue_duration_seconds", "From ready to in work.", QUEUE_BUCKETS, *labels
        )
        self.work_duration = self._histogram(
            "workqueue_work_duration_seconds", "From in work to done.", QUEUE_BUCKETS, *labels
        )

    def _controller_series(self) -> None:
        start = "controller_runtime_"
        self.reconciles = self._counter(f"{start}reconcile_total", "Finished reconciles.", "controller", "result")
        self.reconcile_errors = self._counter(f"{start}reconcile_errors_total", "Failed reconciles.", "controller")
        self.reconcile_terminal = self._counter(
            f"{start}terminal_reconcile_errors_total", "Reconciles that failed for good.", "controller"
        )
        self.reconcile_panics = self._counter(
            f"{start}reconcile_panics_total", "Reconciles that failed by a bug.", "controller"
        )
        self.reconcile_timeouts = self._counter(
            f"{start}reconcile_timeouts_total", "Reconciles that ran out of time.", "controller"
        )
        self.reconcile_seconds = self._histogram(
            f"{start}reconcile_time_seconds", "Duration of a reconcile.", RECONCILE_BUCKETS, "controller"
        )
        self.workers = self._gauge(f"{start}max_concurrent_reconciles", "Workers.", "controller")
        self.active_workers = self._gauge(f"{start}active_workers", "Workers with a key in work.", "controller")

    def _client_series(self) -> None:
        self.requests = self._counter("rest_client_requests_total", "Requests.", "code", "method", "host")
        self.request_seconds = self._histogram(
            "rest_client_request_duration_seconds", "Duration of a request.", REQUEST_BUCKETS, "verb", "host"
        )
        self.request_retries = self._counter(
            "rest_client_request_retries_total", "Requests sent again.", "code", "verb", "host"
        )

    def _cache_series(self) -> None:
        self.store_objects = self._readings("informer_store_objects", "Objects in the cache.", "kind")
        self.store_bytes = self._readings("informer_store_bytes", "Bytes of their bodies.", "kind")
        self.progress_age = self._readings(
            "informer_last_progress_age_seconds", "Seconds since the last byte of the watch.", "kind"
        )
        self.informer_events = self._counter("informer_events_total", "Watch events.", "kind", "type")
        self.informer_reloads = self._counter("informer_reloads_total", "Loads of a whole collection.", "kind", "cause")
        self.stream_restarts = self._counter("informer_stream_restarts_total", "Watches opened anew.", "kind", "cause")
        self.decode_errors = self._counter("informer_decode_errors_total", "Objects that were unreadable.", "kind")
        self.epochs = self._counter("informer_epoch_total", "Times a server's history was rewound.", "kind")
        self.stale_waits = self._counter("controller_stale_reads_waited_total", "Reads that waited.", "kind")
        self.stale_wait_seconds = self._histogram(
            "controller_stale_read_wait_seconds", "How long they waited.", (0.001, 0.01, 0.1, 0.5, 1, 5), "kind"
        )
        self.gate_parked = self._counter(
            "controller_stale_gate_parked_total", "Keys put off until the caches had what they wrote.", "controller"
        )
        self.braked = self._counter(
            "controller_braked_total", "Keys put off because their passes wrote over and over.", "controller"
        )
        self.gate_timeouts = self._counter(
            "controller_stale_gate_timeouts_total", "Keys put off for as long as may be.", "controller"
        )
        self.stale_timeouts = self._counter("controller_stale_read_timeouts_total", "Reads given up.", "kind")
