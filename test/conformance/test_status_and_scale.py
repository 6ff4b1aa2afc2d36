"""Generation, status and scale: spec kube-api §8."""

from __future__ import annotations

import pytest

from localcluster.testing.wire import Json, Wire


def widget(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "test.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 2, **spec},
    }


@pytest.mark.spec("kube-api:META-1")
async def test_the_generation_counts_changes_of_what_is_wanted(cluster: Wire, widgets: str) -> None:
    """Not of labels, not of status; being deleted counts too."""
    body = widget("w1")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    path = f"{widgets}/w1"

    seen = [(await cluster.post(widgets, body)).ok(201)]
    seen.append((await cluster.patch(path, {"metadata": {"labels": {"a": "b"}}})).ok())
    seen.append((await cluster.patch(f"{path}/status", {"status": {"phase": "Up"}})).ok())
    seen.append((await cluster.patch(path, {"spec": {"size": 3}})).ok())
    seen.append((await cluster.delete(path)).ok())
    await cluster.patch(path, {"metadata": {"finalizers": None}})

    assert [item["metadata"]["generation"] for item in seen] == [1, 1, 1, 2, 3]


@pytest.mark.spec("kube-api:META-1", "kube-api:STAT-1")
async def test_without_a_status_subresource_status_is_like_any_field(cluster: Wire, gadgets: str) -> None:
    """It counts for the generation, and /status is not there."""
    name = f"g-{cluster.namespace}"
    body = {"apiVersion": "test.example.com/v1", "kind": "Gadget", "metadata": {"name": name}, "status": {"a": 1}}
    made = (await cluster.post(gadgets, body)).ok(201)

    changed = (await cluster.patch(f"{gadgets}/{name}", {"status": {"a": 2}})).ok()
    absent = await cluster.get(f"{gadgets}/{name}/status")

    assert (made["status"], made["metadata"]["generation"]) == ({"a": 1}, 1)
    assert (changed["status"], changed["metadata"]["generation"]) == ({"a": 2}, 2)
    assert absent.ok(404)["message"] == f'gadgets.test.example.com "{name}" not found'
    await cluster.delete(f"{gadgets}/{name}")


@pytest.mark.spec("kube-api:META-2", "kube-api:TOP-7")
async def test_kinds_that_do_not_manage_a_generation_keep_what_they_are_sent(cluster: Wire) -> None:
    """A ConfigMap with generation 7 keeps 7; a pod starts with 1."""
    config_map = {"metadata": {"name": "c1", "generation": 7}}
    pod = {"metadata": {"name": "p1", "generation": 7}, "spec": {"containers": [{"name": "c", "image": "i"}]}}

    kept = (await cluster.post(cluster.path("configmaps"), config_map)).ok(201)
    managed = (await cluster.post(cluster.path("pods"), pod)).ok(201)

    assert kept["metadata"]["generation"] == 7
    assert managed["metadata"]["generation"] == 1


@pytest.mark.spec("kube-api:STAT-1")
async def test_status_is_written_through_its_own_path_only(cluster: Wire, widgets: str) -> None:
    """The main path drops it, /status drops everything else."""
    path = f"{widgets}/w1"
    made = (await cluster.post(widgets, {**widget("w1"), "status": {"phase": "Sent"}})).ok(201)
    changes = {"metadata": {"labels": {"a": "b"}}, "spec": {"size": 9}, "status": {"phase": "Up"}}

    through_status = (await cluster.patch(f"{path}/status", changes)).ok()
    through_main = (await cluster.patch(path, {"status": {"phase": "Down"}})).ok()

    assert "status" not in made
    assert (through_status["status"]["phase"], through_status["spec"]["size"]) == ("Up", 2)
    assert "labels" not in through_status["metadata"]
    assert through_main["status"]["phase"] == "Up"
    assert through_main["metadata"]["resourceVersion"] == through_status["metadata"]["resourceVersion"]


@pytest.mark.spec("kube-api:STAT-1", "kube-api:VAL-12")
async def test_defaults_and_pruning_apply_to_status(cluster: Wire, widgets: str) -> None:
    """A default shows as soon as there is a status; what is unknown is dropped with a warning."""
    (await cluster.post(widgets, widget("w1"))).ok(201)

    answer = await cluster.patch(f"{widgets}/w1/status", {"status": {"phase": "Up", "zork": 1}})

    assert answer.ok()["status"] == {"phase": "Up", "observed": 0}
    assert answer.warnings == ('299 - "unknown field \\"status.zork\\""',)


@pytest.mark.spec("kube-api:STAT-2")
async def test_the_main_path_of_a_pod_ignores_status(cluster: Wire) -> None:
    """Its /status ignores the spec."""
    pod = {
        "metadata": {"name": "p1"},
        "spec": {"containers": [{"name": "c", "image": "i:1"}]},
        "status": {"phase": "Running"},
    }
    path = cluster.path("pods", "p1")
    made = (await cluster.post(cluster.path("pods"), pod)).ok(201)

    ignored = (await cluster.patch(path, {"status": {"phase": "Failed"}})).ok()
    changed = (await cluster.patch(f"{path}/status", {"spec": {"hostname": "x"}, "status": {"phase": "Running"}})).ok()

    assert made["status"]["phase"] == "Pending"
    assert ignored["status"]["phase"] == "Pending"
    assert changed["status"]["phase"] == "Running"
    assert "hostname" not in changed["spec"]


@pytest.mark.spec("kube-api:STAT-3")
async def test_reading_status_gives_the_whole_object(cluster: Wire, widgets: str) -> None:
    """As kubectl --subresource=status expects."""
    made = (await cluster.post(widgets, widget("w1"))).ok(201)

    assert (await cluster.get(f"{widgets}/w1/status")).ok() == made


@pytest.mark.spec("kube-api:SCALE-1")
async def test_scale_shows_and_sets_the_replicas(cluster: Wire, widgets: str) -> None:
    """A Scale object; setting it changes the parent and its generation."""
    made = (await cluster.post(widgets, widget("w1"))).ok(201)
    path = f"{widgets}/w1/scale"

    scale = (await cluster.get(path)).ok()
    patched = (await cluster.patch(path, {"spec": {"replicas": 3}})).ok()
    parent = (await cluster.get(f"{widgets}/w1")).ok()
    put = await cluster.put(path, {"metadata": {"name": "w1", "namespace": cluster.namespace}, "spec": {"replicas": 4}})

    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["metadata"] == {
        key: made["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    assert (scale["spec"], scale["status"]) == ({"replicas": 1}, {"replicas": 0})
    assert patched["spec"] == {"replicas": 3}
    assert (parent["spec"]["replicas"], parent["metadata"]["generation"]) == (3, 2)
    assert put.ok()["spec"] == {"replicas": 4}


@pytest.mark.spec("kube-api:SCALE-1")
async def test_scale_refuses_negative_replicas_and_stale_versions(cluster: Wire, widgets: str) -> None:
    """In the parent's name."""
    (await cluster.post(widgets, widget("w1"))).ok(201)
    path = f"{widgets}/w1/scale"
    metadata = {"name": "w1", "namespace": cluster.namespace, "resourceVersion": "1"}

    negative = await cluster.patch(path, {"spec": {"replicas": -1}})
    stale = await cluster.put(path, {"metadata": metadata, "spec": {"replicas": 3}})

    assert negative.ok(422)["message"] == (
        'Widget.test.example.com "w1" is invalid: .spec.replicas: Invalid value: -1: should be a non-negative integer'
    )
    assert stale.ok(409)["reason"] == "Conflict"
