"""What is served now: the built-in kinds, and those that CustomResourceDefinitions add (spec kube-api §13)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from localcluster.api import Json
from localcluster.apiserver.kinds.base import Kind
from localcluster.resources import BUILT_IN, ResourceInfo

__all__ = ["CustomVersion", "PrinterColumn", "Registry", "ScalePaths"]


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """One of additionalPrinterColumns, defaults filled in (TAB-1)."""

    name: str
    type: str
    json_path: str
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the scale subresource of a custom resource reads and writes: ("spec", "replicas")."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    label_selector: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CustomVersion:
    """One served version of a custom resource: its schema as in the definition, and what else readers need."""

    resource: ResourceInfo
    served: bool
    storage: bool
    rules: Kind
    schema: Json
    columns: tuple[PrinterColumn, ...]
    scale: ScalePaths | None
    selectable_fields: tuple[tuple[str, tuple[str, ...]], ...]  # ("spec.mode", ("spec", "mode"))


class Registry:
    """All resources by group, version and plural. `revision` grows with every change, for entity tags."""

    def __init__(self, built_in: Iterable[ResourceInfo] = BUILT_IN) -> None:
        self.revision = 0
        self._resources: dict[tuple[str, str, str], ResourceInfo] = {
            (one.group, one.version, one.plural): one for one in built_in
        }
        self._custom: dict[tuple[str, str, str], CustomVersion] = {}
        self._storage: dict[str, CustomVersion] = {}  # by the name of the store; served or not
        self._epochs: dict[str, int] = {}
        self._built_in_groups = {(one.group, one.version) for one in self._resources.values()}

    def find(self, group: str, version: str, plural: str) -> ResourceInfo | None:
        """The resource under exactly that group and version, or None."""
        return self._resources.get((group, version, plural))

    def named(self, name: str) -> ResourceInfo | None:
        """The resource as kubectl names it ("pods", "jobs.batch"), in its storage version if served, or None."""
        plural, _, group = name.partition(".")
        found = [one for one in self._resources.values() if one.plural == plural and one.group == group]
        return next((one for one in found if self.storage(one) is one), next(iter(found), None))

    def resources(self) -> tuple[ResourceInfo, ...]:
        """Everything served, for discovery."""
        return tuple(self._resources.values())

    def is_built_in(self, group: str, version: str) -> bool:
        """Whether the group version is one of the server's own (ERR-2, ERR-3)."""
        return (group, version) in self._built_in_groups

    def custom(self, resource: ResourceInfo) -> CustomVersion | None:
        """Schema, printer columns and the like of a custom resource; None for built-in ones."""
        return self._custom.get((resource.group, resource.version, resource.plural))

    def storage(self, resource: ResourceInfo) -> ResourceInfo:
        """The resource under the version in which it is stored, which may be no longer served."""
        stored = self._storage.get(resource.store) if resource.custom else None
        return resource if stored is None else stored.resource

    def epoch(self, resource: ResourceInfo) -> int:
        """Grows whenever the definition of a custom resource changes: what was encoded before must be read anew."""
        return self._epochs.get(resource.store, 0)

    def define(self, versions: Iterable[CustomVersion]) -> None:
        """Serve a custom resource in exactly these versions, all of one resource; unserved ones are only stored."""
        versions = tuple(versions)
        name = versions[0].resource.store
        self.withdraw(name)
        for one in versions:
            if one.storage:
                self._storage[name] = one
            if one.served:
                key = (one.resource.group, one.resource.version, one.resource.plural)
                self._custom[key], self._resources[key] = one, one.resource
        self._epochs[name] = self._epochs.get(name, 0) + 1

    def withdraw(self, name: str) -> None:
        """No longer serve the custom resource of that name ("rayclusters.ray.io")."""
        for key in [key for key, one in self._custom.items() if one.resource.store == name]:
            del self._custom[key], self._resources[key]
        self._storage.pop(name, None)
        self.revision += 1
