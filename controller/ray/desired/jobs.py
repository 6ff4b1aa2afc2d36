"""The submitter of a RayJob in K8sJobMode: a Kubernetes Job that runs `ray job submit` (spec rayjob §8.2)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from api.meta import Json, owner_reference
from api.v1 import wire
from controller.ray.desired.names import token_secret
from controller.ray.options import Options

__all__ = ["DEFAULT_BACKOFF_LIMIT", "SUBMITTER", "origin_labels", "shell", "submitter_job"]

SUBMITTER: Final = "ray-job-submitter"
DEFAULT_BACKOFF_LIMIT: Final = 2  # of the Kubernetes Job: at most three submitter pods


def origin_labels(kind: str, name: str) -> dict[str, str]:
    """Which object a child stems from."""
    return {wire.LABEL_ORIGIN_NAME: name, wire.LABEL_ORIGIN_KIND: kind}


def shell(options: Options) -> list[str]:
    """The command of generated containers."""
    return ["/bin/bash", "-cel" if options.login_shell else "-ce", "--"]


def submitter_job(
    job: Mapping[str, Any],
    cluster_spec: Mapping[str, Any],
    *,
    script: str,
    dashboard: str,
    job_id: str,
    cluster_name: str,
    options: Options,
) -> Json:
    """The Job named as its RayJob. `cluster_spec` is the actual cluster's, so that clusterSelector works, too."""
    metadata, spec = job["metadata"], job["spec"]
    labels = origin_labels("RayJob", metadata["name"]) | {wire.LABEL_CREATED_BY: wire.CREATED_BY}
    template = copy.deepcopy(spec.get("submitterPodTemplate")) or default_template(cluster_spec)
    given = template.setdefault("metadata", {})
    given["labels"] = (given.get("labels") or {}) | labels
    container = template["spec"]["containers"][0]
    if not container.get("command"):
        container["command"], container["args"] = shell(options), [script]
    container["env"] = [
        *(container.get("env") or ()),
        {"name": "PYTHONUNBUFFERED", "value": "1"},
        {"name": "RAY_DASHBOARD_ADDRESS", "value": dashboard},
        {"name": "RAY_JOB_SUBMISSION_ID", "value": job_id},
    ]
    add_token(template["spec"], container, cluster_spec.get("authOptions") or {}, cluster_name)
    limit = (spec.get("submitterConfig") or {}).get("backoffLimit")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [owner_reference(wire.RAY_JOBS, job)],
        },
        "spec": {"backoffLimit": DEFAULT_BACKOFF_LIMIT if limit is None else limit, "template": template},
    }


def default_template(cluster_spec: Mapping[str, Any]) -> Json:
    """The pod that submits when the user gives none: the head's image, little of everything."""
    head = cluster_spec["headGroupSpec"]["template"]["spec"]["containers"][0]
    return {
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": SUBMITTER,
                    "image": head.get("image", ""),
                    "resources": {
                        "requests": {"cpu": "500m", "memory": "200Mi"},
                        "limits": {"cpu": "1", "memory": "1Gi"},
                    },
                }
            ],
        }
    }


def add_token(pod: Json, container: Json, auth: Mapping[str, Any], cluster_name: str) -> None:
    """Credentials for a dashboard with token auth; what the user set himself stays (spec rayjob §8.2 item 3)."""
    if auth.get("mode") != "token":
        return
    present = {variable["name"] for variable in container["env"]}
    wanted: list[Json] = [{"name": "RAY_AUTH_MODE", "value": "token"}]
    if auth.get("enableK8sTokenAuth"):
        wanted.append({"name": "RAY_ENABLE_K8S_TOKEN_AUTH", "value": "true"})
        token: Json = {"serviceAccountToken": {"path": "token"}}
        pod.setdefault("volumes", []).append({"name": "ray-token", "projected": {"sources": [token]}})
        mount = {"name": "ray-token", "mountPath": "/var/run/secrets/ray.io/serviceaccount", "readOnly": True}
        container.setdefault("volumeMounts", []).append(mount)
    else:
        secret = token_secret(auth.get("secretName"), cluster_name)
        reference = {"secretKeyRef": {"name": secret, "key": "auth_token"}}
        wanted.append({"name": "RAY_AUTH_TOKEN", "valueFrom": reference})
    container["env"] += [variable for variable in wanted if variable["name"] not in present]
