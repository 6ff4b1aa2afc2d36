"""RayClusters from beginning to end, against the local API server, with a scripted node, in virtual time."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest

from controller.ray.desired.names import Slot, worker_pod
from localcluster.faults import When
from localcluster.testing.cluster import Cluster, a_cluster
from localcluster.testing.factories import a_container, a_pod, a_raycluster
from localcluster.testing.view import View

GROUP = "small"


def scaled(replicas: int, **more: Any) -> Any:
    """A change that sets the replicas of the first group."""

    def change(cluster: Any) -> None:
        cluster["spec"]["workerGroupSpecs"][0].update({"replicas": replicas, **more})

    return change


async def names(cluster: Cluster, node_type: str = "worker") -> set[str]:
    return {pod.name for pod in await cluster.pods("r", node_type=node_type)}


async def ready(cluster: Cluster, **spec: Any) -> View:
    """A cluster that has come up."""
    await cluster.create(a_raycluster("r", **spec))
    return await cluster.until("RayCluster", "r", phase="ready")


async def a_word(cluster: Cluster, workers: int) -> View:
    """Until the status counts that many ready workers."""
    return await cluster.until("RayCluster", "r", ready_worker_replicas=workers, desired_worker_replicas=workers)


async def reasons(cluster: Cluster) -> list[str]:
    return [event.reason for event in await cluster.events("r")]


# Starting


@pytest.mark.spec("raycluster:19.3/headpodready")
async def test_a_cluster_of_three_workers_starts_in_seven_writes_and_then_rests() -> None:
    """A Service, a head, three workers, and two words about them; then nothing for an hour."""
    async with a_cluster() as cluster:
        found = await ready(cluster, workers=3)

        assert len(cluster.writes) <= 7
        assert await reasons(cluster) == ["CreatedService", "CreatedHeadPod", "CreatedWorkerPod"]
        assert found.condition("HeadPodReady").status == "True"
        assert found.status.head.pod_name in await names(cluster, "head")
        assert found.status.endpoints.dashboard == "8265"
        assert await cluster.writes_during(3600) == []


async def test_a_start_takes_few_looks_and_is_told_with_its_last_pod() -> None:
    """Four pods take some twenty steps: most are only counted, and wait for each other; the last waits for nobody."""
    async with a_cluster() as cluster:
        found = await ready(cluster, workers=3)
        looks = cluster.kit.metrics.registry.get_sample_value
        results = ("success", "requeue_after", "error")
        count = sum(
            looks("controller_runtime_reconcile_total", {"controller": "raycluster", "result": one}) or 0
            for one in results
        )

        last = max(pod.condition("Ready").last_transition_time for pod in await cluster.pods("r"))
        assert found.status.state_transition_times["ready"] == last
        assert count <= 6


@pytest.mark.spec("raycluster:E1")
async def test_a_name_of_53_characters_works_to_the_end() -> None:
    async with a_cluster() as cluster:
        name = "r" * 53
        await cluster.create(a_raycluster(name, annotations={"ray.io/enable-serve-service": "true"}))

        await cluster.until("RayCluster", name, phase="ready")

        services = {service.name for service in await cluster.all_of("Service")}
        assert {f"{name}-head-svc", f"{name}-serve-svc"} <= services


@pytest.mark.spec("raycluster:E2")
async def test_an_invalid_cluster_is_told_and_starts_when_it_is_mended() -> None:
    async with a_cluster() as cluster:
        body = a_raycluster("r", workers=1)
        body["spec"]["workerGroupSpecs"][0]["minReplicas"] = 5
        body["spec"]["workerGroupSpecs"][0]["maxReplicas"] = 1
        await cluster.create(body)
        await cluster.after(60)
        told = await reasons(cluster)
        silent = await cluster.get("RayCluster", "r")

        await cluster.edit("RayCluster", "r", scaled(1, minReplicas=0))
        await cluster.until("RayCluster", "r", phase="ready")

        assert (told, cluster.writes[0].resource) == (["InvalidRayClusterSpec"], "services")
        assert "status" not in silent


# Scaling


async def test_a_cluster_is_scaled_from_one_to_five_to_two() -> None:
    async with a_cluster() as cluster:
        await ready(cluster, workers=1)
        one = await names(cluster)

        await cluster.edit("RayCluster", "r", scaled(5))
        await a_word(cluster, 5)
        five = await names(cluster)
        await cluster.edit("RayCluster", "r", scaled(2))
        await a_word(cluster, 2)
        await cluster.after(60)
        two = await names(cluster)

        assert (len(one), len(five), len(two)) == (1, 5, 2)
        assert one < five
        assert one < two < five
        assert await cluster.writes_during(3600) == []


async def test_four_more_workers_cost_seven_writes() -> None:
    """A ticket, four pods, and two words about them."""
    async with a_cluster() as cluster:
        await ready(cluster, workers=1)
        before = len(cluster.writes)

        await cluster.edit("RayCluster", "r", scaled(5))
        await a_word(cluster, 5)

        assert len(cluster.writes) - before <= 7


@pytest.mark.spec("raycluster:E24", "ray-side:S3-30")
async def test_the_autoscaler_names_who_goes_and_those_names_never_come_back() -> None:
    async with a_cluster() as cluster:
        await ready(cluster, workers=4, enable_in_tree_autoscaling=True)
        doomed = sorted(await names(cluster))[:2]

        await cluster.edit("RayCluster", "r", scaled(2, scaleStrategy={"workersToDelete": doomed}))
        await a_word(cluster, 2)
        left = await names(cluster)
        await cluster.edit("RayCluster", "r", scaled(4))
        await a_word(cluster, 4)

        assert (len(left), left & set(doomed)) == (2, set())
        assert (await names(cluster)) & set(doomed) == set()


@pytest.mark.spec(
    "raycluster:20/createdserviceaccount-failedtocreateserv", "raycluster:20/createdrole-failedtocreaterole"
)
async def test_an_autoscaler_gets_its_rights_before_its_pod() -> None:
    async with a_cluster() as cluster:
        await ready(cluster, workers=1, enable_in_tree_autoscaling=True)

        (head,) = await cluster.pods("r", node_type="head")
        made = [one.resource.partition(".")[0] for one in cluster.writes if one.verb == "create"]
        assert head.spec.service_account_name == "r"
        assert set(made[:4]) == {"serviceaccounts", "roles", "rolebindings", "services"}
        assert {"CreatedServiceAccount", "CreatedRole", "CreatedRoleBinding"} <= set(await reasons(cluster))
        assert await cluster.writes_during(3600) == []


@pytest.mark.spec("raycluster:E23")
async def test_with_an_autoscaler_nobody_else_removes_workers() -> None:
    async with a_cluster() as cluster:
        await ready(cluster, workers=3, enable_in_tree_autoscaling=True)
        before = await names(cluster)

        await cluster.edit("RayCluster", "r", scaled(1))
        await cluster.after(600)

        assert await names(cluster) == before


# Losses


@pytest.mark.spec("raycluster:E27")
async def test_a_deleted_worker_is_replaced_under_another_name() -> None:
    async with a_cluster() as cluster:
        await ready(cluster, workers=3)
        before = await names(cluster)
        lost = min(before)

        await cluster.delete("Pod", lost)
        await cluster.until("Pod", lost, gone=True)
        await cluster.after(60)

        after = await names(cluster)
        assert (len(after), lost in after, len(after & before)) == (3, False, 2)
        assert (await a_word(cluster, 3)).status.state == "ready"
        assert await cluster.writes_during(3600) == []


@pytest.mark.spec("raycluster:E20", "raycluster:E21")
async def test_a_head_whose_ray_ended_for_good_is_replaced_and_its_workers_stay() -> None:
    async with a_cluster() as cluster:
        body = a_raycluster("r", workers=2)
        body["spec"]["headGroupSpec"]["template"]["spec"]["restartPolicy"] = "Never"
        await cluster.create(body)
        found = await cluster.until("RayCluster", "r", phase="ready")
        workers, old = await names(cluster), found.status.head.pod_name
        container = body["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["name"]

        cluster.node.exit_container(old, container, 1)
        await cluster.until("Pod", old, gone=True)
        await cluster.until("RayCluster", "r", condition="HeadPodReady")
        await cluster.after(60)

        heads = await names(cluster, "head")
        assert (len(heads), old in heads) == (1, False)
        assert await names(cluster) == workers
        assert "DeletedHeadPod" in await reasons(cluster)


@pytest.mark.spec("raycluster:E21")
async def test_a_head_that_restarts_in_place_is_kept() -> None:
    async with a_cluster() as cluster:
        body = a_raycluster("r", workers=1)
        found = await ready(cluster, workers=1)
        old = found.status.head.pod_name
        container = body["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["name"]

        cluster.node.exit_container(old, container, 1)
        await cluster.after(120)

        assert await names(cluster, "head") == {old}


async def test_a_lost_service_is_made_again() -> None:
    async with a_cluster() as cluster:
        await ready(cluster, workers=1)

        await cluster.delete("Service", "r-head-svc")
        await cluster.until("Service", "r-head-svc")


async def test_a_lost_ticket_costs_one_write_and_doubles_nothing() -> None:
    """A replaced object has no annotation of ours any more."""
    async with a_cluster() as cluster:
        await ready(cluster, workers=1)
        await cluster.edit("RayCluster", "r", scaled(2))
        await a_word(cluster, 2)
        await cluster.edit("RayCluster", "r", lambda found: found["metadata"].pop("annotations"))
        quiet = await cluster.writes_during(60)
        before = len(cluster.writes)

        await cluster.edit("RayCluster", "r", scaled(3))
        await a_word(cluster, 3)

        wrote = [(one.verb, one.resource, one.subresource) for one in cluster.writes[before:]]
        assert quiet == []
        assert wrote.count(("patch", "rayclusters.ray.io", "")) == 1
        assert wrote.count(("create", "pods", "")) == 1


# Refusals


@pytest.mark.spec("raycluster:E31")
async def test_a_full_quota_is_asked_25_times_an_hour_and_reported_once() -> None:
    async with a_cluster() as cluster:
        words = 'pods "r" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0'
        cluster.faults.refuse(When("create", "pods"), 403, "Forbidden", words, times=None)
        await cluster.create(a_raycluster("r", workers=5))

        await cluster.after(3600)

        found = await cluster.get("RayCluster", "r")
        failure = found.condition("ReplicaFailure")
        assert failure
        assert (failure.status, failure.reason, failure.message) == (
            "True",
            "FailedCreateHeadPod",
            f"FailedCreateHeadPod\n{words}",
        )
        assert len(cluster.writes) <= 25
        assert len([one for one in cluster.writes if one.subresource == "status"]) == 1

        cluster.faults.clear()
        found = await cluster.until("RayCluster", "r", phase="ready")
        assert not found.condition("ReplicaFailure")


@pytest.mark.spec("raycluster:E33")
async def test_a_refused_group_does_not_starve_the_others() -> None:
    async with a_cluster() as cluster:
        body = a_raycluster("r", workers=2, group="first")
        second = {**body["spec"]["workerGroupSpecs"][0], "groupName": "second"}
        body["spec"]["workerGroupSpecs"].append(second)
        cluster.faults.refuse(When("create", "pods", "r-first-*"), 403, "Forbidden", "no", times=None)
        await cluster.create(body)

        await cluster.until("RayCluster", "r", available_worker_replicas=2)

        assert {name.split("-")[1] for name in await names(cluster)} == {"second"}


@pytest.mark.spec("raycluster:E64")
async def test_a_foreign_service_of_the_head_s_name_is_told_and_never_touched() -> None:
    async with a_cluster() as cluster:
        theirs = {"metadata": {"name": "r-head-svc", "namespace": "default"}, "spec": {"ports": [{"port": 1}]}}
        made = await cluster.create({"apiVersion": "v1", "kind": "Service", **theirs})

        await cluster.create(a_raycluster("r", workers=1))
        await cluster.after(120)

        assert "FailedToCreateService" in await reasons(cluster)
        assert (await cluster.get("Service", "r-head-svc"))["spec"] == made["spec"]
        assert await cluster.pods("r") == []


# Suspending


@pytest.mark.spec("raycluster:19.3/rayclustersuspending-rayclustersuspended")
async def test_a_cluster_is_suspended_and_resumed() -> None:
    async with a_cluster() as cluster:
        await ready(cluster, workers=2)
        first = {pod.name for pod in await cluster.pods("r")}

        await cluster.patch("RayCluster", "r", {"spec": {"suspend": True}})
        suspended = await cluster.until("RayCluster", "r", condition="RayClusterSuspended")
        pods = await cluster.pods("r")
        rest = await cluster.writes_during(3600)
        await cluster.patch("RayCluster", "r", {"spec": {"suspend": False}})
        await cluster.until("RayCluster", "r", phase="ready")

        second = {pod.name for pod in await cluster.pods("r")}
        assert (suspended.status.state, pods, rest) == ("suspended", [], [])
        assert (len(second), first & second) == (3, set())


@pytest.mark.spec("raycluster:E77")
async def test_suspending_cannot_be_stopped_half_way() -> None:
    async with a_cluster() as cluster:
        cluster.node.script("r-*", stop_seconds=20)
        await ready(cluster, workers=1)
        first = {pod.name for pod in await cluster.pods("r")}

        await cluster.patch("RayCluster", "r", {"spec": {"suspend": True}})
        await cluster.until("RayCluster", "r", condition="RayClusterSuspending")
        await cluster.patch("RayCluster", "r", {"spec": {"suspend": False}})
        await cluster.until("RayCluster", "r", condition="RayClusterSuspended")
        await cluster.until("RayCluster", "r", phase="ready")

        assert {pod.name for pod in await cluster.pods("r")} & first == set()


# Ending


async def test_a_deleted_cluster_leaves_nothing_behind() -> None:
    async with a_cluster() as cluster:
        await ready(cluster, workers=2, enable_in_tree_autoscaling=True, auth_options={"mode": "token"})
        before = len(cluster.writes)

        await cluster.delete("RayCluster", "r")
        await cluster.until("RayCluster", "r", gone=True)
        await cluster.after(60)

        kinds = ("Pod", "Service", "Secret", "ServiceAccount", "Role", "RoleBinding")
        left = [f"{kind} {one.name}" for kind in kinds for one in await cluster.all_of(kind)]
        assert left == ["Service kubernetes", "ServiceAccount default"]
        assert cluster.writes[before:] == []


@pytest.mark.spec("raycluster:E45")
async def test_a_namesake_waits_until_the_old_pods_are_gone() -> None:
    """Its head would share its name with theirs, and its workers might join the wrong one."""
    async with a_cluster() as cluster:
        cluster.node.script("r-*", stop_seconds=25)
        await ready(cluster, workers=1)
        old = {pod.name for pod in await cluster.pods("r")}
        await cluster.delete("RayCluster", "r")
        await cluster.until("RayCluster", "r", gone=True)

        await cluster.create(a_raycluster("r", workers=1))
        await cluster.after(5)
        meanwhile = {pod.name for pod in await cluster.pods("r")}
        await cluster.until("RayCluster", "r", phase="ready")

        assert meanwhile == old
        assert {pod.name for pod in await cluster.pods("r")} & old == set()
        assert cluster.elapsed < timedelta(seconds=120)


# Tokens and upgrades


@pytest.mark.spec("raycluster:E14", "raycluster:E90")
async def test_a_token_is_made_once_and_lives_as_long_as_the_cluster() -> None:
    async with a_cluster() as cluster:
        await ready(cluster, workers=1, auth_options={"mode": "token"})
        secret = await cluster.get("Secret", "r")

        await cluster.delete("Pod", next(iter(await names(cluster, "head"))))
        await cluster.after(120)

        assert base64.b64decode(secret.data.auth_token) != b""
        assert (await cluster.get("Secret", "r"))["data"] == secret["data"]


async def test_no_two_clusters_have_the_same_token() -> None:
    """Chance is drawn ahead of the pass that may need it, and never serves twice."""
    async with a_cluster() as cluster:
        for name in ("a", "b", "c"):
            await cluster.create(a_raycluster(name, workers=0, auth_options={"mode": "token"}))
        for name in ("a", "b", "c"):
            await cluster.until("RayCluster", name, phase="ready")

        assert len({(await cluster.get("Secret", name)).data.auth_token for name in ("a", "b", "c")}) == 3


@pytest.mark.spec("raycluster:E86")
async def test_a_changed_image_replaces_all_pods_where_asked_for() -> None:
    async with a_cluster() as cluster:
        await ready(cluster, workers=1, upgrade_strategy={"type": "Recreate"})
        old = {pod.name for pod in await cluster.pods("r")}

        def change(found: Any) -> None:
            for part in (found["spec"]["headGroupSpec"], *found["spec"]["workerGroupSpecs"]):
                part["template"]["spec"]["containers"] = [a_container("ray", command=["sleep", "1"])]

        await cluster.edit("RayCluster", "r", change)
        await cluster.after(120)

        new = await cluster.pods("r")
        assert (len(new), {pod.name for pod in new} & old) == (2, set())
        assert {pod.spec.containers[0].name for pod in new} == {"ray"}
        assert await cluster.writes_during(3600) == []


# Names that are taken


async def a_pod_in_the_way(cluster: Cluster, *, ours: bool) -> str:
    """A RayCluster of one worker, and, before the operator sees it, a pod under the name that the worker will have."""
    made = await cluster.create(a_raycluster("r", workers=1))
    name = worker_pod("r", made.uid, Slot(GROUP, 0), made.uid)
    owner = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "r", "uid": made.uid, "controller": True}
    pod = a_pod(name)
    pod["metadata"]["ownerReferences"] = [owner] if ours else []
    await cluster.create(pod)
    return name


async def test_a_pod_of_ours_that_has_the_name_by_chance_costs_a_ticket() -> None:
    """Five characters can collide: the next pass takes other ones."""
    async with a_cluster(operator=False) as cluster:
        taken = await a_pod_in_the_way(cluster, ours=True)

        await cluster.start_operator()
        await cluster.until("RayCluster", "r", phase="ready")

        assert len(await names(cluster)) == 1
        assert taken not in await names(cluster)


async def test_a_foreign_pod_that_has_the_name_is_told_and_never_touched() -> None:
    async with a_cluster(operator=False) as cluster:
        taken = await a_pod_in_the_way(cluster, ours=False)
        before = await cluster.get("Pod", taken)

        await cluster.start_operator()
        found = await cluster.until("RayCluster", "r", condition="ReplicaFailure")
        await cluster.after(60)

        assert found.condition("ReplicaFailure").reason == "FailedCreateWorkerPod"
        assert (await cluster.get("Pod", taken)).uid == before.uid
        assert len(await names(cluster, "head")) == 1


# Several hosts to a replica


@pytest.mark.spec("raycluster:E36", "raycluster:E38")
async def test_slices_start_lose_a_host_and_shrink_as_a_whole() -> None:
    async with a_cluster() as cluster:
        first = await two_slices(cluster)
        broken, kept = sorted(first)

        await cluster.delete("Pod", first[broken][0])
        await cluster.after(120)
        second = await slices(cluster)
        doomed = {"workersToDelete": [second[kept][0]]}
        await cluster.edit("RayCluster", "r", scaled(1, scaleStrategy=doomed))
        await cluster.after(120)

        assert [len(hosts) for hosts in first.values()] == [len(hosts) for hosts in second.values()] == [2, 2]
        assert (kept in second, broken in second) == (True, False)
        assert set(await slices(cluster)) == set(second) - {kept}
        assert await cluster.writes_during(3600) == []


async def two_slices(cluster: Cluster) -> dict[str, list[str]]:
    """A cluster `r` with two replicas of two hosts each, once it is ready; its replicas."""
    body = a_raycluster("r", workers=2)
    body["spec"]["workerGroupSpecs"][0]["numOfHosts"] = 2
    await cluster.create(body)
    await cluster.until("RayCluster", "r", phase="ready")
    return await slices(cluster)


async def slices(cluster: Cluster) -> dict[str, list[str]]:
    """The hosts of each replica of the cluster `r`."""
    found: dict[str, list[str]] = {}
    for pod in await cluster.pods("r", node_type="worker"):
        found.setdefault(pod.metadata.labels["ray.io/worker-group-replica-name"], []).append(pod.name)
    return found


@pytest.mark.parametrize("named", [True, False])
async def test_a_slice_whose_hosts_end_one_after_another_takes_no_other_one_along(named: bool) -> None:
    """One that has a host left is no replica, and must not count as one: the other would be too many then."""
    async with a_cluster() as cluster:
        before = await two_slices(cluster)
        for quick, _ in before.values():
            cluster.node.script(quick, stop_seconds=1)
        for _, slow in before.values():
            cluster.node.script(slow, stop_seconds=20)

        doomed = {"workersToDelete": [next(iter(before.values()))[0]]} if named else {}
        await cluster.edit("RayCluster", "r", scaled(1, scaleStrategy=doomed))
        await cluster.after(120)

        after = await slices(cluster)
        assert len(after) == 1
        assert after.items() <= before.items()
        assert await cluster.writes_during(3600) == []


# The way in


@pytest.mark.spec("raycluster:E66", "raycluster:20/createdingress-failedtocreateingress")
async def test_an_ingress_is_made_and_repaired() -> None:
    async with a_cluster() as cluster:
        body = a_raycluster("r", workers=1)
        body["spec"]["headGroupSpec"]["enableIngress"] = True
        await cluster.create(body)
        await cluster.until("RayCluster", "r", phase="ready")
        made = await cluster.get("Ingress", "r-head-ingress")
        quiet = await cluster.writes_during(3600)

        await cluster.patch("Ingress", "r-head-ingress", {"metadata": {"labels": {"ray.io/cluster": "x"}}})
        await cluster.after(60)

        assert quiet == []
        assert (await cluster.get("Ingress", "r-head-ingress"))["metadata"]["labels"] == made["metadata"]["labels"]
        assert {"CreatedIngress", "UpdatedIngress"} <= set(await reasons(cluster))
