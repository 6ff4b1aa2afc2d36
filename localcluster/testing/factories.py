"""Short ways to write the objects that stories begin with.

Keyword arguments are members of `spec` in snake case (`active_deadline_seconds=300`); dictionaries in them keep the
names they have on the wire.
"""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = [
    "a_container",
    "a_job",
    "a_pod",
    "a_raycluster",
    "a_raycronjob",
    "a_rayjob",
    "a_rayservice",
    "a_service",
    "camel",
]

Json: TypeAlias = dict[str, Any]

RAY_VERSION = "2.52.0"
IMAGE = f"rayproject/ray:{RAY_VERSION}"


def camel(name: str) -> str:
    """active_deadline_seconds -> activeDeadlineSeconds."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def a_container(name: str = "main", *, cpu: str = "1", memory: str = "1Gi", **more: Any) -> Json:
    """A container with equal requests and limits."""
    amounts = {"cpu": cpu, "memory": memory}
    return {
        "name": name,
        "image": IMAGE,
        "resources": {"requests": dict(amounts), "limits": dict(amounts)},
        **{camel(key): value for key, value in more.items()},
    }


def a_pod(name: str, *containers: Json, namespace: str = "default", labels: Json | None = None, **spec: Any) -> Json:
    """A pod of one container, unless others are given."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": {
            "containers": list(containers) or [a_container()],
            **{camel(key): value for key, value in spec.items()},
        },
    }


def a_service(name: str, selector: Json, *, port: int = 80, namespace: str = "default", **spec: Any) -> Json:
    """A Service with one port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": selector,
            "ports": [{"name": "main", "port": port}],
            **{camel(key): value for key, value in spec.items()},
        },
    }


def a_job(name: str, *containers: Json, namespace: str = "default", restart_policy: str = "Never", **spec: Any) -> Json:
    """A batch Job of one pod."""
    template = {"spec": {"restartPolicy": restart_policy, "containers": list(containers) or [a_container()]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": template, **{camel(key): value for key, value in spec.items()}},
    }


def a_raycluster(
    name: str,
    *,
    workers: int = 1,
    group: str = "small",
    namespace: str = "default",
    annotations: Json | None = None,
    labels: Json | None = None,
    **spec: Any,
) -> Json:
    """A RayCluster with a head and, if `workers` is not 0, one group of workers."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": annotations or {},
            "labels": labels or {},
        },
        "spec": _cluster_spec(workers, group) | {camel(key): value for key, value in spec.items()},
    }


def a_rayjob(
    name: str,
    *,
    workers: int = 1,
    group: str = "small",
    namespace: str = "default",
    annotations: Json | None = None,
    labels: Json | None = None,
    cluster: Json | None = None,
    **spec: Any,
) -> Json:
    """A RayJob with a cluster of its own (its spec overridden by `cluster`), unless it selects one."""
    own = {} if "cluster_selector" in spec else {"rayClusterSpec": _cluster_spec(workers, group) | (cluster or {})}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": annotations or {},
            "labels": labels or {},
        },
        "spec": {"entrypoint": "python train.py", **own, **{camel(key): value for key, value in spec.items()}},
    }


def _cluster_spec(workers: int, group: str) -> Json:
    spec: Json = {
        "rayVersion": RAY_VERSION,
        "headGroupSpec": {
            "rayStartParams": {},
            "template": {"spec": {"containers": [a_container("ray-head", cpu="2", memory="4Gi")]}},
        },
    }
    if workers:
        spec["workerGroupSpecs"] = [
            {
                "groupName": group,
                "replicas": workers,
                "minReplicas": 0,
                "maxReplicas": max(10, workers),
                "rayStartParams": {},
                "template": {"spec": {"containers": [a_container("ray-worker")]}},
            }
        ]
    return spec


def a_raycronjob(
    name: str, schedule: str, *, namespace: str = "default", workers: int = 0, template: Json | None = None, **spec: Any
) -> Json:
    """A RayCronJob; `template` are members of its RayJobs' spec in snake case, `spec` of its own."""
    job = a_rayjob("unused", workers=workers, **(template or {}))
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCronJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "schedule": schedule,
            "jobTemplate": job["spec"],
            **{camel(key): value for key, value in spec.items()},
        },
    }


SERVED = """applications:
- name: app
  route_prefix: /
  import_path: app:main
"""


def a_rayservice(
    name: str,
    *,
    workers: int = 1,
    namespace: str = "default",
    serve: str = SERVED,
    cluster: Json | None = None,
    annotations: Json | None = None,
    **spec: Any,
) -> Json:
    """A RayService of one application; `cluster` replaces members of its cluster's spec."""
    config = a_raycluster("unused", workers=workers)["spec"] | (cluster or {})
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {
            "name": name,
            "namespace": namespace,
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": {
            "serveConfigV2": serve,
            "rayClusterConfig": config,
            **{camel(key): value for key, value in spec.items()},
        },
    }
