"""All rules about a RayJob, in the order in which the reconcile loop reports them (spec rayjob §9).

ENFORCED is what the reconcile loop asks; RULES is what admission asks: with it JC02, of which the reference's loop
knows nothing: it leaves such a job running.

The cluster spec inside is judged by the rules of RayCluster with the RayJob's annotations (J29); those findings keep
the cluster rule's id, under the path where the field really stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from api.meta import Json
from api.v1.rayjob import JobDeploymentStatus, SubmissionMode
from api.v1.rules import deletion
from api.v1.rules.autoscaling import restart_policy_kept
from api.v1.rules.deletion import PREFIX, JobSpec
from api.v1.rules.metadata import name_rules
from api.v1.rules.model import Block, Context, Finding, Rule, Severity
from api.v1.rules.places import cluster_of
from api.v1.rules.raycluster import CLUSTER_CHECKS
from api.v1.rules.reading import Check
from api.v1.rules.security import k8s_token_auth
from api.v1.rules.typed import child, mapping, text, whole
from api.v1.runtime_env import RuntimeEnvError, parse_runtime_env
from api.v1.wire import LABEL_CLUSTER

__all__ = ["ABOUT_SPEC", "ENFORCED", "RULES", "read_runtime_env"]

KIND: Final = frozenset({"RayJob"})
SPEC: Final = "InvalidRayJobSpec"
STATUS: Final = "InvalidRayJobStatus"

JobCheck = Callable[[JobSpec, Context], Iterator[Finding]]


def _deny(id_: str, path: str, message: str, value: Any = None) -> Finding:
    return Finding(id_, Severity.DENY, path, message, value)


def suspend_without_shutdown(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J1: a suspended job's cluster is deleted, so the user must have agreed to that."""
    if job.spec.get("suspend") is True and not job.shutdown:
        yield _deny(
            "J1",
            "spec.suspend",
            f"{PREFIX}a RayJob with shutdownAfterJobFinishes set to false is not allowed to be suspended",
            True,
        )


