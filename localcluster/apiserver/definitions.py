"""What a CustomResourceDefinition sets in motion: its kinds are served, or withdrawn with all their objects (§13).

Runs within the commit that caused it, so nobody sees a definition that is established and not served. (A real server
takes some 100 ms for either, DISC-8; clients that wait for the condition find the same.)
"""

from __future__ import annotations

from typing import Final

import orjson

from localcluster.api import Json
from localcluster.apiserver.core import Core
from localcluster.apiserver.custom import versions_of
from localcluster.apiserver.kinds.definition import CLEANUP, condition, is_true
from localcluster.apiserver.metadata import wire_time
from localcluster.apiserver.store import Entry
from localcluster.resources import BUILT_IN, ResourceInfo

__all__ = ["Definitions"]

_DEFINITIONS: Final = next(one for one in BUILT_IN if one.plural == "customresourcedefinitions")
_NAME_KINDS: Final = (
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("shortNames", "ShortNamesConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
)


class Definitions:
    """Keeps what is served in step with the definitions that are stored."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._served: dict[str, tuple[str, int, ResourceInfo]] = {}  # name -> (uid, generation, storage version)
        self._terminating: set[str] = set()
        self._names: dict[str, tuple[int, str, Json]] = {}  # name -> (version, group, accepted names)

    def restore(self) -> None:
        """Serve what the stored definitions ask for: a store may outlive the server."""
        for entry in tuple(self._core.store.snapshot(_DEFINITIONS.store).range()):
            self.changed(_DEFINITIONS, entry)

    def changed(self, resource: ResourceInfo, entry: Entry) -> None:
        """An object was stored: act if it is a definition."""
        if resource.store != _DEFINITIONS.store:
            return
        definition: Json = orjson.loads(entry.raw)
        if "deletionTimestamp" in definition["metadata"]:
            self._withdraw(definition)
        else:
            self._accept(definition)

    def removed(self, resource: ResourceInfo, last: Entry) -> None:
        """An object went: act if it is a definition, or the last object of one that is to go."""
        if resource.store == _DEFINITIONS.store:
            self._forget(last.name)
        elif resource.store in self._terminating and not len(self._core.store.collection(resource.store)):
            self._finish(resource.store)

    def terminating(self, resource: ResourceInfo) -> bool:
        """Whether the definition of a custom resource is being deleted."""
        return resource.store in self._terminating

    # -- Serving

    def _accept(self, definition: Json) -> None:
        """Judge its names; serve it once they are accepted (CRD-1, CRD-2)."""
        status = self._judged(definition)
        if status != definition.get("status"):
            definition = {**definition, "status": status}
            self._core.put(_DEFINITIONS, definition)
        if is_true(definition, "Established"):
            self._serve(definition)

    def _serve(self, definition: Json) -> None:
        metadata = definition["metadata"]
        name, state = metadata["name"], (metadata["uid"], metadata.get("generation", 0))
        known = self._served.get(name)
        if known is not None and known[:2] == state:
            return
        versions = versions_of(definition)
        storage = next(one.resource for one in versions if one.storage)
        self._served[name] = (*state, storage)
        self._core.registry.define(versions)

    def _judged(self, definition: Json) -> Json:
        """The status with what is to be said about the names."""
        now = wire_time(self._core.now())
        taken = self._taken_names(definition)
        names: Json = definition["spec"]["names"]
        accepted: Json = {"plural": "", "kind": ""}
        conflict: tuple[str, str] | None = None
        for key, reason in _NAME_KINDS:
            wanted = names.get(key) or ([] if key == "shortNames" else "")
            clash = [one for one in (wanted if isinstance(wanted, list) else [wanted]) if one in taken[key]]
            if not clash and wanted:
                accepted[key] = wanted
            elif clash:
                conflict = (reason, f'"{clash[0]}" is already in use')
        if names.get("categories"):
            accepted["categories"] = names["categories"]
        if conflict is None:
            named = ("True", "NoConflicts", "no conflicts found")
            established = ("True", "InitialNamesAccepted", "the initial names have been accepted")
        else:
            named = ("False", *conflict)
            established = ("False", "NotAccepted", "not all names are accepted")
        if is_true(definition, "Established"):
            established = ("True", "InitialNamesAccepted", "the initial names have been accepted")
        others = [
            one
            for one in (definition.get("status") or {}).get("conditions") or ()
            if one["type"] not in {"NamesAccepted", "Established"}
        ]
        conditions = [
            _set(definition, "NamesAccepted", named, now),
            _set(definition, "Established", established, now),
            *others,
        ]
        return {**(definition.get("status") or {}), "conditions": conditions, "acceptedNames": accepted}

    def _taken_names(self, definition: Json) -> dict[str, set[str]]:
        """Names that other definitions of the group have been given."""
        taken: dict[str, set[str]] = {key: set() for key, _ in _NAME_KINDS}
        for entry in self._core.store.snapshot(_DEFINITIONS.store).range():
            if entry.name == definition["metadata"]["name"]:
                continue
            group, given = self._given_names(entry)
            if group != definition["spec"]["group"]:
                continue
            for key, names in taken.items():
                value = given.get(key) or []
                names.update(value if isinstance(value, list) else [value])
        return taken

    def _given_names(self, entry: Entry) -> tuple[str, Json]:
        """Group and accepted names of a definition; remembered, for definitions are large and rarely change."""
        known = self._names.get(entry.name)
        if known is None or known[0] != entry.version:
            definition: Json = orjson.loads(entry.raw)
            given = (definition.get("status") or {}).get("acceptedNames") or {}
            known = self._names[entry.name] = (entry.version, definition["spec"]["group"], given)
        return known[1:]

    # -- Withdrawing

    def _withdraw(self, definition: Json) -> None:
        """Delete all objects; those with finalizers hold the definition (CRD-8)."""
        name = definition["metadata"]["name"]
        if name not in self._terminating:
            self._terminating.add(name)
            self._delete_objects(name)
        if not len(self._core.store.collection(name)):
            self._finish(name)
        elif (terminating := condition(definition, "Terminating")) and "Pending" in terminating["reason"]:
            terminating["reason"] = "InstanceDeletionInProgress"
            terminating["message"] = "CustomResource deletion is in progress"
            self._core.put(_DEFINITIONS, definition)

    def _delete_objects(self, name: str) -> None:
        known = self._served.get(name)
        if known is None:
            return
        resource, now = known[2], wire_time(self._core.now())
        for entry in tuple(self._core.store.snapshot(name).range()):
            obj: Json = orjson.loads(entry.raw)
            metadata = obj["metadata"]
            if not metadata.get("finalizers"):
                self._core.remove(resource, entry)
            elif "deletionTimestamp" not in metadata:
                metadata |= {"deletionTimestamp": now, "deletionGracePeriodSeconds": 0}
                metadata["generation"] = metadata.get("generation", 0) + 1
                self._core.put(resource, obj)

    def _finish(self, name: str) -> None:
        """Its objects have gone: it may go, unless others hold it."""
        entry = self._core.get(_DEFINITIONS, "", name)
        if entry is None:
            return
        definition: Json = orjson.loads(entry.raw)
        finalizers = [one for one in definition["metadata"].get("finalizers") or () if one != CLEANUP]
        if finalizers:
            if CLEANUP in definition["metadata"]["finalizers"]:
                definition["metadata"]["finalizers"] = finalizers
                self._core.put(_DEFINITIONS, definition)
            return
        self._core.remove(_DEFINITIONS, entry)
        self._forget(name)

    def _forget(self, name: str) -> None:
        """No longer serve it; its names are free for others."""
        self._served.pop(name, None)
        self._names.pop(name, None)
        self._terminating.discard(name)
        self._core.registry.withdraw(name)
        for entry in tuple(self._core.store.snapshot(_DEFINITIONS.store).range()):
            waiting: Json = orjson.loads(entry.raw)
            if "deletionTimestamp" not in waiting["metadata"] and not is_true(waiting, "Established"):
                self._accept(waiting)


def _set(definition: Json, kind: str, said: tuple[str, str, str], now: str) -> Json:
    """The condition as it was, if it says the same; else a new one."""
    status, reason, message = said
    old = condition(definition, kind)
    if old is not None and (old["status"], old.get("reason"), old.get("message")) == said:
        return old
    since = old["lastTransitionTime"] if old is not None and old["status"] == status else now
    return {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
