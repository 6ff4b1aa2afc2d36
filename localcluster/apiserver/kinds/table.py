"""Which rules each built-in kind follows; a kind that is not listed is plain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcluster.apiserver.kinds.base import Kind
from localcluster.apiserver.kinds.definition import DefinitionKind
from localcluster.apiserver.kinds.events import EventKind, NewEventKind
from localcluster.apiserver.kinds.pods import PodKind
from localcluster.apiserver.kinds.policies import PolicyBindingKind, PolicyKind
from localcluster.apiserver.kinds.services import ServiceKind
from localcluster.apiserver.kinds.small import (
    BindingKind,
    BudgetKind,
    ClaimKind,
    ConfigMapKind,
    CreatedByUpdate,
    IngressKind,
    LeaseKind,
    NamespaceKind,
    NodeKind,
    PriorityClassKind,
    QuotaKind,
    RoleKind,
    SecretKind,
    SpecGeneration,
)
from localcluster.apiserver.kinds.webhooks import WebhookKind
from localcluster.apiserver.kinds.workloads import DeploymentKind, JobKind, ReplicaSetKind

__all__ = ["KINDS", "PLAIN"]

PLAIN: Final = Kind()

KINDS: Final[Mapping[str, Kind]] = {
    "clusterrolebindings.rbac.authorization.k8s.io": BindingKind(),
    "clusterroles.rbac.authorization.k8s.io": RoleKind(),
    "configmaps": ConfigMapKind(),
    "customresourcedefinitions.apiextensions.k8s.io": DefinitionKind(),
    "deployments.apps": DeploymentKind(),
    "endpoints": CreatedByUpdate(),
    "events": EventKind(),
    "events.events.k8s.io": NewEventKind(),
    "ingresses.networking.k8s.io": IngressKind(),
    "jobs.batch": JobKind(),
    "leases.coordination.k8s.io": LeaseKind(),
    "limitranges": CreatedByUpdate(),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": WebhookKind(mutating=True),
    "namespaces": NamespaceKind(),
    "networkpolicies.networking.k8s.io": SpecGeneration(),
    "nodes": NodeKind(),
    "persistentvolumeclaims": ClaimKind(),
    "poddisruptionbudgets.policy": BudgetKind(),
    "pods": PodKind(),
    "priorityclasses.scheduling.k8s.io": PriorityClassKind(),
    "replicasets.apps": ReplicaSetKind(),
    "resourcequotas": QuotaKind(),
    "rolebindings.rbac.authorization.k8s.io": BindingKind(),
    "roles.rbac.authorization.k8s.io": RoleKind(),
    "secrets": SecretKind(),
    "services": ServiceKind(),
    "validatingadmissionpolicies.admissionregistration.k8s.io": PolicyKind(),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": PolicyBindingKind(),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": WebhookKind(mutating=False),
}
