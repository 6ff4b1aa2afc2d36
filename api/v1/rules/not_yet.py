"""What the API has and this operator does not do yet: the one list of it, for admission and for the reconcile loop.

The loop leaves such an object alone, and tells its user by an event; who has just applied it does not read that, so
admission and lint warn of the same (XC17). An entry goes when the operator learns what it names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.v1 import wire
from api.v1.rayjob import SubmissionMode
from api.v1.rayservice import RayServiceUpgradeType
from api.v1.rules.making import Job, job_in, job_rule, joined, object_rule, placed_rule
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.places import PlacedCluster
from api.v1.rules.reading import Cluster, Found, object_or_none
from api.v1.rules.typed import child, is_true, text

__all__ = ["INCREMENTAL", "LEFT_ALONE", "RULES", "USE_NEW_CLUSTER", "lacks_of_cluster", "lacks_of_job"]

Json = Mapping[str, Any]

LEFT_ALONE: Final = "not supported yet"  # the words of the event, and of the warning before it
FT_OPTIONS: Final = "gcsFaultToleranceOptions"
INCREMENTAL: Final = (
    "upgradeStrategy NewClusterWithIncrementalUpgrade is not carried out by this version yet: no new cluster is made "
    "when the spec changes"
)
USE_NEW_CLUSTER: Final = "use NewCluster"
# Path -> the gate without which another rule refuses it already.
GATES: Final[Mapping[str, str]] = {
    "tlsOptions.enabled": "RayClusterMTLS",
    "networkPolicy": "RayClusterNetworkPolicy",
    "historyServerOptions": "RayClusterHistoryServer",
    "deletionStrategy": "RayJobDeletionPolicy",
}


def lacks_of_cluster(cluster: Cluster) -> Iterator[Found]:
    """What a cluster spec asks for that keeps this operator from working on the cluster; messages are names of it."""
    spec = cluster.spec
    if object_or_none(spec, FT_OPTIONS) is not None:
        hint = "leave it out: a cluster that loses its head then begins anew"
        yield Found(FT_OPTIONS, f"GCS fault tolerance (spec.{FT_OPTIONS})", None, hint)
    if (value := cluster.annotations.get(wire.ANNOTATION_FT_ENABLED, "")).lower() == "true":
        path = f"metadata.annotations[{wire.ANNOTATION_FT_ENABLED}]"
        name = f"GCS fault tolerance (annotation {wire.ANNOTATION_FT_ENABLED})"
        yield Found(path, name, value, "leave it out: a cluster that loses its head then begins anew")
    if is_true(child(spec, "tlsOptions"), "enabled"):
        hint = "leave it out, and let a NetworkPolicy of your own keep others away"
        yield Found("tlsOptions.enabled", "mutual TLS (spec.tlsOptions)", True, hint)
    if object_or_none(spec, "networkPolicy") is not None:
        hint = "leave it out, and apply a NetworkPolicy of your own"
        yield Found("networkPolicy", "a NetworkPolicy (spec.networkPolicy)", None, hint)
    if object_or_none(spec, "historyServerOptions") is not None:
        yield Found("historyServerOptions", "the history server (spec.historyServerOptions)", None, "leave it out")


def lacks_of_job(spec: Json) -> Iterator[Found]:
    """The same of a job's spec and its RayJob."""
    mode = text(spec, "submissionMode")
    if mode == SubmissionMode.SIDECAR:
        yield Found("submissionMode", "submissionMode SidecarMode", mode, "use K8sJobMode or HTTPMode")
    if object_or_none(spec, "deletionStrategy") is not None:
        hint = "use shutdownAfterJobFinishes and ttlSecondsAfterFinished"
        yield Found("deletionStrategy", "spec.deletionStrategy", None, hint)


@placed_rule("XC17", Severity.WARN)
def _of_cluster(new: Json, placed: PlacedCluster, context: Context) -> Iterator[Found]:
    """A cluster that is left alone, as its user hears of it before."""
    job = job_in(new)
    if job is not None and job.selects:
        return  # the spec beside a clusterSelector is of no account
    yield from _told(lacks_of_cluster(placed.cluster), "cluster", context)


@job_rule("XC17", Severity.WARN)
def _of_job(job: Job, context: Context) -> Iterator[Found]:
    """The same of a RayJob."""
    yield from _told(lacks_of_job(job.spec), "RayJob", context)


@object_rule("XC17", ("RayService",), Severity.WARN)
def _of_service(new: Json, context: Context) -> Iterator[Found]:
    """Its clusters run, and are never replaced. Without the gate SV10 says so."""
    type_ = text(child(new, "spec", "upgradeStrategy"), "type")
    if type_ == RayServiceUpgradeType.INCREMENTAL and context.gate("RayServiceIncrementalUpgrade"):
        yield Found("spec.upgradeStrategy.type", INCREMENTAL, type_, USE_NEW_CLUSTER)


def _told(lacks: Iterator[Found], whole: str, context: Context) -> Iterator[Found]:
    for one in lacks:
        if one.path not in GATES or context.gate(GATES[one.path]):
            message = f"{one.message} is {LEFT_ALONE}: the operator will leave this {whole} alone"
            yield one._replace(message=message)


RULES: Final[tuple[Rule, ...]] = (joined(_of_cluster, _of_job, _of_service),)
