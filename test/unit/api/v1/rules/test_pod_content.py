"""What the API server would refuse of a pod is found in the template, and its nearest good neighbour passes."""

from __future__ import annotations

from typing import Any

import pytest

from api.v1.rules import pod_content
from api.v1.rules.model import Severity
from localcluster.testing.judged import GONE, INSIDE, Changes, found, good, ids

RULES = pod_content.RULES
DENY, WARN = Severity.DENY, Severity.WARN
POD = "spec.workerGroupSpecs.1.template.spec"
AT_POD = "spec.workerGroupSpecs[1].template.spec"
RAY = f"{POD}.containers.0"
AT_RAY = f"{AT_POD}.containers[0]"


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "x", **more}


def volumes(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "emptyDir": {}} for name in names]


def mount(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "mountPath": path}


def env(name: str, **more: Any) -> Changes:
    return {f"{RAY}.env": [{"name": name, **more}]}


def security(**fields: Any) -> Changes:
    return {f"{RAY}.securityContext": fields}


# What is refused and how, its path; then the near miss that passes.
CASES: dict[str, tuple[Severity, Changes, str, Changes]] = {
    "two containers of one name": (
        DENY,
        {f"{POD}.containers.1": named("ray-worker")},
        f"{AT_POD}.containers[1].name",
        {f"{POD}.containers.1": named("other")},
    ),
    "a container called as an init container": (
        DENY,
        {f"{POD}.initContainers": [named("ray-worker")]},
        f"{AT_RAY}.name",
        {f"{POD}.initContainers": [named("init")]},
    ),
    "a container name with capitals": (DENY, {f"{RAY}.name": "Ray"}, f"{AT_RAY}.name", {f"{RAY}.name": "ray"}),
    "a container without a name": (DENY, {f"{RAY}.name": GONE}, f"{AT_RAY}.name", {}),
    "a container without an image": (DENY, {f"{RAY}.image": GONE}, f"{AT_RAY}.image", {}),
    "a port name with an underscore": (
        DENY,
        {f"{RAY}.ports": [{"name": "http_metrics", "containerPort": 9000}]},
        f"{AT_RAY}.ports[0].name",
        {f"{RAY}.ports": [{"name": "http-metrics", "containerPort": 9000}]},
    ),
    "a port name without a letter": (
        DENY,
        {f"{RAY}.ports": [{"name": "9000", "containerPort": 9000}]},
        f"{AT_RAY}.ports[0].name",
        {f"{RAY}.ports": [{"name": "p9000", "containerPort": 9000}]},
    ),
    "a GPU without its vendor": (
        DENY,
        {f"{RAY}.resources": {"limits": {"cpu": "1", "memory": "2Gi", "gpu": "1"}}},
        f"{AT_RAY}.resources.limits[gpu]",
        {
            f"{RAY}.resources": {
                "limits": {"cpu": "1", "memory": "2Gi", "ephemeral-storage": "1Gi", "hugepages-2Mi": "1Gi", "a.b/c": 1}
            }
        },
    ),
    "an unknown pull policy": (
        DENY,
        {f"{RAY}.imagePullPolicy": "Sometimes"},
        f"{AT_RAY}.imagePullPolicy",
        {f"{RAY}.imagePullPolicy": "Always"},
    ),
    "a mount without its volume": (
        DENY,
        {f"{RAY}.volumeMounts": [mount("data", "/data")]},
        f"{AT_RAY}.volumeMounts[0].name",
        {f"{RAY}.volumeMounts": [mount("data", "/data")], f"{POD}.volumes": volumes("data")},
    ),
    "two mounts at one path": (
        DENY,
        {f"{RAY}.volumeMounts": [mount("a", "/a"), mount("b", "/a")], f"{POD}.volumes": volumes("a", "b")},
        f"{AT_RAY}.volumeMounts[1].mountPath",
        {f"{RAY}.volumeMounts": [mount("a", "/a"), mount("a", "/b")], f"{POD}.volumes": volumes("a")},
    ),
    "a mount without a path": (
        DENY,
        {f"{RAY}.volumeMounts": [{"name": "a"}], f"{POD}.volumes": volumes("a")},
        f"{AT_RAY}.volumeMounts[0].mountPath",
        {f"{RAY}.volumeMounts": [mount("ray-logs", "/tmp/ray")]},
    ),
    "two volumes of one name": (
        DENY,
        {f"{POD}.volumes": volumes("a", "a")},
        f"{AT_POD}.volumes[1].name",
        {f"{POD}.volumes": volumes("a", "b")},
    ),
    "a volume name with an underscore": (
        DENY,
        {f"{POD}.volumes": volumes("a_b")},
        f"{AT_POD}.volumes[0].name",
        {f"{POD}.volumes": volumes("a-b")},
    ),
    "a variable whose name has an equals sign": (
        DENY,
        env("A=B", value="c"),
        f"{AT_RAY}.env[0].name",
        env("A_B.C-d", value="c"),
    ),
    "a variable without a name": (DENY, env("", value="c"), f"{AT_RAY}.env[0].name", {}),
    "a variable that only newer servers take": (WARN, env("1A", value="c"), f"{AT_RAY}.env[0].name", env("A1")),
    "a variable with two values": (
        DENY,
        env("A", value="c", valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}),
        f"{AT_RAY}.env[0].valueFrom",
        env("A", value="", valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}),
    ),
    "a limit that is no quantity": (
        DENY,
        {f"{RAY}.resources.limits.memory": "1 GB"},
        f"{AT_RAY}.resources.limits[memory]",
        {f"{RAY}.resources.limits.memory": "1G"},
    ),
    "a negative request": (
        DENY,
        {f"{RAY}.resources.requests.cpu": "-1"},
        f"{AT_RAY}.resources.requests[cpu]",
        {f"{RAY}.resources.requests.cpu": 0},
    ),
    "an unknown restart policy": (
        DENY,
        {f"{POD}.restartPolicy": "never"},
        f"{AT_POD}.restartPolicy",
        {f"{POD}.restartPolicy": "Never"},
    ),
    "a privileged container that may not escalate": (
        DENY,
        security(privileged=True, allowPrivilegeEscalation=False),
        f"{AT_RAY}.securityContext.allowPrivilegeEscalation",
        security(privileged=True),
    ),
    "an administrator that may not escalate": (
        DENY,
        security(allowPrivilegeEscalation=False, capabilities={"add": ["SYS_ADMIN"]}),
        f"{AT_RAY}.securityContext.allowPrivilegeEscalation",
        security(allowPrivilegeEscalation=False, capabilities={"add": ["SYS_PTRACE"], "drop": ["SYS_ADMIN"]}),
    ),
    "root that must not be root": (
        DENY,
        security(runAsNonRoot=True, runAsUser=0),
        f"{AT_RAY}.securityContext.runAsUser",
        security(runAsNonRoot=True, runAsUser=1000),
    ),
    "a port beyond the last": (
        DENY,
        {f"{RAY}.ports": [{"containerPort": 65536}]},
        f"{AT_RAY}.ports[0].containerPort",
        {f"{RAY}.ports": [{"containerPort": 65535}]},
    ),
    "a label value with a space": (
        DENY,
        {"spec.workerGroupSpecs.1.template.metadata.labels.team": "a b"},
        "spec.workerGroupSpecs[1].template.metadata.labels[team]",
        {"spec.workerGroupSpecs.1.template.metadata.labels.team": "a-b"},
    ),
    "a node selector that no label can match": (
        DENY,
        {f"{POD}.nodeSelector.zone": "a/b"},
        f"{AT_POD}.nodeSelector[zone]",
        {f"{POD}.nodeSelector.zone": "a"},
    ),
    "a toleration with Exists and a value": (
        DENY,
        {f"{POD}.tolerations": [{"key": "gpu", "operator": "Exists", "value": "yes"}]},
        f"{AT_POD}.tolerations[0].value",
        {f"{POD}.tolerations": [{"key": "gpu", "operator": "Exists"}, {"operator": "Exists"}]},
    ),
    "a toleration of nothing": (
        DENY,
        {f"{POD}.tolerations": [{"value": "yes"}]},
        f"{AT_POD}.tolerations[0].operator",
        {f"{POD}.tolerations": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]},
    ),
    "a toleration of an unknown effect": (
        DENY,
        {f"{POD}.tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedul"}]},
        f"{AT_POD}.tolerations[0].effect",
        {},
    ),
}


