"""What the API server is told of our webhooks: two configurations and a Service, from code (spec runtime WH-10). Pure.

Every field is written out that the API server would fill in, so that what it stores can be held against what we want.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.core import MUTATING_WEBHOOKS, SERVICES, VALIDATING_WEBHOOKS
from api.meta import Json, Resource
from webhooks.kinds import DOORS, Door

__all__ = [
    "MUTATING",
    "SECRET",
    "SERVICE",
    "VALIDATING",
    "Registration",
    "covers",
    "mutating",
    "operator_account",
    "service",
    "validating",
    "with_bundle",
]

# Names are those that the reference's kustomization gives (spec deployment DC-19).
VALIDATING: Final = "kuberay-validating-webhook-configuration"
MUTATING: Final = "kuberay-mutating-webhook-configuration"
SERVICE: Final = "kuberay-webhook-service"
SECRET: Final = "webhook-server-cert"  # noqa: S105 - a name
SERVICE_PORT: Final = 443
TARGET_PORT: Final = 9443
TIMEOUT_SECONDS: Final = 5
LABELS: Final = {"app.kubernetes.io/component": "webhook", "app.kubernetes.io/name": "kuberay"}
OPERATOR_LABELS: Final = {"app.kubernetes.io/component": "kuberay-operator", "app.kubernetes.io/name": "kuberay"}
INJECTED_BY_CERT_MANAGER: Final = "cert-manager.io/inject-ca-from"


@dataclass(frozen=True, slots=True)
class Registration:
    """How our webhooks are reached and asked. Either by the Service of a namespace, or by a URL.

    `account` is the operator's own user name, which is never asked about. Where there is one replica, its own
    rescheduling would be blocked if what it does not answer were refused; so that is allowed.
    """

    namespace: str = ""
    url: str = ""  # https://host:port
    account: str = ""
    replicas: int = 1
    namespaces: Sequence[str] = ()  # those that the operator watches; none: all
    certificate: str = ""  # namespace/name of cert-manager's Certificate, whose authority it injects
    bundle: bytes = b""


def operator_account(namespace: str, name: str = "kuberay-operator") -> str:
    """The user name of a service account."""
    return f"system:serviceaccount:{namespace}:{name}"


def validating(how: Registration) -> Json:
    """The ValidatingWebhookConfiguration."""
    policy = "Fail" if how.replicas >= 2 else "Ignore"
    webhooks = [
        _webhook(how, door, door.validating_name, door.validating_path) | {"failurePolicy": policy} for door in DOORS
    ]
    return _configuration(VALIDATING_WEBHOOKS, VALIDATING, how, webhooks)


def mutating(how: Registration) -> Json:
    """The MutatingWebhookConfiguration: of optional value, so a failure is ignored."""
    webhooks = [
        _webhook(how, door, door.mutating_name, door.mutating_path)
        | {"failurePolicy": "Ignore", "reinvocationPolicy": "IfNeeded"}
        for door in DOORS
    ]
    return _configuration(MUTATING_WEBHOOKS, MUTATING, how, webhooks)


def service() -> Json:
    """The Service by which the API server reaches us."""
    return {
        "apiVersion": SERVICES.api_version,
        "kind": SERVICES.kind,
        "metadata": {"name": SERVICE, "labels": dict(LABELS)},
        "spec": {
            "ports": [{"name": "https", "port": SERVICE_PORT, "protocol": "TCP", "targetPort": TARGET_PORT}],
            "selector": dict(OPERATOR_LABELS),
        },
    }


def with_bundle(webhooks: Sequence[Mapping[str, Any]], bundle: bytes) -> list[Json]:
    """Those webhooks, trusting these authorities."""
    return [
        {**one, "clientConfig": {**(one.get("clientConfig") or {}), "caBundle": _encoded(bundle)}} for one in webhooks
    ]


def covers(found: Any, wanted: Any) -> bool:
    """Does `found` say all that `wanted` says? It may say more: what a newer API server fills in."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            name in found and covers(found[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(covers, found, wanted))
    return bool(found == wanted)


