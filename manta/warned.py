"""Warning events as a person wants them: each once per object and reason, with a count when it repeats. Pure.

What writes events repeats them: as one object that counts, or as several with other words. Pods of a group that are
warned of for the same cause are one line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from manta.lines import Line
from manta.podstates import why_nowhere

__all__ = ["Warned"]

Json: TypeAlias = Mapping[str, Any]
About: TypeAlias = tuple[str, str, str]  # kind, namespace, name

OFTEN: Final = 10  # times as many as were told before are news again
UNHEALTHY: Final = "Unhealthy"
NOWHERE: Final = "FailedScheduling"


@dataclass(slots=True)
class _Warning:
    """An object and a reason: the words that came first, how often it was said by each event, and what was told."""

    about: About
    reason: str
    note: str
    counts: dict[str, int] = field(default_factory=dict)
    told: int = 0

    @property
    def count(self) -> int:
        """How often it was said."""
        return sum(self.counts.values())

    @property
    def news(self) -> bool:
        """It was not told, or is said far more often by now."""
        return self.count >= max(self.told * OFTEN, 1)


@dataclass(slots=True)
class Warned:
    """All that was warned of. Feed it events and pods; ask it a little later for lines.

    That a pod has no place is told when that lasts: a node may be about to come, or room to become free.
    """

    _warnings: dict[tuple[About, str], _Warning] = field(default_factory=dict)
    _ready: set[About] = field(default_factory=set)  # pods that were, once
    _unplaced: set[About] = field(default_factory=set)  # pods that have no place just now

    def pod_changed(self, type_: str, pod: Json) -> None:
        """Of a pod that was never ready, nobody expects that its probes pass."""
        metadata = pod["metadata"]
        about = ("Pod", metadata.get("namespace", ""), metadata["name"])
        waits = any(one["type"] == "PodScheduled" and one["status"] == "False" for one in conditions_of(pod))
        if type_ != "DELETED" and waits and not metadata.get("deletionTimestamp"):
            self._unplaced.add(about)
        else:
            self._unplaced.discard(about)
        if type_ == "DELETED":
            self._ready.discard(about)
        elif any(one["type"] == "Ready" and one["status"] == "True" for one in conditions_of(pod)):
            self._ready.add(about)

    def event_told(self, type_: str, event: Json) -> None:
        """An event came or was repeated; one that is gone was told all the same."""
        regarding = event.get("regarding") or event.get("involvedObject") or {}
        about = (regarding.get("kind", ""), regarding.get("namespace", ""), regarding.get("name", ""))
        reason = str(event.get("reason", ""))
        if type_ == "DELETED" or event.get("type") != "Warning":
            return
        if reason == UNHEALTHY and about[0] == "Pod" and about not in self._ready:
            return
        note = str(event.get("note") or event.get("message") or "")
        warning = self._warnings.setdefault((about, reason), _Warning(about, reason, note))
        warning.counts[event["metadata"]["name"]] = count_of(event)

    @property
    def has_news(self) -> bool:
        """There are lines."""
        return any(one.news for one in self._warnings.values() if one.reason != NOWHERE)

    @property
    def unplaced(self) -> frozenset[About]:
        """The pods of which it is news that they have no place."""
        return frozenset(one.about for one in self._warnings.values() if one.news and self._has_no_place(one))

    def _has_no_place(self, warning: _Warning) -> bool:
        """Still: the event is told later than its pod's condition, or sooner."""
        return warning.reason == NOWHERE and warning.about in self._unplaced

    def lines(self, lasting: Collection[About] = ()) -> Iterator[Line]:
        """What is news since the last time; the same of several objects is one line.

        Which pods have no place is among it of those of which it lasts.
        """
        alike: dict[str, list[_Warning]] = {}
        for warning in self._warnings.values():
            due = warning.reason != NOWHERE or (warning.about in lasting and self._has_no_place(warning))
            if warning.news and due:
                alike.setdefault(text_of(warning), []).append(warning)
        for text, warnings in alike.items():
            for warning in warnings:
                warning.told = warning.count
            kind, namespace, name = warnings[0].about
            others = f" and {len(warnings) - 1} more" if len(warnings) > 1 else ""
            where = f"{namespace}/" if namespace else ""
            yield Line("event", f"{kind} {where}{name}{others}", text)


def text_of(warning: _Warning) -> str:
    """The words, or only how often it is said by now."""
    if warning.told:
        return f"{warning.reason}, {warning.count} times by now"
    note = why_nowhere(warning.note) if warning.reason == NOWHERE else warning.note
    times = f" ({warning.count} times)" if warning.count > 1 else ""
    return f"{warning.reason}: {note}{times}"


def conditions_of(pod: Json) -> list[Json]:
    """Of its status."""
    return list((pod.get("status") or {}).get("conditions") or ())


def count_of(event: Json) -> int:
    """How often this event was said."""
    series = event.get("series") or {}
    return int(series.get("count") or event.get("deprecatedCount") or event.get("count") or 1)
