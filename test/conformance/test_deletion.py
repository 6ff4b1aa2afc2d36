"""Deletion: spec kube-api §12."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from localcluster.testing.wire import Json, Wire

HOLD = "example.com/hold"


async def made(cluster: Wire, name: str, resource: str = "configmaps", **metadata: object) -> Json:
    return (await cluster.post(cluster.path(resource), {"metadata": {"name": name, **metadata}})).ok(201)


async def a_pod(cluster: Wire, name: str, **spec: object) -> Json:
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}
    return (await cluster.post(cluster.path("pods"), body)).ok(201)


async def released(cluster: Wire, path: str) -> Json:
    """Take all finalizers away."""
    return (await cluster.patch(path, {"metadata": {"finalizers": None}})).ok()


def time_of(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


@pytest.mark.spec("kube-api:DEL-1")
async def test_what_nobody_holds_is_gone_at_once(cluster: Wire, widgets: str) -> None:
    """The answer is a Status that names it; again is 404."""
    config_map = await made(cluster, "c1")
    body = {"apiVersion": "test.example.com/v1", "kind": "Widget", "metadata": {"name": "w1"}, "spec": {"size": 2}}
    widget = (await cluster.post(widgets, body)).ok(201)

    answer = await cluster.delete(cluster.path("configmaps", "c1"))
    again = await cluster.delete(cluster.path("configmaps", "c1"))
    custom = await cluster.delete(f"{widgets}/w1")

    uid = config_map["metadata"]["uid"]
    assert answer.ok() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "c1", "kind": "configmaps", "uid": uid},
    }
    assert again.ok(404)["message"] == 'configmaps "c1" not found'
    assert custom.ok()["details"] == {
        "name": "w1",
        "group": "test.example.com",
        "kind": "widgets",
        "uid": widget["metadata"]["uid"],
    }


@pytest.mark.spec("kube-api:DEL-1", "kube-api:DEL-3")
async def test_what_a_finalizer_holds_is_marked_and_stays(cluster: Wire) -> None:
    """The answer is the object; asking again changes nothing."""
    await made(cluster, "c1", finalizers=[HOLD])
    path = cluster.path("configmaps", "c1")

    first = (await cluster.delete(path)).ok()
    second = (await cluster.delete(path)).ok()

    assert (first["kind"], first["metadata"]["deletionGracePeriodSeconds"]) == ("ConfigMap", 0)
    assert time_of(first["metadata"]["deletionTimestamp"]) >= time_of(first["metadata"]["creationTimestamp"])
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    await released(cluster, path)


@pytest.mark.spec("kube-api:DEL-2")
@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"kind": "DeleteOptions", "apiVersion": "v1"},
        {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"},
    ],
)
async def test_options_of_a_delete_may_be_left_out(cluster: Wire, body: Json | None) -> None:
    """Wholly, or their kind."""
    await made(cluster, "c1")

    assert (await cluster.delete(cluster.path("configmaps", "c1"), body)).code == 200


@pytest.mark.spec("kube-api:DEL-2")
async def test_options_of_another_kind_are_a_bad_request(cluster: Wire) -> None:
    """And the object stays."""
    await made(cluster, "c1")
    path = cluster.path("configmaps", "c1")

    kind = await cluster.delete(path, {"kind": "Zork", "apiVersion": "v1"})
    malformed = await cluster.request("DELETE", path, b"{")

    assert kind.ok(400)["message"].startswith('no kind "Zork" is registered for version "v1" in scheme ')
    assert malformed.ok(400)["message"] == "couldn't get version/kind; json parse error: unexpected end of JSON input"
    assert (await cluster.get(path)).code == 200


@pytest.mark.spec("kube-api:DEL-3")
async def test_an_unknown_propagation_is_invalid(cluster: Wire) -> None:
    """As is giving it twice."""
    await made(cluster, "c1")
    path = cluster.path("configmaps", "c1")

    unknown = await cluster.delete(path, {"propagationPolicy": "Zork"})
    twice = await cluster.delete(path, {"propagationPolicy": "Orphan", "orphanDependents": True})

    assert unknown.ok(422)["message"] == (
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Zork": '
        'supported values: "Foreground", "Background", "Orphan", "nil"'
    )
    assert twice.ok(422)["message"].endswith("orphanDependents and deletionPropagation cannot be both set")


@pytest.mark.spec("kube-api:DEL-4")
async def test_a_delete_may_name_the_object_it_means(cluster: Wire) -> None:
    """Another uid or version is a conflict, in the Kind's name."""
    stored = await made(cluster, "d2")
    path = cluster.path("configmaps", "d2")
    uid, version = stored["metadata"]["uid"], stored["metadata"]["resourceVersion"]

    wrong_uid = await cluster.delete(path, {"preconditions": {"uid": "nope"}})
    wrong_version = await cluster.delete(path, {"preconditions": {"resourceVersion": "1"}})
    right = await cluster.delete(path, {"preconditions": {"uid": uid, "resourceVersion": version}})

    assert wrong_uid.ok(409)["message"] == (
        f'Operation cannot be fulfilled on ConfigMap "d2": the UID in the precondition (nope) does not match '
        f"the UID in record ({uid}). The object might have been deleted and then recreated"
    )
    assert wrong_uid.json["details"] == {"name": "d2", "kind": "ConfigMap"}
    assert wrong_version.ok(409)["message"] == (
        f'Operation cannot be fulfilled on ConfigMap "d2": the ResourceVersion in the precondition (1) does not match '
        f"the ResourceVersion in record ({version}). The object might have been modified"
    )
    assert right.code == 200


