"""What keeps a RayCluster from being worked on, and what its user is warned of (spec raycluster §5.4-5.8). Pure.

The rules themselves are the API's (`api.v1.rules`); here they become events. A cluster that asks for what the API has
and this operator does not do yet (`api.v1.rules.not_yet`) is left alone, and its user told, rather than half served.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from api.v1.rules.model import Context, Finding, Severity, all_findings, first_denial
from api.v1.rules.not_yet import LEFT_ALONE, lacks_of_cluster
from api.v1.rules.places import cluster_of
from api.v1.rules.raycluster import ENFORCED
from controller.ray.options import Gates, Options
from controller.ray.raycluster.seen import Seen
from controller.runtime.plan import Announcement

__all__ = ["STATUS_REASON", "advice", "refusal"]

METADATA_REASON: Final = "InvalidRayClusterMetadata"
SPEC_REASON: Final = "InvalidRayClusterSpec"
STATUS_REASON: Final = "InvalidRayClusterStatus"
ADVISORY: Final = tuple(rule for rule in ENFORCED if rule.severity is Severity.WARN)
OF_THE_STATUS: Final = tuple(rule for rule in ENFORCED if rule.reason == STATUS_REASON)
UPGRADE_RULES: Final = frozenset({"C67", "C68"})  # these have words of their own in the reference


def refusal(seen: Seen, options: Options) -> Announcement | None:
    """Why nothing is done about this cluster, or None. Only a changed object can help.

    What was accepted in an earlier pass is not judged again: all rules took an eighth of the operator's time.
    """
    where = f"{seen.namespace}/{seen.name}"
    denial = first_denial(OF_THE_STATUS if seen.accepted else ENFORCED, seen.object, None, _context(options.gates))
    if denial is not None:
        return _warning(denial.reason or SPEC_REASON, f"{_opening(denial, where)} {denial}")
    if seen.cluster.spec is None:
        return _warning(SPEC_REASON, f"The RayCluster spec is invalid {where}: there is none")
    missing = [one.message for one in lacks_of_cluster(cluster_of(seen.object, "spec"))]
    if missing:
        asked_for = "; ".join(missing)
        return _warning(SPEC_REASON, f"The RayCluster spec is invalid {where}: {LEFT_ALONE}: {asked_for}")
    return None


def _opening(denial: Finding, where: str) -> str:
    if denial.reason == METADATA_REASON:
        return f"The RayCluster metadata is invalid {where}:"
    if denial.reason == STATUS_REASON:
        return f"The RayCluster status is invalid {where},"
    if denial.rule in UPGRADE_RULES:
        return f"The RayCluster UpgradeStrategy is invalid {where}:"
    return f"The RayCluster spec is invalid {where}:"


def advice(seen: Seen, options: Options) -> tuple[Announcement, ...]:
    """What works, but not as its user may think (spec raycluster §5.6, E5)."""
    where = f"{seen.namespace}/{seen.name}"
    warnings = [str(one) for one in all_findings(ADVISORY, seen.object, None, _context(options.gates))]
    groups = [group.group_name for group in seen.cluster.spec.worker_group_specs] if seen.cluster.spec else []
    twice = sorted({name for name in groups if groups.count(name) > 1})
    if twice:
        warnings.append(f"of worker groups with the same name only the first is served: {', '.join(twice)}")
    return tuple(_warning(SPEC_REASON, f"RayCluster spec warning {where}: {text}") for text in warnings)


@cache
def _context(gates: Gates) -> Context:
    return Context(gates.by_name)


def _warning(reason: str, note: str) -> Announcement:
    return Announcement("Warning", reason, "Validate", note)
