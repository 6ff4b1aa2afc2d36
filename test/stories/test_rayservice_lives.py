"""Lives of RayServices: up, changed, moved to another cluster, suspended, gone; in virtual time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from localcluster.testing.cluster import Cluster, a_cluster
from localcluster.testing.factories import SERVED, a_rayservice
from localcluster.testing.view import View

pytestmark = pytest.mark.looptime

BETTER = SERVED.replace("app:main", "app:better")
EMPTY = {"desiredCPU": "0", "desiredGPU": "0", "desiredMemory": "0", "desiredTPU": "0", "head": {}}
OTHER_IMAGE = {"rayVersion": "2.53.0"}


def active(service: View) -> str:
    return str((service["status"].get("activeServiceStatus") or {}).get("rayClusterName") or "")


def pending(service: View) -> str:
    return str((service["status"].get("pendingServiceStatus") or {}).get("rayClusterName") or "")


def condition(service: View, type_: str) -> tuple[str, str]:
    found = next(one for one in service["status"]["conditions"] if one["type"] == type_)
    return found["status"], found["reason"]


async def up(cluster: Cluster, **spec: Any) -> View:
    """A service that serves."""
    await cluster.create(a_rayservice("web", **spec))
    return await cluster.until("RayService", "web", condition="Ready")


async def selected(cluster: Cluster) -> set[str]:
    """The clusters that its Services select."""
    services = [await cluster.get("Service", name) for name in ("web-head-svc", "web-serve-svc")]
    return {one["spec"]["selector"]["ray.io/cluster"] for one in services}


async def change_cluster(cluster: Cluster, **changes: Any) -> None:
    await cluster.patch("RayService", "web", {"spec": {"rayClusterConfig": changes or OTHER_IMAGE}})


async def reasons(cluster: Cluster) -> list[str]:
    return [str(one["reason"]) for one in await cluster.events("web")]


@pytest.mark.spec("rayservice:E08", "rayservice:E03")
async def test_a_service_comes_up_and_then_costs_nothing() -> None:
    """An hour of a steady service: not one write."""
    async with a_cluster() as cluster:
        service = await up(cluster)
        points = await selected(cluster)
        await cluster.after(60)
        writes = await cluster.writes_during(3600)
        later = await cluster.get("RayService", "web")
        told = await reasons(cluster)

    assert points == {active(service)}
    assert service["metadata"]["finalizers"] == ["ray.io/rayservice-finalizer"]
    assert service["status"]["serviceStatus"] == "Running"
    assert condition(service, "UpgradeInProgress") == ("False", "NoPendingCluster")
    assert writes == []
    assert later["status"]["activeServiceStatus"]["applicationStatuses"]["app"]["status"] == "RUNNING"
    assert later["status"]["numServeEndpoints"] == 2
    assert set(told) == {"CreatedRayCluster", "UpdatedServeApplications", "UpdatedHeadPodServeLabel", "CreatedService"}
    assert len(cluster.dashboards.serve.configured) == 1


async def test_the_status_shows_its_cluster_as_that_is_once_nothing_happens_any_more() -> None:
    """Up, with a worker more, and with one less: the copy must not stay at what the last other change found."""
    async with a_cluster() as cluster:
        name = active(await up(cluster, workers=2))
        shown = []
        for replicas in (2, 3, 1):
            groups = (await cluster.get("RayCluster", name))["spec"]["workerGroupSpecs"]
            wanted = [{**groups[0], "replicas": replicas, "minReplicas": replicas}]
            await cluster.patch("RayCluster", name, {"spec": {"workerGroupSpecs": wanted}})
            await cluster.after(120)
            own = (await cluster.get("RayCluster", name))["status"]
            copy = (await cluster.get("RayService", "web"))["status"]["activeServiceStatus"]["rayClusterStatus"]
            shown.append((copy["availableWorkerReplicas"], copy.get("state"), copy == {**EMPTY, **own}))
        writes = await cluster.writes_during(3600)

    assert shown == [(2, "ready", True), (3, "ready", True), (1, "ready", True)]
    assert writes == []


async def test_steady_services_write_nothing_for_an_hour_and_an_edit_is_acted_on_at_once() -> None:
    """benchmarks/services.py does the same with two hundred, and says what it costs."""
    async with a_cluster(tell_events=False) as cluster:
        names = [f"web-{number}" for number in range(5)]
        for name in names:
            await cluster.create(a_rayservice(name, workers=0))
        for name in names:
            await cluster.until("RayService", name, condition="Ready")
        await cluster.after(60)

        steady = await cluster.writes_during(3600)
        before, edited = len(cluster.writes), cluster.clock.now()
        await cluster.patch("RayService", "web-3", {"spec": {"rayClusterConfig": OTHER_IMAGE}})
        await cluster.until("RayService", "web-3", condition="UpgradeInProgress")
        first = cluster.writes[before]

    assert steady == []
    assert (first.resource, first.name) == ("rayservices.ray.io", "web-3")
    assert first.when - edited < timedelta(seconds=1)


@pytest.mark.spec("rayservice:E30")
async def test_another_configuration_goes_to_the_same_cluster() -> None:
    async with a_cluster() as cluster:
        before = active(await up(cluster))
        await cluster.patch("RayService", "web", {"spec": {"serveConfigV2": BETTER}})
        await cluster.after(30)
        service = await cluster.get("RayService", "web")
        clusters = await cluster.all_of("RayCluster")

    assert [one["applications"][0]["import_path"] for _, one in cluster.dashboards.serve.configured] == [
        "app:main",
        "app:better",
    ]
    assert (active(service), pending(service)) == (before, "")
    assert len(clusters) == 1


@pytest.mark.spec("rayservice:E26", "rayservice:E17")
async def test_a_changed_cluster_is_replaced_and_the_old_one_stays_for_a_while() -> None:
    """Traffic moves when the new one serves; the old one goes 60 seconds later."""
    async with a_cluster() as cluster:
        old = active(await up(cluster))
        await change_cluster(cluster)
        upgrading = await cluster.until("RayService", "web", condition="UpgradeInProgress")
        during = await selected(cluster)
        done = await cluster.until("RayService", "web", condition=("UpgradeInProgress", "False"))
        moved_at = cluster.elapsed
        after = await selected(cluster)
        await cluster.until("RayCluster", old, gone=True)
        kept = (cluster.elapsed - moved_at).total_seconds()
        await cluster.after(5)
        told = await reasons(cluster)

    new = active(done)
    assert pending(upgrading) == new != old
    assert (during, after) == ({old}, {new})
    assert condition(done, "Ready") == ("True", "NonZeroServeEndpoints")
    assert 58 <= kept <= 65
    assert "UpdatedService" in told
    assert "DeletedRayCluster" in told


@pytest.mark.spec("rayservice:E19")
async def test_a_cluster_that_is_being_replaced_keeps_its_configuration() -> None:
    """Both were changed together: the new answer comes from the new cluster alone."""
    async with a_cluster() as cluster:
        await up(cluster)
        first = cluster.dashboards.serve.configured[0][0]
        await cluster.patch("RayService", "web", {"spec": {"serveConfigV2": BETTER, "rayClusterConfig": OTHER_IMAGE}})
        await cluster.until("RayService", "web", condition="UpgradeInProgress")
        await cluster.until("RayService", "web", condition=("UpgradeInProgress", "False"))

    by_head = [(head, one["applications"][0]["import_path"]) for head, one in cluster.dashboards.serve.configured]
    assert [path for head, path in by_head if head == first] == ["app:main"]
    assert [path for head, path in by_head if head != first] == ["app:better"]


@pytest.mark.spec("rayservice:E33")
async def test_a_new_cluster_whose_application_fails_leaves_the_old_one_serving_and_says_why() -> None:
    async with a_cluster() as cluster:
        old = active(await up(cluster))
        cluster.dashboards.serve.script("broken", outcome="DEPLOY_FAILED", message="ModuleNotFoundError: nope\nmore")
        broken = SERVED.replace("name: app", "name: broken")
        await cluster.patch("RayService", "web", {"spec": {"serveConfigV2": broken, "rayClusterConfig": OTHER_IMAGE}})
        await cluster.after(600)
        stuck = await cluster.get("RayService", "web")
        points = await selected(cluster)
        await cluster.patch("RayService", "web", {"spec": {"serveConfigV2": SERVED}})
        mended = await cluster.until("RayService", "web", condition=("UpgradeInProgress", "False"))

    message = next(one["message"] for one in stuck["status"]["conditions"] if one["type"] == "UpgradeInProgress")
    assert "application broken is DEPLOY_FAILED: ModuleNotFoundError: nope" in message
    assert points == {old}
    assert condition(stuck, "Ready")[0] == "True"
    assert active(mended) == pending(stuck)


async def test_traffic_waits_for_every_door_of_the_new_cluster() -> None:
    """Applications run, but one proxy does not answer: a request to it would be lost."""
    async with a_cluster() as cluster:
        old = active(await up(cluster))
        doors = {pod["status"]["podIP"] for pod in await cluster.pods(old)}
        await change_cluster(cluster)
        service = await cluster.until("RayService", "web", condition="UpgradeInProgress")
        new = pending(service)
        await cluster.until("RayCluster", new, phase="ready")
        worker = (await cluster.pods(new, node_type="worker"))[0]
        cluster.dashboards.serve.shut.append(worker["status"]["podIP"])
        await cluster.after(300)
        waiting, points = await cluster.get("RayService", "web"), await selected(cluster)
        cluster.dashboards.serve.shut.clear()
        done = await cluster.until("RayService", "web", condition=("UpgradeInProgress", "False"))

    message = next(one["message"] for one in waiting["status"]["conditions"] if one["type"] == "UpgradeInProgress")
    assert worker["status"]["podIP"] not in doors
    assert points == {old}
    assert f"waiting for the Serve proxy at http://{worker['status']['podIP']}:8000" in message
    assert active(done) == new


@pytest.mark.spec("rayservice:E29")
async def test_a_restarted_operator_sends_nothing_again_and_a_restarted_head_gets_it_again() -> None:
    async with a_cluster() as cluster:
        name = active(await up(cluster))
        cluster.kill_operator()
        await cluster.start_operator()
        await cluster.after(60)
        after_operator = len(cluster.dashboards.serve.configured)
        head = (await cluster.pods(name, node_type="head"))[0]
        await cluster.delete("Pod", head.name)
        await cluster.after(120)
        service = await cluster.until("RayService", "web", condition="Ready")

    assert after_operator == 1
    assert len(cluster.dashboards.serve.configured) == 2
    assert active(service) == name


@pytest.mark.spec("rayservice:E51", "rayservice:E55")
async def test_a_suspended_service_leaves_nothing_and_comes_back_on_another_cluster() -> None:
    async with a_cluster() as cluster:
        before = active(await up(cluster))
        await cluster.patch("RayService", "web", {"spec": {"suspend": True}})
        suspended = await cluster.until("RayService", "web", condition="Suspended")
        clusters, services = await cluster.all_of("RayCluster"), await cluster.all_of("Service")
        await cluster.after(600)
        quiet = await cluster.get("RayService", "web")
        await cluster.patch("RayService", "web", {"spec": {"suspend": False}})
        again = await cluster.until("RayService", "web", condition="Ready")

    assert clusters == []
    assert [one.name for one in services if one.name.startswith("web")] == []
    assert condition(suspended, "Ready") == ("False", "SuspendComplete")
    assert quiet["metadata"]["resourceVersion"] == suspended["metadata"]["resourceVersion"]
    assert active(again) not in ("", before)
    assert condition(again, "Suspended") == ("False", "RayServiceResumed")


@pytest.mark.spec("rayservice:E53")
async def test_a_service_born_suspended_makes_nothing() -> None:
    async with a_cluster() as cluster:
        await cluster.create(a_rayservice("web", suspend=True))
        await cluster.until("RayService", "web", condition="Suspended")
        told = await reasons(cluster)
        clusters = await cluster.all_of("RayCluster")

    assert clusters == []
    assert told == []


@pytest.mark.spec("rayservice:E49")
async def test_a_first_start_that_takes_too_long_ends_for_good() -> None:
    async with a_cluster() as cluster:
        cluster.node.hold("*")
        await cluster.create(a_rayservice("web", annotations={"ray.io/initializing-timeout": "5m"}))
        await cluster.after(320)
        ended = await cluster.get("RayService", "web")
        cluster.node.release("*")
        await change_cluster(cluster)
        await cluster.after(600)
        later = await cluster.get("RayService", "web")
        clusters = await cluster.all_of("RayCluster")
        told = await reasons(cluster)

    assert condition(ended, "Ready") == ("False", "InitializingTimeout")
    assert (active(ended), pending(ended)) == ("", "")
    assert condition(later, "Ready") == ("False", "InitializingTimeout")
    assert clusters == []
    assert told.count("RayServiceInitializingTimeout") == 1


async def test_a_deleted_service_waits_for_its_clusters_and_leaves_nothing() -> None:
    async with a_cluster() as cluster:
        await up(cluster)
        await change_cluster(cluster)
        await cluster.until("RayService", "web", condition="UpgradeInProgress")
        await cluster.delete("RayService", "web")
        await cluster.until("RayService", "web", gone=True)
        await cluster.after(60)
        left = [*await cluster.all_of("RayCluster"), *await cluster.all_of("Pod")]
        services = await cluster.all_of("Service")

    assert left == []
    assert [one.name for one in services if one.name.startswith("web")] == []


@pytest.mark.spec("rayservice:E23")
async def test_a_cluster_that_somebody_deletes_is_replaced_by_another() -> None:
    async with a_cluster() as cluster:
        old = active(await up(cluster))
        await cluster.delete("RayCluster", old)
        await cluster.after(300)
        service = await cluster.until("RayService", "web", condition="Ready")

    assert active(service) not in ("", old)


@pytest.mark.spec("rayservice:E06")
async def test_a_service_that_becomes_invalid_goes_on_serving() -> None:
    async with a_cluster() as cluster:
        name = active(await up(cluster))
        await cluster.patch("RayService", "web", {"spec": {"upgradeStrategy": {"type": "Nonsense"}}})
        await cluster.after(30)
        invalid, points = await cluster.get("RayService", "web"), await selected(cluster)
        await cluster.patch("RayService", "web", {"spec": {"upgradeStrategy": None}})
        mended = await cluster.until("RayService", "web", condition="Ready")

    assert condition(invalid, "Ready") == ("False", "ValidationFailed")
    assert invalid["status"]["serviceStatus"] == "Running"
    assert points == {name} == {active(mended)}
