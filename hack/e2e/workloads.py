"""Ray's objects as end-to-end tests want them: real Ray, and as small as it gets, since the node may have two cores."""

from __future__ import annotations

from typing import Any

from hack.image.making import RAY_VERSION

__all__ = ["RAY_IMAGE", "a_raycluster", "a_rayjob", "a_spec"]

Json = dict[str, Any]
RAY_IMAGE = f"rayproject/ray:{RAY_VERSION}"
STARTED_WITH = {"num-cpus": "1", "object-store-memory": "80000000"}
GRACE_SECONDS = 5  # Ray ends at once when it is asked


def a_spec(*, workers: int = 0, **spec: Any) -> Json:
    """Of a RayCluster with one head, and a group of so many workers."""
    group = {"groupName": "small", "replicas": workers, "minReplicas": 0, "maxReplicas": 4}
    worker = {**group, "rayStartParams": STARTED_WITH, "template": _a_pod("ray-worker", "1Gi")}
    return {
        "rayVersion": RAY_VERSION,
        "headGroupSpec": {"rayStartParams": STARTED_WITH, "template": _a_pod("ray-head", "2Gi")},
        "workerGroupSpecs": [worker],
        **spec,
    }


def a_raycluster(name: str, namespace: str, *, workers: int = 0, **spec: Any) -> Json:
    """A RayCluster of that spec."""
    return _an_object("RayCluster", name, namespace, a_spec(workers=workers, **spec))


def a_rayjob(name: str, namespace: str, entrypoint: str, **spec: Any) -> Json:
    """A RayJob: on a cluster of its own that is a head alone, unless `clusterSelector` or `rayClusterSpec` is given."""
    where = {} if "clusterSelector" in spec else {"rayClusterSpec": a_spec()}
    return _an_object("RayJob", name, namespace, {"entrypoint": entrypoint, **where, **spec})


def _an_object(kind: str, name: str, namespace: str, spec: Json) -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "ray.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def _a_pod(container: str, memory: str) -> Json:
    resources = {"limits": {"cpu": "1", "memory": memory}, "requests": {"cpu": "100m", "memory": "256Mi"}}
    return {
        "spec": {
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "containers": [{"name": container, "image": RAY_IMAGE, "resources": resources}],
        }
    }
