"""Rules about features that need a newer Ray than the cluster's (spec admission §4.3, MV).

The version is rayVersion, else what the head image tells. What the reference enforces has its place there: MV01 is
C15, MV02 is C52, MV03 is C53, and MV05's one visible case is RP09.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.v1.rayjob import SubmissionMode
from api.v1.rules.images import Effective, effective_version, said_by
from api.v1.rules.making import Job, job_rule
from api.v1.rules.model import Context, Finding, Rule, Severity
from api.v1.rules.places import cluster_in, cluster_rule
from api.v1.rules.reading import AUTOSCALER_V2_ENV, Cluster, Found, env_path, object_or_none
from api.v1.rules.typed import child, mapping, text, whole
from api.v1.version import Confidence, Version, parse_semantic_version, parse_version
from api.v1.wire import ANNOTATION_FT_ENABLED

__all__ = ["RULES"]

V2_SINCE: Final = (2, 10, 0)  # alpha
V2_GOOD_SINCE: Final = (2, 46, 0)  # most mends came until then
FAULT_TOLERANCE_SINCE: Final = (2, 0, 0)
REDIS_USERNAME_SINCE: Final = (2, 41, 0)
ROCKSDB_SINCE: Final = (2, 57, 0)
METADATA_SINCE: Final = (2, 6, 0)
MISSING_PARAMS_SINCE: Final = (2, 45, 0)  # the autoscaler bears groups without rayStartParams
GROUP_RESOURCES_SINCE: Final = (2, 49, 0)  # the autoscaler reads group-level resources and labels
RESTARTS_SINCE: Final = (2, 54, 0)
EVENTS_SINCE: Final = (2, 55, 0)  # the aggregator that the collector listens to
APPLICATIONS_SINCE: Final = (2, 4, 0)  # Serve takes several
FT_OPTIONS: Final = "gcsFaultToleranceOptions"
RESTART_GATE: Final = "SidecarSubmitterRestart"


def older(
    cluster: Cluster, context: Context, minimum: Version, feature: str, path: str, severity: Severity = Severity.DENY
) -> Iterator[Found]:
    """A finding at the feature's path if the cluster's Ray is older than it needs."""
    yield from too_old(effective_version(cluster, context), minimum, feature, path, severity)


def too_old(
    version: Effective | None, minimum: Version, feature: str, path: str, severity: Severity = Severity.DENY
) -> Iterator[Found]:
    """The same of a version at hand; nothing where it is not known."""
    if version is not None and version.before(minimum):
        needed = ".".join(map(str, minimum))
        yield Found(
            path,
            f"{feature} needs Ray {needed} or newer, this is {version}",
            version.value,
            f"the version is told by {version.path}",
            severity=version.severity(severity),
        )


@cluster_rule("MV04")
def autoscaler_v2(cluster: Cluster, context: Context) -> Iterator[Found]:
    """It was an alpha for long."""
    if not cluster.autoscaling or not (cluster.v2_by_option or cluster.v2_by_env):
        return
    path = "autoscalerOptions.version"
    if not cluster.v2_by_option:
        path = f"{cluster.head.container_path}.{env_path(cluster.head.env, AUTOSCALER_V2_ENV)}"
    found = list(older(cluster, context, V2_SINCE, "autoscaler v2", path))
    yield from found or older(cluster, context, V2_GOOD_SINCE, "a dependable autoscaler v2", path, Severity.WARN)


@cluster_rule("MV06", Severity.WARN)
def group_idle_timeout(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Without v2 it is C12's."""
    if not (cluster.v2_by_option or cluster.v2_by_env):
        return
    for group in cluster.groups:
        if whole(group.spec, "idleTimeoutSeconds") is not None:
            path = f"{group.path}.idleTimeoutSeconds"
            yield from older(cluster, context, V2_SINCE, "idleTimeoutSeconds of a group", path, Severity.WARN)


@cluster_rule("MV07")
def fault_tolerance(cluster: Cluster, context: Context) -> Iterator[Found]:
    """By options or by annotation."""
    if object_or_none(cluster.spec, FT_OPTIONS) is not None:
        yield from older(cluster, context, FAULT_TOLERANCE_SINCE, "GCS fault tolerance", FT_OPTIONS)
    elif cluster.annotations.get(ANNOTATION_FT_ENABLED, "").lower() == "true":
        path = f"metadata.annotations[{ANNOTATION_FT_ENABLED}]"
        yield from older(cluster, context, FAULT_TOLERANCE_SINCE, "GCS fault tolerance", path)


