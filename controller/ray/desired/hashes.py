"""The hash of a cluster's spec, by which `upgradeStrategy: Recreate` notices a change (spec raycluster §17)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

__all__ = ["spec_hash"]

NOT_OF_TEMPLATES: Final = ("tolerations", "schedulingGates")  # may change on a running pod
NOT_OF_GROUPS: Final = ("replicas", "minReplicas", "maxReplicas")  # scaling is no upgrade


def spec_hash(spec: Mapping[str, Any]) -> str:
    """32 characters that stay as they are while a change of the spec needs no new pods.

    `spec` is JSON as it stands on the wire. The digest differs from the reference's for the same spec, as ours orders
    its JSON by name; ray.io/kuberay-version on the head tells whose a digest is.
    """
    goal = deepcopy(dict(spec))
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
    text = json.dumps(goal, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return base64.b32hexencode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()


def _normalize(part: dict[str, Any]) -> None:
    """Leave out what may change, and what is the same as its absence (spec raycluster §5 step 3)."""
    if not part.get("rayStartParams"):
        part["rayStartParams"] = {}
    pod = (part.get("template") or {}).get("spec") or {}
    for name in NOT_OF_TEMPLATES:
        pod.pop(name, None)
