"""Parts of an object that are read and written by a path of their own: scale, and small pieces of a spec. Pure."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from localcluster.api import Json, Refusal
from localcluster.apiserver.registry import ScalePaths

__all__ = ["BUILT_IN_SCALE", "merge_part", "scale_of", "selector_text", "with_scale"]

BUILT_IN_SCALE: Final = ScalePaths(("spec", "replicas"), ("status", "replicas"), ("spec", "selector"))


def merge_part(subresource: str, new: Json, old: Json) -> Json:
    """The old object with that part of the new one which the subresource is for."""
    merged: Json = copy.deepcopy(old)
    spec, wanted = merged.setdefault("spec", {}), new.get("spec") or {}
    if subresource == "finalize":
        spec["finalizers"] = wanted.get("finalizers") or []
        return merged
    merged["metadata"] = new["metadata"]
    if subresource == "ephemeralcontainers":
        spec["ephemeralContainers"] = wanted.get("ephemeralContainers") or []
    elif subresource == "resize":
        by_name = {one.get("name"): one for one in wanted.get("containers") or ()}
        for container in spec.get("containers") or ():
            if container.get("name") in by_name:
                container["resources"] = by_name[container["name"]].get("resources") or {}
    return merged


def _at(obj: Any, path: Sequence[str]) -> Any:
    for key in path:
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


def scale_of(obj: Json, paths: ScalePaths) -> Json:
    """The object as an autoscaling/v1 Scale (SCALE-1)."""
    metadata = obj["metadata"]
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = _at(obj, paths.spec_replicas)
    status: Json = {"replicas": _at(obj, paths.status_replicas) or 0}
    if selector := selector_text(_at(obj, paths.label_selector) if paths.label_selector else None):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in shown if key in metadata},
        "spec": {} if replicas is None else {"replicas": replicas},
        "status": status,
    }


def selector_text(selector: Any) -> str:
    """A label selector as the text a list request takes; a text stays as it is."""
    if isinstance(selector, str):
        return selector
    if not isinstance(selector, dict):
        return ""
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for one in selector.get("matchExpressions") or ():
        key, values = one["key"], ",".join(one.get("values") or ())
        terms.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[one["operator"]]
        )
    return ",".join(terms)


def with_scale(obj: Json, paths: ScalePaths, scale: Json) -> Json:
    """The object with the replicas that the Scale asks for; whether it may have them is for its own rules to say."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise Refusal(400, "BadRequest", "spec.replicas of a Scale must be an integer")
    changed: Json = copy.deepcopy(obj)
    parent = changed
    for key in paths.spec_replicas[:-1]:
        parent = parent.setdefault(key, {})
    parent[paths.spec_replicas[-1]] = replicas
    return changed
