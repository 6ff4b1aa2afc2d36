"""Paths: text -> what is meant (spec kube-api §1, ERR-1 to ERR-4). Knows what is served, nothing of HTTP."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import unquote

from localcluster.api import Refusal
from localcluster.apiserver.registry import Registry
from localcluster.resources import ResourceInfo

__all__ = ["NoSuchPath", "Target", "route"]

NAMESPACE_SUBRESOURCES = ("status", "finalize")


class NoSuchPath(Exception):
    """Nothing is served there: 404 as plain text (ERR-3)."""


@dataclass(frozen=True, slots=True)
class Target:
    """A resource, perhaps in a namespace, perhaps one object or its subresource and a path below that (proxy)."""

    resource: ResourceInfo
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""  # what follows the subresource, as it came
    below: int = 0  # how many parts that has
    watch: bool = False  # the old /watch/ path


def route(path: str, registry: Registry) -> Target | None:
    """What a path means; None when it is no path of a group version's resources, as "/version" or "/apis/batch".

    Raises NoSuchPath or Refusal 404.
    """
    raw = path.split("/")[1:]
    if raw and raw[-1] == "":
        raw.pop()
    parts = [unquote(part) for part in raw]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    watch = rest[0] == "watch" and len(rest) > 1
    target = _resource(group, version, rest[1:] if watch else rest, watch, registry)
    if not target.below:
        return target
    return replace(target, rest="/".join(raw[-target.below :]) + "/" * path.endswith("/"))


def _resource(group: str, version: str, rest: list[str], watch: bool, registry: Registry) -> Target:
    namespace = ""
    namespaced = len(rest) >= 3 and rest[0] == "namespaces"
    if namespaced and not (group == "" and rest[2] in NAMESPACE_SUBRESOURCES):
        namespace, rest = rest[1], rest[2:]
    resource = registry.find(group, version, rest[0])
    fits = resource is not None and (resource.namespaced if namespace else not resource.namespaced or len(rest) == 1)
    if resource is None or not fits:
        raise _absent(group, registry)
    name, subresource = [*rest[1:3], "", ""][:2]
    return Target(resource, namespace, name, subresource, below=max(len(rest) - 3, 0), watch=watch)


def _absent(group: str, registry: Registry) -> Exception:
    if group == "" or any(one.group == group and not one.custom for one in registry.resources()):
        return Refusal(404, "NotFound", "the server could not find the requested resource", {})
    return NoSuchPath(group)
