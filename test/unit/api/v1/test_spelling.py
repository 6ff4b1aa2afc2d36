"""One object in two spellings: what a typed client writes back is what it read, and a change of meaning is none."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from api.v1.spelling import alike, spelt_alike

CONTAINER = {"name": "ray", "resources": {"limits": {"cpu": "0.5", "memory": "1Gi"}}}
TEMPLATE = {"metadata": {"labels": {"team": "a"}}, "spec": {"containers": [CONTAINER], "hostNetwork": True}}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The template with one value elsewhere."""
    new: Any = deepcopy(TEMPLATE)
    *steps, last = path.split(".")
    place = new
    for step in steps:
        place = place[int(step)] if step.isdecimal() else place.setdefault(step, {})
    place[last] = value
    return dict(new)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.containers.0.resources.limits.cpu", "500m"),
        ("spec.containers.0.resources.limits.memory", "1024Mi"),
        ("spec.containers.0.resources.requests", {}),
        ("spec.initContainers", []),
        ("spec.subdomain", ""),
        ("spec.hostPID", False),
        ("metadata.annotations", {}),
        ("metadata.creationTimestamp", None),
    ],
)
def test_what_a_typed_client_writes_back_is_no_change(path: str, value: Any) -> None:
    new = changed(path, value)

    assert new != TEMPLATE
    assert alike(TEMPLATE, new)
    assert alike(new, TEMPLATE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.containers.0.resources.limits.cpu", "501m"),
        ("spec.containers.0.name", "0.5"),
        ("spec.hostNetwork", False),
        ("spec.automountServiceAccountToken", False),
        ("spec.securityContext", {}),
        ("metadata.labels.team", ""),
        ("metadata.labels", {"team": "a", "tier": ""}),
        ("spec.containers", [CONTAINER, CONTAINER]),
    ],
)
def test_what_means_something_else_is_a_change(path: str, value: Any) -> None:
    """An empty label is one, and an absent switch is not always off."""
    assert not alike(TEMPLATE, changed(path, value))


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers(0, 3) | some.sampled_from(["", "1", "1000m", "x"]),
        lambda inner: (
            some.lists(inner, max_size=3)
            | some.dictionaries(
                some.sampled_from(["limits", "metadata", "labels", "readOnly", "spec"]), inner, max_size=3
            )
        ),
        max_leaves=12,
    )
)
def test_a_value_and_its_canonical_form_say_the_same(value: Any) -> None:
    """And once canonical, always so."""
    canonical = spelt_alike(value)

    assert spelt_alike(canonical) == canonical
    assert alike({"spec": {"inner": value}}, {"spec": {"inner": canonical}})
