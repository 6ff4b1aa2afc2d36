"""The Services before a cluster (spec raycluster §7.5-7.7), a RayJob's own (spec rayjob §8.4), and a RayService's (spec
rayservice §12), which stay while clusters come and go behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.core import SERVICES
from api.meta import Json
from api.v1 import wire
from controller.ray.desired import labels, names, ports
from controller.ray.desired.facts import Facts
from controller.ray.options import Options

__all__ = ["asks_for_serve_service", "head", "head_of_service", "headless", "of_ray_job", "serve", "serve_of_service"]


def head(facts: Facts, options: Options) -> Json:
    """The Service through which everybody finds the head; headless by default, so its name is the pod's address."""
    selector = labels.head_selector(facts)
    body = _custom_head(facts, selector) if facts.head_service is not None else _plain_head(facts, selector, options)
    return body | {"metadata": body["metadata"] | {"ownerReferences": [dict(facts.owner)]}}


def _plain_head(facts: Facts, selector: Mapping[str, str], options: Options) -> Json:
    spec: Json = {"selector": dict(selector), "ports": _offered(facts)}
    if facts.service_type:
        spec["type"] = facts.service_type
    if facts.service_type in ("", "ClusterIP") and not options.head_cluster_ip_service:
        spec |= {"clusterIP": "None", "publishNotReadyAddresses": True}  # workers look the head up before it is ready
    metadata = {"name": facts.head_service_name, "namespace": facts.namespace, "labels": dict(selector)}
    if facts.head_service_annotations:
        metadata["annotations"] = dict(facts.head_service_annotations)
    return _service(metadata, spec)


def _custom_head(facts: Facts, selector: Mapping[str, str]) -> Json:
    """The user's object with our selector, labels and ports; whether it is headless is the user's choice.

    A port number that both name is there twice, and the API server refuses that: the reference does the same.
    """
    user = facts.head_service or {}
    metadata = dict(user.get("metadata") or {})
    metadata |= {
        "name": facts.head_service_name,
        "namespace": facts.namespace,
        "labels": (metadata.get("labels") or {}) | dict(selector),
        "annotations": (metadata.get("annotations") or {}) | dict(facts.head_service_annotations),
    }
    spec = dict(user.get("spec") or {})
    spec |= {"selector": dict(selector), "ports": [*(spec.get("ports") or ()), *_offered(facts)]}
    kind = spec.get("type") or facts.service_type
    if kind:
        spec["type"] = kind
    return _service(metadata, spec)


def headless(facts: Facts) -> Json:
    """The Service by which the hosts of multi-host replicas find each other."""
    metadata = {
        "name": names.headless_service(facts.name),
        "namespace": facts.namespace,
        "labels": labels.headless(facts.name),
        "ownerReferences": [dict(facts.owner)],
    }
    spec = {
        "type": "ClusterIP",
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {wire.LABEL_CLUSTER: facts.name, wire.LABEL_NODE_TYPE: wire.WORKER},
    }
    return _service(metadata, spec)


def asks_for_serve_service(facts: Facts) -> bool:
    """Exactly "true" counts, as in the reference."""
    return facts.annotations.get(wire.ANNOTATION_SERVE_SERVICE) == "true"


def serve(facts: Facts) -> Json | None:
    """The Service before all proxies of the cluster, or None when no port of the head serves requests."""
    serving = ports.serving(ports.of_head(facts.head.container))
    if not serving:
        return None
    metadata = {
        "name": names.serve_service(facts.name),
        "namespace": facts.namespace,
        "labels": labels.of_serve_service(facts.name),
        "ownerReferences": [dict(facts.owner)],
    }
    spec: Json = {
        "selector": {wire.LABEL_CLUSTER: facts.name},
        "ports": [{"name": name, "port": number} for name, number in sorted(serving.items())],
    }
    if facts.service_type:
        spec["type"] = facts.service_type
    return _service(metadata, spec)


