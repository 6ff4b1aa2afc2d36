"""Loopback ports for what users open in a browser: the dashboards of Ray heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from manta.doors import Door, Shared
from manta.podstates import state_of
from manta.show import Show

__all__ = ["dashboards"]

DASHBOARD: Final = 8265


def dashboards(show: Show) -> Shared:
    """Every head that is ready has its dashboard on a port of this machine, and it is told."""

    def told(pod: Mapping[str, Any], port: int) -> None:
        show.say(f"dashboard of {cluster_of(pod)} on http://127.0.0.1:{port}{asking(pod)}")

    return Shared("/api/v1/pods", "ray.io/node-type=head", door_of, told)


def door_of(pod: Mapping[str, Any]) -> Door | None:
    """Of a head that is ready."""
    return Door(pod["status"]["podIP"], DASHBOARD) if state_of(pod).word == "Ready" else None


def cluster_of(pod: Mapping[str, Any]) -> str:
    """The RayCluster's name."""
    return str(pod["metadata"]["labels"].get("ray.io/cluster", pod["metadata"]["name"]))


def asking(pod: Mapping[str, Any]) -> str:
    """What is said of a dashboard that asks for a token: where that is. "" of others."""
    for container in pod["spec"]["containers"]:
        for variable in container.get("env") or ():
            source = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if variable["name"] == "RAY_AUTH_TOKEN" and source:
                secret = f"kubectl get secret {source['name']} -n {pod['metadata']['namespace']}"
                return f"; it asks for a token: {secret} -o jsonpath='{{.data.{source['key']}}}' | base64 -d"
    return ""
