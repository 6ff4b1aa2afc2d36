"""The cluster's DNS: CoreDNS as a Deployment behind the Service `kube-dns`, as every cluster has it."""

from __future__ import annotations

import json
from typing import Any

from hack.kube.configuration import DNS_ADDRESS, DOMAIN

__all__ = ["IMAGE", "manifest"]

IMAGE = "manta.test/coredns:1"
NAME, NAMESPACE = "coredns", "kube-system"
LABELS = {"k8s-app": "kube-dns"}
CORE_FILE = f"""
.:53 {{
    errors
    health :8080 {{
        lameduck 0s
    }}
    ready :8181
    kubernetes {DOMAIN} in-addr.arpa {{
        pods insecure
        ttl 5
    }}
}}
"""
READABLE = (
    {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
)


def manifest() -> str:
    """All objects, as a JSON list that kubectl applies."""
    return json.dumps(
        {"apiVersion": "v1", "kind": "List", "items": [*_rights(), _core_file(), _deployment(), _service()]}
    )


def _meta(name: str = NAME, *, namespaced: bool = True) -> dict[str, Any]:
    return {"name": name, "labels": LABELS, **({"namespace": NAMESPACE} if namespaced else {})}


def _rights() -> list[dict[str, Any]]:
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    role = {"apiGroup": group, "kind": "ClusterRole", "name": f"system:{NAME}"}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta()},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": _meta(f"system:{NAME}", namespaced=False),
            "rules": list(READABLE),
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": _meta(f"system:{NAME}", namespaced=False),
            "roleRef": role,
            "subjects": [subject],
        },
    ]


def _core_file() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta(), "data": {"Corefile": CORE_FILE}}


def _deployment() -> dict[str, Any]:
    container = {
        "name": NAME,
        "image": IMAGE,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
    }
    pod = {
        "serviceAccountName": NAME,
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": NAME}}],
    }
    template = {"metadata": {"labels": LABELS}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _meta(), "spec": spec}


def _service() -> dict[str, Any]:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    spec = {"clusterIP": DNS_ADDRESS, "selector": LABELS, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta("kube-dns"), "spec": spec}
