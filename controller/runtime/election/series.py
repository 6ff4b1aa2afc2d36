"""What /metrics says of leader election (spec runtime LE-10), read off the elector when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from controller.runtime.election.elector import RENEW_BUCKETS, Elector

__all__ = ["ElectionSeries"]


class ElectionSeries(Collector):
    """The series of one elector; `name` is the Lease's."""

    def __init__(self, elector: Elector) -> None:
        self._elector = elector

    def collect(self) -> Iterator[Metric]:
        """Read from another thread than the elector's: each value is replaced whole."""
        name = (self._elector.lease.name,)
        status = GaugeMetricFamily("leader_election_master_status", "1 for the leader, else 0.", labels=("name",))
        status.add_metric(name, float(self._elector.leads))
        slow = CounterMetricFamily("leader_election_slowpath_total", "Renewals that had to look.", labels=("name",))
        slow.add_metric(name, self._elector.slow_paths)
        hands = GaugeMetricFamily("leader_election_transitions", "How often the lease changed hands.", labels=("name",))
        hands.add_metric(name, self._elector.transitions)
        took = HistogramMetricFamily("leader_election_renew_seconds", "Duration of a try.", labels=("name",))
        bounds = [floatToGoString(one) for one in (*RENEW_BUCKETS, float("inf"))]  # type: ignore[no-untyped-call]
        tries = self._elector.tries
        took.add_metric(name, list(zip(bounds, accumulate(tries.counts), strict=True)), tries.total)
        return iter((status, slow, hands, took))
