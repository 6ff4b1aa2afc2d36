"""Objects of every built-in kind, and what becomes of an object when somebody mistypes it: for tests of robustness."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from typing import Any, Final

from localcluster.api import Json

__all__ = ["VALID", "collection", "mutated"]

_SELECTOR: Final[Json] = {
    "matchLabels": {"a": "b"},
    "matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}],
}
_PROBE: Final[Json] = {"httpGet": {"path": "/", "port": 80, "httpHeaders": [{"name": "n", "value": "v"}]}}
_POD: Final[Json] = {
    "containers": [
        {
            "name": "c",
            "image": "i",
            "command": ["a"],
            "env": [
                {"name": "X", "value": "1"},
                {"name": "Y", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "Z", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "envFrom": [{"configMapRef": {"name": "m"}}],
            "ports": [{"containerPort": 80, "name": "http"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": 0.5}},
            "readinessProbe": _PROBE,
            "livenessProbe": {"exec": {"command": ["x"]}, "periodSeconds": 3},
            "lifecycle": {"preStop": {"exec": {"command": ["x"]}}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "securityContext": {"runAsUser": 1, "capabilities": {"add": ["X"]}},
        }
    ],
    "initContainers": [{"name": "init", "image": "i", "restartPolicy": "Always"}],
    "volumes": [
        {"name": "v", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"secret": {"name": "s"}}]}},
        {"name": "d", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "m", "configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}},
    ],
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "nodeSelector": {"a": "b"},
    "readinessGates": [{"conditionType": "g"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "Exists"}]}]
            }
        }
    },
    "hostNetwork": True,
    "restartPolicy": "Never",
}
_TEMPLATE: Final[Json] = {"metadata": {"labels": {"a": "b"}}, "spec": _POD}
_RULES: Final = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
_BINDING: Final[Json] = {
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
    "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "default"}],
}
_HOOKS: Final = [
    {
        "name": "a.b.c",
        "clientConfig": {"url": "https://x"},
        "rules": [{"operations": ["CREATE"], "apiGroups": ["none"], "apiVersions": ["v1"], "resources": ["nones"]}],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "objectSelector": _SELECTOR,
    }
]
_SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {
                    "type": "integer",
                    "minimum": 1,
                    "default": 3,
                    "x-kubernetes-validations": [{"rule": "self > 0"}],
                },
                "list": {"type": "array", "items": {"type": "string", "pattern": "^a", "enum": ["a", "ab"]}},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "any": {"x-kubernetes-preserve-unknown-fields": True},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}

VALID: Final[Mapping[str, Json]] = {
    "/api/v1/configmaps": {"data": {"k": "v"}, "binaryData": {"b": "YQ=="}, "immutable": False},
    "/api/v1/endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]},
    "/api/v1/events": {
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "R",
        "message": "m",
        "type": "Normal",
        "source": {"component": "c"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "count": 1,
    },
    "/api/v1/limitranges": {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}},
    "/api/v1/namespaces": {"spec": {"finalizers": ["kubernetes"]}},
    "/api/v1/nodes": {
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {
            "capacity": {"cpu": "1"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "Hostname", "address": "x"}],
        },
    },
    "/api/v1/persistentvolumeclaims": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "/api/v1/persistentvolumes": {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    },
    "/api/v1/pods": {"spec": _POD},
    "/api/v1/resourcequotas": {"spec": {"hard": {"pods": "3", "requests.cpu": "1"}, "scopes": ["BestEffort"]}},
    "/api/v1/secrets": {"data": {"k": "YQ=="}, "stringData": {"t": "x"}, "type": "Opaque"},
    "/api/v1/serviceaccounts": {"secrets": [{"name": "s"}], "automountServiceAccountToken": True},
    "/api/v1/services": {
        "spec": {
            "selector": {"a": "b"},
            "ports": [{"port": 80, "targetPort": "http", "name": "a"}, {"port": 81, "nodePort": 30001, "name": "b"}],
            "type": "NodePort",
            "externalIPs": ["10.1.1.1"],
        }
    },
    "/apis/apps/v1/deployments": {
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": _TEMPLATE}
    },
    "/apis/apps/v1/replicasets": {
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": _TEMPLATE}
    },
    "/apis/batch/v1/jobs": {"spec": {"backoffLimit": 1, "completions": 1, "suspend": True, "template": _TEMPLATE}},
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings": _BINDING,
    "/apis/rbac.authorization.k8s.io/v1/clusterroles": {
        "rules": _RULES,
        "aggregationRule": {"clusterRoleSelectors": [_SELECTOR]},
    },
    "/apis/rbac.authorization.k8s.io/v1/rolebindings": _BINDING,
    "/apis/rbac.authorization.k8s.io/v1/roles": {"rules": _RULES},
    "/apis/networking.k8s.io/v1/ingressclasses": {"spec": {"controller": "a/b"}},
    "/apis/networking.k8s.io/v1/ingresses": {
        "spec": {
            "ingressClassName": "c",
            "tls": [{"hosts": ["h"], "secretName": "s"}],
            "rules": [
                {
                    "host": "h.example.com",
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "s", "port": {"number": 1}}},
                            }
                        ]
                    },
                }
            ],
        }
    },
    "/apis/networking.k8s.io/v1/networkpolicies": {
        "spec": {
            "podSelector": _SELECTOR,
            "ingress": [
                {"from": [{"podSelector": _SELECTOR}, {"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 1}]}
            ],
            "policyTypes": ["Ingress"],
        }
    },
    "/apis/policy/v1/poddisruptionbudgets": {"spec": {"minAvailable": 1, "selector": _SELECTOR}},
    "/apis/scheduling.k8s.io/v1/priorityclasses": {"value": 3, "globalDefault": True, "description": "d"},
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations": {"webhooks": _HOOKS},
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations": {"webhooks": _HOOKS},
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": {
        "spec": {
            "group": "odd.example.com",
            "names": {"plural": "odds", "kind": "Odd", "shortNames": ["o"], "categories": ["all"]},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _SCHEMA},
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.n"},
                    },
                    "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                    "selectableFields": [{"jsonPath": ".spec.size"}],
                }
            ],
        }
    },
    "/apis/coordination.k8s.io/v1/leases": {
        "spec": {"holderIdentity": "h", "leaseDurationSeconds": 3, "renewTime": "2026-01-01T00:00:00.000000Z"}
    },
    "/apis/discovery.k8s.io/v1/endpointslices": {
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": "p"}}
        ],
        "ports": [{"name": "n", "port": 1, "protocol": "TCP"}],
    },
    "/apis/events.k8s.io/v1/events": {
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "R",
        "note": "m",
        "type": "Normal",
        "action": "a",
        "reportingController": "c.example.com/x",
        "reportingInstance": "i",
        "eventTime": "2026-01-01T00:00:00.000000Z",
    },
}
"""Path of the collection over all namespaces -> an object without name."""

_CLUSTER_WIDE: Final = (
    "namespaces",
    "nodes",
    "persistentvolumes",
    "clusterroles",
    "clusterrolebindings",
    "ingressclasses",
    "priorityclasses",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "customresourcedefinitions",
)


def collection(path: str, namespace: str) -> str:
    """The collection to write to: that of the namespace, for a resource that has namespaces."""
    head, _, plural = path.rpartition("/")
    return path if plural in _CLUSTER_WIDE else f"{head}/namespaces/{namespace}/{plural}"


def _deep(levels: int) -> Json:
    value: Json = {}
    for _ in range(levels):
        value = {"a": [value]}
    return value


def _odd(chance: random.Random) -> Any:
    numbers = [0, 3, -1, 2**31, 2**63, 1.5, 1e300]
    texts = ["", "x", "x" * 5000, "ü\n\x00\u2028", "1e999", "0x1", "-5", "$(A)"]
    lists = [[], [None], [[]], [{}], [3], ["x"]]
    maps = [{}, {"": None}, {"ключ\n.": {}}, {"a": 3}, {"a": "b"}, _deep(3), _deep(150)]
    return chance.choice([None, True, *numbers, *texts, *lists, *maps])


def _places(value: Any, found: list[tuple[Any, Any]]) -> None:
    """(container, key) of everything inside."""
    if isinstance(value, dict):
        pairs: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return
    for key, member in pairs:
        found.append((value, key))
        _places(member, found)


def mutated(obj: Json, chance: random.Random) -> Json:
    """A copy with one or two things wrong; name, uid and resourceVersion stay, since clients do not mistype those."""
    changed = copy.deepcopy(obj)
    for _ in range(chance.choice((1, 1, 2))):
        places: list[tuple[Any, Any]] = []
        _places(changed, places)
        places = [
            place for place in places if place[1] not in ("name", "uid", "resourceVersion", "metadata", "namespace")
        ]
        if places:
            _spoil(*chance.choice(places), chance)
    return changed


def _spoil(container: Any, key: Any, chance: random.Random) -> None:
    what = chance.randrange(10)
    if what == 0:
        del container[key]
    elif what == 1:
        container[key] = [container[key]]
    elif what == 2 and isinstance(container, dict):
        container[chance.choice(("strange", "ключ", "a.b", "", "~1", "x" * 300))] = _odd(chance)
    elif what == 3 and isinstance(container, list):
        container.append(copy.deepcopy(container[key]))
    else:
        container[key] = _odd(chance)