def _configuration(resource: Resource, name: str, how: Registration, webhooks: list[Json]) -> Json:
    metadata: Json = {"name": name, "labels": dict(LABELS)}
    if how.certificate:
        metadata["annotations"] = {INJECTED_BY_CERT_MANAGER: how.certificate}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
        "webhooks": webhooks,
    }


def _webhook(how: Registration, door: Door, name: str, path: str) -> Json:
    return {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": _client(how, path),
        "rules": [
            {
                "apiGroups": [door.resource.group],
                "apiVersions": [door.resource.version],
                "operations": ["CREATE", "UPDATE"],
                "resources": [door.resource.plural],
                "scope": "Namespaced",
            }
        ],
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
        "objectSelector": {},
        "namespaceSelector": _namespaces(how.namespaces),
        "matchConditions": _conditions(how, door),
    }


def _client(how: Registration, path: str) -> Json:
    client: Json = {"caBundle": _encoded(how.bundle)} if how.bundle else {}
    if how.url:
        return client | {"url": how.url.rstrip("/") + path}
    return client | {"service": {"name": SERVICE, "namespace": how.namespace, "path": path, "port": SERVICE_PORT}}


def _namespaces(names: Sequence[str]) -> Json:
    if not names:
        return {}
    wanted = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(names)}
    return {"matchExpressions": [wanted]}


def _conditions(how: Registration, door: Door) -> list[Json]:
    """Whom and what we are not asked about: CEL that the API server evaluates before it calls."""
    conditions = [{"name": "not-in-deletion", "expression": "!has(object.metadata.deletionTimestamp)"}]
    if how.account:
        # No condition can know another name: an operator in another namespace is known by `admission.trustedUsers`.
        expression = f"request.userInfo.username != '{how.account}'"
        conditions.insert(0, {"name": "not-the-operator", "expression": expression})
    changed = CHANGED_CLUSTER if door.resource.kind == "RayCluster" else CHANGED
    return [*conditions, {"name": "content-changed", "expression": changed}]


# A label or annotation that changes is judged: some rules are about those. Finalizers and owners are not.
METADATA_CHANGED: Final = " || ".join(
    f"(has(object.metadata.{name}) ? object.metadata.{name} : {{}})"
    f" != (has(oldObject.metadata.{name}) ? oldObject.metadata.{name} : {{}})"
    for name in ("labels", "annotations")
)
_SPECS_DIFFER: Final = "has(object.spec) != has(oldObject.spec) || (has(object.spec) && (%s))"
CHANGED: Final = f"oldObject == null || {METADATA_CHANGED} || {_SPECS_DIFFER % 'object.spec != oldObject.spec'}"
# Groups are looked up by name, so the cost grows with their square; beyond the API server's budget a condition fails.
MOST_COMPARED: Final = 100
# The autoscaler sets two fields of a group, every few seconds.
_SAME_GROUP: Final = (
    "o.groupName == g.groupName"
    " && g.all(k, k in ['replicas', 'scaleStrategy'] || (k in o && o[k] == g[k]))"
    " && o.all(k, k in ['replicas', 'scaleStrategy'] || k in g)"
)
_CLUSTERS_DIFFER: Final = (
    "!object.spec.all(k, k in oldObject.spec && (k == 'workerGroupSpecs' || object.spec[k] == oldObject.spec[k]))"
    " || !oldObject.spec.all(k, k in object.spec)"
    " || (has(object.spec.workerGroupSpecs)"
    f" && (size(object.spec.workerGroupSpecs) > {MOST_COMPARED}"
    " || size(object.spec.workerGroupSpecs) != size(oldObject.spec.workerGroupSpecs)"
    f" || !object.spec.workerGroupSpecs.all(g, oldObject.spec.workerGroupSpecs.exists(o, {_SAME_GROUP}))))"
)
CHANGED_CLUSTER: Final = f"oldObject == null || {METADATA_CHANGED} || {_SPECS_DIFFER % _CLUSTERS_DIFFER}"


def _encoded(bundle: bytes) -> str:
    return base64.b64encode(bundle).decode()
