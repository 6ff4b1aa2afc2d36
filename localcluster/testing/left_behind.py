"""What KubeRay's operator leaves behind when it goes: objects as it stores them, for whoever takes them over."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, TypeAlias

import yaml

from localcluster.testing.cluster import Cluster
from localcluster.testing.factories import a_pod, a_rayservice
from localcluster.testing.view import View

__all__ = ["a_service_of_kuberay"]

Json: TypeAlias = dict[str, Any]

CLUSTER = "web-x7k2p"
VERSION = "v1.7.0"
HASH = "0123456789ABCDEFGHIJKLMNOPQRSTUV"  # in a form of its own: no other operator makes the same
ORIGIN = {"ray.io/originated-from-cr-name": "web", "ray.io/originated-from-crd": "RayService"}
COMMON = {
    "ray.io/is-ray-node": "yes",
    "ray.io/cluster": CLUSTER,
    "app.kubernetes.io/name": "kuberay",
    "app.kubernetes.io/created-by": "kuberay-operator",
}
HEAD = COMMON | {"ray.io/node-type": "head", "ray.io/group": "headgroup", "ray.io/identifier": f"{CLUSTER}-head"}
WORKER = COMMON | {"ray.io/node-type": "worker", "ray.io/group": "small", "ray.io/identifier": f"{CLUSTER}-worker"}
PROBE = {
    "exec": {"command": ["bash", "-c", "wget --tries 1 -T 10 -q -O- http://localhost:8000/-/healthz | grep success"]},
    "periodSeconds": 5,
    "failureThreshold": 1,
}


async def a_service_of_kuberay(cluster: Cluster) -> str:
    """A RayService "web" that serves, in a cluster without an operator; the name of its RayCluster.

    Names are random, the hash is of a form that only its maker knows, and what its typed model adds is there.
    """
    service = await cluster.create(a_rayservice("web") | {"status": {}})
    await cluster.patch("RayService", "web", {"metadata": {"finalizers": ["ray.io/rayservice-finalizer"]}})
    ray = await cluster.create(_ray_cluster(service))
    for body in (_head_service(), _pod("head-b5d8f", HEAD), _pod("small-worker-t9w2z", WORKER)):
        body["metadata"]["ownerReferences"] = [_owner(ray)]
        await cluster.create(body)
    for pod in await cluster.pods(CLUSTER):
        await cluster.until("Pod", pod.name, ready=True)
    await _configured(cluster, service)
    for body in _services(service):
        await cluster.create(body)
    await _reported(cluster)
    return CLUSTER


def _owner(of: View) -> Json:
    return {
        "apiVersion": "ray.io/v1",
        "kind": of["kind"],
        "name": of.name,
        "uid": of.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _ray_cluster(service: View) -> Json:
    spec = service["spec"]["rayClusterConfig"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        group["template"]["metadata"] = {}
    spec["workerGroupSpecs"][0]["scaleStrategy"] = {}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "name": CLUSTER,
            "namespace": "default",
            "labels": ORIGIN,
            "annotations": {
                "ray.io/hash-without-replicas-and-workers-to-delete": HASH,
                "ray.io/num-worker-groups": "1",
                "ray.io/kuberay-version": VERSION,
            },
            "ownerReferences": [_owner(service)],
        },
        "spec": spec,
    }


def _pod(name: str, labels: Json) -> Json:
    body = a_pod(f"{CLUSTER}-{name}", labels=labels | {"ray.io/serve": "true"})
    if labels is WORKER:
        body["spec"]["containers"][0]["readinessProbe"] = PROBE
    else:
        body["metadata"]["annotations"] = {"ray.io/kuberay-version": VERSION}
    return body


def _head_service() -> Json:
    ports = [{"name": "dashboard", "port": 8265}, {"name": "serve", "port": 8000}]
    spec = {"selector": HEAD, "clusterIP": "None", "publishNotReadyAddresses": True, "ports": ports}
    return _service(f"{CLUSTER}-head-svc", HEAD, spec)


def _services(service: View) -> list[Json]:
    """Those of the RayService."""
    head = {"selector": HEAD, "clusterIP": "None", "ports": [{"name": "dashboard", "port": 8265}]}
    selector = {"ray.io/cluster": CLUSTER, "ray.io/serve": "true"}
    serve = {"selector": selector, "ports": [{"name": "serve", "port": 8000}]}
    labels = ORIGIN | {"ray.io/node-type": "head", "ray.io/identifier": "web-head"}
    found = [
        _service("web-head-svc", labels, head),
        _service("web-serve-svc", ORIGIN | {"ray.io/serve": "web-serve"}, serve),
    ]
    for one in found:
        one["metadata"]["ownerReferences"] = [_owner(service)]
    return found


def _service(name: str, labels: Json, spec: Json) -> Json:
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


async def _configured(cluster: Cluster, service: View) -> None:
    """Serve on the head runs the applications."""
    url, limit = f"http://{CLUSTER}-head-svc.default.svc:8265/api/serve/applications/", timedelta(seconds=10)
    body = json.dumps(yaml.safe_load(service["spec"]["serveConfigV2"])).encode()
    code, answer = await cluster.dashboards.request("PUT", url, headers={}, body=body, timeout=limit)
    assert code == 200, answer
    await cluster.after(10)


async def _reported(cluster: Cluster) -> None:
    """The status, as its last pass wrote it."""
    service = await cluster.get("RayService", "web")
    now = cluster.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    empty = {"desiredCPU": "0", "desiredGPU": "0", "desiredMemory": "0", "desiredTPU": "0", "head": {}}

    def condition(type_: str, status: str, reason: str) -> Json:
        generation = service["metadata"]["generation"]
        return {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": "as it words it",
            "lastTransitionTime": now,
            "observedGeneration": generation,
        }

    said = {"status": "RUNNING", "serveDeploymentStatuses": {"Main": {"status": "HEALTHY"}}}
    status = {
        "activeServiceStatus": {
            "rayClusterName": CLUSTER,
            "rayClusterStatus": empty | {"state": "ready"},
            "applicationStatuses": {"app": said},
        },
        "pendingServiceStatus": {"rayClusterStatus": empty},
        "conditions": [
            condition("Ready", "True", "NonZeroServeEndpoints"),
            condition("UpgradeInProgress", "False", "NoPendingCluster"),
        ],
        "numServeEndpoints": 2,
        "serviceStatus": "Running",
        "observedGeneration": service["metadata"]["generation"],
        "lastUpdateTime": now,
    }
    await cluster.patch("RayService", "web", {"status": status}, subresource="status")