def of_ray_job(facts: Facts, job: str, owner: Mapping[str, Any], options: Options) -> Json:
    """A RayJob's head Service: the same, but it outlives the cluster, and its name does not change with it.

    `facts` are those of the job's present cluster; `owner` is the reference to the RayJob. headServiceAnnotations do
    not reach it, and its selector does not follow the head template: both as in the reference.
    """
    selector = labels.plain_head_selector(facts.name)
    return _staying_head(facts, selector, job, labels.identifier(facts.name, wire.HEAD), owner, options)


def head_of_service(facts: Facts, service: str, owner: Mapping[str, Any], options: Options) -> Json:
    """A RayService's head Service, before the head of the cluster of `facts`; `owner` refers to the RayService.

    headServiceAnnotations do not reach it, as in the reference. Its selector follows the head template, as that of the
    cluster's own does: the reference's finds no head that bears another application's name.
    """
    selector = labels.head_selector(facts)
    return _staying_head(facts, selector, service, labels.identifier(service, wire.HEAD), owner, options)


def _staying_head(
    facts: Facts, selector: Mapping[str, str], name: str, identifier: str, owner: Mapping[str, Any], options: Options
) -> Json:
    """The head Service of what `owner` refers to. Of a user's Service the annotations stay, the labels go."""
    body = _custom_head(facts, selector) if facts.head_service is not None else _plain_head(facts, selector, options)
    metadata: Json = {
        "name": names.head_service(name),
        "namespace": facts.namespace,
        "labels": {
            wire.LABEL_ORIGIN_NAME: name,
            wire.LABEL_ORIGIN_KIND: owner["kind"],
            wire.LABEL_NODE_TYPE: wire.HEAD,
            wire.LABEL_IDENTIFIER: identifier,
        },
        "ownerReferences": [dict(owner)],
    }
    if user := ((facts.head_service or {}).get("metadata") or {}).get("annotations"):
        metadata["annotations"] = dict(user)
    return _service(metadata, body["spec"])


def serve_of_service(facts: Facts, service: str, custom: Json | None, owner: Mapping[str, Any]) -> Json | None:
    """A RayService's serve Service, before the proxies of the cluster of `facts`; `custom` is spec.serveService.

    None when no port of the head serves requests and the user named none.
    """
    user = custom or {}
    serving = ports.serving(ports.declared(facts.head.container))
    offered = _serve_ports(serving, (user.get("spec") or {}).get("ports") or ())
    if not offered:
        return None
    metadata = dict(user.get("metadata") or {})
    ours = {
        wire.LABEL_ORIGIN_NAME: service,
        wire.LABEL_ORIGIN_KIND: "RayService",
        wire.LABEL_SERVE: labels.serve_value(service),
    }
    metadata |= {
        "name": metadata.get("name") or names.serve_service(service),
        "namespace": facts.namespace,
        "labels": (metadata.get("labels") or {}) | ours,
        "ownerReferences": [dict(owner)],
    }
    spec = dict(user.get("spec") or {})
    spec |= {"selector": {wire.LABEL_CLUSTER: facts.name, wire.LABEL_SERVE: "true"}, "ports": offered}
    if kind := spec.get("type") or facts.service_type:
        spec["type"] = kind
    return _service(metadata, spec)


def _serve_ports(serving: Mapping[str, int], wanted: Sequence[Json]) -> list[Json]:
    """One entry a serving port, the user's where one of that name is there; the user's alone where none serves."""
    if not serving:
        return [dict(one) for one in wanted]
    own = {one.get("name"): dict(one) for one in wanted}
    return [own.get(name) or {"name": name, "port": number} for name, number in sorted(serving.items())]


def _offered(facts: Facts) -> list[Json]:
    offered = ports.of_head(facts.head.container)
    return [{"name": name, "port": number, "appProtocol": "tcp"} for name, number in sorted(offered.items())]


def _service(metadata: Json, spec: Json) -> Json:
    return {"apiVersion": SERVICES.api_version, "kind": SERVICES.kind, "metadata": metadata, "spec": spec}
