"""What the control plane does by itself, and what an operator trips over when it does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from localcluster.testing.cluster import a_cluster
from localcluster.testing.factories import a_container, a_job, a_pod, a_service


def a_map(name: str, *owners: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A ConfigMap, owned."""
    more = {"ownerReferences": list(owners)} if owners else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", **more, **metadata},
    }


def owner(item: Any, **more: Any) -> dict[str, Any]:
    """A reference to it."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": item.name, "uid": item.uid, **more}


@pytest.mark.spec("kube-api:GC-1")
async def test_in_the_foreground_an_owner_waits_for_the_dependents_that_block_it() -> None:
    """And goes when the last of them has gone, which a finalizer may delay."""
    async with a_cluster(operator=False) as cluster:
        one = await cluster.create(a_map("owner"))
        await cluster.create(a_map("child", owner(one, blockOwnerDeletion=True), finalizers=["x.y/z"]))

        await cluster.delete("ConfigMap", "owner", propagation="Foreground")
        await cluster.after(60)
        assert (await cluster.get("ConfigMap", "owner")).metadata.finalizers == ["foregroundDeletion"]
        child = await cluster.get("ConfigMap", "child")
        assert child.metadata.deletion_timestamp is not None

        await cluster.patch("ConfigMap", "child", {"metadata": {"finalizers": None}})
        await cluster.until("ConfigMap", "owner", gone=True, within=1)


async def test_orphaned_dependents_stay_and_forget_their_owner() -> None:
    """The reference is stripped before the owner goes."""
    async with a_cluster(operator=False) as cluster:
        one = await cluster.create(a_map("owner"))
        await cluster.create(a_map("child", owner(one)))

        await cluster.delete("ConfigMap", "owner", propagation="Orphan")
        await cluster.until("ConfigMap", "owner", gone=True, within=1)

        await cluster.after(60)
        assert (await cluster.get("ConfigMap", "child")).metadata.owner_references is None


async def test_an_object_whose_owner_does_not_exist_is_collected_at_once() -> None:
    """Also when an object of that name is there, with another uid."""
    async with a_cluster(operator=False) as cluster:
        one = await cluster.create(a_map("owner"))

        await cluster.create(a_map("child", {**owner(one), "uid": "11111111-2222-3333-4444-555555555555"}))

        await cluster.until("ConfigMap", "child", gone=True, within=1)
        assert await cluster.find("ConfigMap", "owner") is not None


async def test_a_dependent_of_two_owners_stays_while_one_of_them_lives() -> None:
    """Only the reference to the dead one is taken off."""
    async with a_cluster(operator=False) as cluster:
        one, two = await cluster.create(a_map("one")), await cluster.create(a_map("two"))
        await cluster.create(a_map("child", owner(one), owner(two)))

        await cluster.delete("ConfigMap", "one")

        def has_one_owner(child: Any) -> bool:
            return len(child.metadata.owner_references) == 1

        child = await cluster.until("ConfigMap", "child", where=has_one_owner, within=1)
        assert child.metadata.owner_references[0].name == "two"


async def test_a_failing_job_is_tried_again_with_growing_waits_and_then_given_up() -> None:
    """backoffLimit 2: three pods, 10 s and 20 s apart."""
    async with a_cluster(operator=False) as cluster:
        cluster.node.fail_container("j-*", code=1)
        await cluster.create(a_job("j", backoff_limit=2))

        job = await cluster.until("Job", "j", condition="Failed")

        assert job.condition("Failed").reason == "BackoffLimitExceeded"
        assert job.status.failed == 3
        assert timedelta(seconds=36) <= cluster.elapsed < timedelta(seconds=42)
        await cluster.after(1)  # events are written after the fact
        reasons = [one.reason for one in await cluster.events("j")]
        assert reasons == ["SuccessfulCreate"] * 3 + ["BackoffLimitExceeded"]


async def test_a_deleted_job_takes_its_pods_with_it() -> None:
    """Although they carry its tracking finalizer."""
    async with a_cluster(operator=False) as cluster:
        await cluster.create(a_job("j"))
        await cluster.until("Job", "j", ready=False, where=lambda job: job.status.ready == 1)
        (pod,) = await cluster.all_of("Pod")
        assert pod.metadata.labels["batch.kubernetes.io/job-name"] == "j"
        assert pod.metadata.finalizers == ["batch.kubernetes.io/job-tracking"]

        await cluster.delete("Job", "j", propagation="Background")

        await cluster.until("Pod", pod.name, gone=True, within=60)


async def test_a_finished_job_goes_after_its_time_to_live() -> None:
    """With its pod."""
    async with a_cluster(operator=False) as cluster:
        cluster.node.script("j-*", runs_seconds=1)
        await cluster.create(a_job("j", ttl_seconds_after_finished=100))
        await cluster.until("Job", "j", condition="Complete")
        done = cluster.elapsed

        await cluster.until("Job", "j", gone=True)

        assert timedelta(seconds=98) <= cluster.elapsed - done < timedelta(seconds=103)
        assert await cluster.all_of("Pod") == []


@pytest.mark.spec("kube-api:DEL-14")
async def test_a_deleted_namespace_goes_when_all_that_is_in_it_has_gone() -> None:
    """A finalizer in it holds it, and its conditions say so."""
    async with a_cluster(operator=False) as cluster:
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
        await cluster.until("ServiceAccount", "default", "n")
        held = a_map("held", finalizers=["a.b/c"])
        held["metadata"]["namespace"] = "n"
        await cluster.create(held)
        await cluster.create(a_pod("p", namespace="n"))
        await cluster.until("Pod", "p", "n", ready=True)

        await cluster.delete("Namespace", "n")
        namespace = await cluster.until("Namespace", "n", condition="NamespaceFinalizersRemaining")
        message = namespace.condition("NamespaceFinalizersRemaining").message
        assert message == "Some content in the namespace has finalizers remaining: a.b/c in 1 resource instances"

        await cluster.patch("ConfigMap", "held", {"metadata": {"finalizers": None}}, "n")
        await cluster.until("Namespace", "n", gone=True, within=60)


async def test_a_pod_without_room_waits_and_says_why_until_there_is_some() -> None:
    """No retry by the clock: the deletion of another pod brings it on its way."""
    async with a_cluster(operator=False) as cluster:
        greedy = a_container()
        greedy["resources"] = {"limits": {"nvidia.com/gpu": "600"}}
        await cluster.create(a_pod("first", greedy))
        await cluster.until("Pod", "first", ready=True)
        await cluster.create(a_pod("second", greedy))
        pod = await cluster.until("Pod", "second", condition=("PodScheduled", "False"))
        assert pod.condition("PodScheduled").reason == "Unschedulable"
        assert pod.condition("PodScheduled").message.startswith(
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
        )

        await cluster.after(3600)
        await cluster.delete("Pod", "first")

        await cluster.until("Pod", "second", ready=True, within=60)


async def test_pods_of_a_lost_node_become_unready_and_are_deleted_but_stay_until_it_is_back() -> None:
    """Nobody can say that their containers have ended."""
    async with a_cluster(operator=False) as cluster:
        await cluster.create(a_pod("p"))
        await cluster.until("Pod", "p", ready=True)

        cluster.lose_node()
        pod = await cluster.until("Pod", "p", condition=("Ready", "False"), within=60)
        assert pod.status.phase == "Running"
        assert (await cluster.get("Node", "local")).condition("Ready").status == "Unknown"
        pod = await cluster.until("Pod", "p", condition="DisruptionTarget", within=301)
        await cluster.after(3600)
        assert (await cluster.get("Pod", "p")).metadata.deletion_timestamp is not None
        assert len(cluster.node.containers("p")) == 1, "the node has not heard of it"

        cluster.find_node()
        await cluster.until("Pod", "p", gone=True, within=60)
        assert (await cluster.get("Node", "local")).condition("Ready").status == "True"


async def test_a_node_that_comes_back_does_not_run_pods_that_are_finished() -> None:
    """Somebody said so meanwhile; a finished pod never runs again."""
    async with a_cluster(operator=False) as cluster:
        cluster.lose_node()
        body = a_pod("p")
        body["spec"]["nodeName"] = "local"
        await cluster.create(body)
        await cluster.patch("Pod", "p", {"status": {"phase": "Failed"}}, subresource="status")
        await cluster.after(1)

        cluster.find_node()
        await cluster.after(60)

        assert cluster.node.containers("p") == []
        assert (await cluster.get("Pod", "p")).status.phase == "Failed"


async def test_nothing_of_a_pod_stays_when_its_object_is_gone() -> None:
    """Deleted by force, it gets no grace."""
    async with a_cluster(operator=False) as cluster:
        await cluster.create(a_pod("p"))
        await cluster.until("Pod", "p", ready=True)

        await cluster.delete("Pod", "p", grace_seconds=0)
        await cluster.after(1)

        assert await cluster.find("Pod", "p") is None
        assert cluster.node.containers("p") == []


async def test_a_running_pod_can_be_given_a_deadline() -> None:
    """The one part of its spec that matters to a life under way and may change."""
    async with a_cluster(operator=False) as cluster:
        await cluster.create(a_pod("p"))
        await cluster.until("Pod", "p", ready=True)

        await cluster.patch("Pod", "p", {"spec": {"activeDeadlineSeconds": 100}})

        pod = await cluster.until("Pod", "p", phase="Failed", within=200)
        assert pod.status.reason == "DeadlineExceeded"


async def test_a_service_forgets_a_pod_that_lost_its_label_and_slices_that_are_empty() -> None:
    """Traffic must not go on to what was taken out."""
    async with a_cluster(operator=False) as cluster:
        await cluster.create(a_service("s", {"app": "x"}))
        for number in range(101):
            await cluster.create(a_pod(f"p{number:03}", labels={"app": "x"}))
        await cluster.after(60)
        assert [len(one["endpoints"]) for one in await cluster.all_of("EndpointSlice") if _of(one, "s")] in (
            [100, 1],
            [1, 100],
        )

        await cluster.patch("Pod", "p000", {"metadata": {"labels": {"app": None}}})
        await cluster.after(10)

        (left,) = [one for one in await cluster.all_of("EndpointSlice") if _of(one, "s")]
        assert "p000" not in {one["targetRef"]["name"] for one in left["endpoints"]}
        (subset,) = (await cluster.get("Endpoints", "s"))["subsets"]
        assert "p000" not in {one["targetRef"]["name"] for one in subset["addresses"]}


def _of(endpoint_slice: Any, service: str) -> bool:
    return bool(endpoint_slice["metadata"]["labels"].get("kubernetes.io/service-name") == service)


async def test_an_object_whose_owner_is_of_a_kind_that_nobody_serves_stays() -> None:
    """Nobody can tell whether that owner is there."""
    async with a_cluster(operator=False) as cluster:
        reference = {"apiVersion": "nobody.example.com/v1", "kind": "Unheard", "name": "x", "uid": "x"}
        await cluster.create(a_map("child", reference))

        await cluster.after(600)

        assert await cluster.find("ConfigMap", "child") is not None


async def test_a_pod_whose_secret_is_missing_waits_and_starts_once_it_is_there() -> None:
    """CreateContainerConfigError names it."""
    async with a_cluster(operator=False) as cluster:
        reference = {"secretKeyRef": {"name": "s", "key": "k"}}
        await cluster.create(a_pod("p", a_container(env=[{"name": "X", "valueFrom": reference}])))

        def has_waited(pod: Any) -> bool:
            statuses = pod.status.container_statuses
            return bool(statuses) and statuses[0].state.waiting.reason == "CreateContainerConfigError"

        pod = await cluster.until("Pod", "p", where=has_waited)
        assert pod.status.container_statuses[0].state.waiting.message == 'secret "s" not found'
        await cluster.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "s", "namespace": "default"},
                "stringData": {"k": "v"},
            }
        )

        await cluster.until("Pod", "p", ready=True, within=30)
        (container,) = cluster.node.containers("p")
        assert dict(container.env)["X"] == "v"


async def test_a_deleted_pod_gets_its_grace_and_then_is_gone() -> None:
    """A container that ignores TERM is killed when the grace is over."""
    async with a_cluster(operator=False) as cluster:
        cluster.node.script("p", stop_seconds=3600)
        await cluster.create(a_pod("p", termination_grace_period_seconds=20))
        await cluster.until("Pod", "p", ready=True)
        before = cluster.elapsed

        await cluster.delete("Pod", "p")
        await cluster.until("Pod", "p", gone=True)

        assert timedelta(seconds=20) <= cluster.elapsed - before < timedelta(seconds=21)


async def test_an_evicted_pod_has_failed_for_good() -> None:
    """Whatever its restart policy says."""
    async with a_cluster(operator=False) as cluster:
        await cluster.create(a_pod("p"))
        await cluster.until("Pod", "p", ready=True)

        cluster.kubelet.evict("default", "p", "The node was low on resource: memory.")

        pod = await cluster.until("Pod", "p", phase="Failed")
        assert pod.status.reason == "Evicted"


async def test_an_image_that_is_refused_is_told_in_events_and_status() -> None:
    """And comes up once it can be had."""
    async with a_cluster(operator=False) as cluster:
        cluster.node.refuse_image("rayproject/*", "manifest unknown")
        await cluster.create(a_pod("p"))

        def backs_off(pod: Any) -> bool:
            statuses = pod.status.container_statuses
            return bool(statuses) and statuses[0].state.waiting.reason == "ImagePullBackOff"

        await cluster.until("Pod", "p", where=backs_off)
        messages = [one.message for one in await cluster.events("p")]
        assert 'Failed to pull image "rayproject/ray:2.52.0": manifest unknown' in messages

        cluster.node.serve_image("rayproject/*", seconds=5)
        await cluster.until("Pod", "p", ready=True, within=30)


async def test_a_released_pod_starts() -> None:
    """It was held back in ContainerCreating."""
    async with a_cluster(operator=False) as cluster:
        cluster.node.hold("p")
        await cluster.create(a_pod("p"))
        await cluster.after(600)
        assert (await cluster.get("Pod", "p")).status.phase == "Pending"

        cluster.node.release("p")

        await cluster.until("Pod", "p", ready=True, within=3)


async def test_objects_of_a_kind_that_came_later_are_collected_too() -> None:
    """Definitions come and go while the cluster runs."""
    async with a_cluster(operator=False) as cluster:
        names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.story.example"},
            "spec": {"group": "story.example", "scope": "Namespaced", "names": names, "versions": [version]},
        }
        await cluster.create(definition)
        await cluster.until("CustomResourceDefinition", "things.story.example", condition="Established")
        await cluster.after(1)
        one = await cluster.create(a_map("owner"))
        thing: dict[str, Any] = {"apiVersion": "story.example/v1", "kind": "Thing"}
        thing["metadata"] = {"name": "t", "namespace": "default", "ownerReferences": [owner(one)]}
        await cluster.create(thing)

        await cluster.delete("ConfigMap", "owner")

        await cluster.until("Thing", "t", gone=True, within=5)
