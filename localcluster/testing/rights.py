"""A service account with the rights that the reference's chart gives its operator, and what the API server says it did.

Ours must need no more (design.md §7). A real API server enforces the rights; its audit log, where it keeps one for
service accounts (hack/kube/judge.py), is an independent count of the writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from localcluster.testing.wire import Json, Wire

__all__ = ["ACCOUNT", "RULES", "Audited", "audited", "rules_of_the_reference", "signed_in", "token_of"]

ACCOUNT = "kuberay-operator"
FULL = "create delete get list patch update watch"
MOST = "create delete get list update watch"
RAY = ("rayclusters", "raycronjobs", "rayjobs", "rayservices")

# Group, resources, verbs: docs/spec/deployment.md §2.1, but for what only other add-ons' kinds need
RULES = (
    ("", "persistentvolumeclaims pods/status services", FULL),
    ("", "pods", f"{FULL} deletecollection"),
    ("", "pods/proxy services/status", "get patch update"),
    ("", "pods/resize", "patch"),
    ("", "secrets", MOST),
    ("", "serviceaccounts", "create delete get list watch"),
    ("", "services/proxy", "create get patch update"),
    ("batch", "jobs", FULL),
    ("coordination.k8s.io", "leases", "create get list update"),
    ("discovery.k8s.io", "endpointslices", "get list watch"),
    ("events.k8s.io", "events", "create patch"),
    ("extensions", "ingresses", FULL),
    ("networking.k8s.io", "ingresses", FULL),
    ("networking.k8s.io", "ingressclasses", "get list watch"),
    ("networking.k8s.io", "networkpolicies", MOST),
    ("ray.io", " ".join(RAY), FULL),
    ("ray.io", " ".join(f"{one}/finalizers" for one in RAY), "update"),
    ("ray.io", " ".join(f"{one}/status" for one in RAY), "get patch update"),
    ("rbac.authorization.k8s.io", "rolebindings", "create delete get list watch"),
    ("rbac.authorization.k8s.io", "roles", MOST),
)


def rules_of_the_reference() -> list[Json]:
    """The reference's ClusterRole, as RBAC rules."""
    return [
        {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
        for group, resources, verbs in RULES
    ]


async def signed_in(wire: Wire, account: str = ACCOUNT, rules: Sequence[Json] | None = None) -> Json:
    """A kubeconfig for a service account with these rights (else the reference's), in the namespace alone."""
    role = {"metadata": {"name": account}, "rules": rules_of_the_reference() if rules is None else rules}
    (await wire.post(wire.path("roles.rbac.authorization.k8s.io"), role)).ok(201)
    (await wire.post(wire.path("serviceaccounts"), {"metadata": {"name": account}})).ok(201)
    binding = {
        "metadata": {"name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": wire.namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
    }
    (await wire.post(wire.path("rolebindings.rbac.authorization.k8s.io"), binding)).ok(201)
    config: Json = json.loads(wire.endpoint.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": await token_of(wire, account)}
    return config


async def token_of(wire: Wire, account: str, *, bound_to: Json | None = None) -> str:
    """A fresh token of the account; one that is bound to a Secret dies with it."""
    spec: Json = {"expirationSeconds": 3600} | ({"boundObjectRef": bound_to} if bound_to else {})
    answer = (await wire.post(wire.path("serviceaccounts", f"{account}/token"), {"spec": spec})).ok(201)
    return str(answer["status"]["token"])


@dataclass(frozen=True, slots=True)
class Audited:
    """One write as the API server answered it."""

    verb: str
    resource: str  # "rayclusters/status"
    name: str
    code: int
    received: datetime
    answered: datetime

    def __str__(self) -> str:
        refused = f" {self.code}" if self.code >= 400 else ""
        return f"{self.verb} {self.resource}{refused}"


def audited(log: Path, namespace: str, account: str = ACCOUNT) -> Iterable[Audited]:
    """The account's writes so far, oldest first. One is written down as it is answered: its effect may show earlier."""
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        to = entry["objectRef"]
        if entry["user"]["username"] == f"system:serviceaccount:{namespace}:{account}":
            below = f"/{to['subresource']}" if "subresource" in to else ""
            yield Audited(
                entry["verb"],
                to["resource"] + below,
                to.get("name", ""),
                entry["responseStatus"]["code"],
                datetime.fromisoformat(entry["requestReceivedTimestamp"]),
                datetime.fromisoformat(entry["stageTimestamp"]),
            )
