"""All rules about a RayCluster, in the order in which the reconcile loop reports them (spec raycluster §5, §6).

ENFORCED is what the reconcile loop asks; RULES is what admission asks: with it M11, which the reference's webhook
knows and its reconcile loop does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from api.v1.raycluster import RayClusterCondition
from api.v1.rules import autoscaling, cluster_groups, fault_tolerance, history, security
from api.v1.rules.metadata import name_rules, unique_group_names
from api.v1.rules.model import Context, Finding, Rule, Severity
from api.v1.rules.places import cluster_of
from api.v1.rules.reading import Check, children
from api.v1.rules.typed import child, mapping, text
from api.v1.wire import LABEL_ORIGIN_KIND

__all__ = ["CLUSTER_CHECKS", "ENFORCED", "RULES"]

KIND: Final = frozenset({"RayCluster"})
SPEC: Final = "InvalidRayClusterSpec"
STATUS: Final = "InvalidRayClusterStatus"

Find = Callable[[Mapping[str, Any], Mapping[str, Any] | None, Context], Iterator[Finding]]

# About a cluster spec wherever it stands: C1 to C64.
CLUSTER_CHECKS: Final[tuple[Check, ...]] = (
    *cluster_groups.CHECKS,
    *fault_tolerance.CHECKS,
    *autoscaling.CHECKS,
    *history.CHECKS,
    *security.CHECKS,
)


def _on_cluster(one: Check) -> Rule:
    def find(new: Mapping[str, Any], _old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
        return one.findings(cluster_of(new, "spec"), context, at="spec")

    return Rule(one.id, Severity.DENY, KIND, find, SPEC, enforced=True, block=one.block)


def workers_restart_under_v1(new: Mapping[str, Any], _old: Mapping[str, Any] | None, _: Context) -> Iterator[Finding]:
    """C65: the cluster runs, but kubelet restarts what the autoscaler wants gone."""
    cluster = cluster_of(new, "spec")
    if not cluster.autoscaling or cluster.autoscaler.get("version") != "v1":
        return
    kept = [group for group in cluster.groups if autoscaling.restart_policy_kept(group)]
    if kept:
        names = ", ".join(group.name for group in kept)
        yield Finding(
            "C65",
            Severity.WARN,
            f"spec.{kept[0].path}.template.spec.restartPolicy",
            f"restartPolicy for worker groups [{names}] should be Never or unset when using autoscaler V1",
            kept[0].restart_policy,
        )


def tls_without_cert_manager(
    new: Mapping[str, Any], _old: Mapping[str, Any] | None, context: Context
) -> Iterator[Finding]:
    """C66: nobody would make the certificates."""
    if security.tls_enabled(cluster_of(new, "spec"), context) and not context.cert_manager:
        yield Finding(
            "C66",
            Severity.DENY,
            "spec.tlsOptions",
            "tlsOptions requires cert-manager, whose API cert-manager.io/v1 is not served here",
        )


def upgrade_type_unknown(new: Mapping[str, Any], _old: Mapping[str, Any] | None, _: Context) -> Iterator[Finding]:
    """C67: the schema has the same enum."""
    type_ = child(new, "spec", "upgradeStrategy").get("type")
    if type_ is not None and type_ not in ("Recreate", "None"):
        yield Finding(
            "C67",
            Severity.DENY,
            "spec.upgradeStrategy.type",
            f"Spec.UpgradeStrategy.Type value {type_} is invalid, valid options are Recreate or None",
            type_,
        )


def upgrade_of_a_child(new: Mapping[str, Any], _old: Mapping[str, Any] | None, _: Context) -> Iterator[Finding]:
    """C68: its RayJob or RayService decides when it is replaced."""
    type_ = child(new, "spec", "upgradeStrategy").get("type")
    origin = mapping(child(new, "metadata"), "labels").get(LABEL_ORIGIN_KIND)
    if type_ is not None and origin in ("RayJob", "RayService"):
        yield Finding(
            "C68",
            Severity.DENY,
            "spec.upgradeStrategy.type",
            f"upgradeStrategy cannot be set on a RayCluster that was created by {origin}",
            type_,
        )


def suspended_twice(new: Mapping[str, Any], _old: Mapping[str, Any] | None, _: Context) -> Iterator[Finding]:
    """C69: nothing the operator writes; somebody else did."""
    true = {text(one, "type") for one in children(new, "status", "conditions") if one.get("status") == "True"}
    both = (RayClusterCondition.SUSPENDING, RayClusterCondition.SUSPENDED)
    if true >= set(both):
        yield Finding(
            "C69",
            Severity.DENY,
            "status.conditions",
            f"invalid RayCluster State: {both[0]} and {both[1]} should not be both true",
        )


def _own(id_: str, find: Find, reason: str = SPEC, severity: Severity = Severity.DENY) -> Rule:
    return Rule(id_, severity, KIND, find, reason, enforced=True)


ENFORCED: Final[tuple[Rule, ...]] = (
    *name_rules("RayCluster", "M1", "M2"),
    *(_on_cluster(one) for one in CLUSTER_CHECKS),
    _own("C65", workers_restart_under_v1, severity=Severity.WARN),
    _own("C66", tls_without_cert_manager),
    _own("C67", upgrade_type_unknown),
    _own("C68", upgrade_of_a_child),
    _own("C69", suspended_twice, STATUS),
)
RULES: Final[tuple[Rule, ...]] = (*ENFORCED[:2], unique_group_names, *ENFORCED[2:])
