"""Warning events in, lines out: each once per object and reason."""

from __future__ import annotations

from typing import Any

import pytest

from manta.lines import Line
from manta.warned import Warned

Json = dict[str, Any]


def an_event(
    note: str, *, name: str = "w", reason: str = "Failed", count: int = 1, event: str = "e", kind: str = "Pod"
) -> Json:
    return {
        "metadata": {"name": f"{name}.{event}"},
        "type": "Warning",
        "reason": reason,
        "note": note,
        "series": {"count": count} if count > 1 else None,
        "regarding": {"kind": kind, "namespace": "default", "name": name},
    }


def told(warned: Warned, *events: Json) -> list[Line]:
    for event in events:
        warned.event_told("ADDED", event)
    return list(warned.lines())


def test_a_warning_is_told_once_with_the_words_that_came_first() -> None:
    """The kubelet says next that it failed with what it just said."""
    warned = Warned()

    first = told(warned, an_event("Failed to pull image x"), an_event("Error: ErrImagePull", event="f"))
    again = told(warned, an_event("Error: ErrImagePull", event="f", count=5))

    assert first == [Line("event", "Pod default/w", "Failed: Failed to pull image x (2 times)")]
    assert again == []


def test_what_goes_on_and_on_is_told_again_with_its_count() -> None:
    """Each time it is ten times as much."""
    warned = Warned()
    told(warned, an_event("no"))

    lines = [line for count in range(2, 250) for line in told(warned, an_event("no", count=count))]

    assert [line.text for line in lines] == ["Failed, 10 times by now", "Failed, 100 times by now"]


def test_another_reason_and_another_object_are_told() -> None:
    """Each of them is news."""
    warned = Warned()
    told(warned, an_event("no"))

    lines = told(warned, an_event("no", reason="BackOff"), an_event("never", name="v"))

    assert [(line.about, line.text) for line in lines] == [
        ("Pod default/w", "BackOff: no"),
        ("Pod default/v", "Failed: never"),
    ]


def test_the_same_of_many_pods_is_one_line() -> None:
    """A group of a hundred workers with one image."""
    lines = told(Warned(), *(an_event("cannot pull x", name=f"w{number}") for number in range(100)))

    assert lines == [Line("event", "Pod default/w0 and 99 more", "Failed: cannot pull x")]


def test_good_news_is_not_told() -> None:
    """That is in kubectl's hands."""
    warned = Warned()

    assert told(warned, an_event("fine") | {"type": "Normal"}) == []
    assert not warned.has_news


def test_a_probe_that_fails_is_news_once_the_pod_was_ready() -> None:
    """Before that it is starting."""
    warned = Warned()
    unhealthy = an_event("Readiness probe failed", reason="Unhealthy")
    pod = {"metadata": {"namespace": "default", "name": "w"}}
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}

    early = told(warned, unhealthy)
    warned.pod_changed("MODIFIED", pod | ready)
    warned.pod_changed("MODIFIED", pod)
    late = told(warned, unhealthy)

    assert (early, len(late)) == ([], 1)


WITHOUT_PLACE: Json = {
    "metadata": {"namespace": "default", "name": "w"},
    "status": {"conditions": [{"type": "PodScheduled", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("type_", "pod"),
    [
        ("MODIFIED", WITHOUT_PLACE | {"status": {}}),
        ("MODIFIED", WITHOUT_PLACE | {"metadata": {**WITHOUT_PLACE["metadata"], "deletionTimestamp": "t"}}),
        ("DELETED", WITHOUT_PLACE),
    ],
)
def test_a_pod_that_waits_no_longer_for_a_place_is_not_told_of(type_: str, pod: Json) -> None:
    """Room became free, a node came, or the pod is not wanted any more."""
    warned = Warned()
    warned.pod_changed("ADDED", WITHOUT_PLACE)
    warned.event_told("ADDED", an_event("no room", reason="FailedScheduling"))
    lasting = warned.unplaced

    warned.pod_changed(type_, pod)

    assert len(lasting) == 1
    assert (list(warned.lines(lasting)), warned.unplaced, warned.has_news) == ([], frozenset(), False)


def test_of_a_pod_that_fits_nowhere_the_cause_is_told() -> None:
    """In the same words as in a run."""
    note = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims."

    warned = Warned()
    warned.pod_changed("ADDED", WITHOUT_PLACE)

    assert told(warned, an_event(note, reason="FailedScheduling")) == []
    (line,) = warned.lines(warned.unplaced)

    assert line.text.startswith("FailedScheduling: Insufficient cpu. The one node is this machine")


@pytest.mark.parametrize("counted", [{"deprecatedCount": 3}, {"count": 3}, {"series": {"count": 3}}])
def test_every_way_to_count_is_understood(counted: Json) -> None:
    """Those of core/v1 and of events.k8s.io."""
    (line,) = told(Warned(), an_event("no") | counted)

    assert line.text == "Failed: no (3 times)"
