"""A node that nobody hears of: it becomes Unknown and tainted, its pods unready, and later they are deleted.

As the node lifecycle and taint eviction controllers do it, but for how silence is noticed: nodes of the local cluster
live in this process and send no heartbeats, so whoever cuts one off says so (`lost`, `found`). That keeps time free to
jump while nothing happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from localcluster.api import Api, Json, Refusal
from localcluster.mirror import Key, Mirrors
from localcluster.recorder import Recorder
from localcluster.worklist import Worklist

__all__ = ["NodeController", "toleration_seconds"]

GRACE = 50.0  # seconds of silence, as --node-monitor-grace-period
UNREACHABLE = "node.kubernetes.io/unreachable"
_TAINTS = tuple({"key": UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute"))

Task: TypeAlias = tuple[Literal["silent", "found", "evict"], Key]


def toleration_seconds(pod: Json) -> float | None:
    """How long the pod stays on an unreachable node: 0 for one that does not tolerate it, None for ever."""
    found: list[float | None] = [
        one.get("tolerationSeconds")
        for one in pod["spec"].get("tolerations") or ()
        if one.get("effect", "NoExecute") == "NoExecute" and one.get("key", UNREACHABLE) == UNREACHABLE
    ]
    if not found:
        return 0.0
    finite = [seconds for seconds in found if seconds is not None]
    return max(0.0, min(finite)) if finite else None


class NodeController:
    """Follows nodes that were cut off."""

    def __init__(self, api: Api, mirrors: Mirrors, *, now: Callable[[], datetime]) -> None:
        self._api, self._mirrors, self._now = api, mirrors, now
        self._recorder = Recorder(api, "node-controller", now=now)
        self._work: Worklist[Task] = Worklist(self._look)
        self._silent: set[str] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            group.create_task(self._work.run())

    def lost(self, node: str) -> None:
        """From now on nothing is heard of the node."""
        self._silent.add(node)
        self._work.add_after(("silent", ("", node)), GRACE)

    def found(self, node: str) -> None:
        """It is back."""
        self._silent.discard(node)
        self._work.add(("found", ("", node)))

    async def _look(self, task: Task) -> float | None:
        what, key = task
        if what == "evict":
            await self._evict(key)
        elif what == "silent" and key[1] in self._silent:
            await self._give_up(key[1])
        elif what == "found" and key[1] not in self._silent:
            await self._welcome(key[1])
        return None

    async def _give_up(self, name: str) -> None:
        await self._tell_ready(name, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        node = await self._api.get("nodes", "", name)
        taints = (node.get("spec") or {}).get("taints") or []
        moment = self._time()
        fresh = [{**taint, "timeAdded": moment} for taint in _TAINTS if not _has(taints, taint)]
        await self._api.patch("nodes", "", name, {"spec": {"taints": [*taints, *fresh]}})
        for key, pod in list(self._mirrors.of("pods").objects.items()):
            if pod["spec"].get("nodeName") == name and (pod.get("status") or {}).get("phase") not in (
                "Succeeded",
                "Failed",
            ):
                await self._mark_unready(key, pod)
                stays = toleration_seconds(pod)
                if stays is not None:
                    self._work.add_after(("evict", key), stays)

    async def _mark_unready(self, key: Key, pod: Json) -> None:
        conditions = [dict(one) for one in pod["status"].get("conditions") or ()]
        for one in conditions:
            if one["type"] == "Ready" and one["status"] == "True":
                one |= {"status": "False", "lastTransitionTime": self._time()}
        if conditions == pod["status"].get("conditions"):
            return
        await self._write_status(key, pod, {"conditions": conditions})
        about = {"kind": "Pod", "apiVersion": "v1", "metadata": pod["metadata"]}
        self._recorder.say(about, "Warning", "NodeNotReady", "Node is not ready")

    async def _evict(self, key: Key) -> None:
        pod = self._mirrors.of("pods").objects.get(key)
        if pod is None or pod["spec"].get("nodeName") not in self._silent or pod["metadata"].get("deletionTimestamp"):
            return
        moment = self._time()
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastProbeTime": None,
            "lastTransitionTime": moment,
        }
        await self._write_status(key, pod, {"conditions": [*(pod["status"].get("conditions") or ()), target]})
        try:
            await self._api.delete("pods", key[0], key[1], uid=pod["metadata"]["uid"])
        except Refusal as refusal:
            if refusal.code not in (404, 409):
                raise
        about = {"kind": "Pod", "apiVersion": "v1", "metadata": pod["metadata"]}
        self._recorder.say(about, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key[0]}/{key[1]}")

    async def _welcome(self, name: str) -> None:
        await self._tell_ready(name, "True", "KubeletReady", "kubelet is posting ready status")
        node = await self._api.get("nodes", "", name)
        taints = [one for one in (node.get("spec") or {}).get("taints") or () if one["key"] != UNREACHABLE]
        await self._api.patch("nodes", "", name, {"spec": {"taints": taints or None}})

    async def _tell_ready(self, name: str, status: str, reason: str, message: str) -> None:
        node = await self._api.get("nodes", "", name)
        old = (node.get("status") or {}).get("conditions") or ()
        ready: Json = next((dict(one) for one in old if one["type"] == "Ready"), {"type": "Ready"})
        if ready.get("status") != status:
            ready["lastTransitionTime"] = self._time()
        ready |= {"status": status, "reason": reason, "message": message}
        conditions = [*(one for one in old if one["type"] != "Ready"), ready]
        await self._api.patch("nodes", "", name, {"status": {"conditions": conditions}}, subresource="status")

    async def _write_status(self, key: Key, pod: Json, change: Json) -> None:
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": change}
        try:
            await self._api.patch("pods", key[0], key[1], body, subresource="status")
        except Refusal as refusal:
            if refusal.code not in (404, 409, 422):
                raise

    def _time(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _has(taints: list[Json], wanted: Json) -> bool:
    return any(one["key"] == wanted["key"] and one["effect"] == wanted["effect"] for one in taints)
