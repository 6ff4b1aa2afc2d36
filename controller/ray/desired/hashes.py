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

from api.quantity import Quantity, is_quantity
from api.v1.defaults import as_stored, only_known
from api.v1.raycluster import RayClusterSpec

__all__ = ["goal_hash", "spec_hash"]

NOT_OF_TEMPLATES: Final = ("tolerations", "schedulingGates")  # may change on a running pod
AMOUNTS: Final = ("limits", "requests", "overhead")  # maps of quantities
AMOUNT: Final = ("sizeLimit", "storage")
# What the reference leaves out, or writes although nobody gave it, when it stores an object: its typed model cannot
# tell the two apart. Other members mean something where they are empty (emptyDir, automountServiceAccountToken: false).
MAPS: Final = frozenset(  # their keys are the user's; an empty one is none
    {"annotations", "labels", "matchLabels", "nodeSelector", "options", "rayStartParams", "volumeAttributes", *AMOUNTS}
)
STRUCTS: Final = frozenset({"metadata", "resources"})
FLAGS: Final = frozenset({"hostIPC", "hostNetwork", "hostPID", "readOnly", "stdin", "stdinOnce", "tty"})
CHOSEN: Final = frozenset({"storageClassName"})  # "" is a class of its own
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
    return _digest(_spelt_alike(goal))


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


def _spelt_alike(value: Any) -> Any:
    """With every quantity in its canonical form, and without what says nothing."""
    if isinstance(value, list):
        return [_spelt_alike(one) for one in value]
    if not isinstance(value, dict):
        return value
    members = ((name, _member(name, one)) for name, one in value.items())
    return {name: one for name, one in members if not _says_nothing(name, one)}


def _member(name: str, value: Any) -> Any:
    if name in AMOUNTS and isinstance(value, dict):
        return {resource: _amount(one) for resource, one in value.items()}
    if name in MAPS and isinstance(value, dict):
        return value
    return _amount(value) if name in AMOUNT else _spelt_alike(value)


def _says_nothing(name: str, value: Any) -> bool:
    if value == {}:
        return name in MAPS or name in STRUCTS
    return (value == "" and name not in CHOSEN) or value == [] or (value is False and name in FLAGS)


def _amount(value: Any) -> Any:
    if isinstance(value, str | int) and not isinstance(value, bool) and is_quantity(value):
        return str(Quantity.parse(value))
    return _spelt_alike(value)
