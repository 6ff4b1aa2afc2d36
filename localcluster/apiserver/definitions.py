"""What a CustomResourceDefinition sets in motion: its kinds are served, or withdrawn with all their objects (§13)."""

from __future__ import annotations

from localcluster.apiserver.core import Core
from localcluster.apiserver.store import Entry
from localcluster.resources import ResourceInfo

__all__ = ["Definitions"]


class Definitions:
    """Keeps what is served in step with the definitions that are stored."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def restore(self) -> None:
        """Serve what the stored definitions ask for: a store may outlive the server."""

    def changed(self, resource: ResourceInfo, entry: Entry) -> None:
        """An object was stored: act if it is a definition."""

    def removed(self, resource: ResourceInfo, last: Entry) -> None:
        """An object went: act if it is a definition, or the last object of one that is to go."""

    def terminating(self, resource: ResourceInfo) -> bool:
        """Whether the definition of a custom resource is being deleted."""
        return False
