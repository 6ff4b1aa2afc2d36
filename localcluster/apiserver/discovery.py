"""Discovery: what is served, as the documents that clients read first (spec kube-api §2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import sha512

import orjson

from localcluster.api import Json
from localcluster.apiserver.registry import Registry
from localcluster.resources import ResourceInfo, Subresource

__all__ = ["AGGREGATED_TYPE", "Discovery", "wants_aggregated"]

AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
STAGES = {None: 2, "beta": 1, "alpha": 0}


def wants_aggregated(accept: str) -> bool | None:
    """Whether the first entry that we can serve is the aggregated document; None: neither form will do (DISC-3)."""
    if not accept.strip():
        return False
    for entry in accept.split(","):
        media, *rest = (part.strip() for part in entry.split(";"))
        said = dict(part.partition("=")[::2] for part in rest)
        if media not in ("application/json", "*/*"):
            continue
        if "as" not in said:
            return False
        if (said["as"], said.get("g"), said.get("v")) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2"):
            return True
    return None


class Discovery:
    """The documents, made anew when the registry changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._revision = -1
        self._made: dict[str, tuple[bytes, str]] = {}

    def aggregated(self, root: str) -> tuple[bytes, str]:
        """The aggregated document of "api" or "apis", and its entity tag (DISC-1)."""
        if self._revision != self._registry.revision:
            self._made.clear()
            self._revision = self._registry.revision
        if root not in self._made:
            groups = [""] if root == "api" else self.groups()
            raw = orjson.dumps(
                {
                    "kind": "APIGroupDiscoveryList",
                    "apiVersion": "apidiscovery.k8s.io/v2",
                    "metadata": {},
                    "items": [self._group(group) for group in groups],
                }
            )
            self._made[root] = raw, f'"{sha512(raw).hexdigest().upper()}"'
        return self._made[root]

    def groups(self) -> list[str]:
        """The named groups, those of the server first."""
        return list(dict.fromkeys(one.group for one in self._registry.resources() if one.group))

    def versions(self, group: str) -> list[str]:
        """The versions of a group, the preferred one first: v2, v1, v1beta1."""
        return sorted({one.version for one in self._registry.resources() if one.group == group}, key=_rank)

    def legacy_root(self, host: str) -> Json:
        """`/api` (DISC-4)."""
        addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]
        return {"kind": "APIVersions", "versions": self.versions(""), "serverAddressByClientCIDRs": addresses}

    def legacy_groups(self) -> Json:
        """`/apis`."""
        groups = [self._legacy_group(group) for group in self.groups()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def legacy_group(self, group: str) -> Json | None:
        """`/apis/G`, or None."""
        if group not in self.groups():
            return None
        return {"kind": "APIGroup", "apiVersion": "v1", **self._legacy_group(group)}

    def legacy_resources(self, group: str, version: str) -> Json | None:
        """`/api/v1` or `/apis/G/V`, or None."""
        resources = self._resources(group, version)
        if not resources:
            return None
        named = {"apiVersion": "v1"} if group else {}
        described = [one for resource in resources for one in _legacy_resource(resource)]
        group_version = resources[0].api_version
        return {"kind": "APIResourceList", **named, "groupVersion": group_version, "resources": described}

    def paths(self) -> list[str]:
        """Everything below `/` (DISC-7)."""
        paths = ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]
        for group in self.groups():
            paths += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in self.versions(group))]
        return sorted(paths)

    def _resources(self, group: str, version: str) -> list[ResourceInfo]:
        found = [one for one in self._registry.resources() if (one.group, one.version) == (group, version)]
        return sorted(found, key=lambda one: one.plural)

    def _group(self, group: str) -> Json:
        return {
            "metadata": {"name": group} if group else {},
            "versions": [
                {
                    "version": version,
                    "resources": [_resource(one) for one in self._resources(group, version)],
                    "freshness": "Current",
                }
                for version in self.versions(group)
            ],
        }

    def _legacy_group(self, group: str) -> Json:
        versions = [{"groupVersion": f"{group}/{one}", "version": one} for one in self.versions(group)]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _rank(version: str) -> tuple[int, int, int, str]:
    """Stable before beta before alpha, then the greater number; what is no such version comes last, by name."""
    found = VERSION.fullmatch(version)
    if found is None:
        return (1, 0, 0, version)
    return (-STAGES[found[2]], -int(found[1]), -int(found[3] or 0), "")


def _resource(resource: ResourceInfo) -> Json:
    own = (resource.group, resource.version) if resource.custom else ("", "")
    described: Json = {
        "resource": resource.plural,
        "responseKind": {"group": own[0], "version": own[1], "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    described |= _names(resource)
    if resource.subresources:
        described["subresources"] = [
            {
                "subresource": one.name,
                "responseKind": {
                    "group": one.group or own[0],
                    "version": one.version or own[1],
                    "kind": one.kind or resource.kind,
                },
                "verbs": list(one.verbs),
            }
            for one in _by_name(resource.subresources)
        ]
    return described


def _names(resource: ResourceInfo) -> Json:
    names: Json = {}
    if resource.short_names:
        names["shortNames"] = list(resource.short_names)
    if resource.categories:
        names["categories"] = list(resource.categories)
    return names


def _by_name(subresources: Iterable[Subresource]) -> Sequence[Subresource]:
    return sorted(subresources, key=lambda one: one.name)


def _legacy_resource(resource: ResourceInfo) -> list[Json]:
    described: list[Json] = [
        {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
            **_names(resource),
        }
    ]
    for one in _by_name(resource.subresources):
        own = {"group": one.group, "version": one.version} if one.group else {}
        described.append(
            {
                "name": f"{resource.plural}/{one.name}",
                "singularName": "",
                "namespaced": resource.namespaced,
                **own,
                "kind": one.kind or resource.kind,
                "verbs": list(one.verbs),
            }
        )
    return described
