"""What every kind does when it looks at its objects: finds one by name, tells whose it is, decodes a pod once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from api.meta import Json, Resource, controller_of
from controller.runtime.interfaces import Reader, Record

__all__ = ["Views", "another_s", "object_of"]

View = TypeVar("View")


class Views(Generic[View]):
    """What a kind reads of the pods of one cluster, kept from one look to the next.

    A look at a cluster of a thousand pods is mostly their decoding, and each of them brings several looks as it comes
    up. `of` makes the view of a pod as it stands on the wire.
    """

    def __init__(self, of: Callable[[Json], View]) -> None:
        self._of = of
        self._kept: dict[tuple[str, str], View] = {}

    def of(self, records: Iterable[Record]) -> list[View]:
        """The views of those pods, in that order; made for what changed since the last call alone."""
        before, self._kept = self._kept, {}
        views = []
        for record in records:
            version = (record.uid, record.resource_version)
            view = before[version] if version in before else self._of(record.object())
            self._kept[version] = view
            views.append(view)
        return views


async def object_of(reader: Reader, resource: Resource, namespace: str, name: str) -> Json | None:
    """The object of that name, or None; an empty name is nobody's."""
    record = await reader.get(resource, namespace, name) if name else None
    return record.object() if record is not None else None


def another_s(record: Record, uid: str) -> bool:
    """Does somebody else than the object of that UID control it? What nobody controls is no other's."""
    owner = controller_of({"ownerReferences": record.owners})
    return owner is not None and owner["uid"] != uid
