"""Hashes of a cluster's spec: by one `upgradeStrategy: Recreate` notices a change (spec raycluster §17), by the other a
RayService (spec rayservice §9.2).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from api.v1.defaults import as_stored, only_known
from api.v1.raycluster import RayClusterSpec
from api.v1.spelling import spelt_alike

__all__ = ["goal_hash", "spec_hash"]

NOT_OF_TEMPLATES: Final = ("tolerations", "schedulingGates")  # may change on a running pod
NOT_OF_GROUPS: Final = ("replicas", "minReplicas", "maxReplicas")  # scaling is no upgrade


def spec_hash(spec: Mapping[str, Any]) -> str:
    """32 characters that stay as they are while a change of the spec needs no new pods.

    `spec` is JSON as it stands on the wire. The digest differs from the reference's for the same spec, as ours orders
    its JSON by name; ray.io/kuberay-version on the head tells whose a digest is.
    """
    goal = deepcopy(dict(spec))
    _drop_what_may_change(goal)
    return _digest(goal)


def goal_hash(spec: Mapping[str, Any]) -> str:
    """32 characters that stay as they are while a RayService's goal needs no new cluster (spec rayservice §9.2).

    Other than `spec_hash` it does not see what only a newer schema knows or fills in, nor how a quantity is spelt or
    what is empty: neither installing new CRDs nor taking over what the reference stored may replace a cluster.
    """
    goal = deepcopy(only_known(RayClusterSpec, as_stored(RayClusterSpec, spec)))
    goal.pop("suspend", None)  # Kueue's, once the cluster is there
    _drop_what_may_change(goal)
    return _digest(spelt_alike(goal))


def _drop_what_may_change(goal: dict[str, Any]) -> None:
    goal.pop("upgradeStrategy", None)
    head = goal.get("headGroupSpec") or {}
    groups = goal.get("workerGroupSpecs") or []
    for group in groups:
        for name in NOT_OF_GROUPS:
            group.pop(name, None)
        (group.get("scaleStrategy") or {}).pop("workersToDelete", None)
        if not group.get("scaleStrategy"):
            group.pop("scaleStrategy", None)  # the autoscaler's first list must not look like a change
    for part in (head, *groups):
        _normalize(part)


def _digest(goal: Any) -> str:
    text = json.dumps(goal, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return base64.b32hexencode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()


def _normalize(part: dict[str, Any]) -> None:
    """Leave out what may change, and what is the same as its absence (spec raycluster §5 step 3)."""
    if not part.get("rayStartParams"):
        part["rayStartParams"] = {}
    pod = (part.get("template") or {}).get("spec") or {}
    for name in NOT_OF_TEMPLATES:
        pod.pop(name, None)
