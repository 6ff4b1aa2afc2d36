"""Names: each rule finds what it is there for, at the exact field, and lets the nearest good object pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api.v1.rules import raycluster, rayjob, rayservice, service_ports, topology
from api.v1.rules.model import Severity
from api.v1.rules.surroundings import Surroundings
from localcluster.testing.judged import GONE, INSIDE, OPEN, Changes, found, good, ids

RULES = (*topology.RULES, *service_ports.RULES)
DENY, WARN = Severity.DENY, Severity.WARN
GROUP = "spec.workerGroupSpecs.1"
AT_GROUP = "spec.workerGroupSpecs[1]"
HEAD = "spec.headGroupSpec"
HEAD_PORTS = f"{HEAD}.template.spec.containers.0.ports"
AT_HEAD_PORTS = f"{HEAD}.template.spec.containers[0].ports"
HEAD_LABELS = f"{HEAD}.template.metadata.labels"
QUEUED: Changes = {"metadata.labels.kueue~x-k8s~io/queue-name": "team"}
SERVED: Changes = {"metadata.annotations.ray~io/enable-serve-service": "true"}
TIER = "volcano~sh/network-topology-highest-tier-allowed"
MODE = "volcano~sh/network-topology-mode"
SPARE = {"groupName": "spare", "template": {"spec": {"containers": [{"name": "ray-worker", "image": "x"}]}}}
MANY: Changes = {f"spec.workerGroupSpecs.{n}": {**SPARE, "groupName": f"g{n}"} for n in range(2, 8)}


def port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "containerPort": number}


def offered(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "port": number}


def containers(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "image": "rayproject/ray:2.52.0"} for name in names]


# id, severity, kind, what is found, its path; then the near miss that passes.
CASES: list[tuple[str, Severity, str, Changes, str, Changes]] = [
    (
        "NM03",
        DENY,
        "RayCluster",
        {"metadata": {"generateName": "a" * 49}},
        "metadata.generateName",
        {"metadata": {"generateName": "a" * 47 + "-"}},
    ),
    (
        "NM03",
        DENY,
        "RayJob",
        {"metadata": {"generateName": "1a-"}},
        "metadata.generateName",
        {"metadata": {"generateName": "1a-", "name": "made"}},
    ),
    ("NM05", WARN, "RayCluster", {f"{GROUP}.groupName": "SMALL"}, f"{AT_GROUP}.groupName", {}),
    ("NM06", DENY, "RayCluster", {f"{GROUP}.groupName": ""}, f"{AT_GROUP}.groupName", {}),
    ("NM06", DENY, "RayCluster", {f"{GROUP}.groupName": GONE}, f"{AT_GROUP}.groupName", {}),
    ("NM06", DENY, "RayCluster", {f"{GROUP}.groupName": "a b"}, f"{AT_GROUP}.groupName", {}),
    (
        "NM06",
        WARN,
        "RayCluster",
        {f"{GROUP}.groupName": "gpu_a"},
        f"{AT_GROUP}.groupName",
        {f"{GROUP}.groupName": "gpu-a"},
    ),
    (
        "NM07",
        DENY,
        "RayCluster",
        {f"{GROUP}.groupName": "headgroup"},
        f"{AT_GROUP}.groupName",
        {f"{GROUP}.groupName": "headgroup-2"},
    ),
    (
        "NM07",
        WARN,
        "RayCluster",
        {f"{GROUP}.groupName": "head"},
        f"{AT_GROUP}.groupName",
        {f"{GROUP}.groupName": "ahead"},
    ),
    ("NM07", WARN, "RayCluster", {f"{GROUP}.groupName": "submitter"}, f"{AT_GROUP}.groupName", {}),
    (
        "NM08",
        WARN,
        "RayCluster",
        {"metadata.name": "a" * 44, f"{GROUP}.groupName": "larger"},
        f"{AT_GROUP}.groupName",
        {"metadata.name": "a" * 43, f"{GROUP}.groupName": "larger"},
    ),
    (
        "NM09",
        WARN,
        "RayCluster",
        {**QUEUED, **MANY},
        "spec.workerGroupSpecs",
        {**QUEUED, **{path: value for path, value in MANY.items() if not path.endswith(".7")}},
    ),
    (
        "NM10",
        DENY,
        "RayCluster",
        {f"{HEAD}.headService": {"metadata": {"name": "Head"}}},
        f"{HEAD}.headService.metadata.name",
        {f"{HEAD}.headService": {"metadata": {"name": "head"}}},
    ),
    (
        "NM10",
        DENY,
        "RayCluster",
        {f"{HEAD}.headService": {"metadata": {"name": "good-serve-svc"}}, **SERVED},
        f"{HEAD}.headService.metadata.name",
        {f"{HEAD}.headService": {"metadata": {"name": "good-serve-svc"}}},
    ),
    (
        "NM10",
        DENY,
        "RayCluster",
        {f"{HEAD}.headService": {"metadata": {"name": "good-headless"}}, f"{GROUP}.numOfHosts": 2},
        f"{HEAD}.headService.metadata.name",
        {f"{HEAD}.headService": {"metadata": {"name": "good-headless"}}},
    ),
    (
        "NM10",
        DENY,
        "RayJob",
        {"spec.rayClusterSpec.headGroupSpec.headService": {"metadata": {"name": "good-head-svc"}}},
        "spec.rayClusterSpec.headGroupSpec.headService.metadata.name",
        {"spec.rayClusterSpec.headGroupSpec.headService": {"metadata": {"name": "own"}}},
    ),
    (
        "NM11",
        DENY,
        "RayService",
        {"spec.serveService": {"metadata": {"name": "a" * 64}}},
        "spec.serveService.metadata.name",
        {"spec.serveService": {"metadata": {"name": "a" * 63}}},
    ),
    (
        "NM11",
        DENY,
        "RayService",
        {"spec.serveService": {"metadata": {"name": "good-head-svc"}}},
        "spec.serveService.metadata.name",
        {"spec.serveService": {"metadata": {"name": "good-serve-svc"}}},
    ),
    (
        "NM12",
        DENY,
        "RayCluster",
        {HEAD_PORTS: [port("ui", 8265), port("ui", 9000)]},
        f"{AT_HEAD_PORTS}[1].name",
        {HEAD_PORTS: [port("ui", 8265), port("other", 9000)]},
    ),
    (
        "NM12",
        DENY,
        "RayCluster",
        {HEAD_PORTS: [port("dashboard", 8265), port("ui", 8265)]},
        f"{AT_HEAD_PORTS}[1].containerPort",
        {},
    ),
    (
        "NM12",
        DENY,
        "RayCluster",
        {f"{GROUP}.template.spec.containers.0.ports": [port("ui", 8265), port("ui", 9000)]},
        f"{AT_GROUP}.template.spec.containers[0].ports[1].name",
        {f"{GROUP}.template.spec.containers.0.ports": [port("ui", 9000), port("other", 9000)]},
    ),
    (
        "NM12",
        DENY,
        "RayCluster",
        {HEAD_PORTS: [port("web", 8080)]},
        f"{AT_HEAD_PORTS}[0].containerPort",
        {HEAD_PORTS: [port("web", 8080), port("metrics", 8081)], f"{HEAD}.rayStartParams.metrics-export-port": "8081"},
    ),
    (
        "NM12",
        DENY,
        "RayCluster",
        {f"{HEAD}.headService": {"spec": {"ports": [offered("ui", 8265)]}}},
        f"{HEAD}.headService.spec.ports[0].port",
        {f"{HEAD}.headService": {"spec": {"ports": [offered("ui", 9265)]}}},
    ),
    (
        "NM12",
        DENY,
        "RayCluster",
        {f"{HEAD}.headService": {"spec": {"ports": [offered("a", 9265), offered("b", 9265)]}}},
        f"{HEAD}.headService.spec.ports[1].port",
        {f"{HEAD}.headService": {"spec": {"ports": [offered("a", 9265), {**offered("b", 9265), "protocol": "UDP"}]}}},
    ),
    (
        "NM12",
        DENY,
        "RayCluster",
        {HEAD_PORTS: [port("a-very-long-name", 9000)]},
        f"{AT_HEAD_PORTS}[0].name",
        {HEAD_PORTS: [port("a-very-long-nam", 9000)]},
    ),
    (
        "NM12",
        WARN,
        "RayCluster",
        {HEAD_PORTS: [port("dashboard", 9000)]},
        f"{AT_HEAD_PORTS}[0].containerPort",
        {HEAD_PORTS: [port("dashboard", 9000)], f"{HEAD}.rayStartParams.dashboard-port": "9000"},
    ),
    (
        "NM12",
        WARN,
        "RayCluster",
        {**SERVED, HEAD_PORTS: [port("dashboard", 8265)]},
        AT_HEAD_PORTS,
        {**SERVED, HEAD_PORTS: [port("serve-grpc", 9000)]},
    ),
    (
        "NM12",
        DENY,
        "RayService",
        {"spec.serveService": {"spec": {"ports": [offered("serve", 8000), offered("serve", 8001)]}}},
        "spec.serveService.spec.ports[1].name",
        {"spec.serveService": {"spec": {"ports": [offered("serve", 8000), offered("other", 8001)]}}},
    ),
    (
        "NM13",
        WARN,
        "RayCluster",
        {f"{GROUP}.template.metadata.labels.ray~io/group": "mine"},
        f"{AT_GROUP}.template.metadata.labels[ray.io/group]",
        {f"{GROUP}.template.metadata.labels.ray~io/group": "large"},
    ),
    (
        "NM13",
        WARN,
        "RayCluster",
        {f"{HEAD_LABELS}.ray~io/identifier": "mine"},
        f"{HEAD_LABELS}[ray.io/identifier]",
        {f"{HEAD_LABELS}.app~kubernetes~io/name": "mine"},
    ),
    (
        "NM13",
        WARN,
        "RayJob",
        {"spec.rayClusterSpec.headGroupSpec.template.metadata.labels.app~kubernetes~io/name": "mine"},
        "spec.rayClusterSpec.headGroupSpec.template.metadata.labels[app.kubernetes.io/name]",
        {"spec.rayClusterSpec.headGroupSpec.template.metadata.labels.team": "mine"},
    ),
    (
        "NM14",
        DENY,
        "RayCluster",
        {f"metadata.labels.{MODE}": "hard", f"metadata.labels.{TIER}": "two"},
        f"metadata.labels[{TIER.replace('~', '.')}]",
        {f"metadata.labels.{MODE}": "hard", f"metadata.labels.{TIER}": "2"},
    ),
    ("NM14", WARN, "RayCluster", {f"metadata.labels.{TIER}": "two"}, f"metadata.labels[{TIER.replace('~', '.')}]", {}),
    (
        "NM15",
        DENY,
        "RayCluster",
        {"spec.enableInTreeAutoscaling": True, f"{HEAD}.template.spec.containers": containers("ray", "autoscaler")},
        f"{HEAD}.template.spec.containers[1].name",
        {f"{HEAD}.template.spec.containers": containers("ray", "autoscaler")},
    ),
    (
        "NM15",
        DENY,
        "RayCluster",
        {f"{GROUP}.template.spec.initContainers": containers("wait-gcs-ready")},
        f"{AT_GROUP}.template.spec.initContainers[0].name",
        {f"{HEAD}.template.spec.initContainers": containers("wait-gcs-ready")},
    ),
    (
        "NM15",
        DENY,
        "RayCluster",
        {
            "spec.tlsOptions": {"enabled": True},
            f"{GROUP}.template.spec.initContainers": containers("wait-for-tls-ip-san"),
        },
        f"{AT_GROUP}.template.spec.initContainers[0].name",
        {f"{GROUP}.template.spec.initContainers": containers("wait-for-tls-ip-san")},
    ),
    (
        "NM15",
        DENY,
        "RayJob",
        {
            "spec.submissionMode": "SidecarMode",
            "spec.rayClusterSpec.headGroupSpec.template.spec.containers": containers("ray", "ray-job-submitter"),
        },
        "spec.rayClusterSpec.headGroupSpec.template.spec.containers[1].name",
        {"spec.rayClusterSpec.headGroupSpec.template.spec.containers": containers("ray", "ray-job-submitter")},
    ),
]


def claims(rows: list[Any]) -> list[Any]:
    return [
        pytest.param(*row, id=f"{row[0]}-{n}", marks=pytest.mark.spec(f"admission:{row[0]}"))
        for n, row in enumerate(rows)
    ]


@pytest.mark.parametrize("kind", INSIDE)
def test_good_names_are_not_spoken_of(kind: str) -> None:
    """Without this every case below could pass for a wrong reason."""
    assert found(RULES, good(kind)) == []


@pytest.mark.parametrize(("rule", "severity", "kind", "changes", "path", "passed"), claims(CASES))
def test_each_rule_finds_its_case_and_passes_the_nearest_good_one(
    rule: str, severity: Severity, kind: str, changes: Changes, path: str, passed: Changes
) -> None:
    """Once, at the exact field, as grave as it is."""
    told = found(RULES, good(kind, changes), only=rule)

    assert [(one.path, one.severity) for one in told] == [(path, severity)]
    assert found(RULES, good(kind, passed), only=rule) == []


@pytest.mark.spec("admission:NM04", "admission:P12")
@pytest.mark.parametrize("kind", ["RayJob", "RayService", "RayCronJob"])
def test_two_groups_of_one_name_are_found_inside_every_kind(kind: str) -> None:
    """The child would be refused by M11, or its groups would fight over pods."""
    at = INSIDE[kind]

    told = found(RULES, good(kind, {f"{at}.workerGroupSpecs.1.groupName": "small"}))

    assert ids(told) == [("NM04", f"{at}.workerGroupSpecs[1].groupName")]


@pytest.mark.spec("admission:NM04")
def test_two_groups_of_one_name_in_a_raycluster_are_told_once() -> None:
    """M11 has said so already."""
    doubled = good("RayCluster", {f"{GROUP}.groupName": "small"})

    assert ids(found((*raycluster.RULES, *RULES), doubled)) == [("M11", AT_GROUP)]


@pytest.mark.spec("admission:NM03", "admission:NM01")
@pytest.mark.parametrize(
    ("kind", "enforced", "most"),
    [("RayCluster", raycluster.RULES, 53), ("RayJob", rayjob.RULES, 47), ("RayService", rayservice.RULES, 47)],
)
def test_a_name_still_to_be_generated_is_judged_as_the_server_would_make_it(
    kind: str, enforced: Any, most: int
) -> None:
    """Five characters more than its prefix; and nobody complains that there is no name yet."""
    fits = good(kind, {"metadata": {"generateName": "a" * (most - 6) + "-"}})
    long = good(kind, {"metadata": {"generateName": "a" * (most - 5) + "-"}})

    assert found((*enforced, *topology.RULES), fits, only="NM03") == []
    assert [one.rule for one in found(enforced, fits)] == []
    assert ids(found((*enforced, *topology.RULES), long))[0] == ("NM03", "metadata.generateName")


@pytest.mark.spec("admission:NM06")
def test_under_a_network_policy_the_stricter_rule_speaks_alone() -> None:
    """C59 refuses what NM06 would warn of."""
    odd = good("RayCluster", {f"{GROUP}.groupName": "gpu_a", "spec.networkPolicy": {"mode": "DenyAllIngress"}})

    assert [one.rule for one in found((*raycluster.RULES, *RULES), odd)] == ["C59"]


@pytest.mark.spec("admission:NM08")
@pytest.mark.parametrize(("kind", "longest"), [("RayJob", 38), ("RayService", 38), ("RayCronJob", 29)])
def test_the_cluster_of_a_parent_has_a_longer_name_than_the_parent(kind: str, longest: int) -> None:
    """Six characters more, and nine for the tick of a RayCronJob."""
    assert found(RULES, good(kind, {"metadata.name": "a" * longest}), only="NM08") == []
    assert len(found(RULES, good(kind, {"metadata.name": "a" * (longest + 1)}), only="NM08")) == 2


@pytest.mark.spec("admission:NM15")
def test_sidecars_of_the_operator_have_names_that_a_template_may_not_use() -> None:
    """Those of heads in the head, those of workers in workers."""
    around = Surroundings(head_sidecars=("logs",), worker_sidecars=("probe",), injects_init_container=False)
    context = replace(OPEN, surroundings=around)
    both = good(
        "RayCluster",
        {
            f"{HEAD}.template.spec.containers": containers("ray", "logs", "probe"),
            f"{GROUP}.template.spec.containers": containers("ray", "logs", "probe"),
            f"{GROUP}.template.spec.initContainers": containers("wait-gcs-ready"),
        },
    )

    assert ids(found(RULES, both, context=context)) == [
        ("NM15", f"{HEAD}.template.spec.containers[1].name"),
        ("NM15", f"{AT_GROUP}.template.spec.containers[2].name"),
    ]
    assert "NM15" not in [rule for rule, _ in ids(found(RULES, good("RayCluster"), context=context))]


@pytest.mark.spec("admission:NM15")
def test_the_volumes_that_samples_declare_are_not_flagged() -> None:
    """The operator tolerates them."""
    volumes = [{"name": "ray-logs", "emptyDir": {}}, {"name": "shared-mem", "emptyDir": {}}]

    assert found(RULES, good("RayCluster", {f"{HEAD}.template.spec.volumes": volumes})) == []


@pytest.mark.spec("admission:NM16")
@pytest.mark.parametrize(
    ("domain", "denied"),
    [("cluster.local", False), ("a" + ".b" * 90, False), ("a" + ".b" * 120, True), ("Cluster_Local", True)],
)
def test_the_address_of_the_head_is_a_dns_name(domain: str, denied: bool) -> None:
    """The domain of the cluster is the operator's setting."""
    context = replace(OPEN, surroundings=Surroundings(cluster_domain=domain))

    told = found(RULES, good("RayCluster"), context=context)

    assert ids(told) == ([("NM16", "metadata.name")] if denied else [])
