"""When the Ingress is made, repaired, and left alone."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from controller.ray.raycluster.writes import Kind, Why
from controller.runtime.plan import Create, MergePatch, Plan

REPORTED = {"state": "ready"}


def cluster(a: Any, **more: Any) -> Any:
    return a.body(head={"enableIngress": True}, status=REPORTED, **more)


def entrance(plan: Plan) -> list[Any]:
    return [write for write in plan.writes if isinstance(write.why, Why) and "INGRESS" in write.why.kind.name]


def made(a: Any, **more: Any) -> Any:
    """The Ingress as the operator makes it, stored."""
    (write,) = entrance(a.plan(a.seen(cluster(a, **more), a.head())))
    assert isinstance(write, Create)
    found = deepcopy(write.body)
    found["metadata"] |= {"uid": "i", "resourceVersion": "3"}
    return found


def test_an_ingress_is_made_where_asked_for(a: Any) -> None:
    (write,) = entrance(a.plan(a.seen(cluster(a), a.head())))

    assert (write.why.kind, write.body["metadata"]["name"]) == (Kind.CREATE_INGRESS, "r-head-ingress")


def test_an_ingress_that_is_as_it_should_be_is_left_alone(a: Any) -> None:
    assert entrance(a.plan(a.seen(cluster(a), a.head(), ingress=made(a)))) == []


@pytest.mark.spec("raycluster:E66", "raycluster:20/updatedingress-failedtoupdateingress")
def test_an_ingress_that_drifted_is_repaired(a: Any) -> None:
    there = made(a)
    there["metadata"]["labels"] = {"theirs": "x"}
    there["metadata"]["annotations"] = {"old": "y"}
    there["spec"]["rules"][0]["host"] = "elsewhere"

    (write,) = entrance(a.plan(a.seen(cluster(a), a.head(), ingress=there)))

    assert isinstance(write, MergePatch)
    assert (write.uid, write.resource_version, write.why) == ("i", "3", Why(Kind.UPDATE_INGRESS))
    assert write.body["metadata"]["annotations"] == {"old": None}
    assert write.body["metadata"]["labels"]["theirs"] is None
    assert "host" not in write.body["spec"]["rules"][0]


@pytest.mark.spec("raycluster:E66")
def test_changed_annotations_of_the_cluster_reach_it_and_a_ticket_does_not(a: Any) -> None:
    there = made(a)

    (write,) = entrance(a.plan(a.seen(cluster(a, annotations={"x": "y"}), a.head(), ingress=there)))
    quiet = a.plan(a.seen(cluster(a, annotations={"manta.ray.io/ticket": "t"}), a.head(), ingress=there))

    assert write.body == {"metadata": {"annotations": {"x": "y"}}}
    assert entrance(quiet) == []


@pytest.mark.spec("raycluster:E66")
def test_a_class_that_the_api_server_chose_stays(a: Any) -> None:
    there = made(a)
    there["spec"]["ingressClassName"] = "default"

    assert entrance(a.plan(a.seen(cluster(a), a.head(), ingress=there))) == []


@pytest.mark.spec("raycluster:E66", "raycluster:20/createdingress-failedtocreateingress")
def test_another_s_ingress_is_told_and_left_alone(a: Any) -> None:
    there = made(a)
    there["metadata"]["ownerReferences"] = []
    there["spec"] = {}

    plan = a.plan(a.seen(cluster(a), a.head(), ingress=there))

    assert (entrance(plan), plan.result.error) == ([], None)
    assert [(one.type, one.reason) for one in plan.events] == [("Warning", "FailedToCreateIngress")]


@pytest.mark.spec("raycluster:E67")
def test_an_ingress_stays_when_it_is_no_longer_asked_for(a: Any) -> None:
    assert a.plan(a.seen(a.body(status=REPORTED), a.head(), ingress=made(a))).writes == ()
