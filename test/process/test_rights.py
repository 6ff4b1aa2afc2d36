"""The operator under exactly its own rights on a real API server: whole lives, and then the audit log's word.

No kubelet is there; the test says that pods run, as one would.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

from controller.rights import RIGHTS, rules
from hack.e2e.audit import judge, requests
from hack.kube.judge import AUDIT_LOG
from localcluster.testing.factories import a_raycluster, a_raycronjob, a_rayjob, a_rayservice
from localcluster.testing.pretence import a_kubelet
from localcluster.testing.wire import Json, Wire

if TYPE_CHECKING:
    from test.process.conftest import Plane

SLOW = 90.0

LISTED = "a server without WatchList; this one has it"
LOST = "after a write whose answer was lost, and a name that is taken"
GIVEN = "held because the autoscaler is given it"
CHECKED = "asked of by an admission plugin, never requested: OwnerReferencesPermissionEnforcement"
REMEMBERED = "repeated events are patched; these came once each"
KINDS = ("rayclusters", "rayjobs", "rayservices", "raycronjobs")
CHILDREN = ("pods", "services", "ingresses", "jobs", "serviceaccounts", "roles", "rolebindings")
# (verb, resource) that these lives do not need, with the reason why it is held all the same.
UNUSED = {
    **{("list", resource): LISTED for resource in (*KINDS, *CHILDREN, "endpointslices")},
    **{("get", resource): LOST for resource in (*KINDS, *CHILDREN, *(f"{kind}/status" for kind in KINDS))},
    **{("update", f"{kind}/finalizers"): CHECKED for kind in KINDS},
    ("patch", "pods"): "labels of a pod that another operator made; the autoscaler is given it",
    ("patch", "pods/resize"): GIVEN,
    ("patch", "services"): "a Service whose wanted content changed, a serve Service say",
    ("patch", "ingresses"): "a changed ingress",
    ("patch", "jobs"): "a Job that is suspended",
    ("delete", "services"): "a serve Service that is wanted no more",
    ("delete", "rayjobs"): "a finished job with DELETE_RAYJOB_CR_AFTER_JOB_FINISHES; needs Ray to finish",
    ("patch", "events"): REMEMBERED,
}


async def created(wire: Wire, body: Json) -> None:
    (await wire.post(wire.path(f"{body['kind'].lower()}s.ray.io"), body)).ok(201)


async def changed(wire: Wire, resource: str, name: str, **spec: Any) -> None:
    (await wire.patch(wire.path(resource, name), {"spec": spec})).ok()


async def a_cluster_s_life(wire: Wire) -> None:
    """With autoscaler, token and ingress: started, scaled both ways, suspended, resumed, deleted."""
    cluster = a_raycluster(
        "r", workers=1, namespace=wire.namespace, enable_in_tree_autoscaling=True, auth_options={"mode": "token"}
    )
    cluster["spec"]["headGroupSpec"]["enableIngress"] = True
    await created(wire, cluster)
    path = wire.path("rayclusters.ray.io", "r")

    async def until(state: str, workers: int) -> None:
        def there(found: Json) -> bool:
            status = found.get("status") or {}
            return status.get("state") == state and status.get("availableWorkerReplicas", 0) == workers

        await wire.until(path, there, seconds=SLOW)

    await until("ready", 1)
    for workers in (3, 1):
        change: list[Json] = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": workers}]
        if workers == 1:
            pods = (await wire.get(wire.path("pods"), labelSelector="ray.io/cluster=r,ray.io/node-type=worker")).ok()
            names = [pod["metadata"]["name"] for pod in pods["items"][:2]]
            gone = {"op": "add", "path": "/spec/workerGroupSpecs/0/scaleStrategy", "value": {"workersToDelete": names}}
            change.append(gone)
        (await wire.patch(path, change, kind="json")).ok()
        await until("ready", workers)
    await changed(wire, "rayclusters.ray.io", "r", suspend=True)
    await until("suspended", 0)
    await changed(wire, "rayclusters.ray.io", "r", suspend=False)
    await until("ready", 1)
    (await wire.delete(path)).ok()
    await wire.gone(path, seconds=SLOW)


async def a_job_s_life(wire: Wire, name: str, mode: str) -> None:
    """Started until it would need Ray, suspended, and deleted."""
    await created(
        wire, a_rayjob(name, namespace=wire.namespace, submission_mode=mode, shutdown_after_job_finishes=True)
    )
    path = wire.path("rayjobs.ray.io", name)
    found = await wire.until(path, lambda one: bool((one.get("status") or {}).get("rayClusterName")), seconds=SLOW)
    cluster = wire.path("rayclusters.ray.io", found["status"]["rayClusterName"])
    await wire.until(cluster, lambda one: (one.get("status") or {}).get("state") == "ready", seconds=SLOW)
    if mode == "K8sJobMode":
        await wire.until(wire.path("jobs.batch", name), lambda job: True, seconds=SLOW)
    await changed(wire, "rayjobs.ray.io", name, suspend=True)
    await wire.until(
        path, lambda one: (one.get("status") or {}).get("jobDeploymentStatus") == "Suspended", seconds=SLOW
    )
    (await wire.delete(path)).ok()
    await wire.gone(path, seconds=SLOW)


async def a_service_s_life(wire: Wire) -> None:
    """Started until it would need Serve, and deleted."""
    await created(wire, a_rayservice("s", namespace=wire.namespace))
    path = wire.path("rayservices.ray.io", "s")
    await wire.until(path, lambda one: bool(_pending_cluster(one)), seconds=SLOW)
    (await wire.delete(path)).ok()
    await wire.gone(path, seconds=SLOW)


def _pending_cluster(service: Json) -> str:
    pending = (service.get("status") or {}).get("pendingServiceStatus") or {}
    return str(pending.get("rayClusterName") or "")


async def a_cron_job_s_life(wire: Wire) -> None:
    """Until it has made a RayJob."""
    await created(wire, a_raycronjob("c", namespace=wire.namespace, schedule="@every 1s"))
    path = wire.path("raycronjobs.ray.io", "c")
    await wire.until(path, lambda one: "lastScheduleTime" in (one.get("status") or {}), seconds=SLOW)
    (await wire.delete(path)).ok()
    await wire.gone(path, seconds=SLOW)


async def test_whole_lives_need_no_right_beyond_ours_and_leave_none_unused_without_a_reason(plane: Plane) -> None:
    """A right that nothing uses is one that a thief would have for nothing.

    The operator's own life is whole, too: all of this takes less than the two seconds after which its lease is renewed
    for the first time, but at its end the lease is given up.
    """
    operator = await plane.replica("least", "--feature-gates=RayCronJob=true")
    await operator.said("controllers work")
    async with a_kubelet(plane.wire), asyncio.TaskGroup() as lives:
        lives.create_task(a_cluster_s_life(plane.wire))
        lives.create_task(a_job_s_life(plane.wire, "k", "K8sJobMode"))
        lives.create_task(a_job_s_life(plane.wire, "h", "HTTPMode"))
        lives.create_task(a_service_s_life(plane.wire))
        lives.create_task(a_cron_job_s_life(plane.wire))
    operator.send(signal.SIGTERM)
    assert await operator.ended() == 0

    use = judge(requests(plane.judge.kubeconfig.with_name(AUDIT_LOG), f"{plane.wire.namespace}:least"))
    sys.stdout.write(f"{use.report()}\n")
    unused = {(verb, right.resource) for right, verb in use.unused}
    assert (use.refused, use.beyond) == ((), ())
    assert unused - UNUSED.keys() == set()
    assert [one for one in operator.complaints() if "forbidden" in str(one)] == []


async def test_the_same_role_in_a_second_namespace_is_all_that_it_takes_to_serve_both(plane: Plane) -> None:
    """As docs/install.md says: nothing cluster-wide, and in the second one no right to a lease."""
    wire, other = plane.wire, f"{plane.wire.namespace}-team"
    config = await plane.account("both")
    await wire.make_namespace(other, seconds=SLOW)
    role = {"metadata": {"name": "both"}, "rules": rules(RIGHTS)}
    binding = {
        "metadata": {"name": "both"},
        "subjects": [{"kind": "ServiceAccount", "name": "both", "namespace": wire.namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "both"},
    }
    for resource, body in (("roles", role), ("rolebindings", binding)):
        (await wire.post(wire.path(f"{resource}.rbac.authorization.k8s.io", namespace=other), body)).ok(201)
    operator = await plane.replica("both", f"--watch-namespace={wire.namespace},{other}", config=config)
    await operator.said("controllers work")

    for namespace in (wire.namespace, other):
        cluster = a_raycluster("r", workers=2, namespace=namespace)
        (await wire.post(wire.path("rayclusters.ray.io", namespace=namespace), cluster)).ok(201)
    for namespace in (wire.namespace, other):
        path = wire.path("rayclusters.ray.io", "r", namespace=namespace)
        await wire.until(path, lambda one: (one.get("status") or {}).get("desiredWorkerReplicas") == 2, seconds=SLOW)
        pods = (await wire.get(wire.path("pods", namespace=namespace))).ok()["items"]
        assert len(pods) == 3

    assert operator.complaints() == []
