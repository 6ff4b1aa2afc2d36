"""RayServices in trouble, or with something unusual about them; in virtual time."""

from __future__ import annotations

import base64
from re import fullmatch
from typing import Any

import pytest

from localcluster.faults import When
from localcluster.testing.cluster import OPERATOR, Cluster, a_cluster
from localcluster.testing.factories import SERVED, a_raycluster, a_rayservice, a_service
from localcluster.testing.view import View

ORIGIN = {"ray.io/originated-from-cr-name": "web", "ray.io/originated-from-crd": "RayService"}
BETTER = SERVED.replace("app:main", "app:better")
OTHER_IMAGE = {"rayVersion": "2.53.0"}


def active(service: View) -> str:
    return str((service["status"].get("activeServiceStatus") or {}).get("rayClusterName") or "")


async def up(cluster: Cluster, /, **spec: Any) -> View:
    """A service that serves."""
    await cluster.create(a_rayservice("web", **spec))
    return await cluster.until("RayService", "web", condition="Ready")


async def names(cluster: Cluster, kind: str) -> set[str]:
    return {one.name for one in await cluster.all_of(kind)}


@pytest.mark.spec("rayservice:E12")
async def test_a_cluster_spec_with_an_upgrade_strategy_never_starts_and_says_why() -> None:
    """A RayCluster of a RayService may have none; the RayService itself is not refused for it."""
    async with a_cluster() as cluster:
        await cluster.create(a_rayservice("web", cluster={"upgradeStrategy": {"type": "Recreate"}}))
        await cluster.after(300)
        service = await cluster.get("RayService", "web")
        (made,) = await cluster.all_of("RayCluster")
        told = [one["reason"] for one in await cluster.events(made.name)]
        pods = await cluster.pods(made.name)

    assert service.condition("Ready")["reason"] == "Initializing"
    assert pods == []
    assert "InvalidRayClusterSpec" in told
    assert f"waiting for the head of RayCluster {made.name}" in service.condition("Ready")["message"]


