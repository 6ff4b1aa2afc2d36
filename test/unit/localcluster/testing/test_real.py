"""What a test with real processes reads afterwards must itself be right."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.testing.real import CLUSTERS, PODS, History, Told


def told(type_: str, name: str, version: int, resource: str = PODS) -> Told:
    item: dict[str, Any] = {"metadata": {"name": name, "resourceVersion": str(version)}}
    return Told(type_, resource, item)


@pytest.fixture
def history() -> History:
    """A pod that was replaced by one of the same name, beside one that stayed."""
    found = History()
    found.told += [
        *(told("ADDED", "a", 1), told("ADDED", "b", 2), told("ADDED", "c", 3, CLUSTERS), told("MODIFIED", "a", 4)),
        *(told("DELETED", "a", 9), told("ADDED", "a", 11), told("DELETED", "c", 12, CLUSTERS)),
    ]
    return found


def test_a_replaced_object_counts_twice_though_its_name_is_the_same(history: History) -> None:
    """A pod that is doubled, or made anew, must not hide behind its name."""
    assert [pod["metadata"]["name"] for pod in history.ever(PODS)] == ["a", "b", "a"]


def test_what_exists_is_what_was_not_deleted_last(history: History) -> None:
    """With its latest state."""
    versions = {name: pod["metadata"]["resourceVersion"] for name, pod in history.now(PODS).items()}

    assert versions == {"a": "11", "b": "2"}
    assert history.now(CLUSTERS) == {}


@pytest.mark.parametrize(("before", "expected"), [(9, []), (10, ["a"])])
def test_a_removal_has_the_version_of_the_deletion(history: History, before: int, expected: list[str]) -> None:
    """So it can be told whether it was before the end of a job, whichever watch was the quicker."""
    assert history.removed(PODS, before=before) == expected
