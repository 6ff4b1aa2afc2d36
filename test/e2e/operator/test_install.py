"""The operator from its manifests: how fast it is there, what it tells, under which rights it works, what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from hack.e2e import audit
from hack.e2e.cluster import Cluster, KubectlFailed
from hack.e2e.operator import HEALTH_PORT, NAMESPACE, Installation
from hack.e2e.watching import until
from hack.e2e.workloads import a_raycluster
from localcluster.testing.rights import rules_of_the_reference

pytestmark = pytest.mark.e2e
Json = dict[str, Any]
AVAILABLE_SECONDS = 15
READY_SECONDS = 180
HERE = f"--namespace={NAMESPACE}"
# Kinds that somebody else writes, a moment after what they are about; the last is not stored at all.
FOLLOWING = ("events", "endpoints", "endpointslices", "apiservices", "componentstatuses")
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:kuberay-operator"


@pytest.fixture(autouse=True)
def ours(installation: Installation) -> None:
    if installation.given:
        pytest.skip("the operator is somebody else's: it is neither installed nor removed")


@pytest.fixture
def strict(cluster: Cluster) -> Iterator[None]:
    """The operator's namespace admits only pods that meet Pod Security's `restricted`."""
    label = "pod-security.kubernetes.io/enforce"
    cluster.kubectl("label", "namespace", NAMESPACE, f"{label}=restricted")
    yield
    cluster.kubectl("label", "namespace", NAMESPACE, f"{label}-")


def test_it_is_available_within_fifteen_seconds(
    cluster: Cluster, installation: Installation, tell: Callable[[str], None]
) -> None:
    """Counted from when kubectl has applied everything; its image is on the node.

    What kubectl and the API server take for four megabytes of CRDs is told, and judged by nobody: it is the machine's.
    """
    installation.remove()
    cluster.use_image("operator")

    applied, available = installation.install()

    tell(f"kubectl apply --server-side -k config/default: {applied:.1f} s, and available {available:.1f} s later")
    assert available <= AVAILABLE_SECONDS


def test_a_namespace_that_enforces_restricted_admits_it(cluster: Cluster, operator: Installation, strict: None) -> None:
    restart(cluster, operator)

    assert len(operator.pods()) == 1


def test_it_tells_its_figures_through_its_service_and_that_it_is_ready(
    cluster: Cluster, operator: Installation
) -> None:
    service = f"/api/v1/namespaces/{NAMESPACE}/services/kuberay-operator:monitoring-port/proxy/metrics"

    figures = cluster.kubectl("get", "--raw", service)

    assert 'controller_runtime_active_workers{controller="' in figures
    assert operator.ask("/readyz", HEALTH_PORT) == "ok"
    assert operator.ask("/healthz", HEALTH_PORT) == "ok"


def test_deleting_what_was_applied_leaves_nothing(cluster: Cluster, installation: Installation) -> None:
    """Not even its lease."""
    installation.remove()
    before = everything(cluster)
    installation.install()
    until(cluster, "leases", NAMESPACE, lambda leases: any(map(is_held, leases.values())))

    installation.remove()

    assert everything(cluster) == before


def test_deleting_the_crds_deletes_what_users_made_of_them(
    cluster: Cluster, installation: Installation, namespace: str
) -> None:
    """`kubectl delete -k config/default` does: docs/install.md says how not to."""
    installation.ensure()
    cluster.apply(a_raycluster("gone", namespace))
    until(cluster, "pods", namespace, bool)

    installation.remove()

    cluster.wait("delete", "pods,services", "--selector=ray.io/cluster=gone", f"--namespace={namespace}")


def test_clusters_outlive_the_operator_and_the_next_one_takes_them_over(
    cluster: Cluster, operator: Installation, namespace: str
) -> None:
    """Without a restart: this is also what an upgrade does."""
    here = f"--namespace={namespace}"
    cluster.use_image("ray")
    cluster.apply(a_raycluster("stays", namespace))
    ready(cluster, "stays", namespace)
    before = until(cluster, "pods", namespace, lambda pods: len(pods) == 1)

    operator.delete("default/operator")
    assert uids(until(cluster, "pods", namespace, bool)) == uids(before)
    operator.apply("default/operator")
    operator.until_available()

    grow = '[{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 1}]'
    cluster.kubectl("patch", "raycluster/stays", here, "--type=json", f"--patch={grow}")
    assert uids(before) < uids(until(cluster, "pods", namespace, lambda pods: len(pods) == 2))


def test_it_works_under_the_rights_that_the_reference_has(
    cluster: Cluster, operator: Installation, namespace: str
) -> None:
    """Whoever swaps the operator may keep the old roles (deployment.md §2)."""
    cluster.apply(*roles_of_the_reference())
    restart(cluster, operator)
    cluster.use_image("ray")

    cluster.apply(a_raycluster("small", namespace, workers=1))
    ready(cluster, "small", namespace)

    refused = audit.judge(requests(cluster), operator.excused).refused
    operator.apply("default")
    assert refused == ()


def test_installed_for_one_namespace_it_touches_no_other(
    cluster: Cluster, installation: Installation, namespace: str
) -> None:
    """It has no right to look there, either."""
    installation.ensure("namespaced")
    cluster.use_image("ray")
    cluster.apply(a_raycluster("elsewhere", namespace, suspend=True))

    cluster.apply(a_raycluster("here", NAMESPACE))
    try:
        ready(cluster, "here", NAMESPACE)
    finally:
        cluster.kubectl("delete", "raycluster/here", HERE)

    assert "status" not in cluster.get("raycluster/elsewhere", f"--namespace={namespace}")
    with pytest.raises(KubectlFailed):
        cluster.kubectl("auth", "can-i", "list", "pods", f"--namespace={namespace}", f"--as={ACCOUNT}")


def restart(cluster: Cluster, operator: Installation) -> None:
    """Start it afresh, in another pod."""
    cluster.kubectl("rollout", "restart", "deployment/kuberay-operator", HERE)
    operator.until_available()


def ready(cluster: Cluster, name: str, namespace: str) -> None:
    """Until its status says so."""
    where = f"--namespace={namespace}"
    cluster.wait("jsonpath={.status.state}=ready", f"raycluster/{name}", where, seconds=READY_SECONDS)


def requests(cluster: Cluster) -> list[audit.Request]:
    """The operator's, where the API server's audit log can be read."""
    if cluster.node is None:
        return []
    return audit.requests(cluster.node.audit_log, f"{NAMESPACE}:kuberay-operator")


def roles_of_the_reference() -> list[Json]:
    """Its ClusterRole, and its Role for the election, under the names that ours have."""
    election = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "update"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "list", "update"]},
    ]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    leading = {"name": "kuberay-operator-leader-election", "namespace": NAMESPACE}
    return [
        {**role, "metadata": {"name": "kuberay-operator"}, "rules": rules_of_the_reference()},
        {**role, "kind": "Role", "metadata": leading, "rules": election},
    ]


def everything(cluster: Cluster) -> list[str]:
    """kind/name of all that there is in the operator's namespace and outside of namespaces, but what follows later."""
    found = []
    for scope in ("--namespaced=true", "--namespaced=false"):
        kinds = cluster.kubectl("api-resources", "--verbs=list", scope, "--output=name").split()
        told = [kind for kind in kinds if not kind.startswith(FOLLOWING) and not kind.endswith(".ray.io")]
        found += cluster.kubectl("get", ",".join(told), HERE, "--output=name").split()
    return sorted(one for one in found if "namespace/test-ns-" not in one)


def is_held(lease: Json) -> bool:
    return bool((lease.get("spec") or {}).get("holderIdentity"))


def uids(pods: Mapping[str, Json]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods.values()}
