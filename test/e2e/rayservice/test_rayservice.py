"""A RayService on real nodes and real Ray Serve: changed in place, broken and mended, and upgraded under requests.

All tests share one service, a head and a worker with a replica on each. A pod in the cluster asks its serve Service ten
times a second, each time anew and without a second try; the figures are told at the end of the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from hack.e2e.clients import Client, a_client
from hack.e2e.cluster import Cluster
from hack.e2e.operator import Installation
from hack.e2e.serving import a_cluster_config, a_config, a_rayservice, an_application, some_code
from hack.e2e.watching import noted, until

pytestmark = pytest.mark.e2e
Json = dict[str, Any]
Tell = Callable[[str], None]
NAME = "greeter"
SERVICES, CLUSTERS = "rayservices.ray.io", "rayclusters.ray.io"
WORKERS = 1
REPLICAS = 1 + WORKERS
LONG = 300  # seconds: on two cores Ray takes its time


class Shared:
    """The service that all use, as a test sees it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def patch(self, **spec: Any) -> None:
        """A merge patch of its spec, as `kubectl patch` sends it."""
        body = json.dumps({"spec": spec})
        what = (f"rayservice/{NAME}", f"--namespace={self.namespace}")
        self.cluster.kubectl("patch", *what, "--type=merge", f"--patch={body}")

    def until(self, true: Callable[[Json], object]) -> Json:
        """The service, once that is true of it."""

        def holds(found: Mapping[str, Json]) -> object:
            return NAME in found and true(found[NAME])

        return until(self.cluster, SERVICES, self.namespace, holds, seconds=LONG)[NAME]

    def ready(self) -> str:
        """The name of its cluster, once that is the only one, with all its pods, and serves the application."""
        name = role(self.until(is_ready), "active")["rayClusterName"]
        until(self.cluster, CLUSTERS, self.namespace, lambda found: list(found) == [name], seconds=LONG)
        until(
            self.cluster,
            "pods",
            self.namespace,
            lambda pods: len(pods) == REPLICAS,
            selector="ray.io/node-type",
            seconds=LONG,
        )
        return str(name)

    @contextmanager
    def asked(self) -> Iterator[Client]:
        """Its serve Service is asked while the block is open.

        By its address, which stays through upgrades: whether a starved node's DNS answers in time is not asked here.
        """
        spec = self.cluster.get(f"service/{NAME}-serve-svc", f"--namespace={self.namespace}")["spec"]
        with a_client(self.cluster, self.namespace, f"http://{spec['clusterIP']}:8000/") as client:
            client.until(bool)
            yield client

    @contextmanager
    def clusters(self) -> Iterator[list[str]]:
        """The names of all that there are or come while the block is open."""
        with noted(self.cluster, CLUSTERS, self.namespace) as names:
            yield names

    def until_half_way(self) -> str:
        """Until a pending cluster's head is ready, before its applications are; the cluster's name."""
        name: str = role(self.until(lambda one: role(one, "pending").get("rayClusterName")), "pending")[
            "rayClusterName"
        ]
        where = (f"raycluster/{name}", f"--namespace={self.namespace}")
        self.cluster.wait("create", *where)
        self.cluster.wait("condition=HeadPodReady", *where, seconds=LONG)
        return name

    def through(self, client: Client, old: str) -> None:
        """Until another cluster answers, the old one is gone, and all is well."""
        client.until(lambda said: old not in said)
        self.ready()
        client.until(bool)


def another(**environment: str) -> Json:
    """The cluster with such variables."""
    return a_cluster_config(workers=WORKERS, **environment)


def role(service: Json, name: str) -> Json:
    """Of the status: that of the active cluster, or of the pending one."""
    return (service.get("status") or {}).get(f"{name}ServiceStatus") or {}


def is_ready(service: Json) -> bool:
    """It takes requests with all its applications, no other cluster is made for it, and it was judged as it is now."""
    status = service.get("status") or {}
    applications = role(service, "active").get("applicationStatuses") or {}
    return (
        status.get("serviceStatus") == "Running"
        and status.get("observedGeneration") == service["metadata"]["generation"]
        and not role(service, "pending").get("rayClusterName")
        and [one["status"] for one in applications.values()] == ["RUNNING"]
    )


@pytest.fixture(scope="module")
def started(cluster: Cluster, installation: Installation, shared_namespace: str) -> Shared:
    installation.ensure()
    cluster.use_image("ray")
    service = a_rayservice(NAME, shared_namespace, workers=WORKERS, rayClusterDeletionDelaySeconds=1)
    cluster.apply(some_code(shared_namespace), service)
    return Shared(cluster, shared_namespace)


@pytest.fixture
def shared(started: Shared) -> Shared:
    """The service as it was made, on whatever cluster, whatever the test before did to it."""
    started.patch(serveConfigV2=a_config(an_application(replicas=REPLICAS)))
    started.ready()
    return started


