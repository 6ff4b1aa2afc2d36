"""Rules about suspended groups and the autoscaler: C31 to C38 (spec admission §2.2, raycluster §6.2.9-12)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.v1.rules.model import Context
from api.v1.rules.reading import AUTOSCALER_V2_ENV, Cluster, Found, Group, check, children, env_named, env_path
from api.v1.rules.typed import text, whole

__all__ = ["CHECKS", "restart_policy_kept"]

DELETION_GATE: Final = "RayJobDeletionPolicy"
START_COMMAND_ENV: Final = "KUBERAY_GEN_AUTOSCALER_START_CMD"


def restart_policy_kept(group: Group) -> bool:
    """Is the restart policy one under which kubelet restarts what the autoscaler wants gone?"""
    return group.restart_policy not in ("", "Never")


@check("C31")
def suspended_group_needs_gate(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Only a RayJob's deletion rules suspend groups."""
    if context.gate(DELETION_GATE):
        return
    for group in cluster.groups:
        if group.spec.get("suspend") is True:
            yield Found(
                f"{group.path}.suspend",
                f"worker group {group.name} can be suspended only with the {DELETION_GATE} feature gate",
                True,
            )


@check("C32")
def v2_env_without_autoscaling(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The head would wait for an autoscaler that nobody starts."""
    if cluster.v2_by_env and not cluster.autoscaling:
        value = (env_named(cluster.head.env, AUTOSCALER_V2_ENV) or {}).get("value")
        yield Found(
            f"{cluster.head.container_path}.{env_path(cluster.head.env, AUTOSCALER_V2_ENV)}",
            f"environment variable {AUTOSCALER_V2_ENV} is set to '{value}' in the head Pod, but "
            "enableInTreeAutoscaling is false or unset",
            value,
        )


@check("C33")
def suspended_group_with_autoscaling(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The autoscaler would start its pods again."""
    for group in cluster.groups:
        if cluster.autoscaling and group.spec.get("suspend") is True:
            yield Found(
                f"{group.path}.suspend",
                f"worker group {group.name} cannot be suspended together with the Autoscaler",
                True,
            )


@check("C34")
def autoscaler_version_twice(cluster: Cluster, _: Context) -> Iterator[Found]:
    """One way to choose it, not two; whatever the variable says."""
    version = text(cluster.autoscaler, "version")
    if cluster.autoscaling and version and env_named(cluster.head.env, AUTOSCALER_V2_ENV) is not None:
        yield Found(
            "autoscalerOptions.version",
            f"both .spec.autoscalerOptions.version and head Pod env var {AUTOSCALER_V2_ENV} are set, use only the "
            "former",
            version,
        )


@check("C35")
def head_restarts_under_v2(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Autoscaler v2 takes a restarted Ray node for a lost one."""
    if cluster.autoscaling and cluster.v2_by_option and restart_policy_kept(cluster.head):
        yield Found(
            "headGroupSpec.template.spec.restartPolicy",
            "restartPolicy for head Pod should be Never or unset when using autoscaler V2",
            cluster.head.restart_policy,
        )


@check("C36")
def workers_restart_under_v2(cluster: Cluster, _: Context) -> Iterator[Found]:
    """As for the head."""
    for group in cluster.groups:
        if cluster.autoscaling and cluster.v2_by_option and restart_policy_kept(group):
            yield Found(
                f"{group.path}.template.spec.restartPolicy",
                f"restartPolicy for worker group {group.name} should be Never or unset when using autoscaler V2",
                group.restart_policy,
            )


@check("C37")
def idle_timeout_negative(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Also with autoscaling off."""
    seconds = whole(cluster.autoscaler, "idleTimeoutSeconds")
    if seconds is not None and seconds < 0:
        yield Found(
            "autoscalerOptions.idleTimeoutSeconds",
            f"autoscalerOptions.idleTimeoutSeconds must be non-negative, got {seconds}",
            seconds,
        )


@check("C38")
def start_command_env(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The operator writes it for those who replace the command."""
    variables = children(cluster.spec, "autoscalerOptions", "env")
    if env_named(variables, START_COMMAND_ENV) is not None:
        yield Found(
            f"autoscalerOptions.{env_path(variables, START_COMMAND_ENV)}",
            f"autoscalerOptions.env must not contain {START_COMMAND_ENV}: it is set by the operator",
        )


CHECKS: Final = (
    suspended_group_needs_gate,
    v2_env_without_autoscaling,
    suspended_group_with_autoscaling,
    autoscaler_version_twice,
    head_restarts_under_v2,
    workers_restart_under_v2,
    idle_timeout_negative,
    start_command_env,
)
