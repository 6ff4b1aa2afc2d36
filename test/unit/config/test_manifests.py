"""What is installed: rights no wider than needed, a pod that a strict cluster admits, names that tools look up."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.v1.raycluster import RayCluster
from controller.process import LEASE
from controller.ray.desired import rbac
from controller.ray.desired.facts import facts_of
from controller.ray.options import Options
from controller.rights import LEADER_ELECTION, RIGHTS, rules
from controller.settings import load
from hack.image.making import IMAGES, OURS
from localcluster.testing.rights import RULES

CONFIG = Path(__file__).parents[3] / "config"
ALL = (*RIGHTS, *LEADER_ELECTION)


def documents(name: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all((CONFIG / name).read_text()) if one]


def pod_template() -> dict[str, Any]:
    spec: dict[str, Any] = documents("manager/manager.yaml")[0]["spec"]["template"]["spec"]
    return spec


def granted_by_the_reference() -> Iterator[tuple[str, str, str]]:
    for group, resources, verbs in RULES:
        for resource in resources.split():
            for verb in verbs.split():
                yield group, resource, verb


@pytest.mark.parametrize("right", ALL, ids=lambda right: f"{right.resource} {'+'.join(right.verbs)}")
def test_nothing_is_needed_that_the_reference_s_role_does_not_grant(right: Any) -> None:
    """An operator is swapped under its old role, and works."""
    needed = {(right.group, right.resource, verb) for verb in right.verbs}

    assert needed <= set(granted_by_the_reference())


def test_no_rule_has_a_wildcard_and_no_secret_is_listed_or_watched() -> None:
    for right in ALL:
        assert "*" not in {right.group, right.resource, *right.verbs}
        assert right.why
    secrets = {verb for right in ALL if right.resource == "secrets" for verb in right.verbs}
    assert secrets == {"get", "create"}


def test_rules_of_equal_verbs_are_told_once() -> None:
    told = rules(RIGHTS)

    assert len({(tuple(one["apiGroups"]), tuple(one["verbs"])) for one in told}) == len(told)
    assert {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "get"]} in told


def test_what_an_autoscaler_is_given_the_operator_has_itself() -> None:
    """Or the API server would refuse the Role as an escalation."""
    cluster = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "a", "namespace": "ns", "uid": "u"},
        "spec": {
            "enableInTreeAutoscaling": True,
            "headGroupSpec": {"template": {"spec": {"containers": [{"name": "ray-head", "image": "ray"}]}}},
        },
    }
    held = {(right.group, right.resource, verb) for right in RIGHTS for verb in right.verbs}

    for rule in rbac.role(facts_of(RayCluster.model_validate(cluster), Options()))["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                assert {(group, resource, verb) for verb in rule["verbs"]} <= held


def test_the_pod_meets_the_restricted_standard() -> None:
    pod = pod_template()
    (container,) = pod["containers"]

    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_user_is_a_number_of_the_image_s_and_no_wish_of_the_manifest_s() -> None:
    """A kubelet refuses names with runAsNonRoot, and OpenShift every user that is not the namespace's own."""
    user, _, group = IMAGES["operator"].config.user.partition(":")

    assert user.isdecimal()
    assert group.isdecimal()
    assert int(user) > 0
    assert f"USER {user}:{group}\n" in (CONFIG.parent / "Dockerfile").read_text()
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & {
        key for part in (pod_template(), *pod_template()["containers"]) for key in part["securityContext"]
    }


@pytest.mark.parametrize("package", OURS)
def test_both_ways_to_make_the_image_put_the_same_code_into_it(package: str) -> None:
    """A package that only one of them knows is an image that ends with ModuleNotFoundError, far from here."""
    root = CONFIG.parent

    assert f"COPY {package} /opt/manta/{package}\n" in (root / "Dockerfile").read_text()
    assert f"!{package}\n" in (root / ".dockerignore").read_text()


@pytest.mark.spec("runtime:MGR-10")
def test_the_pod_has_longer_to_end_than_the_operator_takes() -> None:
    """30 s for reconciles, 5 for the lease, 2 for events, 3 in which webhooks go on."""
    assert pod_template()["terminationGracePeriodSeconds"] >= 30 + 5 + 2 + 3


