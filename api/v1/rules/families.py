"""All rules that admission asks, by kind: the reference's first, then the families beyond it (spec admission §4).

A family is a module with a tuple `RULES`; it is joined here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.v1.rules import (
    accelerator_nodes,
    accelerators,
    cron_content,
    crosscutting,
    image_changes,
    immutable,
    job_content,
    minimum_versions,
    not_yet,
    offered,
    pod_content,
    ray_versions,
    raycluster,
    raycronjob,
    rayjob,
    rayservice,
    replicas,
    serve_content,
    serve_deployments,
    service_ports,
    topology,
)
from api.v1.rules.model import Rule

__all__ = ["BEYOND", "RULES_BY_KIND"]

BEYOND: Final[tuple[Rule, ...]] = (  # in the order of the specification's sections: §4.3, 4.4, 4.5, ...
    *ray_versions.RULES,
    *image_changes.RULES,
    *minimum_versions.RULES,
    *accelerators.RULES,
    *accelerator_nodes.RULES,
    *offered.RULES,
    *topology.RULES,
    *service_ports.RULES,
    *replicas.RULES,
    *job_content.RULES,
    *serve_content.RULES,
    *serve_deployments.RULES,
    *cron_content.RULES,
    *crosscutting.RULES,
    *not_yet.RULES,
    *pod_content.RULES,
    *immutable.RULES,
)
ENFORCED: Final[Mapping[str, tuple[Rule, ...]]] = {
    "RayCluster": raycluster.RULES,
    "RayJob": rayjob.RULES,
    "RayService": rayservice.RULES,
    "RayCronJob": raycronjob.RULES,
}
RULES_BY_KIND: Final[Mapping[str, tuple[Rule, ...]]] = {
    kind: (*enforced, *(rule for rule in BEYOND if kind in rule.kinds)) for kind, enforced in ENFORCED.items()
}
