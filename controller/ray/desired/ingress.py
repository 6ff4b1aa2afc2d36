"""The Ingress to the head's dashboard (spec raycluster §7.2)."""

from __future__ import annotations

from typing import Final

from api.core import INGRESSES
from api.meta import Json
from api.v1 import wire
from controller.ray.desired import labels, names, ports
from controller.ray.desired.facts import Facts

__all__ = ["ingress", "managed"]

OURS: Final = "manta.ray.io/"  # what we note on a RayCluster is nobody else's business


def ingress(facts: Facts) -> Json:
    """The Ingress. It carries all annotations of the RayCluster, for that is how its controller is configured."""
    options = facts.ingress or {}
    port = ports.of_head(facts.head.container).get("dashboard", wire.PORT_DASHBOARD)
    backend = {"service": {"name": facts.head_service_name, "port": {"number": port}}}
    path = {"path": options.get("path") or "/", "pathType": options.get("pathType") or "Prefix", "backend": backend}
    rule: Json = {"http": {"paths": [path]}}
    if options.get("host"):
        rule["host"] = options["host"]
    spec: Json = {"rules": [rule]}
    if options.get("tls"):
        spec["tls"] = options["tls"]
    if wire.ANNOTATION_INGRESS_CLASS in facts.annotations:
        spec["ingressClassName"] = facts.annotations[wire.ANNOTATION_INGRESS_CLASS]
    return {
        "apiVersion": INGRESSES.api_version,
        "kind": INGRESSES.kind,
        "metadata": {
            "name": names.ingress(facts.name),
            "namespace": facts.namespace,
            "labels": _labels(facts),
            "annotations": _annotations(facts),
            "ownerReferences": [dict(facts.owner)],
        },
        "spec": spec,
    }


def managed(body: Json) -> Json:
    """The part of an Ingress that is ours to repair: labels, annotations and spec, whole."""
    metadata = body["metadata"]
    return {
        "metadata": {"labels": metadata.get("labels") or {}, "annotations": metadata.get("annotations") or {}},
        "spec": body.get("spec") or {},
    }


def _labels(facts: Facts) -> dict[str, str]:
    return {
        wire.LABEL_CLUSTER: facts.name,
        wire.LABEL_IDENTIFIER: labels.identifier(facts.name, wire.HEAD),
        wire.LABEL_APP_NAME: wire.APPLICATION,
        wire.LABEL_CREATED_BY: wire.CREATED_BY,
    }


def _annotations(facts: Facts) -> dict[str, str]:
    return {
        name: value
        for name, value in facts.annotations.items()
        if name != wire.ANNOTATION_INGRESS_CLASS and not name.startswith(OURS)
    }