@pytest.mark.parametrize("kind", INSIDE)
def test_good_templates_are_not_spoken_of(kind: str) -> None:
    """Without this every case below could pass for a wrong reason."""
    assert found(RULES, good(kind)) == []


@pytest.mark.spec("admission:XC14")
@pytest.mark.parametrize(("severity", "changes", "path", "passed"), CASES.values(), ids=CASES.keys())
def test_what_no_server_would_make_a_pod_of_is_found(
    severity: Severity, changes: Changes, path: str, passed: Changes
) -> None:
    """Once, at the exact field."""
    told = found(RULES, good("RayCluster", changes))

    assert [(one.rule, one.path, one.severity) for one in told] == [("XC14", path, severity)]
    assert found(RULES, good("RayCluster", passed)) == []


@pytest.mark.spec("admission:XC14", "admission:P12")
@pytest.mark.parametrize("kind", INSIDE)
def test_heads_and_workers_are_looked_at_in_every_kind(kind: str) -> None:
    """Under the path where they really stand."""
    at = INSIDE[kind]
    broken = {f"{at}.headGroupSpec.template.spec.restartPolicy": "x"}
    broken |= {f"{at}.workerGroupSpecs.0.template.spec.restartPolicy": "y"}

    assert ids(found(RULES, good(kind, broken))) == [
        ("XC14", f"{at}.headGroupSpec.template.spec.restartPolicy"),
        ("XC14", f"{at}.workerGroupSpecs[0].template.spec.restartPolicy"),
    ]


@pytest.mark.spec("admission:XC14")
def test_the_submitter_of_a_job_is_looked_at_too() -> None:
    """In a RayJob and in the template of a RayCronJob."""
    template = {"spec": {"containers": [named("submit"), named("submit")], "restartPolicy": "Never"}}

    for kind, at in (("RayJob", "spec"), ("RayCronJob", "spec.jobTemplate")):
        told = found(RULES, good(kind, {f"{at}.submitterPodTemplate": template}))

        assert ids(told) == [("XC14", f"{at}.submitterPodTemplate.spec.containers[1].name")]