def a_secret(token: str) -> Any:
    metadata = {"name": "mine", "namespace": "default"}
    data = {"auth_token": base64.b64encode(token.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


@pytest.mark.spec("rayservice:E35")
async def test_a_service_with_token_authentication_serves_and_follows_its_token() -> None:
    """Without the Secret no configuration arrives; with it, and with another token in it later, it does."""
    async with a_cluster() as cluster:
        cluster.dashboards.tokens["*"] = "first"
        await cluster.create(a_secret("first"))
        service = await up(cluster, cluster={"authOptions": {"mode": "token", "secretName": "mine"}})
        pods = await cluster.pods(active(service))

        cluster.dashboards.tokens["*"] = "second"
        await cluster.delete("Secret", "mine")
        await cluster.patch("RayService", "web", {"spec": {"serveConfigV2": BETTER}})
        await cluster.after(60)
        without = len(cluster.dashboards.serve.configured)
        await cluster.create(a_secret("second"))
        await cluster.after(60)

    assert [without, len(cluster.dashboards.serve.configured)] == [1, 2]
    put = [one.token for one in cluster.dashboards.requests if one.method == "PUT"]
    assert (put[0], put[-1]) == ("Bearer first", "Bearer second")
    for pod in pods:
        env = {one["name"] for one in pod["spec"]["containers"][0]["env"]}
        assert env >= {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}


@pytest.mark.spec("rayservice:E48")
async def test_the_annotation_for_a_serve_service_of_the_cluster_s_own_changes_nothing_for_the_service() -> None:
    """It is copied to the cluster, which then has one more Service, by its own name and before all of its pods."""
    async with a_cluster() as cluster:
        service = await up(cluster, annotations={"ray.io/enable-serve-service": "true"})
        own = await cluster.get("Service", f"{active(service)}-serve-svc")
        ours = await cluster.get("Service", "web-serve-svc")

    assert own["spec"]["selector"] == {"ray.io/cluster": active(service)}
    assert ours["spec"]["selector"] == {"ray.io/cluster": active(service), "ray.io/serve": "true"}
    assert service["status"]["numServeEndpoints"] == 2


@pytest.mark.spec("rayservice:E57")
async def test_what_a_user_labels_as_the_service_s_goes_with_it() -> None:
    """A cluster after the deletion delay, for it is neither active nor pending; a Service when it is suspended."""
    async with a_cluster() as cluster:
        service = await up(cluster)
        extra = a_raycluster("extra", labels=ORIGIN)
        await cluster.create(extra)
        more = a_service("more", {"app": "x"})
        more["metadata"]["labels"] = ORIGIN
        await cluster.create(more)
        await cluster.after(50)
        before = await names(cluster, "RayCluster")
        await cluster.after(20)
        after = await names(cluster, "RayCluster")
        await cluster.create(extra)
        await cluster.patch("RayService", "web", {"spec": {"suspend": True}})
        await cluster.until("RayService", "web", condition="Suspended")
        left = await names(cluster, "RayCluster") | await names(cluster, "Service")

    assert before == {active(service), "extra"}
    assert after == {active(service)}
    assert left == {"kubernetes"}


@pytest.mark.spec("rayservice:E79")
async def test_a_name_that_was_chosen_on_an_old_look_is_not_used() -> None:
    """The status that says it is refused with 409: the pass is repeated, and one new cluster is made, not two."""
    async with a_cluster() as cluster:
        old = active(await up(cluster))
        status = When(verb="patch", resource="rayservices.ray.io", subresource="status", agent=OPERATOR)
        cluster.faults.refuse(status, 409, "Conflict", "the object has been modified", times=3)
        asked = len(cluster.writes)
        await cluster.patch("RayService", "web", {"spec": {"rayClusterConfig": OTHER_IMAGE}})
        service = await cluster.until("RayService", "web", condition="UpgradeInProgress")
        await cluster.after(120)
        clusters = await names(cluster, "RayCluster")

    writes = cluster.writes[asked:]
    told = [one.body["status"] for one in writes if (one.resource, one.subresource) == ("rayservices.ray.io", "status")]
    chosen = [one["pendingServiceStatus"]["rayClusterName"] for one in told[:4]]
    made = [one.name for one in writes if (one.verb, one.resource) == ("create", "rayclusters.ray.io")]
    assert len(set(chosen)) == 4
    assert made == chosen[3:] == [service["status"]["pendingServiceStatus"]["rayClusterName"]]
    assert clusters <= {old, *made}


@pytest.mark.spec("rayservice:E83")
async def test_a_service_that_is_deleted_while_no_operator_runs_waits_for_one() -> None:
    async with a_cluster() as cluster:
        await up(cluster)
        cluster.kill_operator()
        await cluster.delete("RayService", "web")
        await cluster.after(3600)
        waiting = await cluster.get("RayService", "web")
        await cluster.start_operator()
        await cluster.until("RayService", "web", gone=True)
        await cluster.after(60)
        clusters = await names(cluster, "RayCluster")

    assert waiting["metadata"]["finalizers"] == ["ray.io/rayservice-finalizer"]
    assert clusters == set()


def with_port(config: Any, port: int) -> Any:
    for group in (config["headGroupSpec"], *config["workerGroupSpecs"]):
        ports = [{"name": "dashboard", "containerPort": 8265}, {"name": "serve", "containerPort": port}]
        group["template"]["spec"]["containers"][0]["ports"] = ports
    return config


CUSTOM = {
    "metadata": {"name": "custom"},
    "spec": {"type": "NodePort", "ports": [{"name": "custom-8000", "port": 8000}]},
}


@pytest.mark.parametrize(
    ("spec", "port", "served_by", "offers"),
    [
        ({}, 0, "web-serve-svc", ("serve", 8000)),
        ({"serve_service": CUSTOM}, 8000, "custom", ("serve", 8000)),
        ({"serve": SERVED + "http_options: {port: 9000}\n"}, 9000, "web-serve-svc", ("serve", 9000)),
        ({"exclude_head_pod_from_serve_svc": True}, 0, "web-serve-svc", ("serve", 8000)),
    ],
    ids=["plain", "through a service of the user's", "on another port", "without its head"],
)
async def test_a_service_as_users_write_them_comes_up(
    spec: dict[str, Any], port: int, served_by: str, offers: tuple[str, int]
) -> None:
    """Running, with all applications, and somebody behind its Service; and it writes nothing more."""
    async with a_cluster() as cluster:
        made = a_rayservice("web", **spec)
        if port:
            made["spec"]["rayClusterConfig"] = with_port(made["spec"]["rayClusterConfig"], port)
        await cluster.create(made)
        await cluster.until("RayService", "web", condition="Ready")
        await cluster.after(60)
        writes = await cluster.writes_during(3600)
        service = await cluster.get("RayService", "web")
        serve = await cluster.get("Service", served_by)

    status = service["status"]
    applications = status["activeServiceStatus"]["applicationStatuses"]
    assert fullmatch(r"web-[bcdfghjklmnpqrstvwxz2456789]{5}", active(service))
    assert (status["serviceStatus"], {one["status"] for one in applications.values()}) == ("Running", {"RUNNING"})
    assert status["numServeEndpoints"] == (1 if spec.get("exclude_head_pod_from_serve_svc") else 2)
    assert [(one["name"], one["port"]) for one in serve["spec"]["ports"]] == [offers]
    assert writes == []


async def test_a_service_on_another_port_and_through_a_service_of_the_user_s() -> None:
    """Health and requests go to the port that is named serve; what the user said of it is kept."""
    port = {"name": "serve", "port": 80, "targetPort": 9000, "appProtocol": "http"}
    custom = {
        "metadata": {"name": "front", "annotations": {"zone": "a"}},
        "spec": {"ports": [port, {"name": "dropped", "port": 81}]},
    }
    async with a_cluster() as cluster:
        made = a_rayservice("web", serve=SERVED + "http_options: {port: 9000}\n", serve_service=custom)
        made["spec"]["rayClusterConfig"] = with_port(made["spec"]["rayClusterConfig"], 9000)
        await cluster.create(made)
        service = await cluster.until("RayService", "web", condition="Ready")
        front = await cluster.get("Service", "front")

    assert service["status"]["serviceStatus"] == "Running"
    assert service["status"]["numServeEndpoints"] == 2
    assert [{**one, "protocol": "TCP"} for one in front["spec"]["ports"]] == [port | {"protocol": "TCP"}]
    assert front["metadata"]["annotations"] == {"zone": "a"}
