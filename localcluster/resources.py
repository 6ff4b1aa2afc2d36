"""The kinds that the local cluster serves by itself, as discovery describes them (spec kube-api §2, design §3).

A `ResourceInfo` says what a resource is called and what may be done with it; how its objects are checked and
defaulted is the business of `localcluster.apiserver`. Custom resources get a `ResourceInfo` from their definition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ["BUILT_IN", "CUSTOM_VERBS", "KUBERNETES", "VERBS", "ResourceInfo", "Subresource"]

KUBERNETES: Final = "v1.36.3"  # the release that the whole local cluster says it is
VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CUSTOM_VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_CHANGE: Final = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """One subresource: its verbs, and the kind it answers (group and version empty: those of the parent)."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """A resource as it is served under one group and version.

    `store` names where its objects lie: all versions of a custom resource, and both groups of events, share one
    store. `custom` resources are described by a CustomResourceDefinition and encoded with sorted keys (PRO-3).
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    subresources: tuple[Subresource, ...] = ()
    list_kind: str = ""
    custom: bool = False
    store: str = ""
    deprecation_warning: str = ""
    _by_name: dict[str, Subresource] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.list_kind:
            object.__setattr__(self, "list_kind", f"{self.kind}List")
        if not self.store:
            object.__setattr__(self, "store", self.name)
        self._by_name.update((one.name, one) for one in self.subresources)

    @property
    def api_version(self) -> str:
        """What objects write into `apiVersion`: "v1", "batch/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """As kubectl and error messages name it: "pods", "jobs.batch"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def kind_name(self) -> str:
        """The kind as error messages name it: "Pod", "Job.batch"."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def has_status(self) -> bool:
        """Whether the status is written through a subresource of its own."""
        return "status" in self._by_name

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name, or None."""
        return self._by_name.get(name)


_BODY_VERBS: Final = ("create", "get")  # exec, attach, port-forward
_PROXY_VERBS: Final = ("create", "delete", "get", "patch", "update")


def _status(kind: str) -> Subresource:
    return Subresource("status", _CHANGE, kind)


def _scale() -> Subresource:
    return Subresource("scale", _CHANGE, "Scale", "autoscaling", "v1")


def _pod_subresources() -> tuple[Subresource, ...]:
    return (
        Subresource("attach", _BODY_VERBS, "PodAttachOptions"),
        Subresource("binding", ("create",), "Binding"),
        Subresource("ephemeralcontainers", _CHANGE, "Pod"),
        Subresource("eviction", ("create",), "Eviction", "policy", "v1"),
        Subresource("exec", _BODY_VERBS, "PodExecOptions"),
        Subresource("log", ("get",), "Pod"),
        Subresource("portforward", _BODY_VERBS, "PodPortForwardOptions"),
        Subresource("proxy", _PROXY_VERBS, "PodProxyOptions"),
        Subresource("resize", _CHANGE, "Pod"),
        _status("Pod"),
    )