@pytest.mark.spec("kube-api:DEL-5")
async def test_a_dry_run_of_a_delete_answers_as_if_done(cluster: Wire) -> None:
    """From the query as from the body."""
    await made(cluster, "c1")
    path = cluster.path("configmaps", "c1")

    by_query = await cluster.delete(path, dryRun="All")
    by_body = await cluster.delete(path, {"dryRun": ["All"]})

    assert [answer.ok()["status"] for answer in (by_query, by_body)] == ["Success", "Success"]
    assert (await cluster.get(path)).code == 200


@pytest.mark.spec("kube-api:DEL-6")
async def test_nobody_else_can_hold_what_is_being_deleted(cluster: Wire) -> None:
    """Other fields may change; the last finalizer's going ends it, and that answer is the object."""
    await made(cluster, "d6", finalizers=["a.b/c"])
    path = cluster.path("configmaps", "d6")
    (await cluster.delete(path)).ok()

    more = await cluster.patch(path, {"metadata": {"finalizers": ["a.b/c", "x.y/z"]}})
    changed = (await cluster.patch(path, {"data": {"a": "1"}})).ok()
    last = await released(cluster, path)

    assert more.ok(422)["message"] == (
        'ConfigMap "d6" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is '
        'being deleted, found new finalizers []string{"x.y/z"}'
    )
    assert changed["data"] == {"a": "1"}
    assert last["kind"] == "ConfigMap"
    assert (await cluster.get(path)).code == 404


@pytest.mark.spec("kube-api:UPD-6")
async def test_a_deletion_cannot_be_taken_back(cluster: Wire) -> None:
    """Clearing the stamp is ignored."""
    await made(cluster, "c1", finalizers=[HOLD])
    path = cluster.path("configmaps", "c1")
    deleted = (await cluster.delete(path)).ok()

    answer = (await cluster.patch(path, {"metadata": {"deletionTimestamp": None}})).ok()

    assert answer["metadata"]["deletionTimestamp"] == deleted["metadata"]["deletionTimestamp"]
    await released(cluster, path)


@pytest.mark.spec("kube-api:DEL-8")
async def test_a_pod_that_no_node_has_is_gone_at_once(cluster: Wire) -> None:
    """The answer is the pod."""
    await a_pod(cluster, "p1")

    answer = (await cluster.delete(cluster.path("pods", "p1"))).ok()

    assert (answer["kind"], answer["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 0)
    assert (await cluster.get(cluster.path("pods", "p1"))).code == 404


@pytest.mark.spec("kube-api:DEL-9")
async def test_a_pod_on_a_node_gets_its_grace(cluster: Wire) -> None:
    """It stays until the kubelet has done; its generation grows; a later delete only shortens."""
    await a_pod(cluster, "p1", nodeName="n1", terminationGracePeriodSeconds=60)
    path = cluster.path("pods", "p1")

    first = (await cluster.delete(path)).ok()
    longer = (await cluster.delete(path, {"gracePeriodSeconds": 90})).ok()
    shorter = (await cluster.delete(path, {"gracePeriodSeconds": 5})).ok()
    (await cluster.delete(path, {"gracePeriodSeconds": 0})).ok()

    assert (first["metadata"]["deletionGracePeriodSeconds"], first["metadata"]["generation"]) == (60, 2)
    left = time_of(first["metadata"]["deletionTimestamp"]) - time_of(first["metadata"]["creationTimestamp"])
    assert timedelta(seconds=59) <= left <= timedelta(seconds=75)
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 60
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert time_of(shorter["metadata"]["deletionTimestamp"]) < time_of(first["metadata"]["deletionTimestamp"])
    assert (await cluster.get(path)).code == 404


@pytest.mark.spec("kube-api:DEL-9")
async def test_a_pod_with_a_finalizer_waits_for_it_without_grace(cluster: Wire) -> None:
    """Grace 0 does not overrule finalizers."""
    body = {
        "metadata": {"name": "p1", "finalizers": [HOLD]},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]},
    }
    (await cluster.post(cluster.path("pods"), body)).ok(201)
    path = cluster.path("pods", "p1")

    held = (await cluster.delete(path, {"gracePeriodSeconds": 0})).ok()
    await released(cluster, path)

    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    assert (await cluster.get(path)).code == 404