def ttl_negative(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J2"""
    ttl = whole(job.spec, "ttlSecondsAfterFinished")
    if ttl is not None and ttl < 0:
        yield _deny(
            "J2",
            "spec.ttlSecondsAfterFinished",
            f"{PREFIX}TTLSecondsAfterFinished must be a non-negative integer",
            ttl,
        )


def ttl_without_shutdown(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J3: it would have no effect."""
    ttl = whole(job.spec, "ttlSecondsAfterFinished")
    if ttl is not None and ttl > 0 and not job.shutdown:
        yield _deny(
            "J3",
            "spec.ttlSecondsAfterFinished",
            f"{PREFIX}a RayJob with shutdownAfterJobFinishes set to false cannot have TTLSecondsAfterFinished",
            ttl,
        )


def suspend_on_foreign_cluster(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J19: the cluster would stay."""
    if job.spec.get("suspend") is True and job.selects:
        yield _deny("J19", "spec.suspend", f"{PREFIX}the ClusterSelector mode doesn't support the suspend operation")


def no_cluster(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J20"""
    if job.spec.get("rayClusterSpec") is None and not job.selects:
        yield _deny("J20", "spec.rayClusterSpec", f"{PREFIX}one of RayClusterSpec or ClusterSelector must be set")


def selector_without_name(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J21"""
    if job.selects and not mapping(job.spec, "clusterSelector").get(LABEL_CLUSTER):
        yield _deny(
            "J21",
            f"spec.clusterSelector[{LABEL_CLUSTER}]",
            f"cluster name in ClusterSelector should not be empty: it is the value of {LABEL_CLUSTER}",
        )


def sidecar_on_foreign_cluster(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J22: the submitter is a container of the head."""
    if job.selects and _mode(job) == SubmissionMode.SIDECAR:
        yield _deny("J22", "spec.clusterSelector", "ClusterSelector is not supported in SidecarMode")


def retries_on_foreign_cluster(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J23: a retry builds a new cluster."""
    if job.selects and _retries(job) > 0:
        yield _deny(
            "J23",
            "spec.backoffLimit",
            f"{PREFIX}BackoffLimit is incompatible with ClusterSelector mode",
            _retries(job),
        )


def retries_of_an_interactive_job(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J24: nobody would submit again."""
    if _mode(job) == SubmissionMode.INTERACTIVE and _retries(job) > 0:
        yield _deny(
            "J24", "spec.backoffLimit", f"{PREFIX}BackoffLimit is incompatible with InteractiveMode", _retries(job)
        )


def sidecar_with_template(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J25: there is no submitter pod."""
    if _mode(job) == SubmissionMode.SIDECAR and job.spec.get("submitterPodTemplate") is not None:
        yield _deny("J25", "spec.submitterPodTemplate", "SidecarMode doesn't support SubmitterPodTemplate")


def sidecar_with_config(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J26: there is no submitter Job, not even with the restart gate."""
    if _mode(job) == SubmissionMode.SIDECAR and job.spec.get("submitterConfig") is not None:
        yield _deny("J26", "spec.submitterConfig", "SidecarMode doesn't support SubmitterConfig")


def sidecar_with_restarts(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J27: a restarted submitter would submit again."""
    head = cluster_of({"spec": job.spec}, "spec", "rayClusterSpec").head
    if _mode(job) == SubmissionMode.SIDECAR and restart_policy_kept(head):
        yield _deny(
            "J27",
            "spec.rayClusterSpec.headGroupSpec.template.spec.restartPolicy",
            "restartPolicy for head Pod should be Never or unset when using SidecarMode",
            head.restart_policy,
        )


def k8s_tokens(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J28: the submitter has no token of its own."""
    if k8s_token_auth(cluster_of({"spec": job.spec}, "spec", "rayClusterSpec")):
        yield _deny(
            "J28",
            "spec.rayClusterSpec.authOptions.enableK8sTokenAuth",
            f"{PREFIX}K8s token auth is not supported for RayJob",
            True,
        )


def runtime_env_unreadable(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J30: read as leniently as when it is sent."""
    written = text(job.spec, "runtimeEnvYAML")
    if isinstance(problem := read_runtime_env(written), RuntimeEnvError):
        yield replace(_deny("J30", "spec.runtimeEnvYAML", str(problem), written), inside=problem.mark or "")


@lru_cache(maxsize=8)  # three rules ask for it
def read_runtime_env(written: str) -> Json | RuntimeEnvError | None:
    """The mapping, or why it is none; None for an empty text. Nobody may change it."""
    try:
        return parse_runtime_env(written)
    except RuntimeEnvError as error:
        return error


def active_deadline(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J31"""
    yield from _not_positive(job, "J31", "activeDeadlineSeconds")


def pre_running_deadline(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J32"""
    yield from _not_positive(job, "J32", "preRunningDeadlineSeconds")


def retries_negative(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J33: zero is allowed, whatever the message says."""
    if _retries(job) < 0:
        yield _deny("J33", "spec.backoffLimit", f"{PREFIX}backoffLimit must be a positive integer", _retries(job))


def waiting_in_another_mode(new: Mapping[str, Any], _old: Mapping[str, Any] | None, _: Context) -> Iterator[Finding]:
    """J34: the mode was changed while the job waited for its user."""
    waiting = child(new, "status").get("jobDeploymentStatus") == JobDeploymentStatus.WAITING
    if waiting and _mode(JobSpec(new)) != SubmissionMode.INTERACTIVE:
        yield _deny(
            "J34",
            "spec.submissionMode",
            "The RayJob status is invalid: JobDeploymentStatus cannot be 'Waiting' when SubmissionMode is not "
            "InteractiveMode",
            _mode(JobSpec(new)),
        )


def mode_unknown(new: Mapping[str, Any], _old: Mapping[str, Any] | None, _: Context) -> Iterator[Finding]:
    """JC02: the cluster is made, nothing is ever submitted, and the job runs until a deadline (spec rayjob E22)."""
    mode, modes = _mode(JobSpec(new)), [one.value for one in SubmissionMode]
    if mode not in modes:
        meant = next((one for one in modes if one.lower().removesuffix("mode") in mode.lower()), None)
        message = f"submissionMode must be one of {', '.join(modes)}, or nothing is ever submitted"
        hint = f"did you mean {meant}?" if meant else ""
        yield Finding("JC02", Severity.DENY, "spec.submissionMode", message, mode, hint)


def _mode(job: JobSpec) -> str:
    return text(job.spec, "submissionMode") or SubmissionMode.K8S_JOB.value


def _retries(job: JobSpec) -> int:
    return whole(job.spec, "backoffLimit") or 0


def _not_positive(job: JobSpec, id_: str, field: str) -> Iterator[Finding]:
    seconds = whole(job.spec, field)
    if seconds is not None and seconds <= 0:
        yield _deny(id_, f"spec.{field}", f"{PREFIX}{field} must be a positive integer", seconds)


def _rule(id_: str, search: JobCheck, block: Block | None = None) -> Rule:
    def find(new: Mapping[str, Any], _old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
        return search(JobSpec(new), context)

    return Rule(id_, Severity.DENY, KIND, find, SPEC, enforced=True, block=block)


def _nested(one: Check) -> Rule:
    """A rule about a RayCluster, for the cluster spec inside a RayJob (J29)."""

    def find(new: Mapping[str, Any], _old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
        if child(new, "spec").get("rayClusterSpec") is None:
            return iter(())
        cluster = cluster_of(new, "spec", "rayClusterSpec")
        return one.findings(cluster, context, at="spec.rayClusterSpec", prefix=PREFIX)

    return Rule(one.id, Severity.DENY, KIND, find, SPEC, enforced=True, block=one.block)


# About the spec alone: also asked of the template of a RayCronJob.
ABOUT_SPEC: Final[tuple[Rule, ...]] = (
    _rule("J1", suspend_without_shutdown),
    _rule("J2", ttl_negative),
    _rule("J3", ttl_without_shutdown),
    *(_rule(id_, search, block) for id_, search, block in deletion.STRATEGY),
    _rule("J19", suspend_on_foreign_cluster),
    _rule("J20", no_cluster),
    _rule("J21", selector_without_name),
    _rule("J22", sidecar_on_foreign_cluster),
    _rule("J23", retries_on_foreign_cluster),
    _rule("J24", retries_of_an_interactive_job),
    _rule("J25", sidecar_with_template),
    _rule("J26", sidecar_with_config),
    _rule("J27", sidecar_with_restarts),
    _rule("J28", k8s_tokens),
    *(_nested(one) for one in CLUSTER_CHECKS),
    _rule("J30", runtime_env_unreadable),
    _rule("J31", active_deadline),
    _rule("J32", pre_running_deadline),
    _rule("J33", retries_negative),
)
ENFORCED: Final[tuple[Rule, ...]] = (
    *name_rules("RayJob", "M3", "M4", prefix="The RayJob metadata is invalid: "),
    *ABOUT_SPEC,
    Rule("J34", Severity.DENY, KIND, waiting_in_another_mode, STATUS, enforced=True),
)
RULES: Final[tuple[Rule, ...]] = (*ENFORCED, Rule("JC02", Severity.DENY, KIND, mode_unknown, SPEC))