def _core() -> tuple[ResourceInfo, ...]:
    return (
        ResourceInfo("", "v1", "configmaps", "configmap", "ConfigMap", short_names=("cm",)),
        ResourceInfo(
            "",
            "v1",
            "endpoints",
            "endpoints",
            "Endpoints",
            short_names=("ep",),
            deprecation_warning="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        ),
        ResourceInfo("", "v1", "events", "event", "Event", short_names=("ev",), store="events"),
        ResourceInfo("", "v1", "limitranges", "limitrange", "LimitRange", short_names=("limits",)),
        ResourceInfo(
            "",
            "v1",
            "namespaces",
            "namespace",
            "Namespace",
            namespaced=False,
            short_names=("ns",),
            verbs=tuple(verb for verb in VERBS if verb != "deletecollection"),
            subresources=(Subresource("finalize", ("update",), "Namespace"), _status("Namespace")),
        ),
        ResourceInfo(
            "",
            "v1",
            "nodes",
            "node",
            "Node",
            namespaced=False,
            short_names=("no",),
            subresources=(Subresource("proxy", _PROXY_VERBS, "NodeProxyOptions"), _status("Node")),
        ),
        ResourceInfo(
            "",
            "v1",
            "persistentvolumeclaims",
            "persistentvolumeclaim",
            "PersistentVolumeClaim",
            short_names=("pvc",),
            subresources=(_status("PersistentVolumeClaim"),),
        ),
        ResourceInfo(
            "",
            "v1",
            "persistentvolumes",
            "persistentvolume",
            "PersistentVolume",
            namespaced=False,
            short_names=("pv",),
            subresources=(_status("PersistentVolume"),),
        ),
        ResourceInfo(
            "",
            "v1",
            "pods",
            "pod",
            "Pod",
            short_names=("po",),
            categories=("all",),
            subresources=_pod_subresources(),
        ),
        ResourceInfo(
            "",
            "v1",
            "resourcequotas",
            "resourcequota",
            "ResourceQuota",
            short_names=("quota",),
            subresources=(_status("ResourceQuota"),),
        ),
        ResourceInfo("", "v1", "secrets", "secret", "Secret"),
        ResourceInfo(
            "",
            "v1",
            "serviceaccounts",
            "serviceaccount",
            "ServiceAccount",
            short_names=("sa",),
            subresources=(Subresource("token", ("create",), "TokenRequest", "authentication.k8s.io", "v1"),),
        ),
        ResourceInfo(
            "",
            "v1",
            "services",
            "service",
            "Service",
            short_names=("svc",),
            categories=("all",),
            subresources=(Subresource("proxy", _PROXY_VERBS, "ServiceProxyOptions"), _status("Service")),
        ),
    )


def _workloads() -> tuple[ResourceInfo, ...]:
    return (
        ResourceInfo(
            "apps",
            "v1",
            "deployments",
            "deployment",
            "Deployment",
            short_names=("deploy",),
            categories=("all",),
            subresources=(_scale(), _status("Deployment")),
        ),
        ResourceInfo(
            "apps",
            "v1",
            "replicasets",
            "replicaset",
            "ReplicaSet",
            short_names=("rs",),
            categories=("all",),
            subresources=(_scale(), _status("ReplicaSet")),
        ),
        ResourceInfo(
            "batch",
            "v1",
            "jobs",
            "job",
            "Job",
            categories=("all",),
            subresources=(_status("Job"),),
        ),
    )


def _rbac() -> tuple[ResourceInfo, ...]:
    group = "rbac.authorization.k8s.io"
    return (
        ResourceInfo(group, "v1", "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding", namespaced=False),
        ResourceInfo(group, "v1", "clusterroles", "clusterrole", "ClusterRole", namespaced=False),
        ResourceInfo(group, "v1", "rolebindings", "rolebinding", "RoleBinding"),
        ResourceInfo(group, "v1", "roles", "role", "Role"),
    )


def _network_and_policy() -> tuple[ResourceInfo, ...]:
    return (
        ResourceInfo(
            "networking.k8s.io",
            "v1",
            "ingressclasses",
            "ingressclass",
            "IngressClass",
            namespaced=False,
        ),
        ResourceInfo(
            "networking.k8s.io",
            "v1",
            "ingresses",
            "ingress",
            "Ingress",
            short_names=("ing",),
            subresources=(_status("Ingress"),),
        ),
        ResourceInfo(
            "networking.k8s.io", "v1", "networkpolicies", "networkpolicy", "NetworkPolicy", short_names=("netpol",)
        ),
        ResourceInfo(
            "policy",
            "v1",
            "poddisruptionbudgets",
            "poddisruptionbudget",
            "PodDisruptionBudget",
            short_names=("pdb",),
            subresources=(_status("PodDisruptionBudget"),),
        ),
        ResourceInfo(
            "scheduling.k8s.io",
            "v1",
            "priorityclasses",
            "priorityclass",
            "PriorityClass",
            namespaced=False,
            short_names=("pc",),
        ),
    )


def _machinery() -> tuple[ResourceInfo, ...]:
    webhooks = "admissionregistration.k8s.io"
    return (
        ResourceInfo(
            webhooks,
            "v1",
            "mutatingwebhookconfigurations",
            "mutatingwebhookconfiguration",
            "MutatingWebhookConfiguration",
            namespaced=False,
            categories=("api-extensions",),
        ),
        ResourceInfo(
            webhooks,
            "v1",
            "validatingadmissionpolicies",
            "validatingadmissionpolicy",
            "ValidatingAdmissionPolicy",
            namespaced=False,
            categories=("api-extensions",),
            subresources=(_status("ValidatingAdmissionPolicy"),),
        ),
        ResourceInfo(
            webhooks,
            "v1",
            "validatingadmissionpolicybindings",
            "validatingadmissionpolicybinding",
            "ValidatingAdmissionPolicyBinding",
            namespaced=False,
            categories=("api-extensions",),
        ),
        ResourceInfo(
            webhooks,
            "v1",
            "validatingwebhookconfigurations",
            "validatingwebhookconfiguration",
            "ValidatingWebhookConfiguration",
            namespaced=False,
            categories=("api-extensions",),
        ),
        ResourceInfo(
            "apiextensions.k8s.io",
            "v1",
            "customresourcedefinitions",
            "customresourcedefinition",
            "CustomResourceDefinition",
            namespaced=False,
            short_names=("crd", "crds"),
            categories=("api-extensions",),
            subresources=(_status("CustomResourceDefinition"),),
        ),
        ResourceInfo("coordination.k8s.io", "v1", "leases", "lease", "Lease"),
        ResourceInfo("discovery.k8s.io", "v1", "endpointslices", "endpointslice", "EndpointSlice"),
        ResourceInfo("events.k8s.io", "v1", "events", "event", "Event", short_names=("ev",), store="events"),
    )


BUILT_IN: Final[tuple[ResourceInfo, ...]] = (*_core(), *_workloads(), *_rbac(), *_network_and_policy(), *_machinery())
