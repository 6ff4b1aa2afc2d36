"""Which updates of a RayCluster's pods can wait a second (runtime.handlers.LATER), so that several make one look.

A pod takes some five steps as it comes up. What is only counted, or told along, can wait; so can a pod that becomes
ready while others of its cluster are still to come, since its cluster is ready with the last of them. What is wrong
about this costs a second, or a look too many. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.meta import Ref
from api.v1 import wire
from controller.ray.raycluster.fate import fate_of
from controller.ray.raycluster.seen import FINISHED, PodView
from controller.runtime.cache.store import Delta
from controller.runtime.handlers import for_owner, metadata_changed

__all__ = ["Coming"]

_clusters_of = for_owner(wire.RAY_CLUSTERS)


class Coming:
    """The pods of each cluster that are on their way up, as its last pass saw them and updates have told since."""

    def __init__(self) -> None:
        self._pods: dict[Ref, set[str]] = {}

    def saw(self, cluster: Ref, pods: Iterable[PodView]) -> None:
        """A pass looked at the cluster."""
        found = {pod.name for pod in pods if not pod.runs_well and pod.phase not in FINISHED}
        if found:
            self._pods[cluster] = found
        else:
            self.forget(cluster)

    def forget(self, cluster: Ref) -> None:
        """The cluster is gone."""
        self._pods.pop(cluster, None)

    def can_wait(self, delta: Delta) -> bool:
        """Is it enough to look at the pod's cluster within a second? Ask once for each delta."""
        if delta.old is None or delta.new is None or metadata_changed(delta):
            return False
        before, after = fate_of(delta.old.body), fate_of(delta.new.body)
        if before == after:
            return True
        arrived = not before.runs_well and after == before._replace(runs_well=True, ready=after.ready)
        return arrived and all(self._others_come(cluster, delta.new.ref.name) for cluster in _clusters_of(delta))

    def _others_come(self, cluster: Ref, arrived: str) -> bool:
        coming = self._pods.get(cluster, set())
        coming.discard(arrived)
        return bool(coming)
