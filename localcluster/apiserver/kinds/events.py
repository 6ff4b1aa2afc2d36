"""Events: one store, two views (spec kube-api EVT-1). Stored as core/v1 has them. Pure."""

from __future__ import annotations

from typing import Any, Final

from localcluster.api import Json
from localcluster.apiserver.kinds.base import FieldReaders, Kind, World, check_micro_time, field_text
from localcluster.apiserver.refusals import Cause, invalid_value, required
from localcluster.resources import BUILT_IN

__all__ = ["EVENTS", "EventKind", "NewEventKind", "from_events_view", "to_events_view"]

EVENTS: Final = next(one for one in BUILT_IN if one.name == "events")

# core/v1 name -> events.k8s.io/v1 name
_RENAMED: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_BACK: Final = {new: old for old, new in _RENAMED.items()}
_ALWAYS: Final[Json] = {
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}
_CORE_FIELDS: Final = frozenset({"involvedObject", "reason", "message", "type", "series", "action", "related", "count"})
_OBJECT_FIELDS: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def to_events_view(event: Json) -> Json:
    """The stored event as events.k8s.io/v1 shows it. Empty texts are left out there."""
    view: Json = {"kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": event["metadata"]}
    for key, value in event.items():
        if key not in view and not (value == "" and key in {"reportingComponent", "reportingInstance"}):
            view[_RENAMED.get(key, key)] = value
    return view


def from_events_view(event: Json) -> Json:
    """An events.k8s.io/v1 event as it is stored."""
    return {_BACK.get(key, key): value for key, value in event.items()}


def _component(event: Json) -> str:
    source: Any = event.get("source") or {}
    return source.get("component") or event.get("reportingComponent") or ""


_CORE_READERS: Final[FieldReaders] = {
    **{f"involvedObject.{key}": field_text("involvedObject", key) for key in _OBJECT_FIELDS},
    "reason": field_text("reason"),
    "reportingComponent": field_text("reportingComponent"),
    "source": _component,
    "type": field_text("type"),
}
_NEW_READERS: Final[FieldReaders] = {
    **{f"regarding.{key}": field_text("involvedObject", key) for key in _OBJECT_FIELDS},
    "reason": field_text("reason"),
    "reportingController": field_text("reportingComponent"),
    "type": field_text("type"),
}


class EventKind(Kind):
    """Events of core/v1. Stored events are selectable by the words of both views."""

    known = _CORE_FIELDS | _ALWAYS.keys()
    create_on_update = True
    fields = _CORE_READERS
    hidden = _NEW_READERS

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """Times are checked, and shown even when null."""
        check_micro_time(obj.get("eventTime"))
        decoded, unknown = super().decode(obj)
        return {**_ALWAYS, **decoded}, unknown

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """An event lives in the namespace of what it is about."""
        namespace = (obj.get("involvedObject") or {}).get("namespace", "")
        own = obj["metadata"].get("namespace", "")
        if namespace == own or (not namespace and own == "default"):
            return []
        return [invalid_value("involvedObject.namespace", namespace, "does not match event.namespace")]


class NewEventKind(EventKind):
    """Events of events.k8s.io/v1, which insists on a time and a type."""

    fields = _NEW_READERS
    hidden = _CORE_READERS

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """From here on the event is one of core/v1."""
        return super().decode(from_events_view(obj))

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """What the older view leaves open is required here."""
        causes = super().validate(obj, world)
        if obj.get("eventTime") is None:
            causes.append(required("eventTime"))
        if obj.get("type") not in {"Normal", "Warning"}:
            causes.append(invalid_value("type", obj.get("type", ""), f"has invalid value: {obj.get('type', '')}"))
        return causes
