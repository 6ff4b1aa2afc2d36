"""Pods: what a new one is given, and what may change later."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from localcluster.api import Json, Refusal
from localcluster.apiserver.kinds.pods import qos_class
from localcluster.apiserver.local import LocalApi


def a_pod(name: str = "p", **spec: Any) -> Json:
    containers = spec.pop("containers", [{"name": "a", "image": "i:1"}])
    return {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}


async def refused(doing: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await doing
    return caught.value


@pytest.mark.spec("kube-api:POD-1")
async def test_a_pod_is_given_what_a_real_server_gives_it(api: LocalApi) -> None:
    """Token, tolerations, priority, policies; a status of its own is dropped."""
    pod = await api.create("pods", "default", {**a_pod(), "status": {"phase": "Running"}})

    spec = pod["spec"]
    volume = spec["volumes"][0]["name"]
    assert volume.startswith("kube-api-access-")
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": volume, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    ]
    assert [one["tolerationSeconds"] for one in spec["tolerations"]] == [300, 300]
    assert (spec["serviceAccountName"], spec["priority"], spec["enableServiceLinks"]) == ("default", 0, True)
    assert (spec["restartPolicy"], spec["dnsPolicy"]) == ("Always", "ClusterFirst")
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


@pytest.mark.spec("kube-api:POD-1")
@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("x", "Always"),
        ("x:latest", "Always"),
        ("r.io:5000/x", "Always"),
        ("x:1", "IfNotPresent"),
        ("x@sha256:ab", "IfNotPresent"),
    ],
)
async def test_images_without_a_fixed_tag_are_always_pulled(api: LocalApi, image: str, policy: str) -> None:
    """A port in a registry's name is no tag."""
    pod = await api.create("pods", "default", a_pod(containers=[{"name": "a", "image": image}]))

    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


async def test_a_limit_is_also_a_request_and_quantities_are_written_one_way(api: LocalApi) -> None:
    """What an operator reads back is what a real server would show."""
    resources = {"limits": {"cpu": "0.5", "memory": "1024Mi"}}

    pod = await api.create("pods", "default", a_pod(containers=[{"name": "a", "image": "i", "resources": resources}]))

    expected = {"cpu": "500m", "memory": "1Gi"}
    assert pod["spec"]["containers"][0]["resources"] == {"limits": expected, "requests": expected}
    assert pod["status"]["qosClass"] == "Guaranteed"


@pytest.mark.spec("kube-api:POD-2")
async def test_a_pod_with_an_unknown_service_account_is_forbidden(api: LocalApi) -> None:
    """Unless it is the default one, which may be late."""
    refusal = await refused(api.create("pods", "default", a_pod(serviceAccountName="nope")))

    why = 'error looking up service account default/nope: serviceaccount "nope" not found'
    assert (refusal.code, refusal.message) == (403, f'pods "p" is forbidden: {why}')


@pytest.mark.spec("kube-api:POD-2")
@pytest.mark.parametrize(
    ("container", "field", "message"),
    [
        ({"name": "a"}, "image", "Required value"),
        ({"image": "i"}, "name", "Required value"),
        (
            {"name": "a", "image": "i", "imagePullPolicy": "Zork"},
            "imagePullPolicy",
            'Unsupported value: "Zork": supported values: "Always", "IfNotPresent", "Never"',
        ),
        (
            {"name": "a", "image": "i", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            "resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            {"name": "a", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            "volumeMounts[0].name",
            'Not found: "v"',
        ),
    ],
)
async def test_a_broken_container_is_refused(api: LocalApi, container: Json, field: str, message: str) -> None:
    """With the field that is wrong."""
    refusal = await refused(api.create("pods", "default", a_pod(containers=[container])))

    (cause,) = refusal.details["causes"]
    assert (cause["field"], cause["message"]) == (f"spec.containers[0].{field}", message)


@pytest.mark.spec("kube-api:POD-2")
async def test_a_bad_quantity_cannot_be_decoded(api: LocalApi) -> None:
    """400, not 422."""
    container = {"name": "a", "image": "i", "resources": {"requests": {"cpu": "abc"}}}

    refusal = await refused(api.create("pods", "default", a_pod(containers=[container])))

    assert (refusal.code, "quantities must match the regular expression" in refusal.message) == (400, True)


@pytest.mark.spec("kube-api:POD-3", "kube-api:META-2")
async def test_the_image_of_a_pod_may_change_and_counts(api: LocalApi) -> None:
    """The generation grows."""
    pod = await api.create("pods", "default", a_pod())
    pod["spec"]["containers"][0]["image"] = "i:2"

    changed = await api.update("pods", "default", pod)

    assert changed["metadata"]["generation"] == pod["metadata"]["generation"] + 1


@pytest.mark.spec("kube-api:POD-3")
@pytest.mark.parametrize(
    ("change", "prefix"),
    [
        (lambda spec: spec["containers"].append({"name": "b", "image": "i"}), "pod updates may not add or remove"),
        (lambda spec: spec.update(nodeName="n"), "pod updates may not change fields other than"),
        (lambda spec: spec["containers"][0].update(env=[{"name": "E"}]), "pod updates may not change fields other"),
        (lambda spec: spec.update(tolerations=[]), "existing toleration can not be modified except"),
    ],
)
async def test_nothing_else_of_a_pod_may_change(api: LocalApi, change: Any, prefix: str) -> None:
    """Not even its node, which only a binding gives."""
    pod = await api.create("pods", "default", a_pod())
    changed = copy.deepcopy(pod)
    change(changed["spec"])

    refusal = await refused(api.update("pods", "default", changed))

    assert refusal.details["causes"][0]["message"].startswith(f"Forbidden: {prefix}")


@pytest.mark.spec("kube-api:STAT-2")
async def test_status_and_spec_are_written_by_paths_of_their_own(api: LocalApi) -> None:
    """But labels are taken through /status as well."""
    await api.create("pods", "default", a_pod())
    both = {"metadata": {"labels": {"y": "2"}}, "spec": {"activeDeadlineSeconds": 5}, "status": {"phase": "Running"}}

    main = await api.patch("pods", "default", "p", {"status": {"phase": "Running"}})
    status = await api.patch("pods", "default", "p", both, subresource="status")

    assert main["status"]["phase"] == "Pending"
    assert (status["status"]["phase"], status["metadata"]["labels"]) == ("Running", {"y": "2"})
    assert "activeDeadlineSeconds" not in status["spec"]


@pytest.mark.spec("kube-api:SUB-1")
async def test_a_binding_gives_a_pod_its_node_once(api: LocalApi) -> None:
    """And the condition that says so."""
    await api.create("pods", "default", a_pod())
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}

    await api.create("pods", "default", binding, subresource="binding")
    again = await refused(api.create("pods", "default", binding, subresource="binding"))
    pod = await api.get("pods", "default", "p")

    assert pod["spec"]["nodeName"] == "n1"
    assert pod["status"]["conditions"][0]["type"] == "PodScheduled"
    assert again.message.endswith('pod p is already assigned to node "n1"')


