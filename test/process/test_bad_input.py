"""What the operator says to a server that does not let it work, and what becomes of it. The table: docs/operator.md.

What needs no server is in test/unit/controller/test_bad_input.py.
"""

from __future__ import annotations

import json
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.crds.installed import custom_resource_definitions
from controller.rights import LEADER_ELECTION, RIGHTS

if TYPE_CHECKING:
    from localcluster.testing.wire import Wire
    from test.process.conftest import Plane

ALL = (*RIGHTS, *LEADER_ELECTION)
WAITING = "waiting for the first load"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GIVEN_UP_SECONDS = "15"  # two minutes, as deployed
BACK_OFF_SECONDS = 90.0  # 30 between two looks at the most, and a busy machine


async def test_a_role_that_may_not_list_pods_ends_the_operator_and_the_right_is_named(plane: Plane) -> None:
    """Waiting will not help; whoever restarts it makes the trouble visible."""
    fewer = [replace(one, verbs=("create", "get")) if one.resource == "pods" else one for one in ALL]
    config = await plane.account("blind", fewer)
    operator = await plane.replica("blind", config=config, PATIENCE=GIVEN_UP_SECONDS)

    assert await operator.ended() == 1
    told = operator.lines[-1]
    assert told["msg"] == "the operator cannot go on"
    assert "pods (cannot list Pod" in told["problem"]
    assert "its role must allow list and watch of pods" in told["problem"]
    assert "rayclusters" not in told["problem"]


async def test_a_role_that_may_list_pods_and_not_watch_them_is_told(plane: Plane) -> None:
    """What is listed once grows old: it is no silent half-life."""
    fewer = [replace(one, verbs=("create", "get", "list")) if one.resource == "pods" else one for one in ALL]
    operator = await plane.replica("half", config=await plane.account("half", fewer))

    told = await operator.tells("list or watch failed", "Pod")

    assert told["level"] == "warning"
    assert 'cannot watch resource "pods"' in told["error"]


@pytest.mark.spec("deployment:1.7/resource")
async def test_without_rights_to_the_lease_it_stands_by_and_names_them(plane: Plane) -> None:
    """Also where the namespace for the lease is not there. An administrator can mend it while it waits."""
    rightless = await plane.replica("rightless", config=await plane.account("rightless", RIGHTS))
    homeless = await plane.replica("homeless", "--leader-election-namespace=nowhere")

    for operator, namespace in ((rightless, plane.wire.namespace), (homeless, "nowhere")):
        told = await operator.tells("cannot get or renew the lease", "forbidden")
        assert told["lease"] == f"{namespace}/ray-operator-leader"
        assert f"the operator needs get, create and update of leases in namespace {namespace}" in told["error"]
        operator.send(signal.SIGTERM)
        assert await operator.ended() == 0
    assert plane.writes("rightless") == []


async def test_a_wrong_token_ends_the_operator(plane: Plane) -> None:
    config = await plane.account("stranger")
    config["users"][0]["user"] = {"token": "nonsense"}
    operator = await plane.replica("stranger", config=config, PATIENCE=GIVEN_UP_SECONDS)

    assert await operator.ended() == 1
    assert "is the token or the client certificate still good?" in operator.lines[-1]["problem"]


async def let_go(wire: Wire) -> None:
    """Take the finalizer off RayJobs of earlier tests, whose operators have ended: their CRD would wait for it."""
    for job in (await wire.get("/apis/ray.io/v1/rayjobs")).ok()["items"]:
        path = wire.path("rayjobs.ray.io", job["metadata"]["name"], namespace=job["metadata"]["namespace"])
        assert (await wire.patch(path, {"metadata": {"finalizers": None}})).code in (200, 404)


@pytest.mark.spec("deployment:DC-4")
async def test_crds_that_are_installed_after_the_operator_are_waited_for(plane: Plane) -> None:
    """Fault F14: it says which, and works as soon as they are there, without a restart."""
    (definition,) = (one for one in custom_resource_definitions() if one["spec"]["names"]["kind"] == "RayJob")
    name = definition["metadata"]["name"]
    await let_go(plane.wire)
    (await plane.wire.delete(f"{DEFINITIONS}/{name}")).ok()
    plane.wire.served.discard(name)
    await plane.wire.gone(f"{DEFINITIONS}/{name}")
    operator = await plane.replica("early")

    told = await operator.tells(WAITING, "rayjobs")
    await plane.wire.serve(definition)
    await operator.said("controllers work", seconds=BACK_OFF_SECONDS)
    await plane.cluster("r", 1)
    await plane.until_pods("r", 2)

    assert "is the CustomResourceDefinition rayjobs.ray.io installed?" in told["missing"]
    assert "rayclusters" not in told["missing"]


@pytest.mark.spec("runtime:CAC-7")
async def test_an_api_server_that_is_not_there_is_waited_for_and_that_is_said(plane: Plane, tmp_path: Path) -> None:
    """It may come: an outage must not restart operators. Who asks the operator to end is obeyed."""
    with socket.socket() as held:  # a port where nobody listens
        held.bind(("127.0.0.1", 0))
        config = json.loads(plane.judge.kubeconfig.read_text())
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{held.getsockname()[1]}"}
        operator = await plane.replica("lonely", config=config, PATIENCE="0")

        told = await operator.tells(WAITING, "cannot reach 127.0.0.1:")
        operator.send(signal.SIGTERM)

        assert await operator.ended() == 0
    assert told["level"] == "warning"
    assert told["missing"].startswith("rayclusters, ")
