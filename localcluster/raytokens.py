"""Ray objects get token authentication where all of a machine can reach Ray's ports (spec ray-side §10.4, limits).

GCS, raylets and agents listen on all interfaces, whatever the pod's address. So an object that says nothing of
`authOptions` is given `mode: token` when it is made, and keeps it when somebody replaces it by one that says nothing
again; who says something has the last word. Ray knows tokens since 2.52, and the operator wants to see that in
`rayVersion`: what does not say so stays as it is, with a warning.
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
        """The object with authentication, and as the others leave that; None if all leave it alone. Raises Refusal."""
        given = _given(review)
        if given is not None:
            review.object = given
        return await self._others.mutate(review) or given

    async def validate(self, review: Review) -> None:
        """The others'. Raises Refusal."""
        await self._others.validate(review)


def _given(review: Review) -> Json | None:
    """The object with what it lacks; None when it lacks nothing, or cannot have it, which is warned of."""
    resource, path = review.request.resource, SPECS.get(review.request.resource.kind)
    if path is None or (resource.group, resource.version) != GROUP_VERSION or review.request.subresource:
        return None
    spec = _at(review.object, path)
    if spec is None or spec.get("authOptions") is not None:
        return None
    if review.operation == "UPDATE":
        before = (_at(review.old_object, path) or {}).get("authOptions") or {}
        return _with(review.object, path, before) if before.get("mode") == "token" else None
    version = VERSION.fullmatch(str(spec.get("rayVersion") or ""))
    if version is None or tuple(map(int, version.groups())) < SINCE:
        review.warnings.append(OPEN)
        return None
    review.warnings.append(LOCKED)
    return _with(review.object, path, {"mode": "token"})


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
