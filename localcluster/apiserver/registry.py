"""What is served now: the built-in kinds, and those that CustomResourceDefinitions add (spec kube-api §13)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from localcluster.api import Json
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
    storage: bool
    schema: Json
    columns: tuple[PrinterColumn, ...]
    scale: ScalePaths | None
    selectable_fields: tuple[tuple[str, tuple[str, ...]], ...]  # ("spec.mode", ("spec", "mode"))
    rules: Any = None  # the compiled schema (localcluster.apiserver.schema)


class Registry:
    """All resources by group, version and plural. `revision` grows with every change, for entity tags."""

    def __init__(self, built_in: Iterable[ResourceInfo] = BUILT_IN) -> None:
        self.revision = 0
        self._resources: dict[tuple[str, str, str], ResourceInfo] = {
            (one.group, one.version, one.plural): one for one in built_in
        }
        self._custom: dict[tuple[str, str, str], CustomVersion] = {}
        self._built_in_groups = {(one.group, one.version) for one in self._resources.values()}

    def find(self, group: str, version: str, plural: str) -> ResourceInfo | None:
        """The resource under exactly that group and version, or None."""
        return self._resources.get((group, version, plural))

    def named(self, name: str) -> ResourceInfo | None:
        """The resource as kubectl names it ("pods", "jobs.batch"), in its storage version, or None."""
        plural, _, group = name.partition(".")
        found = [one for one in self._resources.values() if one.plural == plural and one.group == group]
        stored = [one for one in found if (custom := self.custom(one)) is None or custom.storage]
        return next(iter(stored or found), None)

    def resources(self) -> tuple[ResourceInfo, ...]:
        """Everything served, for discovery."""
        return tuple(self._resources.values())

    def is_built_in(self, group: str, version: str) -> bool:
        """Whether the group version is one of the server's own (ERR-2, ERR-3)."""
        return (group, version) in self._built_in_groups

    def custom(self, resource: ResourceInfo) -> CustomVersion | None:
        """Schema, printer columns and the like of a custom resource; None for built-in ones."""
        return self._custom.get((resource.group, resource.version, resource.plural))

    def replace(self, group: str, plural: str, versions: Iterable[CustomVersion]) -> None:
        """Serve exactly these versions of a custom resource from now on; none: no longer serve it."""
        for key in [key for key in self._custom if (key[0], key[2]) == (group, plural)]:
            del self._custom[key], self._resources[key]
        for one in versions:
            key = (group, one.resource.version, plural)
            self._custom[key], self._resources[key] = one, one.resource
        self.revision += 1
