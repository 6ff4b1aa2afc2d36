"""What holds of a cluster at every moment, whatever goes wrong, and what holds once everything has settled.

For fault tests that cannot know which of many histories they tell. A promise that is broken is an AssertionError that
names it. Everything is read from the server itself: the operator's own view may be late.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Final

from api.v1 import wire
from localcluster.faults import Asked
from localcluster.testing.cluster import Cluster, Json
from localcluster.testing.view import View

__all__ = ["OWNED", "Witness", "settled"]

OWNED: Final = ("Pod", "Service", "Secret", "ServiceAccount", "Role", "RoleBinding", "Job", "RayCluster")
ENDED: Final = frozenset({"Complete", "Failed"})
MOMENT: Final = timedelta(seconds=1)  # a pod that was made just before the operator died may never have been seen (W2)
RESULTS: Final = ("SUCCEEDED", "FAILED", "STOPPED")


class Witness:
    """Sees every change of pods and RayJobs from now on, and says what was broken so far."""

    def __init__(self, cluster: Cluster) -> None:
        self.broken: list[str] = []
        self._cluster = cluster
        self._names: dict[str, timedelta] = {}  # pod -> when it was made
        self._slots: dict[str, tuple[str, str, str]] = {}  # uid of a pod that lives -> cluster uid, node type, slot
        self._ended: dict[str, tuple[str, Json]] = {}  # uid of a RayJob that ended -> phase, counters
        self._judged = 0
        cluster.follow("pods", self._pod)
        cluster.follow("rayjobs.ray.io", self._job)

    def check(self) -> None:
        """Raises AssertionError if a promise was broken."""
        writes = self._cluster.writes
        for one in writes[self._judged :]:
            self._write(one)
        self._judged = len(writes)
        assert not self.broken, "; ".join(self.broken)

    def _pod(self, old: Json | None, new: Json | None) -> None:
        pod = View(new or old or {})
        owner = _owner(pod)
        if owner is None or owner["kind"] != "RayCluster":
            return
        if new is None or pod.metadata.deletion_timestamp or (pod.status.phase in ("Succeeded", "Failed")):
            self._slots.pop(pod.uid, None)
        elif pod.uid not in self._slots:
            self._begun(pod, owner)

    def _begun(self, pod: View, owner: Json) -> None:
        before, self._names[pod.name] = self._names.get(pod.name), self._cluster.elapsed
        if before is not None and self._cluster.died_at < before - MOMENT:
            self.broken.append(f"the name {pod.name} was used for a second pod (W1)")
        node_type = pod.metadata.labels[wire.LABEL_NODE_TYPE]
        known = (pod.metadata.annotations or {}).get(wire.ANNOTATION_SLOT)
        slot = "" if node_type == "head" else known or pod.name  # another operator's pods have no slot
        place = (owner["uid"], node_type, slot)
        if place in self._slots.values():
            self.broken.append(f"{pod.name} is a second {node_type} of {owner['name']} in slot {slot!r} (W2)")
        self._slots[pod.uid] = place

    def _job(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            return
        job = View(new)
        phase = job.status.job_deployment_status
        counters = {"succeeded": job.status.succeeded or 0, "failed": job.status.failed or 0}
        if counters["failed"] > (job.spec.backoff_limit or 0) + 1 or counters["succeeded"] > 1:
            self.broken.append(f"RayJob {job.name} counts {counters}")
        known = self._ended.get(job.uid)
        if known is not None and known != (phase, counters):
            self.broken.append(f"RayJob {job.name} had ended as {known} and is {phase}, {counters}")
        if phase in ENDED:
            self._ended[job.uid] = (phase, counters)

    def _write(self, one: Asked) -> None:
        body = one.body or {}
        if one.verb == "delete" and not body.get("uid"):
            self.broken.append(f"a delete of {one.resource} {one.name} carries no uid (W4)")
        if one.verb == "patch" and not (body.get("metadata") or {}).get("uid"):
            self.broken.append(f"a patch of {one.resource} {one.name} carries no uid (W4)")
        if one.verb in ("update", "deletecollection"):
            self.broken.append(f"{one.verb} of {one.resource} {one.name}: we create, patch and delete")


async def settled(cluster: Cluster) -> None:
    """Everything is as it was asked for, is told truly, and costs nothing more. Raises AssertionError."""
    assert await cluster.writes_during(3600) == []
    await _nothing_is_ownerless(cluster)
    for ray in await cluster.all_of("RayCluster"):
        await _cluster_is_as_asked(cluster, ray)
    for job in await cluster.all_of("RayJob"):
        await _job_is_as_asked(cluster, job)


async def _nothing_is_ownerless(cluster: Cluster) -> None:
    alive = {one.uid for kind in (*OWNED, "RayJob") for one in await cluster.all_of(kind)}
    for kind in OWNED:
        for one in await cluster.all_of(kind):
            owner = _owner(one)
            assert owner is None or owner["uid"] in alive, f"{kind} {one.name} outlived {owner['kind']} {owner['name']}"
            assert owner is not None or not (one.metadata.labels or {}).get(wire.LABEL_CLUSTER), f"whose is {one.name}?"


async def _cluster_is_as_asked(cluster: Cluster, ray: View) -> None:
    """Exactly the pods that were asked for, and a status that says so."""
    pods = [one for one in await cluster.pods(ray.name) if (_owner(one) or {}).get("uid") == ray.uid]
    kinds = Counter(one.metadata.labels[wire.LABEL_NODE_TYPE] for one in pods)
    groups = ray.spec.worker_group_specs or []
    asked = sum(one["replicas"] * (one["numOfHosts"] or 1) for one in groups)
    status = ray.status
    if ray.spec.suspend:
        assert (kinds, status.state) == (Counter(), "suspended"), f"{ray.name}: {kinds}, {status}"
        assert not status.ready_worker_replicas, status
        return
    wanted = Counter({key: count for key, count in (("head", 1), ("worker", asked)) if count})
    assert kinds == wanted, f"{ray.name}: {kinds} instead of {wanted}"
    ready = [one for one in pods if one.condition("Ready").status == "True"]
    workers = [one for one in ready if one.metadata.labels[wire.LABEL_NODE_TYPE] == "worker"]
    assert len(ready) == len(pods), f"{ray.name}: {len(ready)} of {len(pods)} pods are ready"
    told = (status.state, status.desired_worker_replicas or 0, status.ready_worker_replicas or 0)
    assert told == ("ready", asked, len(workers)), f"{ray.name} says {told}"
    (head,) = (one for one in pods if one not in workers)
    assert (status.head.pod_name, status.head.pod_ip) == (head.name, head.status.pod_ip), f"{ray.name}: {status.head}"
    assert ray.condition("HeadPodReady").status == "True"
    assert ray.condition("ReplicaFailure").status is None, status.conditions


async def _job_is_as_asked(cluster: Cluster, job: View) -> None:
    """It came to an end, or was stopped, or waits for a cluster that others have to make."""
    phase, status = job.status.job_deployment_status, job.status
    clusters = [one for one in await cluster.all_of("RayCluster") if (_owner(one) or {}).get("uid") == job.uid]
    assert len(clusters) <= 1, f"{job.name} has {len(clusters)} clusters"
    assert all(one.name == status.ray_cluster_name for one in clusters), f"{job.name} does not know its cluster"
    if phase == "Initializing" and job.spec.cluster_selector:
        chosen = await cluster.find("RayCluster", status.ray_cluster_name)
        assert chosen is None or chosen.spec.suspend, f"{job.name} waits for a cluster that is there"
    elif phase == "Suspended":
        assert (job.spec.suspend, clusters) == (True, []), f"{job.name} is suspended with {len(clusters)} clusters"
        assert not status.job_id
    else:
        assert phase in ENDED, f"{job.name} is {phase}: {status}"
        _end_is_told(job, phase)
        assert not (clusters and job.spec.shutdown_after_job_finishes), f"{job.name} ended and keeps its cluster"


def _end_is_told(job: View, phase: str) -> None:
    status = job.status
    assert status.end_time, f"{job.name} ended and does not say when"
    if phase == "Complete":
        assert status.job_status in RESULTS, status
        assert (status.succeeded or 0, not status.reason) == (1, True) or status.reason, status
    else:
        assert status.reason, f"{job.name} failed and does not say why"
        assert status.failed, f"{job.name} failed and does not count it: {status}"


def _owner(one: View) -> Json | None:
    """The controller among the owners."""
    return next((dict(owner) for owner in one.metadata.owner_references or () if owner.get("controller")), None)
