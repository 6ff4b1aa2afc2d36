"""What admission would refuse of objects that are run: judged once for each state of them, and told once."""

from __future__ import annotations

from typing import Any

import pytest

from api.meta import Ref
from api.v1.gates import DEFAULT_GATES
from api.v1.rules.model import Context
from controller.ray.concerns import DOUBTFUL, MOST_TOLD, Concerns, concern_of
from localcluster.testing.factories import a_raycluster

CONTEXT = Context(DEFAULT_GATES)
KEY = Ref("RayCluster", "default", "r")


def a_doubtful(*, version: str = "2.40.0", generation: int = 1, **metadata: Any) -> Any:
    """Of another Ray than its image's, which is 2.52.0."""
    found = a_raycluster("r", ray_version=version)
    found["metadata"] |= {"uid": "u", "generation": generation, **metadata}
    return found


@pytest.fixture
def concerns() -> Concerns:
    return Concerns("RayCluster", CONTEXT)


def test_what_the_reference_refuses_is_no_concern() -> None:
    broken = a_doubtful(version="2.52.0")
    broken["spec"]["workerGroupSpecs"][0]["minReplicas"] = -1

    assert concern_of("RayCluster", broken, CONTEXT) == ""


def test_several_concerns_are_one_sentence_and_many_are_counted() -> None:
    """An event holds a thousand characters."""
    many = a_doubtful(version="2.52.0")
    (group,) = many["spec"]["workerGroupSpecs"]
    many["spec"]["workerGroupSpecs"] = [{**group, "groupName": f"g{n}", "numOfHosts": 0} for n in range(MOST_TOLD + 2)]

    concern = concern_of("RayCluster", many, CONTEXT)

    assert concern.count("[RP04]") == MOST_TOLD
    assert concern.endswith("; and 2 more")


def test_what_one_of_our_own_kinds_made_is_its_parent_s_concern() -> None:
    owner = {"apiVersion": "ray.io/v1", "kind": "RayJob", "name": "j", "uid": "j", "controller": True}
    strange = {**owner, "apiVersion": "example.com/v1"}

    assert concern_of("RayCluster", a_doubtful(ownerReferences=[owner]), CONTEXT) == ""
    assert "[RV02]" in concern_of("RayCluster", a_doubtful(ownerReferences=[strange]), CONTEXT)


def test_a_state_that_was_judged_is_not_judged_again(concerns: Concerns) -> None:
    """A mended spec under the same generation, which no server tells, shows that nobody looked."""
    first = concerns.about(KEY, a_doubtful())

    assert concerns.about(KEY, a_doubtful(version="2.52.0")) == first != ""
    assert concerns.about(KEY, a_doubtful(version="2.52.0", generation=2)) == ""


def test_an_annotation_that_silences_a_rule_counts_at_once(concerns: Concerns) -> None:
    assert "[RV02]" in concerns.about(KEY, a_doubtful())
    assert concerns.about(KEY, a_doubtful(annotations={"ray.io/admission-skip": "RV02"})) == ""


def test_it_is_told_once_and_again_when_something_else_is_found_or_it_came_back(concerns: Concerns) -> None:
    versions = ["2.40.0", "2.40.0", "2.41.0", "2.52.0", "2.41.0"]

    told = [concerns.news(KEY, a_doubtful(version=one, generation=n)) for n, one in enumerate(versions)]

    assert [len(one) for one in told] == [1, 0, 1, 0, 1]


def test_what_its_condition_says_was_told_by_an_operator_before_this_one(concerns: Concerns) -> None:
    doubtful = a_doubtful()
    said = {"type": DOUBTFUL, "status": "True", "message": concern_of("RayCluster", doubtful, CONTEXT)}

    assert concerns.news(KEY, {**doubtful, "status": {"conditions": [said]}}) == ()
    assert (
        len(concerns.news(KEY, {**a_doubtful(version="2.41.0", generation=2), "status": {"conditions": [said]}})) == 1
    )


def test_a_namesake_is_judged_and_told_anew(concerns: Concerns) -> None:
    assert len(concerns.news(KEY, a_doubtful())) == 1

    concerns.forget(KEY)

    assert len(concerns.news(KEY, a_doubtful(uid="another"))) == 1