@cluster_rule("MV08", Severity.WARN)
def redis_username(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Older ones only know a password."""
    if child(cluster.spec, FT_OPTIONS).get("redisUsername") is not None:
        path = f"{FT_OPTIONS}.redisUsername"
        yield from older(cluster, context, REDIS_USERNAME_SINCE, "a Redis user name", path, Severity.WARN)


@cluster_rule("MV09")
def rocksdb(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Older ones would start without any storage."""
    if child(cluster.spec, FT_OPTIONS).get("backend") == "rocksdb":
        yield from older(cluster, context, ROCKSDB_SINCE, "the embedded RocksDB", f"{FT_OPTIONS}.backend")


@job_rule("MV10")
def metadata(job: Job, _: Context) -> Iterator[Found]:
    """The submit command of the reference cannot be built then; only rayVersion counts, read strictly (AC-12)."""
    if not mapping(job.spec, "metadata") or job.mode not in (SubmissionMode.K8S_JOB, SubmissionMode.SIDECAR):
        return
    written = text(child(job.spec, "rayClusterSpec"), "rayVersion")
    version = parse_semantic_version(written)
    if written and (version is None or not version.at_least(METADATA_SINCE)):
        yield Found(
            "metadata",
            f"metadata needs a rayVersion of 2.6.0 or newer, three plain numbers; this is {written}",
            written,
            "the job could never be submitted",
        )


@cluster_rule("MV11")
def start_params_missing(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The autoscaler crashes on the missing key. The webhook fills it in (D02)."""
    groups = [one for one in cluster.all_groups if one.spec and object_or_none(one.spec, "rayStartParams") is None]
    if not cluster.autoscaling or not groups:
        return
    for group in groups:
        path, feature = f"{group.path}.rayStartParams", f"{group.called} without rayStartParams"
        yield from too_old(_autoscalers_ray(cluster, context), MISSING_PARAMS_SINCE, feature, path)


def _autoscalers_ray(cluster: Cluster, context: Context) -> Effective | None:
    """The version of its own image, where it has one that tells; else that of the cluster."""
    image = text(cluster.autoscaler, "image")
    said = said_by(image, context.admission)
    if image and said.version is not None and said.confidence is not Confidence.LOW:
        return Effective(said.version, said.confidence, "autoscalerOptions.image", image)
    return effective_version(cluster, context)


@cluster_rule("MV12", Severity.WARN)
def group_resources(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Older autoscalers ignore them, and scale by what they do not say."""
    for group in cluster.all_groups if cluster.autoscaling else ():
        for field in ("resources", "labels"):
            if mapping(group.spec, field):
                path, feature = f"{group.path}.{field}", f"an autoscaler that reads {field} of a group"
                yield from older(cluster, context, GROUP_RESOURCES_SINCE, feature, path, Severity.WARN)


@job_rule("MV13", Severity.WARN)
def submitter_restarts(job: Job, context: Context) -> Iterator[Found]:
    """What Kubernetes needs for it, the operator asks at its start (AC-26)."""
    if job.mode == SubmissionMode.SIDECAR and context.gate(RESTART_GATE) and job.cluster is not None:
        feature = f"SidecarMode with the gate {RESTART_GATE}"
        yield from older(job.cluster, context, RESTARTS_SINCE, feature, "submissionMode", Severity.WARN)


@cluster_rule("MV14", Severity.WARN)
def history(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The collector has nothing to collect."""
    if object_or_none(cluster.spec, "historyServerOptions") is not None:
        yield from older(cluster, context, EVENTS_SINCE, "the history server", "historyServerOptions", Severity.WARN)


def serve_applications(new: Mapping[str, Any], _old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
    """MV15: older ones know one application only, in another form."""
    placed = cluster_in(new)
    if placed is not None and text(child(new, "spec"), "serveConfigV2"):
        path = "spec.serveConfigV2"
        for found in older(placed.cluster, context, APPLICATIONS_SINCE, "serveConfigV2", path, Severity.WARN):
            yield Finding("MV15", Severity.WARN, path, found.message, found.value, found.hint)


@cluster_rule("MV16", Severity.WARN)
def lowest(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Nobody tries older ones any more; the operator's owner says which."""
    version, minimum = effective_version(cluster, context), parse_version(context.admission.lowest_ray)
    if version is not None and minimum is not None and version.before(minimum):
        yield Found(
            version.path,
            f"Ray {version} is older than {context.admission.lowest_ray}, the oldest one that is looked after",
            version.value,
        )


RULES: Final[tuple[Rule, ...]] = (
    autoscaler_v2,
    group_idle_timeout,
    fault_tolerance,
    redis_username,
    rocksdb,
    metadata,
    start_params_missing,
    group_resources,
    submitter_restarts,
    history,
    Rule("MV15", Severity.WARN, frozenset({"RayService"}), serve_applications),
    lowest,
)
