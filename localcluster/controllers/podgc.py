"""Pods that no node will ever finish are finished here: their node is gone, or they never had one."""

from __future__ import annotations

from localcluster.api import Api, Json, Refusal
from localcluster.mirror import Key, Mirrors, key_of
from localcluster.worklist import Worklist

__all__ = ["PodGarbageCollector"]

QUARANTINE = 40.0  # seconds that a node must be gone, as the real one waits


class PodGarbageCollector:
    """Fails and deletes pods of vanished nodes; finishes the deletion of pods without a node."""

    def __init__(self, api: Api, mirrors: Mirrors) -> None:
        self._api, self._mirrors = api, mirrors
        self._work: Worklist[Key] = Worklist(self._collect)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._mirrors.synced("nodes", "pods")
        self._mirrors.of("nodes").subscribe(self._node_changed)
        self._mirrors.of("pods").subscribe(self._pod_changed)
        await self._work.run()

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            return
        node = new["spec"].get("nodeName")
        if node and old is None and self._mirrors.of("nodes").get("", node) is None:
            self._work.add_after(key_of(new), QUARANTINE)
        elif not node and new["metadata"].get("deletionTimestamp"):
            self._work.add(key_of(new))

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        if new is None and old is not None:
            for key, pod in self._mirrors.of("pods").objects.items():
                if pod["spec"].get("nodeName") == old["metadata"]["name"]:
                    self._work.add_after(key, QUARANTINE)

    async def _collect(self, key: Key) -> float | None:
        pod = self._mirrors.of("pods").objects.get(key)
        if pod is None:
            return None
        node = pod["spec"].get("nodeName")
        if node and self._mirrors.of("nodes").get("", node) is not None:
            return None
        namespace, name = key
        uid = pod["metadata"]["uid"]
        try:
            if node and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
                body = {"metadata": {"uid": uid}, "status": {"phase": "Failed"}}
                await self._api.patch("pods", namespace, name, body, subresource="status")
            await self._api.delete("pods", namespace, name, uid=uid, grace_seconds=0)
        except Refusal as refusal:
            if refusal.code not in (404, 409, 422):
                raise
        return None
