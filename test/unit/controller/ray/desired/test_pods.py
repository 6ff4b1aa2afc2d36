"""Whole pods: golden files show in review what changes; the tests say what may not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from api.meta import Json
from controller.ray.desired import pods
from controller.ray.desired.facts import Facts
from controller.ray.desired.names import HEAD_SLOT, Slot
from controller.ray.desired.pods import Place
from controller.ray.options import Gates, Options

FactsOf = Callable[..., Facts]
Maker = Callable[..., Json]

GOLDEN = Path(__file__).parents[4] / "golden"
SERVICE = {"ray.io/originated-from-crd": "RayService"}


def head(facts: Facts, options: Options | None = None) -> Json:
    return pods.head(facts, Place(HEAD_SLOT, "ticket"), "HASH", options or Options())


def worker(facts: Facts, options: Options | None = None, slot: Slot | None = None) -> Json:
    return pods.worker(facts, facts.workers[0], Place(slot or Slot("g", 0), "ticket"), options or Options())


def ray(pod: Json) -> Json:
    found: Json = pod["spec"]["containers"][0]
    return found


def values(container: Json, name: str) -> list[Any]:
    return [one.get("value", one.get("valueFrom")) for one in container["env"] if one["name"] == name]


def order(container: Json) -> list[str]:
    return [one["name"] for one in container["env"]]


def shown(name: str, pod: Json) -> Json:
    """The golden file; written anew with MANTA_GOLDEN=write, for a person to look at what changed."""
    path = GOLDEN / f"{name}.json"
    if os.environ.get("MANTA_GOLDEN") == "write":
        path.write_text(json.dumps(pod, indent=2) + "\n")
    found: Json = json.loads(path.read_text())
    return found


def plain(facts: FactsOf, template: Maker, container: Maker) -> Facts:
    limits = {"limits": {"cpu": "1", "memory": "2Gi"}}
    return facts(
        name="demo",
        rayVersion="2.53.0",
        head={"template": template(container("ray-head", resources=limits)), "rayStartParams": {}},
        groups=[{"template": template(container("ray-worker", resources=limits))}],
    )


def test_a_plain_head(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    pod = head(plain(facts, a_template, a_container))

    assert pod == shown("raycluster-head", pod)


def test_a_plain_worker(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    pod = worker(plain(facts, a_template, a_container))

    assert pod == shown("raycluster-worker", pod)


def everything(facts: FactsOf, template: Maker, container: Maker) -> Facts:
    """Sidecars, init containers, user variables, an autoscaler v2, tokens and a RayService as the maker."""
    mine = container(
        "ray-head",
        imagePullPolicy="Always",
        env=[{"name": "RAY_PORT", "value": "1"}, {"name": "RAY_CLUSTER_NAME", "value": "x"}],
        ports=[{"name": "serve", "containerPort": 8111}],
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
        command=["echo", "hello"],
    )
    pod = template(
        mine,
        container("side"),
        metadata={
            "name": "chosen",
            "namespace": "elsewhere",
            "labels": {"ray.io/cluster": "other", "team": "a"},
            "annotations": {"note": "b"},
            "finalizers": ["example.com/keep"],
        },
        initContainers=[container("first")],
        volumes=[{"name": "data", "emptyDir": {}}],
    )
    return facts(
        name="demo",
        labels=SERVICE,
        rayVersion="2.52.0",
        enableInTreeAutoscaling=True,
        autoscalerOptions={"version": "v2", "env": [{"name": "A", "value": "b"}], "image": "scaler:1"},
        authOptions={"mode": "token"},
        head={"template": pod, "resources": {"CPU": "2", "magic": "1"}, "labels": {"zone": "z"}},
        groups=[{"template": deepcopy(pod), "labels": {"zone": "z"}, "maxReplicas": 3}],
    )


SIDECARS = Options(
    default_container_envs=({"name": "FROM_CONFIG", "value": "1"},),
    head_sidecars=({"name": "head-side", "image": "s"},),
    worker_sidecars=({"name": "worker-side", "image": "s"},),
    default_pod_annotations={"from": "config", "note": "loses"},
    default_pod_labels={"from": "config", "team": "loses"},
)


def test_a_head_with_everything(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    pod = head(everything(facts, a_template, a_container), SIDECARS)

    assert pod == shown("raycluster-head-everything", pod)


def test_a_worker_with_everything(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    pod = worker(everything(facts, a_template, a_container), SIDECARS)

    assert pod == shown("raycluster-worker-everything", pod)


def test_containers_stand_in_the_reference_s_order(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    found = everything(facts, a_template, a_container)

    of_head, of_worker = head(found, SIDECARS)["spec"], worker(found, SIDECARS)["spec"]

    assert [one["name"] for one in of_head["containers"]] == ["ray-head", "side", "autoscaler", "head-side"]
    assert [one["name"] for one in of_worker["containers"]] == ["ray-head", "side", "worker-side"]
    assert [one["name"] for one in of_worker["initContainers"]] == ["first", "wait-gcs-ready"]


@pytest.mark.spec("raycluster:E59")
def test_building_changes_neither_the_spec_nor_the_next_pod(
    facts: FactsOf, a_template: Maker, a_container: Maker
) -> None:
    found = everything(facts, a_template, a_container)
    before = deepcopy((found.head.template, found.workers[0].template, found.head.params, found.workers[0].params))

    first, second = worker(found, SIDECARS), worker(found, SIDECARS)
    head(found, SIDECARS)

    assert first == second
    assert (found.head.template, found.workers[0].template, found.head.params, found.workers[0].params) == before


@pytest.mark.spec("raycluster:E42")
def test_a_template_s_namespace_counts_for_nothing_and_its_name_only_for_the_head(
    facts: FactsOf, a_template: Maker
) -> None:
    pod = a_template(metadata={"name": "mine", "namespace": "elsewhere"})
    found = facts(head={"template": pod}, groups=[{"template": pod}])

    of_head, of_worker = head(found)["metadata"], worker(found)["metadata"]

    assert (of_head["name"], of_head["namespace"]) == ("mine", "ns")
    assert of_worker["name"].startswith("r-g-worker-")
    assert of_worker["namespace"] == "ns"


@pytest.mark.parametrize(("name", "found"), [("r", "r-head"), ("c" * 53, "c" * 50 + "-head")])
def test_a_head_s_name_can_be_made_predictable(facts: FactsOf, name: str, found: str) -> None:
    assert head(facts(name=name), Options(deterministic_head_name=True))["metadata"]["name"] == found


@pytest.mark.spec("raycluster:E43")
@pytest.mark.parametrize("place", ["template", "labels"])
def test_three_labels_cannot_be_overridden(facts: FactsOf, a_template: Maker, place: str) -> None:
    theirs = {
        "ray.io/cluster": "x",
        "ray.io/group": "x",
        "ray.io/node-type": "x",
        "ray.io/identifier": "mine",
        "a": "b",
    }
    group = {"labels": theirs} if place == "labels" else {"template": a_template(metadata={"labels": theirs})}

    found = worker(facts(groups=[group]))["metadata"]["labels"]

    assert (found["ray.io/cluster"], found["ray.io/group"], found["ray.io/node-type"]) == ("r", "g", "worker")
    assert (found["ray.io/identifier"], found["a"]) == ("mine", "b")


def test_a_group_s_own_labels_win_over_its_template_s(facts: FactsOf, a_template: Maker) -> None:
    group = {"labels": {"a": "group"}, "template": a_template(metadata={"labels": {"a": "template"}})}

    assert worker(facts(groups=[group]))["metadata"]["labels"]["a"] == "group"


@pytest.mark.spec("raycluster:E7")
def test_an_upper_case_group_keeps_its_case_in_the_label(facts: FactsOf) -> None:
    pod = worker(facts(groups=[{"groupName": "GPU"}]), slot=Slot("GPU", 0))

    assert pod["metadata"]["labels"]["ray.io/group"] == "GPU"
    assert pod["metadata"]["name"].startswith("r-gpu-worker-")


@pytest.mark.spec("raycluster:E40")
def test_a_worker_of_one_host_has_an_index_and_nothing_else_of_a_replica(facts: FactsOf) -> None:
    found = worker(facts(), slot=Slot("g", 4))["metadata"]["labels"]

    assert found["ray.io/worker-group-replica-index"] == "4"
    assert not {"ray.io/worker-group-replica-name", "ray.io/replica-host-index"} & found.keys()


def test_without_the_gate_a_worker_has_no_index(facts: FactsOf) -> None:
    found = worker(facts(), Options(gates=Gates(ray_multi_host_indexing=False)))

    assert "ray.io/worker-group-replica-index" not in found["metadata"]["labels"]


def test_a_pod_says_which_place_it_fills(facts: FactsOf) -> None:
    found = worker(facts(), slot=Slot("g", 4))["metadata"]["annotations"]

    assert (found["manta.ray.io/slot"], found["manta.ray.io/slot-ticket"]) == ("g/4", "ticket")


@pytest.mark.parametrize("hosts", [1, 2])
@pytest.mark.parametrize("gates", [Gates(), Gates(ray_multi_host_indexing=False)])
def test_workers_built_together_are_like_those_built_one_by_one(
    facts: FactsOf, a_template: Maker, hosts: int, gates: Gates
) -> None:
    """Names, labels and annotations differ, in the same order; what they run is the same."""
    template = a_template(metadata={"labels": {"team": "a"}, "annotations": {"note": "b"}, "finalizers": ["f"]})
    asked = facts(groups=[{"groupName": "g", "numOfHosts": hosts, "template": template}])
    options = Options(gates=gates, default_pod_labels={"x": "y"}, default_pod_annotations={"z": "w"})
    slots = [Slot("g", index, host if hosts > 1 else None) for index in (0, 3) for host in range(hosts)]
    places = [Place(slot, "ticket") for slot in slots]

    together = pods.workers(asked, asked.workers[0], places, options)

    alone = [pods.worker(asked, asked.workers[0], place, options) for place in places]
    assert json.dumps(alone) == json.dumps(together)
    assert len({pod["metadata"]["name"] for pod in together}) == len(places)


def test_nobody_asked_for_is_nobody_built(facts: FactsOf) -> None:
    """A pass that needs no pod of a group builds none."""
    asked = facts()

    assert pods.workers(asked, asked.workers[0], [], Options()) == []


def test_only_the_head_carries_the_spec_s_hash(facts: FactsOf) -> None:
    of_head, of_worker = (pod["metadata"]["annotations"] for pod in (head(facts()), worker(facts())))

    assert of_head["ray.io/upgrade-strategy-recreate-hash"] == "HASH"
    assert of_head["ray.io/kuberay-version"] == Options().version
    assert of_head["ray.io/ft-enabled"] == "false"
    assert (
        not {"ray.io/upgrade-strategy-recreate-hash", "ray.io/kuberay-version", "ray.io/ft-enabled"} & of_worker.keys()
    )


@pytest.mark.parametrize("value", ["true", "TRUE"])
@pytest.mark.parametrize("place", ["cluster", "template"])
def test_a_user_may_keep_the_command(
    facts: FactsOf, a_template: Maker, a_container: Maker, value: str, place: str
) -> None:
    asked = {"ray.io/overwrite-container-cmd": value}
    pod = a_template(a_container(command=["mine"]), metadata={"annotations": asked if place == "template" else {}})
    found = worker(facts(groups=[{"template": pod}], annotations=asked if place == "cluster" else {}))

    assert (ray(found)["command"], "args" in ray(found)) == (["mine"], False)
    assert values(ray(found), "KUBERAY_GEN_RAY_START_CMD")[0].startswith("ray start ")


# Environment


def test_a_head_s_variables_come_in_the_reference_s_order(facts: FactsOf) -> None:
    assert order(ray(head(facts()))) == [
        "RAY_CLUSTER_NAME",
        "RAY_CLUSTER_NAMESPACE",
        "RAY_CLOUD_INSTANCE_ID",
        "RAY_NODE_TYPE_NAME",
        "KUBERAY_GEN_RAY_START_CMD",
        "RAY_PORT",
        "RAY_ADDRESS",
        "RAY_USAGE_STATS_KUBERAY_IN_USE",
        "RAY_USAGE_STATS_EXTRA_TAGS",
        "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE",
    ]


def test_a_ray_service_s_worker_s_variables_come_in_the_reference_s_order(facts: FactsOf) -> None:
    options = Options(default_container_envs=({"name": "MINE", "value": "1"},))

    assert order(ray(worker(facts(labels=SERVICE), options))) == [
        "MINE",
        "FQ_RAY_IP",
        "RAY_IP",
        "RAY_CLUSTER_NAME",
        "RAY_CLUSTER_NAMESPACE",
        "RAY_CLOUD_INSTANCE_ID",
        "RAY_NODE_TYPE_NAME",
        "KUBERAY_GEN_RAY_START_CMD",
        "RAY_PORT",
        "RAY_timeout_ms_task_wait_for_death_info",
        "RAY_gcs_server_request_timeout_seconds",
        "RAY_SERVE_KV_TIMEOUT_S",
        "RAY_ADDRESS",
        "RAY_USAGE_STATS_KUBERAY_IN_USE",
        "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE",
    ]


@pytest.mark.spec("raycluster:E57")
@pytest.mark.parametrize("name", ["RAY_ADDRESS", "RAY_PORT", "RAY_USAGE_STATS_KUBERAY_IN_USE"])
def test_some_variables_are_the_user_s(facts: FactsOf, a_template: Maker, a_container: Maker, name: str) -> None:
    pod = a_template(a_container(env=[{"name": name, "value": "mine"}]))

    assert values(ray(worker(facts(groups=[{"template": pod}]))), name) == ["mine"]


@pytest.mark.spec("raycluster:E57", "ray-side:S3-28")
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("RAY_CLUSTER_NAME", "metadata.labels['ray.io/cluster']"),
        ("RAY_CLOUD_INSTANCE_ID", "metadata.name"),
        ("RAY_NODE_TYPE_NAME", "metadata.labels['ray.io/group']"),
    ],
)
def test_others_are_the_operator_s_whatever_the_user_says(
    facts: FactsOf, a_template: Maker, a_container: Maker, name: str, path: str
) -> None:
    pod = a_template(a_container(env=[{"name": name, "value": "mine"}]))

    assert values(ray(worker(facts(groups=[{"template": pod}]))), name)[-1] == {"fieldRef": {"fieldPath": path}}


@pytest.mark.spec("raycluster:E58")
def test_another_port_of_the_head_is_known_everywhere(facts: FactsOf) -> None:
    found = facts(head={"rayStartParams": {"port": "6380"}})
    pod = worker(found)

    assert values(ray(pod), "RAY_PORT") == ["6380"]
    assert values(ray(pod), "RAY_ADDRESS") == ["r-head-svc.ns.svc.cluster.local:6380"]
    assert values(ray(head(found)), "RAY_ADDRESS") == ["127.0.0.1:6380"]
    assert "--address r-head-svc.ns.svc.cluster.local:6380" in pod["spec"]["initContainers"][-1]["args"][0]


def test_every_init_container_knows_where_the_head_is(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    pod = a_template(initContainers=[a_container("mine")])
    found = facts(head={"template": pod}, groups=[{"template": pod}])

    inits = [*head(found)["spec"]["initContainers"], *worker(found)["spec"]["initContainers"]]

    assert [values(one, "FQ_RAY_IP") for one in inits] == [["r-head-svc.ns.svc.cluster.local"]] * 3
    assert [values(one, "RAY_IP") for one in inits] == [["r-head-svc"]] * 3


# Waiting for the head


def test_a_worker_waits_with_what_the_user_gave_ray(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    mine = a_container(
        imagePullPolicy="Always",
        securityContext={"runAsUser": 1},
        env=[{"name": "A", "value": "b"}],
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
    )

    waiting = worker(facts(groups=[{"template": a_template(mine)}]))["spec"]["initContainers"][-1]

    assert waiting | {"args": [], "env": []} == {
        "name": "wait-gcs-ready",
        "image": mine["image"],
        "imagePullPolicy": "Always",
        "securityContext": {"runAsUser": 1},
        "command": ["/bin/bash", "-c", "--"],
        "args": [],
        "env": [],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "resources": {name: {"cpu": "200m", "memory": "256Mi"} for name in ("limits", "requests")},
    }
    assert order(waiting) == ["A", "FQ_RAY_IP", "RAY_IP"]


def test_waiting_can_be_switched_off(facts: FactsOf) -> None:
    assert "initContainers" not in worker(facts(), Options(inject_init_container=False))["spec"]


def test_probes_can_be_switched_off(facts: FactsOf) -> None:
    assert not {"livenessProbe", "readinessProbe"} & ray(head(facts(), Options(inject_probes=False))).keys()


# Volumes


@pytest.mark.parametrize(
    ("resources", "size"),
    [
        ({"limits": {"memory": "2Gi"}, "requests": {"memory": "1Gi"}}, "2Gi"),
        ({"requests": {"memory": "1Gi"}}, "1Gi"),
        ({}, None),
    ],
)
def test_shared_memory_is_as_large_as_the_container_s(
    facts: FactsOf, a_template: Maker, a_container: Maker, resources: Json, size: str | None
) -> None:
    pod = worker(facts(groups=[{"template": a_template(a_container(resources=resources))}]))

    wanted = {"medium": "Memory"} | ({"sizeLimit": size} if size else {})
    assert pod["spec"]["volumes"] == [{"name": "shared-mem", "emptyDir": wanted}]
    assert ray(pod)["volumeMounts"] == [{"name": "shared-mem", "mountPath": "/dev/shm"}]


@pytest.mark.spec("raycluster:E53")
@pytest.mark.parametrize("directory", ["/dev/shm/", "/tmp/x", ""])
def test_who_places_the_object_store_needs_no_shared_memory(facts: FactsOf, directory: str) -> None:
    pod = worker(facts(groups=[{"rayStartParams": {"plasma-directory": directory}}]))

    assert "volumes" not in pod["spec"]


@pytest.mark.spec("raycluster:E53")
def test_who_mounts_shared_memory_keeps_it(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    mount = {"name": "mine", "mountPath": "/dev/shm"}

    pod = worker(facts(groups=[{"template": a_template(a_container(volumeMounts=[mount]))}]))

    assert (ray(pod)["volumeMounts"], "volumes" in pod["spec"]) == ([mount], False)


def test_a_volume_named_shared_mem_is_used(facts: FactsOf, a_template: Maker) -> None:
    mine = {"name": "shared-mem", "emptyDir": {"medium": "Memory", "sizeLimit": "7Gi"}}

    pod = worker(facts(groups=[{"template": a_template(volumes=[mine])}]))

    assert pod["spec"]["volumes"] == [mine]


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        ([], [{"name": "metrics", "containerPort": 8080}]),
        ([{"name": "metrics", "containerPort": 1}], [{"name": "metrics", "containerPort": 1}]),
        (
            [{"name": "x", "containerPort": 8080}],
            [{"name": "x", "containerPort": 8080}, {"name": "metrics", "containerPort": 8080}],
        ),
    ],
)
def test_metrics_have_a_port(
    facts: FactsOf, a_template: Maker, a_container: Maker, ports: list[Json], found: list[Json]
) -> None:
    pod = worker(facts(groups=[{"template": a_template(a_container(ports=ports))}]))

    assert ray(pod)["ports"] == found
