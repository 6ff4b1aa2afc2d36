"""What a controller sees of the runtime: clock, client, caches, sources, and what the runtime sees of a controller.

The words are controller-runtime's. A Reader looks only at caches and is at least as new as our own writes; a Client
talks to the server. A Reconciler gets a name, never an event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from api.meta import Json, OwnerReference, Ref, Resource
from controller.runtime.plan import Result

__all__ = ["Client", "Clock", "MayWrite", "Page", "Reader", "Reconciler", "Record", "WatchEvent"]


class Clock(Protocol):
    """Time, handed in. Intervals are monotonic; only `now` reaches the wire."""

    def now(self) -> datetime:
        """Wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds for measuring intervals; the running loop's own clock."""
        ...


class MayWrite(Protocol):
    """The lease, asked before each write and each effect (spec runtime LE-7). True until leader election exists."""

    def __call__(self) -> bool: ...


class Record(Protocol):
    """One cached object: metadata at hand, the rest as bytes that the reader decodes (decision D1)."""

    @property
    def ref(self) -> Ref: ...
    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> str: ...
    @property
    def generation(self) -> int: ...
    @property
    def creation_timestamp(self) -> str: ...
    @property
    def deletion_timestamp(self) -> str | None: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def annotations(self) -> Mapping[str, str]: ...
    @property
    def owners(self) -> Sequence[OwnerReference]: ...
    @property
    def finalizers(self) -> Sequence[str]: ...
    def object(self) -> Json:
        """The whole object, freshly decoded: the caller's own copy. Metadata-only records hold just metadata."""
        ...


class Reader(Protocol):
    """Cached reads of the kinds that are watched; no request leaves the process."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Record | None:
        """The object, or None; waits until our own writes of it are in. Raises StaleCache after 5 s (RYW-7)."""
        ...

    async def owned(self, resource: Resource, owner_uid: str) -> Sequence[Record]:
        """All whose controlling owner has that UID; waits for that owner's writes only."""
        ...

    async def labelled(
        self, resource: Resource, namespace: str, label: str, value: str, *, owner_uid: str = ""
    ) -> Sequence[Record]:
        """All in the namespace that carry the label with that value; waits for `owner_uid`'s writes if given.

        The label must be one that the application declared as an index for the kind.
        """
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """A list, or one page of it."""

    items: Sequence[Json]
    resource_version: str
    continue_: str = ""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch: type ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and the object as bytes."""

    type: str
    body: bytes


class Client(Protocol):
    """Live requests. All raise the errors of controller.runtime.errors; writes ask may_write() first."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Json: ...

    def list(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = "", limit: int = 500
    ) -> AsyncIterator[Page]: ...

    async def create(self, resource: Resource, body: Json) -> Json:
        """POST; the namespace is the body's. Recorded in the ledger before it returns."""
        ...

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Any,
        *,
        subresource: str | None = None,
        kind: Literal["merge", "json"] = "merge",
    ) -> Json: ...

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        propagation: str | None = None,
        owner_uid: str = "",
    ) -> Json:
        """DELETE with the UID as precondition. Answers the object (still there) or a Status (gone)."""
        ...


class Reconciler(Protocol):
    """One controller's judgement about one object."""

    async def reconcile(self, key: Ref) -> Result:
        """Look once, decide once, write, report. Any exception is a failed pass: logged, counted, backed off."""
        ...


class Wake(Protocol):
    """Puts a key into a controller's queue from outside a watch: a dashboard session has news."""

    def __call__(self, key: Ref, *, after: timedelta = timedelta(0)) -> None: ...


class IndexFunction(Protocol):
    """Record -> the values under which an index finds it."""

    def __call__(self, record: Record, /) -> Sequence[Hashable]: ...
