"""What the autoscaler may do: its ServiceAccount, Role and RoleBinding (spec raycluster §7.1)."""

from __future__ import annotations

from api.core import ROLE_BINDINGS, ROLES, SERVICE_ACCOUNTS
from api.meta import Json
from api.v1 import wire
from controller.ray.desired import names
from controller.ray.desired.facts import Facts

__all__ = ["chosen_service_account", "role", "role_binding", "service_account", "service_account_name"]


def chosen_service_account(facts: Facts) -> str:
    """The ServiceAccount that the user named for the head, or ""."""
    name: str = (facts.head.template.get("spec") or {}).get("serviceAccountName") or ""
    return name


def service_account_name(facts: Facts) -> str:
    """Who the head pod is. A name that the user chose is never shortened (the reference cuts it, and no pod starts)."""
    return chosen_service_account(facts) or names.check_name(facts.name)


def service_account(facts: Facts) -> Json:
    """The ServiceAccount to make where the user named none."""
    return {
        "apiVersion": SERVICE_ACCOUNTS.api_version,
        "kind": SERVICE_ACCOUNTS.kind,
        "metadata": _metadata(facts),
    }


def role(facts: Facts) -> Json:
    """Read pods, resize them, and set the replicas of the cluster."""
    return {
        "apiVersion": ROLES.api_version,
        "kind": ROLES.kind,
        "metadata": _metadata(facts),
        "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]},
            {"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["patch"]},
            {"apiGroups": [wire.GROUP], "resources": ["rayclusters"], "verbs": ["get", "patch"]},
        ],
    }


def role_binding(facts: Facts) -> Json:
    """The Role, given to the head pod."""
    subject = {"kind": SERVICE_ACCOUNTS.kind, "name": service_account_name(facts), "namespace": facts.namespace}
    return {
        "apiVersion": ROLE_BINDINGS.api_version,
        "kind": ROLE_BINDINGS.kind,
        "metadata": _metadata(facts),
        "subjects": [subject],
        "roleRef": {"apiGroup": ROLES.group, "kind": ROLES.kind, "name": names.check_name(facts.name)},
    }


def _metadata(facts: Facts) -> Json:
    return {
        "name": names.check_name(facts.name),
        "namespace": facts.namespace,
        "labels": {
            wire.LABEL_CLUSTER: facts.name,
            wire.LABEL_APP_NAME: wire.APPLICATION,
            wire.LABEL_CREATED_BY: wire.CREATED_BY,
        },
        "ownerReferences": [dict(facts.owner)],
    }
