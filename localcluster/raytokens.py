"""Ray objects get token authentication where all of a machine can reach Ray's ports (spec ray-side §10.4, limits).

GCS, raylets and agents listen on all interfaces, whatever the pod's address. So an object that says nothing of
`authOptions` is given `mode: token` when it is made, and keeps it when somebody replaces it by one that says nothing
again; who says something has the last word. Ray knows tokens since 2.52, and the operator wants to see that in
`rayVersion`, which its webhook fills in where the head's image tells it: what does not say so stays as it is, with a
warning.
"""

from __future__ import annotations

import re
from typing import Final

from localcluster.api import Json
from localcluster.apiserver.requests import Admission, Review

__all__ = ["LOCKED", "OPEN", "TokensByDefault"]

GROUP_VERSION: Final = ("ray.io", "v1")
SINCE: Final = (2, 52, 0)
VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")

# Where the spec of a RayCluster stands in each kind that has one.
SPECS: Final = {
    "RayCluster": ("spec",),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayService": ("spec", "rayClusterConfig"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
}

# What is warned of; both begin with the name of the level, by which `manta` knows them.
LOCKED: Final = (
    "shared-host: Ray's ports are open to all of this machine and, where there is one, its network; "
    "authOptions.mode is token now. authOptions says otherwise where that is wanted"
)
OPEN: Final = (
    "shared-host: Ray's ports are open to all of this machine and, where there is one, its network, without a token: "
    "that wants rayVersion 2.52.0 or later"
)


class TokensByDefault:
    """An `Admission` in front of another one."""

    def __init__(self, others: Admission) -> None:
        self._others = others

    async def mutate(self, review: Review) -> Json | None:
        """The object with authentication, and as the others leave that; None if all leave it alone. Raises Refusal.

        The version may be what the others fill in, as the operator's webhook does: it is looked for again after them.
        """
        path = _path_to_lock(review)
        if path is None:
            return await self._others.mutate(review)
        given = _locked(review, review.object, path)
        if given is not None:
            review.object = given
        result = await self._others.mutate(review) or given
        if given is None and (given := _locked(review, result or review.object, path)) is not None:
            result = given
        if review.operation == "CREATE" and (given is not None or _is_silent(result or review.object, path)):
            review.warnings.append(OPEN if given is None else LOCKED)
        return result

    async def validate(self, review: Review) -> None:
        """The others'. Raises Refusal."""
        await self._others.validate(review)


def _path_to_lock(review: Review) -> tuple[str, ...] | None:
    """Where the spec is that says nothing of authentication; None of all other requests."""
    resource, path = review.request.resource, SPECS.get(review.request.resource.kind)
    if path is None or (resource.group, resource.version) != GROUP_VERSION or review.request.subresource:
        return None
    return path if _is_silent(review.object, path) else None


def _is_silent(obj: Json | None, path: tuple[str, ...]) -> bool:
    """There is a spec, and it says nothing of authentication."""
    spec = _at(obj, path)
    return spec is not None and spec.get("authOptions") is None


def _locked(review: Review, obj: Json | None, path: tuple[str, ...]) -> Json | None:
    """The object with authentication, if it lacks that and may have it: a new one by its version, others as before."""
    if not _is_silent(obj, path):
        return None
    if review.operation == "UPDATE":
        before = (_at(review.old_object, path) or {}).get("authOptions") or {}
        return _with(obj, path, before) if before.get("mode") == "token" else None
    version = VERSION.fullmatch(str((_at(obj, path) or {}).get("rayVersion") or ""))
    if version is None or tuple(map(int, version.groups())) < SINCE:
        return None
    return _with(obj, path, {"mode": "token"})


def _at(obj: Json | None, path: tuple[str, ...]) -> Json | None:
    """What stands there; None where no object does."""
    found: object = obj
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _with(obj: Json | None, path: tuple[str, ...], options: Json) -> Json:
    """A copy with those options there; what does not change is shared."""
    changed = dict(obj or {})
    if not path:
        return changed | {"authOptions": options}
    changed[path[0]] = _with(changed[path[0]], path[1:], options)
    return changed