@pytest.mark.spec("kube-api:DEL-10")
async def test_a_collection_is_deleted_as_far_as_selected(cluster: Wire) -> None:
    """The answer is the list of what went."""
    for name, labels in (("a", {"go": "yes"}), ("b", {"go": "yes"}), ("c", {})):
        await made(cluster, name, labels=labels)

    answer = (await cluster.delete(cluster.path("configmaps"), labelSelector="go=yes")).ok()
    nothing = (await cluster.delete(cluster.path("configmaps"), labelSelector="go=yes")).ok()

    assert answer["kind"] == "ConfigMapList"
    assert sorted(item["metadata"]["name"] for item in answer["items"]) == ["a", "b"]
    assert nothing["items"] == []
    assert (await cluster.get(cluster.path("configmaps", "c"))).code == 200


def owned_by(owner: Json, kind: str = "ConfigMap", **more: object) -> list[Json]:
    metadata = owner["metadata"]
    return [{"apiVersion": "v1", "kind": kind, "name": metadata["name"], "uid": metadata["uid"], **more}]


@pytest.mark.spec("kube-api:GC-1")
async def test_dependents_follow_their_owner_in_the_background(cluster: Wire) -> None:
    """The owner goes first."""
    owner = await made(cluster, "owner")
    await made(cluster, "child", ownerReferences=owned_by(owner))

    (await cluster.delete(cluster.path("configmaps", "owner"), {"propagationPolicy": "Background"})).ok()

    assert (await cluster.get(cluster.path("configmaps", "owner"))).code == 404
    await cluster.gone(cluster.path("configmaps", "child"))


@pytest.mark.spec("kube-api:GC-1", "kube-api:DEL-7")
async def test_in_the_foreground_the_owner_waits_for_its_dependents(cluster: Wire) -> None:
    """A finalizer holds it until those that block it are gone."""
    owner = await made(cluster, "owner")
    await made(cluster, "child", ownerReferences=owned_by(owner, blockOwnerDeletion=True), finalizers=[HOLD])
    path = cluster.path("configmaps", "owner")

    answer = (await cluster.delete(path, {"propagationPolicy": "Foreground"})).ok()
    child = await cluster.until(
        cluster.path("configmaps", "child"), lambda item: "deletionTimestamp" in item["metadata"]
    )
    waiting = (await cluster.get(path)).ok()
    await released(cluster, cluster.path("configmaps", "child"))
    await cluster.gone(path)

    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert child["metadata"]["finalizers"] == [HOLD]
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]


@pytest.mark.spec("kube-api:GC-1", "kube-api:DEL-7")
async def test_orphans_lose_their_owner_and_stay(cluster: Wire) -> None:
    """The reference is taken out before the owner goes."""
    owner = await made(cluster, "owner")
    await made(cluster, "child", ownerReferences=owned_by(owner))
    path = cluster.path("configmaps", "owner")

    answer = (await cluster.delete(path, {"propagationPolicy": "Orphan"})).ok()
    await cluster.gone(path)
    child = (await cluster.get(cluster.path("configmaps", "child"))).ok()

    assert answer["metadata"]["finalizers"] == ["orphan"]
    assert not child["metadata"].get("ownerReferences")


@pytest.mark.spec("kube-api:GC-1")
async def test_what_is_made_for_an_owner_that_is_not_there_is_collected(cluster: Wire) -> None:
    """The uid decides, not the name."""
    owner = await made(cluster, "owner")
    reference = owned_by(owner)
    reference[0]["uid"] = "0b5b4e54-0000-4000-8000-000000000000"

    await made(cluster, "child", ownerReferences=reference)

    await cluster.gone(cluster.path("configmaps", "child"))
    assert (await cluster.get(cluster.path("configmaps", "owner"))).code == 200


