"""Garbage collection by owner references (spec kube-api §12, GC-1).

Every object that the API serves is a node of one graph, an owner reference an edge. An object all of whose owners are
gone is deleted; an owner that is deleted in the foreground waits for the dependents that block it; one that is to be
orphaned loses its dependents' references first. That an owner is absent is only believed after asking the API for it,
since the graph may be behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

from localcluster.api import Api, Json, Refusal, Served
from localcluster.mirror import Mirrors
from localcluster.worklist import Worklist

__all__ = ["DEFINITIONS", "GarbageCollector"]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
SYNC_SECONDS = 30.0
_log = logging.getLogger(__name__)
_UNCOLLECTED = ("events", "events.events.k8s.io")
_ASKED_OF = frozenset({"list", "watch", "delete", "patch"})

Task: TypeAlias = tuple[Literal["item", "foreground", "orphan", "served"], str]


@dataclass(slots=True)
class _Node:
    """An object: where it is, and what of its metadata matters."""

    resource: str
    namespace: str
    name: str
    uid: str
    owners: Sequence[Json] = ()
    deleting: bool = False
    finalizers: Sequence[str] = ()
    dependents: set[str] = field(default_factory=set)

    @property
    def waits_for_dependents(self) -> bool:
        return self.deleting and FOREGROUND in self.finalizers


class GarbageCollector:
    """Follows all resources, those of CustomResourceDefinitions included, as they come and go."""

    def __init__(self, api: Api, mirrors: Mirrors) -> None:
        self._api, self._mirrors = api, mirrors
        self._nodes: dict[str, _Node] = {}
        self._dependents: dict[str, set[str]] = {}  # also of owners that are not (yet) in the graph
        self._kinds: dict[tuple[str, str], Served] = {}  # (group, kind)
        self._followed: set[str] = set()
        self._work: Worklist[Task] = Worklist(self._look)

    async def run(self) -> None:
        """Collect until cancelled."""
        await self._follow_all()
        if DEFINITIONS in self._followed:
            self._mirrors.of(DEFINITIONS).subscribe(lambda old, new: self._work.add(("served", "")))
        await self._work.run()

    async def _follow_all(self) -> None:
        served = {one.name: one for one in await self._api.served()}
        self._kinds = {(_group(one.api_version), one.kind): one for one in served.values()}
        wanted = {name for name, one in served.items() if set(one.verbs) >= _ASKED_OF and name not in _UNCOLLECTED}
        for name in self._followed - wanted:
            self._followed.discard(name)
            self._mirrors.drop(name)
        for name in sorted(wanted - self._followed):
            self._followed.add(name)
            self._mirrors.of(name).subscribe(partial(self._changed, name))
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                await self._mirrors.synced(*sorted(wanted))
        except TimeoutError:  # a kind that came and went, or cannot be listed, must not hold up the others
            _log.warning("not all kinds could be listed within %g s; collecting what is known", SYNC_SECONDS)

    # The graph -----------------------------------------------------------------------------------------------------

    def _changed(self, resource: str, old: Json | None, new: Json | None) -> None:
        if new is None:
            if old is not None:
                self._forget(old["metadata"]["uid"])
            return
        metadata = new["metadata"]
        uid = metadata["uid"]
        node = self._nodes.get(uid)
        if node is None:
            node = _Node(resource, metadata.get("namespace", ""), metadata["name"], uid)
            node.dependents = self._dependents.setdefault(uid, set())
            self._nodes[uid] = node
        owners = metadata.get("ownerReferences") or ()
        if owners != node.owners:
            self._relink(node, owners)
        node.finalizers = metadata.get("finalizers") or ()
        node.deleting = bool(metadata.get("deletionTimestamp"))
        if node.waits_for_dependents:
            self._work.add(("foreground", uid))
        elif node.deleting and ORPHAN in node.finalizers:
            self._work.add(("orphan", uid))

    def _relink(self, node: _Node, owners: Sequence[Json]) -> None:
        before = {owner["uid"] for owner in node.owners}
        after = {owner["uid"] for owner in owners}
        node.owners = owners
        for uid in before - after:
            self._dependents[uid].discard(node.uid)
            self._unblocked(uid)
        for uid in after - before:
            self._dependents.setdefault(uid, set()).add(node.uid)
        if after:
            self._work.add(("item", node.uid))

    def _forget(self, uid: str) -> None:
        node = self._nodes.pop(uid, None)
        if node is None:
            return
        for owner in node.owners:
            self._dependents[owner["uid"]].discard(uid)
            self._unblocked(owner["uid"])
        for dependent in self._dependents.get(uid, ()):
            self._work.add(("item", dependent))
        if not self._dependents.get(uid):
            self._dependents.pop(uid, None)

    def _unblocked(self, uid: str) -> None:
        owner = self._nodes.get(uid)
        if owner is not None and owner.waits_for_dependents:
            self._work.add(("foreground", uid))
        elif owner is None and not self._dependents.get(uid):
            self._dependents.pop(uid, None)

    # The work ------------------------------------------------------------------------------------------------------

    async def _look(self, task: Task) -> float | None:
        what, uid = task
        if what == "served":
            await self._follow_all()
            return None
        node = self._nodes.get(uid)
        if node is None:
            return None
        try:
            if what == "item":
                await self._consider(node)
            elif what == "foreground":
                await self._release_in_foreground(node)
            else:
                await self._release_orphans(node)
        except Refusal as refusal:
            if refusal.code != 404:
                raise
        return None

    async def _consider(self, node: _Node) -> None:
        """Delete what no living owner holds; strip the references to dead ones from what one does."""
        if node.deleting and not node.waits_for_dependents:
            return
        solid, waiting, dangling = await self._sorted_owners(node)
        if solid:
            if waiting or dangling:
                await self._strip(node, {owner["uid"] for owner in (*waiting, *dangling)})
        elif node.owners and not node.deleting:
            await self._delete(node, in_foreground=bool(waiting and node.dependents))

    async def _sorted_owners(self, node: _Node) -> tuple[list[Json], list[Json], list[Json]]:
        solid: list[Json] = []
        waiting: list[Json] = []
        dangling: list[Json] = []
        for reference in node.owners:
            owner = self._nodes.get(reference["uid"])
            if owner is not None and owner.waits_for_dependents:
                waiting.append(reference)
            elif owner is not None or await self._exists(node, reference):
                solid.append(reference)
            else:
                dangling.append(reference)
        return solid, waiting, dangling

    async def _exists(self, node: _Node, reference: Json) -> bool:
        """Ask the API; an owner of a kind that it does not serve counts as there, since nobody can tell."""
        served = self._kinds.get((_group(reference["apiVersion"]), reference["kind"]))
        if served is None:
            return True
        try:
            found = await self._api.get(served.name, node.namespace if served.namespaced else "", reference["name"])
        except Refusal as refusal:
            if refusal.code == 404:
                return False
            raise
        return bool(found["metadata"]["uid"] == reference["uid"])

    async def _delete(self, node: _Node, *, in_foreground: bool) -> None:
        if ORPHAN in node.finalizers:
            propagation = "Orphan"
        elif in_foreground or FOREGROUND in node.finalizers:
            propagation = "Foreground"
        else:
            propagation = "Background"
        try:
            await self._api.delete(node.resource, node.namespace, node.name, uid=node.uid, propagation=propagation)
        except Refusal as refusal:
            if refusal.code != 409:  # another object has the name now: ours is gone
                raise

    async def _release_in_foreground(self, node: _Node) -> None:
        blocking = False
        for uid in list(node.dependents):
            dependent = self._nodes.get(uid)
            if dependent is None:
                continue
            self._work.add(("item", uid))
            blocking |= any(owner["uid"] == node.uid and owner.get("blockOwnerDeletion") for owner in dependent.owners)
        if not blocking:
            await self._drop_finalizer(node, FOREGROUND)

    async def _release_orphans(self, node: _Node) -> None:
        for uid in list(node.dependents):
            dependent = self._nodes.get(uid)
            if dependent is not None:
                await self._strip(dependent, {node.uid})
        await self._drop_finalizer(node, ORPHAN)

    async def _strip(self, node: _Node, uids: set[str]) -> None:
        """Take references out of the live object; a change in between is a conflict, and looked at again."""
        live = await self._api.get(node.resource, node.namespace, node.name)
        owners = live["metadata"].get("ownerReferences") or []
        left = [owner for owner in owners if owner["uid"] not in uids]
        if len(left) != len(owners) and live["metadata"]["uid"] == node.uid:
            await self._patch_metadata(node, live, {"ownerReferences": left or None})

    async def _drop_finalizer(self, node: _Node, finalizer: str) -> None:
        live = await self._api.get(node.resource, node.namespace, node.name)
        finalizers = live["metadata"].get("finalizers") or []
        if finalizer in finalizers and live["metadata"]["uid"] == node.uid:
            left = [one for one in finalizers if one != finalizer]
            await self._patch_metadata(node, live, {"finalizers": left or None})

    async def _patch_metadata(self, node: _Node, live: Json, change: Json) -> None:
        version = live["metadata"]["resourceVersion"]
        body = {"metadata": {"uid": node.uid, "resourceVersion": version, **change}}
        await self._api.patch(node.resource, node.namespace, node.name, body)


def _group(api_version: str) -> str:
    return api_version.partition("/")[0] if "/" in api_version else ""
