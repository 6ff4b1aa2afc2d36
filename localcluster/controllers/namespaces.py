"""What a deleted namespace holds is deleted, and then the namespace itself (spec kube-api DEL-13 to DEL-16)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from localcluster.api import Api, Json, Refusal
from localcluster.mirror import Mirrors
from localcluster.worklist import Worklist

__all__ = ["NamespaceController"]

LOOK_AGAIN = 1.0  # seconds while something of it still goes
_ASKED_OF = frozenset({"list", "delete"})


class NamespaceController:
    """Empties namespaces."""

    def __init__(self, api: Api, mirrors: Mirrors, *, now: Callable[[], datetime]) -> None:
        self._api, self._mirrors, self._now = api, mirrors, now
        self._work: Worklist[str] = Worklist(self._empty)

    async def run(self) -> None:
        """Work until cancelled."""
        self._mirrors.of("namespaces").subscribe(self._changed)
        await self._work.run()

    def _changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None and new["metadata"].get("deletionTimestamp"):
            self._work.add(new["metadata"]["name"])

    async def _empty(self, name: str) -> float | None:
        namespace = self._mirrors.of("namespaces").get("", name)
        if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
            return None
        left, held = await self._delete_content(name)
        if left:
            await self._tell(namespace, left, held)
            return LOOK_AGAIN
        await self._finalize(name)
        return None

    async def _delete_content(self, name: str) -> tuple[Counter[str], Counter[str]]:
        """Ask all to go; what is still there by resource, and the finalizers that hold it."""
        left: Counter[str] = Counter()
        held: Counter[str] = Counter()
        for served in await self._api.served():
            if not served.namespaced or not set(served.verbs) >= _ASKED_OF:
                continue
            try:
                for item in (await self._api.list(served.name, name)).items:
                    await self._delete(served.name, item)
                remaining = (await self._api.list(served.name, name)).items
            except Refusal as refusal:
                if refusal.code not in (404, 405):
                    raise
                continue
            left[served.name] += len(remaining)
            held.update(finalizer for item in remaining for finalizer in item["metadata"].get("finalizers") or ())
        return +left, held

    async def _delete(self, resource: str, item: Json) -> None:
        metadata = item["metadata"]
        if metadata.get("deletionTimestamp"):
            return
        try:
            await self._api.delete(
                resource, metadata["namespace"], metadata["name"], uid=metadata["uid"], propagation="Background"
            )
        except Refusal as refusal:
            if refusal.code not in (404, 409):
                raise

    async def _finalize(self, name: str) -> None:
        try:
            live = await self._api.get("namespaces", "", name)
            live["spec"] = {**(live.get("spec") or {}), "finalizers": []}
            await self._api.update("namespaces", "", live, subresource="finalize")
        except Refusal as refusal:
            if refusal.code != 404:
                raise

    async def _tell(self, namespace: Json, left: Counter[str], held: Counter[str]) -> None:
        old = {one["type"]: one for one in (namespace.get("status") or {}).get("conditions") or ()}
        moment = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = []
        for type_, status, reason, message in _conditions(left, held):
            same = type_ in old and old[type_]["status"] == status
            since = old[type_]["lastTransitionTime"] if same else moment
            conditions.append(
                {
                    "type": type_,
                    "status": status,
                    "reason": reason,
                    "message": message,
                    "lastTransitionTime": since,
                }
            )
        if conditions != list(old.values()):
            body = {"status": {"conditions": conditions}}
            await self._api.patch("namespaces", "", namespace["metadata"]["name"], body, subresource="status")


def _conditions(left: Counter[str], held: Counter[str]) -> list[tuple[str, str, str, str]]:
    """Type, status, reason, message, in the order of the real ones (DEL-14)."""
    ends = [
        ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
    ]
    told = [(type_, "False", reason, message) for type_, reason, message in ends]
    remaining = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(_dotted(left).items()))
    told.append(
        ("NamespaceContentRemaining", "True", "SomeResourcesRemain", f"Some resources are remaining: {remaining}")
    )
    if held:
        names = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(held.items()))
        message = f"Some content in the namespace has finalizers remaining: {names}"
        told.append(("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", message))
    else:
        message = "All content-preserving finalizers finished"
        told.append(("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", message))
    return told


def _dotted(left: Counter[str]) -> dict[str, int]:
    """Resources as group resources are printed: "pods.", "jobs.batch"."""
    return {name if "." in name else f"{name}.": count for name, count in left.items()}