@pytest.mark.spec("kube-api:GC-1")
async def test_one_owner_that_is_left_keeps_a_dependent(cluster: Wire) -> None:
    """Only the reference to the one that went is taken out."""
    first, second = await made(cluster, "first"), await made(cluster, "second")
    await made(cluster, "child", ownerReferences=owned_by(first) + owned_by(second))

    (await cluster.delete(cluster.path("configmaps", "first"), {"propagationPolicy": "Background"})).ok()
    child = await cluster.until(
        cluster.path("configmaps", "child"), lambda item: len(item["metadata"]["ownerReferences"]) == 1
    )

    assert child["metadata"]["ownerReferences"] == owned_by(second)


@pytest.mark.timeout(240)  # three waits for a controller that may be backing off
@pytest.mark.spec("kube-api:DEL-13", "kube-api:DEL-16")
async def test_a_namespace_takes_its_content_along(cluster: Wire) -> None:
    """Terminating meanwhile: nothing new is accepted, and it goes when all is gone."""
    name = f"{cluster.namespace}-x"
    path = f"/api/v1/namespaces/{name}"
    (await cluster.post("/api/v1/namespaces", {"metadata": {"name": name}})).ok(201)
    held = {"metadata": {"name": "held", "finalizers": [HOLD]}}
    (await cluster.post(cluster.path("configmaps", namespace=name), held)).ok(201)
    (await cluster.post(cluster.path("secrets", namespace=name), {"metadata": {"name": "s"}})).ok(201)

    answer = (await cluster.delete(path)).ok()
    late = await cluster.post(cluster.path("configmaps", namespace=name), {"metadata": {"name": "late"}})
    await cluster.gone(cluster.path("secrets", "s", namespace=name))
    await cluster.until(
        cluster.path("configmaps", "held", namespace=name), lambda item: "deletionTimestamp" in item["metadata"]
    )
    await released(cluster, cluster.path("configmaps", "held", namespace=name))
    await cluster.gone(path)

    assert (answer["status"]["phase"], answer["spec"]["finalizers"]) == ("Terminating", ["kubernetes"])
    assert "finalizers" not in answer["metadata"]
    assert late.ok(403)["message"] == (
        f'configmaps "late" is forbidden: unable to create new content in namespace {name} '
        "because it is being terminated"
    )
    assert [(reason, field) for reason, field, _ in late.causes] == [("NamespaceTerminating", "metadata.namespace")]


@pytest.mark.spec("kube-api:DEL-13")
async def test_the_default_namespace_cannot_be_deleted(cluster: Wire) -> None:
    """Nor kube-system."""
    for name in ("default", "kube-system"):
        answer = await cluster.delete(f"/api/v1/namespaces/{name}")

        assert answer.ok(403)["message"] == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


@pytest.mark.spec("kube-api:DEL-14")
async def test_a_namespace_that_cannot_go_says_why(cluster: Wire) -> None:
    """Conditions name what remains and who holds it."""
    name = f"{cluster.namespace}-y"
    path = f"/api/v1/namespaces/{name}"
    (await cluster.post("/api/v1/namespaces", {"metadata": {"name": name}})).ok(201)
    held = {"metadata": {"name": "held", "finalizers": [HOLD]}}
    (await cluster.post(cluster.path("configmaps", namespace=name), held)).ok(201)
    (await cluster.delete(path)).ok()

    def remaining(item: Json) -> bool:
        conditions = item["status"].get("conditions", ())
        return any(one["type"] == "NamespaceFinalizersRemaining" and one["status"] == "True" for one in conditions)

    namespace = await cluster.until(path, remaining, seconds=30)
    await released(cluster, cluster.path("configmaps", "held", namespace=name))

    conditions = {
        one["type"]: (one["status"], one["reason"], one["message"]) for one in namespace["status"]["conditions"]
    }
    assert conditions["NamespaceContentRemaining"] == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: configmaps. has 1 resource instances",
    )
    assert conditions["NamespaceFinalizersRemaining"] == (
        "True",
        "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
    )
    assert conditions["NamespaceDeletionContentFailure"][:2] == ("False", "ContentDeleted")


@pytest.mark.spec("kube-api:DEL-15")
async def test_the_finalizers_of_a_namespace_have_a_path_of_their_own(cluster: Wire) -> None:
    """The main path ignores them."""
    path = f"/api/v1/namespaces/{cluster.namespace}"

    answer = await cluster.patch(path, {"spec": {"finalizers": None}})

    assert answer.ok()["spec"]["finalizers"] == ["kubernetes"]
    namespace = answer.json
    namespace["spec"]["finalizers"] = ["kubernetes", "example.com/more"]
    changed = (await cluster.put(f"{path}/finalize", namespace)).ok()
    assert changed["spec"]["finalizers"] == ["kubernetes", "example.com/more"]
    changed["spec"]["finalizers"] = ["kubernetes"]
    (await cluster.put(f"{path}/finalize", changed)).ok()
