"""The autoscaler beside the head, and what it may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.meta import Json
from controller.ray.desired import pods, rbac
from controller.ray.desired.facts import Facts
from controller.ray.desired.names import HEAD_SLOT, Slot
from controller.ray.desired.pods import Place
from controller.ray.options import Options

FactsOf = Callable[..., Facts]
Maker = Callable[..., Json]

COMMAND = "ray kuberay-autoscaler --cluster-name $(RAY_CLUSTER_NAME) --cluster-namespace $(RAY_CLUSTER_NAMESPACE)"
LONG = "c" * 53


def scaled(facts: FactsOf, **more: Any) -> Facts:
    return facts(enableInTreeAutoscaling=True, **more)


def head(facts: Facts) -> Json:
    return pods.head(facts, Place(HEAD_SLOT, "t"), "H", Options())


def sidecar(facts: Facts) -> Json:
    return next(one for one in head(facts)["spec"]["containers"] if one["name"] == "autoscaler")


def switch(container: Json) -> list[str]:
    return [one["value"] for one in container["env"] if one["name"] == "RAY_enable_autoscaler_v2"]


def test_the_sidecar_is_the_reference_s(facts: FactsOf) -> None:
    assert sidecar(scaled(facts)) == {
        "name": "autoscaler",
        "image": "rayproject/ray:2.52.0",
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/bash", "-c", "--"],
        "args": [COMMAND],
        "env": [
            {"name": "RAY_CLUSTER_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['ray.io/cluster']"}}},
            {"name": "RAY_CLUSTER_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "RAY_HEAD_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "KUBERAY_CRD_VER", "value": "v1"},
            {"name": "KUBERAY_GEN_AUTOSCALER_START_CMD", "value": COMMAND},
        ],
        "resources": {name: {"cpu": "500m", "memory": "512Mi"} for name in ("limits", "requests")},
        "volumeMounts": [{"name": "ray-logs", "mountPath": "/tmp/ray"}],
    }


@pytest.mark.spec("raycluster:E60")
def test_the_sidecar_s_pull_policy_is_its_own(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    pod = a_template(a_container(imagePullPolicy="Always"))

    assert sidecar(scaled(facts, head={"template": pod}))["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image", "mine"),
        ("imagePullPolicy", "Always"),
        ("resources", {"limits": {"cpu": "1"}}),
        ("securityContext", {"runAsUser": 1}),
        ("command", ["a"]),
        ("args", ["b"]),
    ],
)
def test_options_replace(facts: FactsOf, name: str, value: Any) -> None:
    found = sidecar(scaled(facts, autoscalerOptions={name: value}))

    assert found[name] == value
    assert found["env"][-1]["value"] == COMMAND


def test_options_append(facts: FactsOf) -> None:
    env, source, mount = {"name": "A", "value": "b"}, {"secretRef": {"name": "s"}}, {"name": "v", "mountPath": "/v"}
    options = {"env": [env], "envFrom": [source], "volumeMounts": [mount]}

    found = sidecar(scaled(facts, autoscalerOptions=options))

    assert (found["env"][-1], found["envFrom"]) == (env, [source])
    assert found["volumeMounts"] == [mount, {"name": "ray-logs", "mountPath": "/tmp/ray"}]


@pytest.mark.spec("ray-side:S3-1")
def test_a_head_on_another_port_is_named_to_the_autoscaler(facts: FactsOf) -> None:
    """It looks at the default port alone, whatever the environment says."""
    found = sidecar(scaled(facts, head={"rayStartParams": {"port": "6380"}}))

    assert found["args"] == [f"{COMMAND} --gcs-address=127.0.0.1:6380"]


@pytest.mark.parametrize(
    ("version", "said", "policy"), [("v1", ["false"], None), ("v2", ["true"], "Never"), ("", [], None)]
)
def test_the_version_is_the_head_s_to_know(facts: FactsOf, version: str, said: list[str], policy: str | None) -> None:
    found = scaled(facts, autoscalerOptions={"version": version} if version else {})
    of_head, of_worker = head(found), pods.worker(found, found.workers[0], Place(Slot("g", 0), "t"), Options())

    assert switch(of_head["spec"]["containers"][0]) == said
    assert [pod["spec"].get("restartPolicy") for pod in (of_head, of_worker)] == [policy, policy]
    assert switch(of_worker["spec"]["containers"][0]) == []


def test_the_sidecar_reads_what_ray_logs(facts: FactsOf) -> None:
    spec = head(scaled(facts))["spec"]

    assert {"name": "ray-logs", "emptyDir": {}} in spec["volumes"]
    assert all({"name": "ray-logs", "mountPath": "/tmp/ray"} in one["volumeMounts"] for one in spec["containers"])


@pytest.mark.spec("raycluster:E54")
def test_a_user_s_log_folder_is_not_shared(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    mount = {"name": "mine", "mountPath": "/tmp/ray"}
    pod = a_template(a_container(volumeMounts=[mount]), volumes=[{"name": "mine", "emptyDir": {}}])

    spec = head(scaled(facts, head={"template": pod}))["spec"]

    paths = {
        one["name"]: [m["name"] for m in one["volumeMounts"] if m["mountPath"] == "/tmp/ray"]
        for one in spec["containers"]
    }
    assert paths == {"ray": ["mine"], "autoscaler": ["ray-logs"]}


def test_without_autoscaling_there_is_neither_sidecar_nor_account(facts: FactsOf) -> None:
    spec = head(facts())["spec"]

    assert ([one["name"] for one in spec["containers"]], "serviceAccountName" in spec) == (["ray"], False)


@pytest.mark.spec("raycluster:E61")
def test_all_agree_on_the_name_of_the_account(facts: FactsOf) -> None:
    found = scaled(facts, name=LONG)

    names = {
        rbac.service_account(found)["metadata"]["name"],
        rbac.role(found)["metadata"]["name"],
        rbac.role_binding(found)["metadata"]["name"],
        rbac.role_binding(found)["subjects"][0]["name"],
        rbac.role_binding(found)["roleRef"]["name"],
        head(found)["spec"]["serviceAccountName"],
    }

    assert names == {"c" * 50}


@pytest.mark.spec("raycluster:E61")
def test_a_user_s_account_keeps_its_name_however_long(facts: FactsOf, a_template: Maker) -> None:
    """The reference cuts it, and then no such account exists."""
    account = "team-" + "a" * 60
    found = scaled(facts, head={"template": a_template(serviceAccountName=account)})

    assert head(found)["spec"]["serviceAccountName"] == account
    assert rbac.role_binding(found)["subjects"][0]["name"] == account


@pytest.mark.spec("ray-side:S3-10")
def test_the_autoscaler_may_read_pods_and_set_replicas(facts: FactsOf) -> None:
    assert rbac.role(scaled(facts))["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["patch"]},
        {"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["get", "patch"]},
    ]
