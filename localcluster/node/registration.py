"""The node as an object of the API: what it is and has, and that it is well."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from localcluster.api import Api, Json, Refusal
from localcluster.resources import KUBERNETES

__all__ = ["NodeSettings", "Registration"]

_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_SYSTEM_LABELS = {"kubernetes.io/os": "linux", "kubernetes.io/arch": _ARCHITECTURE}


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What the node is and has."""

    name: str = "local"
    ip: str = "127.0.0.1"
    capacity: dict[str, str] = field(
        default_factory=lambda: {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "110"}
    )
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[Json, ...] = ()
    heartbeat_seconds: float | None = None  # None: the node does not say again and again that it is well
    issue_tokens: bool = True  # False: service account tokens are empty files, for runtimes that read none
    tell_events: bool = True
    probe_delays: bool = True  # False: no probe waits for its initialDelaySeconds
    resolve: bool = True  # False: volumes stay empty and services unmentioned, for runtimes that look at neither


def _node_info() -> Json:
    """What `kubectl get nodes -o wide` shows. A kubelet has the version of its API server here."""
    absent = dict.fromkeys(("machineID", "systemUUID", "bootID", "kubeProxyVersion"), "")
    return {
        **absent,
        "kernelVersion": platform.release(),
        "osImage": "this machine",
        "containerRuntimeVersion": "local://1",
        "kubeletVersion": KUBERNETES,
        "operatingSystem": "linux",
        "architecture": _ARCHITECTURE,
    }


class Registration:
    """Writes the Node of a kubelet. `is_lost`: the node is cut off, and says nothing."""

    def __init__(
        self, api: Api, settings: NodeSettings, *, now: Callable[[], datetime], is_lost: Callable[[], bool]
    ) -> None:
        self._api, self._settings, self._now, self._is_lost = api, settings, now, is_lost

    async def register(self) -> None:
        """The node is there, with all that it has. Raises Refusal, OSError."""
        body = self._node()
        try:
            await self._api.create("nodes", "", body)
        except Refusal as refusal:
            if refusal.code != 409:
                raise
        await self._api.patch("nodes", "", self._settings.name, {"status": self._node_status()}, subresource="status")

    def _node(self) -> Json:
        name = self._settings.name
        labels = {**_SYSTEM_LABELS, "kubernetes.io/hostname": name, **self._settings.labels}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": [dict(taint) for taint in self._settings.taints]} if self._settings.taints else {},
        }

    def _node_status(self) -> Json:
        moment = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
            "lastHeartbeatTime": moment,
            "lastTransitionTime": moment,
        }
        return {
            "capacity": dict(self._settings.capacity),
            "allocatable": dict(self._settings.capacity),
            "conditions": [ready],
            "nodeInfo": _node_info(),
            "addresses": [
                {"type": "InternalIP", "address": self._settings.ip},
                {"type": "Hostname", "address": self._settings.name},
            ],
        }

    async def beat(self, every: float) -> None:
        """Say again and again that the node is well, while it is not cut off; until cancelled."""
        while True:
            await asyncio.sleep(every)
            if self._is_lost():
                continue
            try:
                node = await self._api.get("nodes", "", self._settings.name)
                conditions = node["status"].get("conditions") or []
                fresh = self._node_status()["conditions"][0]
                for one in conditions:
                    if one["type"] == "Ready" and one["status"] == "True":
                        fresh["lastTransitionTime"] = one["lastTransitionTime"]
                others = [one for one in conditions if one["type"] != "Ready"]
                body = {"status": {"conditions": [*others, fresh]}}
                await self._api.patch("nodes", "", self._settings.name, body, subresource="status")
            except (Refusal, OSError):
                continue  # the next beat says it again