def test_why_it_ended_is_shown_with_the_pod() -> None:
    """A missing right ends it with a sentence in its log, which is gone with the container after the next."""
    (container,) = pod_template()["containers"]

    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_its_arguments_are_settings_that_the_operator_takes() -> None:
    (container,) = pod_template()["containers"]

    assert load(container["args"], {}).notices == ()


@pytest.mark.spec("deployment:DC-2")
def test_names_are_those_that_tools_look_up() -> None:
    (deployment,) = documents("manager/manager.yaml")
    (overlay,) = documents("default/operator/kustomization.yaml")

    assert deployment["metadata"]["name"] == "kuberay-operator"
    assert [one["name"] for one in pod_template()["containers"]] == ["kuberay-operator"]
    assert overlay["labels"][0]["pairs"] == {
        "app.kubernetes.io/component": "kuberay-operator",
        "app.kubernetes.io/name": "kuberay",
    }
    assert any(one.startswith("--feature-gates=") for one in pod_template()["containers"][0]["args"])


@pytest.mark.parametrize("overlay", ["default/operator", "namespaced"])
def test_the_image_that_is_installed_is_the_one_that_is_made(overlay: str) -> None:
    """Under a name that is ours alone: a cluster without it pulls nothing else in its place."""
    (kustomization,) = documents(f"{overlay}/kustomization.yaml")

    (image,) = kustomization["images"]

    assert f"docker.io/library/{image['newName']}:{image['newTag']}" in IMAGES["operator"].names
    assert image["newTag"] == tomllib.loads((CONFIG.parent / "pyproject.toml").read_text())["project"]["version"]


def test_what_is_applied_without_the_crds_is_the_rest_of_what_is_applied_with_them() -> None:
    """So that an upgrade, or an uninstall that keeps everybody's clusters, names one folder."""
    (whole,) = documents("default/kustomization.yaml")
    (alone,) = documents("default/operator/kustomization.yaml")

    assert whole["resources"] == ["../crd", "operator"]
    assert alone["namespace"] == "default"


def test_the_lease_goes_with_the_operator() -> None:
    """It is applied under the name that the operator uses."""
    (lease,) = documents("manager/lease.yaml")

    assert lease["metadata"]["name"] == LEASE
    assert "spec" not in lease


@pytest.mark.parametrize(
    ("who", "verbs"),
    [
        pytest.param(
            *("editor", ["create", "delete", "get", "list", "patch", "update", "watch"]),
            marks=pytest.mark.spec("deployment:2.2/rayjob-editor-role-rayservice-editor-rol"),
        ),
        pytest.param(
            *("viewer", ["get", "list", "watch"]),
            marks=pytest.mark.spec("deployment:2.2/rayjob-viewer-role-rayservice-viewer-rol"),
        ),
    ],
)
@pytest.mark.parametrize("kind", ["rayjob", "rayservice", "raycronjob"])
def test_roles_for_people_have_the_reference_s_names_and_rules(kind: str, who: str, verbs: list[str]) -> None:
    """Bindings name them, and nobody is given them by installing the operator."""
    (role,) = documents(f"rbac/{kind}_{who}_role.yaml")
    (installed,) = documents("rbac/kustomization.yaml")

    assert (role["kind"], role["metadata"]) == ("ClusterRole", {"name": f"{kind}-{who}-role"})
    assert role["rules"] == [
        {"apiGroups": ["ray.io"], "resources": [f"{kind}s"], "verbs": verbs},
        {"apiGroups": ["ray.io"], "resources": [f"{kind}s/status"], "verbs": ["get"]},
    ]
    assert f"{kind}_{who}_role.yaml" not in installed["resources"]


def test_a_namespaced_installation_has_the_same_rights_and_none_beyond_its_namespace() -> None:
    (whole,) = documents("rbac/role.yaml")
    (within,) = documents("namespaced/role.yaml")
    deleted = [yaml.safe_load(one["patch"]) for one in documents("namespaced/kustomization.yaml")[0]["patches"][:2]]

    assert within["kind"] == "Role"
    assert within["rules"] == whole["rules"]
    assert [(one["kind"], one["metadata"]["name"], one["$patch"]) for one in deleted] == [
        ("ClusterRole", "kuberay-operator", "delete"),
        ("ClusterRoleBinding", "kuberay-operator", "delete"),
    ]
