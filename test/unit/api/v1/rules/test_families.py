"""All rules together: silent about what is good, unshaken by what is no object at all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.v1.gates import DEFAULT_GATES
from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.judging import judge
from api.v1.rules.model import Context
from localcluster.testing.judged import INSIDE, OPEN, changed, good

SAMPLES = Path(__file__).parents[5] / "config" / "samples"
ODD: list[Any] = [
    *(None, True, False, 0, -1, 3.5, float("inf"), float("nan"), 10**30),
    *("", "x", "\ud800", "é", "{", "[]", "- ", "a: &a [*a]", "0 0 30 2 *", "TZ=x", "1Gi", "-1"),
    *([], [None], [{}], [[1]], {}, {"a": None}, {"": 1}, {"x": [{}]}),
]
RICH = {
    "autoscalerOptions": {"version": "v2", "idleTimeoutSeconds": 1},
    "networkPolicy": {"worker": {"egressRules": [{"ports": [{"port": 53}]}]}, "workerGroups": [{"groupName": "small"}]},
    "gcsFaultToleranceOptions": {"redisAddress": "x", "redisPassword": {"value": "x"}},
    "headGroupSpec.headService": {"metadata": {"name": "a"}, "spec": {"ports": [{"name": "x", "port": 1}]}},
    "headGroupSpec.ingressOptions": {"host": "a.b", "path": "x", "tls": [{"hosts": ["a"]}]},
    "headGroupSpec.enableIngress": True,
}
RICH_JOB = {
    "submitterPodTemplate": {
        "spec": {
            "containers": [{"name": "a", "image": "b", "env": [{"name": "A"}], "volumeMounts": [{"name": "a"}]}],
            "tolerations": [{"key": "a"}],
        }
    },
    "runtimeEnvYAML": "pip: [a]\nenv_vars: {A: 1}",
    "deletionStrategy": {"deletionRules": [{"policy": "DeleteSelf", "condition": {"jobStatus": "FAILED"}}]},
    "clusterSelector": {"ray.io/cluster": "b"},
    "entrypointResources": '{"a": 1}',
    "jobId": "x",
}
RUNS = {"status": {"state": "ready", "jobDeploymentStatus": "Running", "conditions": [{"type": "x", "status": "True"}]}}


def rich(kind: str) -> dict[str, Any]:
    """An object with most of the fields that rules read, and a status."""
    changes = {f"{INSIDE[kind]}.{path}": value for path, value in RICH.items()} | RUNS
    if kind in ("RayJob", "RayCronJob"):
        at = INSIDE[kind].removesuffix(".rayClusterSpec")
        changes |= {f"{at}.{path}": value for path, value in RICH_JOB.items()}
    return changed(good(kind), changes)


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree of JSON but its root."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, value in inner:
        yield (*at, step)
        yield from places(value, (*at, step))


def spoilt(object_: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The object with odd values at one to three places; its kind stays."""
    body = deepcopy(object_)
    for _ in range(chance.choice([1, 1, 2, 3])):
        *parents, last = chance.choice([place for place in places(body) if place != ("kind",)])
        node: Any = body
        for step in parents:
            node = node[step]
        node[last] = deepcopy(chance.choice(ODD))
    return body


@pytest.mark.spec("admission:P12")
@pytest.mark.parametrize("kind", INSIDE)
def test_a_good_object_passes_without_a_word(kind: str) -> None:
    """No rule of any family speaks."""
    verdict = judge(kind, good(kind), None, OPEN)

    assert [str(one) for one in (*verdict.denials, *verdict.warnings)] == []


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_our_samples_pass_without_a_word(path: Path) -> None:
    """Under the gates that are on by default; a RayCronJob with its own, without which it would be warned of."""
    context = Context({**DEFAULT_GATES, "RayCronJob": True})
    ours = [one for one in yaml.safe_load_all(path.read_text()) if one["kind"] in RULES_BY_KIND]

    verdicts = [judge(one["kind"], one, None, context) for one in ours]

    assert ours
    assert [str(one) for verdict in verdicts for one in (*verdict.denials, *verdict.warnings)] == []


@pytest.mark.parametrize("kind", INSIDE)
def test_nothing_that_json_can_say_makes_a_rule_fail(kind: str) -> None:
    """Wrong types, absurd numbers, half characters, at any place, alone and on an update; always the same ones."""
    chance, whole = random.Random(kind), rich(kind)
    known = {rule.id for rule in RULES_BY_KIND[kind]}

    for _ in range(150):
        new = spoilt(whole, chance)
        verdict = judge(kind, new, chance.choice([None, whole, spoilt(whole, chance)]), OPEN)

        assert {one.rule for one in (*verdict.denials, *verdict.warnings)} <= known, new
