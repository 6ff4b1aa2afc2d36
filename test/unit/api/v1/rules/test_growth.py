"""Judging takes time in proportion to the object: counted in lines of Python, so that no clock has a say.

Whoever waits for admission is the API server; a hostile object of a few dozen KiB must not hold it.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from api.v1.gates import DEFAULT_GATES
from api.v1.rules.judging import judge
from api.v1.rules.model import Context
from localcluster.testing.ruled import good

CONTEXT = Context(dict.fromkeys(DEFAULT_GATES, True))
SLACK = 1.1  # what is linear adds the same each time, but for words that are longer
CONTAINER = "headGroupSpec.template.spec.containers.0"
Dense = Callable[[int], Any]


def lines_of(kind: str, new: dict[str, Any], old: dict[str, Any] | None) -> int:
    """How many lines of Python a verdict takes."""
    count = 0

    def traced(_frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal count
        count += 1
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        judge(kind, new, old, CONTEXT)
    finally:
        sys.settrace(before)
    return count


def with_(kind: str, path: str, value: Any) -> dict[str, Any]:
    """A good object with that there; what leads to it is made."""
    made: dict[str, Any] = copy.deepcopy(good(kind))
    *around, last = path.split(".")
    node: Any = made["spec"]
    for step in around:
        node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
    node[last] = value
    return made


def named(name: str, **more: Any) -> Dense:
    """A list of objects with names of their own."""
    return lambda count: [{name: f"n{number}", **more} for number in range(count)]


def keyed(value: str) -> Dense:
    """A map with keys and values of their own."""
    return lambda count: {f"k{number}": value.format(number) for number in range(count)}


def rules(policy: str) -> Dense:
    """Deletion rules that differ in their seconds."""
    return lambda count: [
        {"policy": policy, "condition": {"jobStatus": "FAILED", "ttlSeconds": number}} for number in range(count)
    ]


def selected_rules(count: int) -> Any:
    """A selector of as many labels as there are deletion rules."""
    return {"clusterSelector": keyed("v{}")(count), "deletionStrategy": {"deletionRules": rules("DeleteNone")(count)}}


def serve_config(count: int) -> str:
    """Applications that differ in their names alone."""
    return "applications:\n" + "".join(f"- {{name: a{number}, import_path: m:a}}\n" for number in range(count))


# 400: three times as many amounts are still remembered (2,048 are), and no keys are.
CASES: list[tuple[str, str, Dense, int]] = [
    ("RayCluster", "workerGroupSpecs", named("groupName"), 60),
    ("RayCluster", "workerGroupSpecs", lambda count: [{}] * count, 60),
    ("RayCluster", f"{CONTAINER}.env", named("name", value="v"), 120),
    ("RayCluster", f"{CONTAINER}.volumeMounts", named("name", mountPath="/same"), 120),
    ("RayCluster", f"{CONTAINER}.ports", named("name", containerPort=1), 120),
    ("RayCluster", f"{CONTAINER}.resources.limits", keyed("{}m"), 400),
    ("RayCluster", f"{CONTAINER}.resources.requests", keyed("{}m"), 400),
    ("RayCluster", f"{CONTAINER}.resources.limits", lambda count: {f"x.com/{n}gpu": n for n in range(count)}, 120),
    ("RayCluster", "headGroupSpec.template.spec.containers", named("name", image="rayproject/ray:2.52.0"), 60),
    ("RayCluster", "headGroupSpec.template.spec.volumes", named("name"), 120),
    ("RayCluster", "headGroupSpec.template.spec.tolerations", named("key"), 120),
    ("RayCluster", "headGroupSpec.template.metadata.labels", keyed("v{}"), 120),
    ("RayCluster", "headGroupSpec.rayStartParams", keyed("{}"), 120),
    ("RayCluster", "headGroupSpec.rayStartParams.resources", lambda count: "'\"" + "{a:" * count + "\"'", 120),
    ("RayCluster", "headGroupSpec.resources", keyed("{}m"), 400),
    ("RayCluster", "headGroupSpec.labels", keyed("v{}"), 120),
    ("RayCluster", "headGroupSpec.headService.spec.ports", named("name", port=1), 120),
    ("RayJob", "entrypoint", lambda count: "'a' && ${b} $(c) " * count, 60),
    ("RayJob", "deletionStrategy.deletionRules", rules("DeleteSelf"), 120),
    ("RayJob", "deletionStrategy.deletionRules", rules("DeleteNone"), 120),
    ("RayJob", "runtimeEnvYAML", lambda count: "env_vars:\n" + "".join(f"  A{n}: {n}\n" for n in range(count)), 120),
    ("RayJob", "submitterPodTemplate.spec.containers", named("name", image="i"), 120),
    ("RayService", "serveConfigV2", serve_config, 60),
    ("RayService", "serveService.spec.ports", named("name", port=1), 120),
    ("RayCronJob", "jobTemplate.rayClusterSpec.workerGroupSpecs", named("groupName"), 60),
]


def grows_no_faster_than_the_object(measure: Callable[[int], int], count: int) -> None:
    measure(3 * count)  # what is remembered of values is, of all of them
    once, twice, thrice = (measure(times * count) for times in (1, 2, 3))

    assert thrice - twice <= (twice - once) * SLACK, (once, twice, thrice)


@pytest.mark.parametrize(("kind", "path", "dense", "count"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_a_dense_list_or_map_is_judged_in_proportion_to_its_length(
    kind: str, path: str, dense: Dense, count: int
) -> None:
    def created(length: int) -> int:
        return lines_of(kind, with_(kind, path, dense(length)), None)

    grows_no_faster_than_the_object(created, count)


@pytest.mark.parametrize(("kind", "path", "dense", "count"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_so_is_an_update_of_one_that_was_as_wrong_before(kind: str, path: str, dense: Dense, count: int) -> None:
    """What stood there before is known by the names of its entries."""

    def updated(length: int) -> int:
        old, new = (with_(kind, path, dense(length)) for _ in range(2))
        new["spec"]["entrypoint"] = "another"
        return lines_of(kind, new, old)

    grows_no_faster_than_the_object(updated, count)


def test_two_dense_parts_are_not_multiplied() -> None:
    def created(length: int) -> int:
        job = with_("RayJob", "jobId", "")
        return lines_of("RayJob", job | {"spec": job["spec"] | selected_rules(length)}, None)

    grows_no_faster_than_the_object(created, 60)
