"""What a new API server holds before anybody has written to it."""

from __future__ import annotations

from typing import Final

from localcluster.api import Json
from localcluster.apiserver.core import Core
from localcluster.apiserver.metadata import created
from localcluster.resources import BUILT_IN

__all__ = ["KUBERNETES_PORT", "bootstrap"]

_NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")
_PRIORITIES: Final = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
KUBERNETES_PORT: Final = 6443


def bootstrap(core: Core) -> None:
    """Add what is missing of: the system namespaces, the system priority classes, the Service `kubernetes`."""
    for name in _NAMESPACES:
        _ensure(core, "namespaces", {"metadata": {"name": name}})
    for name, value in _PRIORITIES.items():
        description = f"Used for system critical pods ({name})."
        priority = {"metadata": {"name": name}, "value": value, "description": description}
        _ensure(core, "priorityclasses", priority)
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [
        {"name": "https", "protocol": "TCP", "port": core.addresses.kubernetes_port, "targetPort": KUBERNETES_PORT}
    ]
    spec = {"clusterIP": core.addresses.kubernetes, "ports": ports}
    _ensure(
        core, "services", {"metadata": {"name": "kubernetes", "namespace": "default", "labels": labels}, "spec": spec}
    )


def _ensure(core: Core, plural: str, obj: Json) -> None:
    resource = next(one for one in BUILT_IN if one.plural == plural)
    metadata = obj["metadata"]
    if core.get(resource, metadata.get("namespace", ""), metadata["name"]) is not None:
        return
    kind = core.kind(resource)
    kind.default(obj)
    created(metadata, uid=core.uid(), now=core.now(), generation=1 if kind.generation(obj, None) else None)
    kind.prepare_create(obj, core)
    core.put(resource, obj)