@pytest.mark.spec("kube-api:DEL-9")
async def test_a_pod_on_a_node_is_given_time_that_can_only_be_shortened(api: LocalApi, clock: Any) -> None:
    """The end is counted from the first request."""
    await api.create("pods", "default", a_pod(nodeName="n1", terminationGracePeriodSeconds=20))

    await api.delete("pods", "default", "p")
    first = (await api.get("pods", "default", "p"))["metadata"]
    clock.advance(3)
    await api.delete("pods", "default", "p", grace_seconds=5)
    second = (await api.get("pods", "default", "p"))["metadata"]
    await api.delete("pods", "default", "p", grace_seconds=50)
    third = (await api.get("pods", "default", "p"))["metadata"]
    await api.delete("pods", "default", "p", grace_seconds=0)

    assert (first["deletionTimestamp"], first["deletionGracePeriodSeconds"]) == ("2026-01-01T00:00:20Z", 20)
    assert (second["deletionTimestamp"], second["deletionGracePeriodSeconds"]) == ("2026-01-01T00:00:05Z", 5)
    assert third == second
    assert (await refused(api.get("pods", "default", "p"))).code == 404


@pytest.mark.spec("kube-api:DEL-8")
async def test_a_pod_that_never_ran_or_has_finished_goes_at_once(api: LocalApi) -> None:
    """There is no kubelet to wait for."""
    await api.create("pods", "default", a_pod("waiting"))
    await api.create("pods", "default", a_pod("done", nodeName="n1"))
    await api.patch("pods", "default", "done", {"status": {"phase": "Succeeded"}}, subresource="status")

    await api.delete("pods", "default", "waiting")
    await api.delete("pods", "default", "done")

    assert (await api.list("pods", "default")).items == []


@pytest.mark.spec("kube-api:SUB-6", "kube-api:ERR-17")
async def test_an_eviction_that_a_budget_forbids_is_put_off(api: LocalApi) -> None:
    """429 with a cause; allowed, it deletes."""
    await api.create("pods", "default", a_pod(nodeName="n1") | {"metadata": {"name": "p", "labels": {"app": "x"}}})
    budgets = "poddisruptionbudgets.policy"
    budget = {"metadata": {"name": "pdb"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}}
    await api.create(budgets, "default", budget)
    status = {"status": {"desiredHealthy": 1, "currentHealthy": 1, "disruptionsAllowed": 0}}
    await api.patch(budgets, "default", "pdb", status, subresource="status")
    eviction = {"metadata": {"name": "p"}}

    blocked = await refused(api.create("pods", "default", eviction, subresource="eviction"))
    await api.patch(budgets, "default", "pdb", {"status": {"disruptionsAllowed": 1}}, subresource="status")
    await api.create("pods", "default", eviction, subresource="eviction")

    text = "The disruption budget pdb needs 1 healthy pods and has 1 currently"
    assert (blocked.code, blocked.details["causes"]) == (429, [{"reason": "DisruptionBudget", "message": text}])
    assert "deletionTimestamp" in (await api.get("pods", "default", "p"))["metadata"]


@pytest.mark.spec("kube-api:SEL-5")
@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("spec.nodeName=n1", ["on"]),
        ("spec.nodeName=", ["off"]),
        ("status.phase=Pending", ["off", "on"]),
        ("spec.hostNetwork=false", ["off", "on"]),
        ("spec.restartPolicy!=Always", []),
    ],
)
async def test_pods_are_selected_by_their_fields(api: LocalApi, selector: str, names: list[str]) -> None:
    """As schedulers, kubelets and kubectl do."""
    await api.create("pods", "default", a_pod("on", nodeName="n1"))
    await api.create("pods", "default", a_pod("off"))

    found = await api.list("pods", "default", fields=selector)

    assert [one["metadata"]["name"] for one in found.items] == names


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"resources": {"requests": {"cpu": "1"}}}], "Burstable"),
        ([{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}], "Guaranteed"),
        ([{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}, {}], "Burstable"),
        ([{"resources": {"limits": {"nvidia.com/gpu": "1"}}}], "BestEffort"),
    ],
)
def test_the_quality_of_service_follows_from_cpu_and_memory(containers: list[Json], expected: str) -> None:
    """Of all containers."""
    assert qos_class({"containers": containers}) == expected
