"""The narrow interface through which controllers and node reach the API: the store itself, or HTTP.

Resources are named as kubectl names them: "pods", "jobs.batch", "rayclusters.ray.io". Objects are JSON dicts; what is
returned is the caller's own copy. Refusals are `Refusal`s, the API server's own Status.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

__all__ = ["Api", "Json", "Listing", "Refusal", "Served", "WatchExpired"]

Json: TypeAlias = dict[str, Any]


class Refusal(Exception):
    """The API said no: an HTTP status code, a reason such as "Conflict", a message, and the whole Status object."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details or {}
        self.metadata: Json = {}  # of the Status; where LIST-8 puts the next token
        self.warnings: Sequence[str] = ()  # what the client is told beside it
        self._with_details = details is not None  # {} is shown, None is not: both occur (spec kube-api ERR-2, ERR-9)

    @property
    def status(self) -> Json:
        """The Status object that goes over the wire (spec kube-api §1)."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self._with_details:
            status["details"] = self.details
        status["code"] = self.code
        return status


class WatchExpired(Exception):
    """The version to watch from is too old: list again (spec kube-api WATCH-9)."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A consistent list, and the version to watch from."""

    items: Sequence[Json]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Served:
    """A resource that the API serves now."""

    name: str  # "jobs.batch"
    api_version: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]


class Api(Protocol):
    """List, watch, get, create, update, patch, delete."""

    async def served(self) -> Sequence[Served]:
        """All resources, custom ones included, as of now."""
        ...

    async def list(
        self, resource: str, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> Listing: ...

    def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[tuple[str, Json]]:
        """(type, object) after that version, until closed. Raises WatchExpired."""
        ...

    async def get(self, resource: str, namespace: str, name: str) -> Json: ...

    async def create(self, resource: str, namespace: str, body: Json, *, subresource: str = "") -> Json:
        """POST. With a subresource (pods: binding, eviction) the object is the one that body.metadata.name names."""
        ...

    async def update(self, resource: str, namespace: str, body: Json, *, subresource: str = "") -> Json: ...

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        body: Any,
        *,
        subresource: str = "",
        kind: Literal["merge", "json"] = "merge",
    ) -> Json: ...

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace_seconds: int | None = None,
        propagation: str = "",
    ) -> None: ...