def test_a_service_answers_from_its_head_and_from_its_worker(shared: Shared) -> None:
    """Each has a replica and a proxy, and the Service sends requests to both."""
    name = shared.ready()
    service = shared.until(lambda one: one["status"].get("numServeEndpoints") == REPLICAS)

    with shared.asked() as client:
        client.until(lambda said: said.startswith(f"hello, from {name}-head-"))
        client.until(lambda said: said.startswith(f"hello, from {name}-small-worker-"))

    assert client.failures == []
    assert service["status"]["serviceStatus"] == "Running"


def test_an_edit_of_the_serve_config_changes_the_answer_and_no_cluster(shared: Shared, tell: Tell) -> None:
    """In place."""
    with shared.clusters() as clusters, shared.asked() as client:
        shared.patch(serveConfigV2=a_config(an_application("good day", replicas=REPLICAS)))
        client.until(lambda said: said.startswith("good day, from "))
        shared.ready()

    tell(f"RayService, edited in place: {client.told}")
    assert client.failures == []
    assert len(clusters) == 1


def test_an_upgrade_by_a_new_variable_loses_no_request(shared: Shared, tell: Tell) -> None:
    """Another cluster takes over, and the old one goes."""
    old = shared.ready()
    with shared.clusters() as clusters, shared.asked() as client:
        shared.patch(rayClusterConfig=another(A="1"))
        shared.through(client, old)

    tell(f"RayService, a new variable: {client.told}")
    assert client.failures == []
    assert len(clusters) == 2


def test_an_upgrade_in_which_the_operator_is_killed_loses_no_request(
    shared: Shared, operator: Installation, tell: Tell
) -> None:
    """Half-way. What comes up instead goes on with the cluster that was begun."""
    old = shared.ready()
    with shared.clusters() as clusters, shared.asked() as client:
        shared.patch(rayClusterConfig=another(A="2"))
        begun = shared.until_half_way()
        how = operator.kill()
        shared.through(client, old)

    tell(f"RayService, the operator killed ({how}): {client.told}")
    assert client.failures == []
    assert clusters == [old, begun]
    assert shared.ready() == begun


def test_an_upgrade_that_is_reverted_half_way_loses_no_request(shared: Shared, tell: Tell) -> None:
    """The half-made cluster is let go and never asked; a third, like the first, takes over (spec rayservice §13)."""
    old = shared.ready()
    before = shared.until(bool)["spec"]["rayClusterConfig"]
    with shared.clusters() as clusters, shared.asked() as client:
        shared.patch(rayClusterConfig=another(A="wrong"))
        wrong = shared.until_half_way()
        shared.patch(rayClusterConfig=before)
        shared.through(client, old)

    tell(f"RayService, reverted: {client.told}")
    assert client.failures == []
    assert clusters[:2] == [old, wrong]
    assert len(clusters) == 3
    assert not any(wrong in one.said for one in client.answers)


def test_an_application_that_an_edit_broke_is_mended_by_the_next_one(shared: Shared) -> None:
    """Serve's own cause stands in the status."""

    def application(service: Json) -> Json:
        found: Json = (role(service, "active").get("applicationStatuses") or {}).get("greeter") or {}
        return found

    with shared.clusters() as clusters:
        shared.patch(serveConfigV2=a_config(an_application(import_path="greeter:nothing")))
        failed = shared.until(lambda one: application(one).get("status") == "DEPLOY_FAILED")
        shared.patch(serveConfigV2=a_config(an_application("mended", replicas=REPLICAS)))
        shared.ready()

    assert "no attribute 'nothing'" in application(failed)["message"]
    assert len(clusters) == 1


@pytest.mark.spec("rayservice:E37")
def test_a_configuration_that_is_no_yaml_is_told_and_changes_nothing(shared: Shared) -> None:
    """The application goes on; the next good configuration is taken."""

    def tells(events: Mapping[str, Json]) -> bool:
        notes = [one["note"] for one in events.values() if one["reason"] == "FailedToUpdateServeApplications"]
        return any("serveConfigV2 is no YAML" in note for note in notes)

    with shared.asked() as client:
        shared.patch(serveConfigV2="applications: [")
        until(shared.cluster, "events.events.k8s.io", shared.namespace, tells)
        client.until(lambda said: said.startswith("hello, from "))
        shared.patch(serveConfigV2=a_config(an_application("well", replicas=REPLICAS)))
        client.until(lambda said: said.startswith("well, from "))

    assert client.failures == []


def test_cluster_and_configuration_changed_together_reach_the_new_cluster_only(shared: Shared, tell: Tell) -> None:
    """What the old one answers stays the same as long as it is asked."""
    old = shared.ready()
    with shared.asked() as client:
        greeting = a_config(an_application("good day", replicas=REPLICAS))
        shared.patch(rayClusterConfig=another(A="4"), serveConfigV2=greeting)
        client.until(lambda said: said.startswith("good day"))
        shared.ready()
        client.until(bool)

    tell(f"RayService, cluster and configuration: {client.told}")
    assert client.failures == []
    for said in (one.said for one in client.answers):
        assert said.startswith("hello, from " if old in said else "good day, from "), said
