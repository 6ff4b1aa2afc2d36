"""Every event of a RayService, with the type and the action by which tools find it (spec rayservice §16)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from controller.runtime.plan import Announcement
from localcluster.testing.rayservice_history import RayServiceHistory, config, rayservice

GROUP = {
    "groupName": "a",
    "minReplicas": 0,
    "maxReplicas": 3,
    "template": {"spec": {"containers": [{"name": "ray", "image": "x"}]}},
}


def a_whole_life() -> RayServiceHistory:
    life = RayServiceHistory(rayservice(rayClusterDeletionDelaySeconds=0))
    life.serving()
    _, new = life.replaced()
    life.serves(new)
    life.edit_cluster(workerGroupSpecs=[GROUP]).settle()
    return life.edit(suspend=True).run(3)


def a_life_of_refusals() -> RayServiceHistory:
    """Each write is refused for a while, one after the other."""
    life = RayServiceHistory(rayservice(rayClusterDeletionDelaySeconds=0))
    life.refuse = {"cluster"}
    life.run(3)
    life.refuse = {"head service", "head label"}
    life.run()
    life.head_starts(life.name("pending")).deploys = "RUNNING"
    for _ in range(6):
        life.run().talk()
    life.refuse = set()
    life.settle()
    _, new = life.replaced()
    life.refuse = {"serve service", "unwanted cluster"}
    life.head_starts(new).deploys = "RUNNING"
    for _ in range(8):
        life.run().talk()
    life.refuse = {"unwanted cluster"}
    life.settle()
    life.refuse = {"active cluster"}
    life.edit_cluster(workerGroupSpecs=[GROUP]).run()
    life.refuse = {"suspended service"}
    return life.edit(suspend=True).run(3)


def a_life_of_errors() -> RayServiceHistory:
    life = RayServiceHistory(rayservice(annotations={"ray.io/initializing-timeout": "1m"}))
    life.begun()
    life.head_starts(life.name("pending"))
    life.edit(serveConfigV2="{").run(2)
    life.edit(serveConfigV2=config("shop"), upgradeStrategy={"type": "Nonsense"}).run()
    life.edit(upgradeStrategy=None).later(minutes=2)
    life.service["status"]["conditions"] = []
    life.run().later(minutes=2).run(2)
    bad = RayServiceHistory(rayservice(name="a" * 48)).run(2)
    life.events += bad.events
    return life


@cache
def told() -> dict[str, set[tuple[str, str]]]:
    """Reason -> the types and actions under which it was told."""
    found: dict[str, set[tuple[str, str]]] = {}
    for life in (a_whole_life(), a_life_of_refusals(), a_life_of_errors()):
        for event in life.events:
            assert isinstance(event, Announcement)
            found.setdefault(event.reason, set()).add((event.type, event.action))
    return found


def rows() -> Iterator[Any]:
    """As the table of the spec has them: a success and its failure, or one alone."""
    pairs = [
        ("CreatedRayCluster", "FailedToCreateRayCluster", "Create", "createdraycluster-failedtocreaterayclust"),
        ("UpdatedRayCluster", "FailedToUpdateRayCluster", "Update", "updatedraycluster-failedtoupdaterayclust"),
        ("DeletedRayCluster", "FailedToDeleteRayCluster", "Delete", "deletedraycluster-failedtodeleterayclust"),
        ("CreatedService", "FailedToCreateService", "Create", "createdservice-failedtocreateservice"),
        ("UpdatedService", "FailedToUpdateService", "Update", "updatedservice-failedtoupdateservice"),
        ("DeletedService", "FailedToDeleteService", "Delete", "deletedservice-failedtodeleteservice"),
        (
            "UpdatedServeApplications",
            "FailedToUpdateServeApplications",
            "Update",
            "updatedserveapplications-failedtoupdates",
        ),
        (
            "UpdatedHeadPodServeLabel",
            "FailedToUpdateHeadPodServeLabel",
            "Update",
            "updatedheadpodservelabel-failedtoupdateh",
        ),
    ]
    for good, bad, action, item in pairs:
        mark = pytest.mark.spec(f"rayservice:16/{item}")
        yield pytest.param({good: ("Normal", action), bad: ("Warning", action)}, marks=mark, id=good)
    invalid = pytest.mark.spec("rayservice:16/invalidrayservicemetadata-invalidrayserv")
    both = dict.fromkeys(("InvalidRayServiceMetadata", "InvalidRayServiceSpec"), ("Warning", "Validate"))
    yield pytest.param(both, marks=invalid, id="Invalid")
    late = pytest.mark.spec("rayservice:16/rayserviceinitializingtimeout")
    yield pytest.param({"RayServiceInitializingTimeout": ("Warning", "Reconcile")}, marks=late, id="Timeout")


@pytest.mark.parametrize("row", tuple(rows()))
def test_an_event_is_told_under_its_type_and_its_action(row: dict[str, tuple[str, str]]) -> None:
    assert {reason: told().get(reason) for reason in row} == {reason: {said} for reason, said in row.items()}


def test_no_other_events_are_told() -> None:
    known = {reason for row in rows() for reason in row.values[0]}

    assert told().keys() <= known
