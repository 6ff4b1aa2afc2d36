"""Rules about changes of what is running (spec admission §4.9; IM01 to IM12).

IM08 and IM11 say what is accepted: no rule finds anything there. IM12 is XC05. Kueue's own edits pass: it changes
templates only together with a suspension or its end, and while an object is suspended nothing runs (§4.9 exemption 1).
The autoscaler's patches touch replicas alone, which no rule here looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from api.v1.rayjob import TERMINAL_DEPLOYMENT_STATUSES, JobDeploymentStatus
from api.v1.rayservice import RayServiceCondition, RayServiceUpgradeType
from api.v1.rules.crosscutting import begun
from api.v1.rules.making import update_rule
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.places import cluster_in
from api.v1.rules.reading import Cluster, Found
from api.v1.rules.replicas import desired_pods
from api.v1.rules.typed import child, entries, is_true, text
from api.v1.spelling import alike

__all__ = ["RULES"]

Json = Mapping[str, Any]

CLUSTER: Final = ("RayCluster",)
JOB: Final = ("RayJob",)
SERVICE: Final = ("RayService",)

OPTIONS: Final = "gcsFaultToleranceOptions"
SCALING: Final = frozenset({"replicas", "minReplicas", "maxReplicas", "scaleStrategy", "suspend"})  # of a group
POD_FIELDS_OF_KUEUE: Final = frozenset({"nodeSelector", "tolerations", "schedulingGates", "affinity"})
METADATA_OF_KUEUE: Final = frozenset({"labels", "annotations"})
JOB_FIELDS: Final = (
    "entrypoint",
    "runtimeEnvYAML",
    "rayClusterSpec",
    "clusterSelector",
    "submissionMode",
    "jobId",
    "metadata",
)
AFTER_THE_END: Final = frozenset(
    {"ttlSecondsAfterFinished", "shutdownAfterJobFinishes", "deletionStrategy", "managedBy"}
)
AT_WORK: Final = frozenset(
    {
        JobDeploymentStatus.INITIALIZING,
        JobDeploymentStatus.WAITING,
        JobDeploymentStatus.RUNNING,
        JobDeploymentStatus.SUSPENDING,
        JobDeploymentStatus.RETRYING,
    }
)

ClusterChange = Callable[[Cluster, Cluster], Iterator[Found]]


# RayCluster


def _running(id_: str, *, kept: bool = False) -> Callable[[ClusterChange], Rule]:
    """A rule about a change of a RayCluster that runs before and after; with `kept`, only where pods outlive it."""

    def made(search: ClusterChange) -> Rule:
        @update_rule(id_, CLUSTER)
        def rule(old: Json, new: Json, _: Context) -> Iterator[Found]:
            before, after = cluster_in(old), cluster_in(new)
            if before is None or after is None or not begun(old) or _suspended(old) or _suspended(new):
                return
            if kept and text(child(after.cluster.spec, "upgradeStrategy"), "type") == "Recreate":
                return
            for found in search(before.cluster, after.cluster):
                yield found._replace(path=after.path_of(found.path))

        return rule

    return made


def _suspended(object_: Json) -> bool:
    return is_true(object_.get("spec"), "suspend") or text(child(object_, "status"), "state") == "suspended"


@_running("IM01", kept=True)
def only_new_pods_follow(old: Cluster, new: Cluster) -> Iterator[Found]:
    """Running pods stay as they are."""
    hint = "set upgradeStrategy.type: Recreate, or recreate the cluster"
    if old.ray_version != new.ray_version:
        yield Found("rayVersion", "the change affects only new pods", new.ray_version, hint)
    former = {group.name: group for group in old.groups}
    for group in new.all_groups:
        before = old.head if group.is_head else former.get(group.name)
        if before is None:
            continue
        for field in ("template", "rayStartParams"):
            if not alike(child(before.spec, field), child(group.spec, field)):
                yield Found(f"{group.path}.{field}", "the change affects only new pods", None, hint, group.index)


@_running("IM02", kept=True)
def groups_left_behind(old: Cluster, new: Cluster) -> Iterator[Found]:
    """The operator no longer looks at the pods of a group that it does not know."""
    names = {group.name for group in new.groups}
    gone = [group.name for group in old.groups if group.name not in names and desired_pods(group) > 0]
    if gone:
        yield Found(
            "workerGroupSpecs",
            f"the pods of group {', '.join(gone)} keep running, and nobody looks after them",
            gone,
            "scale the group to 0 first (replicas and minReplicas), then remove it",
        )


@update_rule("IM03", CLUSTER, Severity.DENY)
def storage_moved(old: Json, new: Json, _: Context) -> Iterator[Found]:
    """The head would look for its state where it is not."""
    before, after = child(old, "spec").get(OPTIONS), child(new, "spec").get(OPTIONS)
    if _suspended(old):
        return
    if not isinstance(before, dict) or not isinstance(after, dict):
        if isinstance(before, dict) != isinstance(after, dict):
            what = "removed from" if isinstance(before, dict) else "added to"
            message = f"{OPTIONS} {what} a cluster that runs: its head does not notice before it is made anew"
            yield Found(f"spec.{OPTIONS}", message, None, "suspend the cluster first", severity=Severity.WARN)
        return
    for field, unset in (("backend", "redis"), ("externalStorageNamespace", "")):
        value = text(after, field) or unset
        if value != (text(before, field) or unset):
            message = f"{field} cannot change while the cluster runs: its state stays where it was"
            yield Found(f"spec.{OPTIONS}.{field}", message, value, "suspend the cluster first, or make a new one")


@_running("IM04", kept=True)
def autoscaler_toggled(old: Cluster, new: Cluster) -> Iterator[Found]:
    """It is a container of the head."""
    if old.autoscaling != new.autoscaling:
        yield Found(
            "enableInTreeAutoscaling",
            "takes effect only when the head is made anew: the autoscaler is a container of its pod",
            new.autoscaling,
            "delete the head pod, or set upgradeStrategy.type: Recreate",
        )


@_running("IM05")
def security_toggled(old: Cluster, new: Cluster) -> Iterator[Found]:
    """New pods and old ones would not talk to each other."""
    modes = [text(child(one.spec, "authOptions"), "mode") or "disabled" for one in (old, new)]
    if modes[0] != modes[1]:
        message = "new pods would not be let in by those that run"
        yield Found("authOptions.mode", message, modes[1], "suspend the cluster first")
    tls = [is_true(child(one.spec, "tlsOptions"), "enabled") for one in (old, new)]
    if tls[0] != tls[1]:
        message = "new pods could not talk to those that run"
        yield Found("tlsOptions.enabled", message, tls[1], "suspend the cluster first")


# RayJob


@update_rule("IM06", JOB)
def job_edited(old: Json, new: Json, _: Context) -> Iterator[Found]:
    """What runs was made of the former spec (rayjob §8.1)."""
    if text(child(old, "status"), "jobDeploymentStatus") not in AT_WORK:
        return
    before, after = child(old, "spec"), child(new, "spec")
    toggled = is_true(before, "suspend") != is_true(after, "suspend")
    for field in JOB_FIELDS:
        if field == "rayClusterSpec":
            changed = not alike(_goal(child(before, field), toggled), _goal(child(after, field), toggled))
        else:
            changed = (before.get(field) or None) != (after.get(field) or None)
        if changed:
            message = f"{field} is ignored until the job is tried again or resumed"
            yield Found(f"spec.{field}", message, None, "delete the RayJob and create it anew")


def _goal(spec: Json, of_kueue: bool) -> Any:
    """A cluster spec without what may change at any time; of Kueue: without what it changes on start and suspension."""
    kept = {name: value for name, value in spec.items() if name not in ("suspend", "workerGroupSpecs")}
    kept["headGroupSpec"] = _group_goal(child(spec, "headGroupSpec"), of_kueue)
    kept["workerGroupSpecs"] = [_group_goal(group, of_kueue) for _, group in entries(spec, "workerGroupSpecs")]
    return kept


def _group_goal(group: Json, of_kueue: bool) -> Any:
    kept = {name: value for name, value in group.items() if name not in SCALING}
    if of_kueue:
        pod, metadata = child(group, "template", "spec"), child(group, "template", "metadata")
        kept["template"] = {
            "spec": {name: value for name, value in pod.items() if name not in POD_FIELDS_OF_KUEUE},
            "metadata": {name: value for name, value in metadata.items() if name not in METADATA_OF_KUEUE},
        }
    return kept


@update_rule("IM07", JOB)
def finished_job_edited(old: Json, new: Json, _: Context) -> Iterator[Found]:
    """It has run; only how long it is kept can still be said."""
    if text(child(old, "status"), "jobDeploymentStatus") not in TERMINAL_DEPLOYMENT_STATUSES:
        return
    before, after = child(old, "spec"), child(new, "spec")
    for field in sorted((before.keys() | after.keys()) - AFTER_THE_END):
        if not alike(before.get(field), after.get(field)) and (before.get(field) or after.get(field)):
            message = f"the job has ended: a change of {field} does nothing"
            yield Found(f"spec.{field}", message, None, "create a new RayJob")


# RayService


def _upgrading(service: Json) -> bool:
    """Two clusters stand side by side, or its condition says so."""
    status = child(service, "status")
    said = any(
        text(one, "type") == RayServiceCondition.UPGRADE_IN_PROGRESS and text(one, "status") == "True"
        for _, one in entries(status, "conditions")
    )
    both = [text(child(status, part), "rayClusterName") for part in ("activeServiceStatus", "pendingServiceStatus")]
    return said or all(both)


@update_rule("IM09", SERVICE)
def upgraded_again(old: Json, new: Json, _: Context) -> Iterator[Found]:
    """The cluster that is being prepared is thrown away for a newer one."""
    before, after = child(old, "spec", "rayClusterConfig"), child(new, "spec", "rayClusterConfig")
    if _upgrading(old) and not alike(_goal(before, of_kueue=False), _goal(after, of_kueue=False)):
        yield Found(
            "spec.rayClusterConfig",
            "an upgrade is in progress: its new cluster is given up, and another one made",
            None,
            "wait for the condition UpgradeInProgress to end",
        )


@update_rule("IM10", SERVICE, Severity.DENY)
def strategy_changed_midway(old: Json, new: Json, _: Context) -> Iterator[Found]:
    """Traffic is split between two clusters, and nobody would move it on."""
    before = text(child(old, "spec", "upgradeStrategy"), "type")
    after = text(child(new, "spec", "upgradeStrategy"), "type")
    if before == RayServiceUpgradeType.INCREMENTAL and after != before and _upgrading(old):
        yield Found(
            "spec.upgradeStrategy.type",
            "cannot change while an incremental upgrade is in progress",
            after or None,
            "wait for the condition UpgradeInProgress to end",
        )


RULES: Final[tuple[Rule, ...]] = (
    only_new_pods_follow,
    groups_left_behind,
    storage_moved,
    autoscaler_toggled,
    security_toggled,
    job_edited,
    finished_job_edited,
    upgraded_again,
    strategy_changed_midway,
)
