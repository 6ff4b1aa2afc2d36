"""The columns of built-in kinds (spec kube-api TAB-2): a name, how its cell is got from an object, and its priority."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from localcluster.api import Json
from localcluster.apiserver import pod_cells
from localcluster.apiserver.ages import UNKNOWN, age, short_duration
from localcluster.apiserver.jsonpath import find

__all__ = ["AGE", "AGE_OF_CUSTOM", "BUILT_IN", "CREATED_AT", "NAME", "Column"]

Cell: TypeAlias = Callable[[Json, datetime], Any]

NONE = "<none>"
UNSET = "<unset>"
SHOWN_ENDPOINTS = 3
ROLE_LABEL = "node-role.kubernetes.io/"
ACCESS_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Priority 1 is shown with `-o wide` only; kubectl hides it, the server always sends it."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0

    @property
    def definition(self) -> Json:
        """As it stands in columnDefinitions."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def _at(path: str, default: Any = "") -> Cell:
    """What stands at a path, or the default."""

    def cell(item: Json, _: datetime) -> Any:
        found = find(path, item)
        return found[0] if found and found[0] is not None else default

    return cell


def _count(path: str) -> Cell:
    def cell(item: Json, _: datetime) -> int:
        return sum(len(one or ()) for one in find(path, item))

    return cell


def _joined(path: str, default: str = NONE, separator: str = ",") -> Cell:
    def cell(item: Json, _: datetime) -> str:
        return separator.join(map(str, find(path, item))) or default

    return cell


def _pod(read: Callable[[Json], Any]) -> Cell:
    return lambda item, _: read(item)


def _created(item: Json, now: datetime) -> str:
    return age(item.get("metadata", {}).get("creationTimestamp"), now)


def _wide(name: str, cell: Cell, type_: str = "string") -> Column:
    return Column(name, cell, type_, priority=1)


NAME = Column("Name", _at(".metadata.name"), format="name", description="Name is unique within a namespace.")
AGE = Column("Age", _created, description="How long ago the object was created.")
AGE_OF_CUSTOM = Column("Age", _created, "date", description=AGE.description)
CREATED_AT = Column("Created At", _at(".metadata.creationTimestamp"), "date", description="When it was created.")


def _selector(path: str) -> Cell:
    """Labels to match as text: "a=b,c=d"."""

    def cell(item: Json, _: datetime) -> str:
        labels = next(iter(find(path, item)), None) or {}
        return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE

    return cell


def _ports(item: Json, _: datetime) -> str:
    shown = []
    for port in item.get("spec", {}).get("ports") or ():
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}")
    return ",".join(shown) or NONE


def _cluster_ip(item: Json, _: datetime) -> str:
    return item.get("spec", {}).get("clusterIP") or NONE


def _external_ip(item: Json, _: datetime) -> str:
    spec = item.get("spec", {})
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    if spec.get("type") == "LoadBalancer":
        found = find(".status.loadBalancer.ingress[*].ip", item) + find(
            ".status.loadBalancer.ingress[*].hostname", item
        )
        return ",".join([*found, *spec.get("externalIPs", ())]) or "<pending>"
    return ",".join(spec.get("externalIPs") or ()) or NONE


def _node_status(item: Json, _: datetime) -> str:
    ready = find('.status.conditions[?(@.type=="Ready")].status', item)
    shown = ["Ready" if ready[0] == "True" else "NotReady"] if ready else ["Unknown"]
    if item.get("spec", {}).get("unschedulable"):
        shown.append("SchedulingDisabled")
    return ",".join(shown)


def _node_roles(item: Json, _: datetime) -> str:
    labels = item.get("metadata", {}).get("labels") or {}
    return ",".join(sorted(key.removeprefix(ROLE_LABEL) for key in labels if key.startswith(ROLE_LABEL))) or NONE


def _node_address(kind: str) -> Cell:
    return _at(f'.status.addresses[?(@.type=="{kind}")].address', NONE)


def _job_status(item: Json, _: datetime) -> str:
    conditions = {one["type"] for one in find(".status.conditions[*]", item) if one.get("status") == "True"}
    for condition, shown in (("Complete", "Complete"), ("Failed", "Failed")):
        if condition in conditions:
            return shown
    if item.get("metadata", {}).get("deletionTimestamp"):
        return "Terminating"
    for condition, shown in (("Suspended", "Suspended"), ("FailureTarget", "FailureTarget")):
        if condition in conditions:
            return shown
    return "SuccessCriteriaMet" if "SuccessCriteriaMet" in conditions else "Running"


def _job_completions(item: Json, _: datetime) -> str:
    spec, done = item.get("spec", {}), item.get("status", {}).get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _job_duration(item: Json, now: datetime) -> str:
    status = item.get("status", {})
    start, end = status.get("startTime"), status.get("completionTime")
    if not start:
        return ""
    if not end:
        return age(start, now)
    return short_duration(datetime.fromisoformat(end) - datetime.fromisoformat(start))


def _event_object(item: Json, _: datetime) -> str:
    about = item.get("involvedObject") or item.get("regarding") or {}
    kind = str(about.get("kind", "")).lower()
    return f"{kind}/{about['name']}" if about.get("name") else kind


def _event_source(item: Json, _: datetime) -> str:
    source = item.get("source") or item.get("deprecatedSource") or {}
    named = [source.get("component", ""), source.get("host", "")]
    return ", ".join(one for one in named if one) or item.get("reportingComponent", "")


def _event_seen(*paths: str) -> Cell:
    """The age of the first of these times that is set."""

    def cell(item: Json, now: datetime) -> str:
        times = [one for path in paths for one in find(path, item) if one]
        return age(times[0], now) if times else UNKNOWN

    return cell


def _event_message(item: Json, _: datetime) -> str:
    return str(item.get("message") or item.get("note") or "").strip()


def _endpoints(item: Json, _: datetime) -> str:
    shown = [
        f"{address.get('ip', '')}:{port['port']}" if port else str(address.get("ip", ""))
        for subset in item.get("subsets") or ()
        for port in (subset.get("ports") or [None])
        for address in subset.get("addresses") or ()
    ]
    return _shortened(shown, SHOWN_ENDPOINTS)


def _slice_endpoints(item: Json, _: datetime) -> str:
    return _shortened([one for each in item.get("endpoints") or () for one in each.get("addresses") or ()], 3)


def _slice_ports(item: Json, _: datetime) -> str:
    return _shortened([str(one.get("port") or "*") for one in item.get("ports") or ()], 3, UNSET)


def _shortened(shown: Sequence[str], most: int, default: str = NONE) -> str:
    if len(shown) > most:
        return f"{','.join(shown[:most])} + {len(shown) - most} more..."
    return ",".join(shown) or default


def _quota(prefix: Callable[[str], bool]) -> Cell:
    def cell(item: Json, _: datetime) -> str:
        status = item.get("status", {})
        hard, used = status.get("hard") or {}, status.get("used") or {}
        return ", ".join(f"{key}: {used.get(key, '0')}/{hard[key]}" for key in sorted(hard) if prefix(key))

    return cell


def _role(item: Json, _: datetime) -> str:
    role = item.get("roleRef", {})
    return f"{role.get('kind', '')}/{role.get('name', '')}"


def _subjects(kind: str) -> Cell:
    def cell(item: Json, _: datetime) -> str:
        chosen = [one for one in item.get("subjects") or () if one.get("kind") == kind]
        return ", ".join(f"{one['namespace']}/{one['name']}" if one.get("namespace") else one["name"] for one in chosen)

    return cell


def _hosts(item: Json, _: datetime) -> str:
    hosts = [one.get("host") or "*" for one in item.get("spec", {}).get("rules") or ()]
    return _shortened(hosts, 3, "*")


def _addresses(item: Json, _: datetime) -> str:
    return ",".join(one.get("ip") or one.get("hostname", "") for one in find(".status.loadBalancer.ingress[*]", item))


def _access_modes(item: Json, _: datetime) -> str:
    modes = item.get("status", {}).get("accessModes") or ()
    return ",".join(ACCESS_MODES.get(one, one) for one in modes)


def _ready(item: Json, _: datetime) -> str:
    return f"{item.get('status', {}).get('readyReplicas', 0)}/{item.get('spec', {}).get('replicas', 0)}"


_TEMPLATE = (
    _wide("Containers", _joined(".spec.template.spec.containers[*].name")),
    _wide("Images", _joined(".spec.template.spec.containers[*].image")),
    _wide("Selector", _selector(".spec.selector.matchLabels")),
)

_PODS = (
    NAME,
    Column("Ready", _pod(pod_cells.ready)),
    Column("Status", _pod(pod_cells.status)),
    Column("Restarts", pod_cells.restarts),
    AGE,
    _wide("IP", _at(".status.podIP", NONE)),
    _wide("Node", _at(".spec.nodeName", NONE)),
    _wide("Nominated Node", _at(".status.nominatedNodeName", NONE)),
    _wide("Readiness Gates", _pod(pod_cells.readiness_gates)),
)

_SERVICES = (
    NAME,
    Column("Type", _at(".spec.type")),
    Column("Cluster-IP", _cluster_ip),
    Column("External-IP", _external_ip),
    Column("Port(s)", _ports),
    AGE,
    _wide("Selector", _selector(".spec.selector")),
)

_NODES = (
    NAME,
    Column("Status", _node_status),
    Column("Roles", _node_roles),
    AGE,
    Column("Version", _at(".status.nodeInfo.kubeletVersion")),
    _wide("Internal-IP", _node_address("InternalIP")),
    _wide("External-IP", _node_address("ExternalIP")),
    _wide("OS-Image", _at(".status.nodeInfo.osImage", UNKNOWN)),
    _wide("Kernel-Version", _at(".status.nodeInfo.kernelVersion", UNKNOWN)),
    _wide("Container-Runtime", _at(".status.nodeInfo.containerRuntimeVersion", UNKNOWN)),
)

_EVENTS = (
    Column(
        "Last Seen", _event_seen(".series.lastObservedTime", ".lastTimestamp", ".deprecatedLastTimestamp", ".eventTime")
    ),
    Column("Type", _at(".type")),
    Column("Reason", _at(".reason")),
    Column("Object", _event_object),
    _wide("Subobject", _at(".involvedObject.fieldPath")),
    _wide("Source", _event_source),
    Column("Message", _event_message),
    _wide("First Seen", _event_seen(".firstTimestamp", ".deprecatedFirstTimestamp", ".eventTime")),
    _wide("Count", _at(".count", 1), "integer"),
    Column("Name", _at(".metadata.name"), format="name", priority=1),
)

_CLAIMS = (
    NAME,
    Column("Status", lambda item, now: "Terminating" if _deleted(item) else _at(".status.phase")(item, now)),
    Column("Volume", _at(".spec.volumeName")),
    Column("Capacity", _at(".status.capacity.storage")),
    Column("Access Modes", _access_modes),
    Column("StorageClass", _at(".spec.storageClassName")),
    Column("VolumeAttributesClass", _at(".spec.volumeAttributesClassName", UNSET)),
    AGE,
    _wide("VolumeMode", _at(".spec.volumeMode", UNSET)),
)


def _deleted(item: Json) -> bool:
    return bool(item.get("metadata", {}).get("deletionTimestamp"))


def _named(*columns: tuple[str, Cell] | Column) -> tuple[Column, ...]:
    """Name, these, Age."""
    return (NAME, *(one if isinstance(one, Column) else Column(*one) for one in columns), AGE)


def _webhooks() -> tuple[Column, ...]:
    return _named(Column("Webhooks", _count(".webhooks"), "integer"))


def _policies() -> tuple[Column, ...]:
    """Policies without params: no others are served."""
    return _named(Column("Validations", _count(".spec.validations"), "integer"), ("ParamKind", _unset))


def _policy_bindings() -> tuple[Column, ...]:
    return _named(("PolicyName", _at(".spec.policyName")), ("ParamRef", _unset))


def _unset(item: Json, now: datetime) -> str:
    return "<unset>"


BUILT_IN: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("", "pods"): _PODS,
    ("", "services"): _SERVICES,
    ("", "nodes"): _NODES,
    ("", "events"): _EVENTS,
    ("events.k8s.io", "events"): _EVENTS,
    ("", "persistentvolumeclaims"): _CLAIMS,
    ("", "namespaces"): _named(("Status", _at(".status.phase"))),
    ("", "configmaps"): _named(
        Column("Data", lambda item, now: _count(".data")(item, now) + _count(".binaryData")(item, now), "integer")
    ),
    ("", "secrets"): _named(("Type", _at(".type")), Column("Data", _count(".data"), "integer")),
    ("", "serviceaccounts"): _named(),
    ("", "endpoints"): _named(("Endpoints", _endpoints)),
    ("", "resourcequotas"): _named(
        ("Request", _quota(lambda key: not key.startswith("limits."))),
        ("Limit", _quota(lambda key: key.startswith("limits."))),
    ),
    ("apps", "deployments"): (
        NAME,
        Column("Ready", _ready),
        Column("Up-to-date", _at(".status.updatedReplicas", 0), "integer"),
        Column("Available", _at(".status.availableReplicas", 0), "integer"),
        AGE,
        *_TEMPLATE,
    ),
    ("apps", "replicasets"): (
        NAME,
        Column("Desired", _at(".spec.replicas", 0), "integer"),
        Column("Current", _at(".status.replicas", 0), "integer"),
        Column("Ready", _at(".status.readyReplicas", 0), "integer"),
        AGE,
        *_TEMPLATE,
    ),
    ("batch", "jobs"): (
        NAME,
        Column("Status", _job_status),
        Column("Completions", _job_completions),
        Column("Duration", _job_duration),
        AGE,
        *_TEMPLATE,
    ),
    ("coordination.k8s.io", "leases"): _named(("Holder", _at(".spec.holderIdentity"))),
    ("discovery.k8s.io", "endpointslices"): (
        NAME,
        Column("AddressType", _at(".addressType")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_endpoints),
        AGE,
    ),
    ("rbac.authorization.k8s.io", "rolebindings"): (
        *_named(("Role", _role)),
        _wide("Users", _subjects("User")),
        _wide("Groups", _subjects("Group")),
        _wide("ServiceAccounts", _subjects("ServiceAccount")),
    ),
    ("rbac.authorization.k8s.io", "clusterrolebindings"): (
        *_named(("Role", _role)),
        _wide("Users", _subjects("User")),
        _wide("Groups", _subjects("Group")),
        _wide("ServiceAccounts", _subjects("ServiceAccount")),
    ),
    ("networking.k8s.io", "ingresses"): _named(
        ("Class", _at(".spec.ingressClassName", NONE)),
        ("Hosts", _hosts),
        ("Address", _addresses),
        ("Ports", lambda item, _: "80, 443" if item.get("spec", {}).get("tls") else "80"),
    ),
    ("networking.k8s.io", "networkpolicies"): _named(("Pod-Selector", _selector(".spec.podSelector.matchLabels"))),
    ("policy", "poddisruptionbudgets"): _named(
        ("Min Available", lambda item, now: str(_at(".spec.minAvailable", "N/A")(item, now))),
        ("Max Unavailable", lambda item, now: str(_at(".spec.maxUnavailable", "N/A")(item, now))),
        Column("Allowed Disruptions", _at(".status.disruptionsAllowed", 0), "integer"),
    ),
    ("scheduling.k8s.io", "priorityclasses"): (
        NAME,
        Column("Value", _at(".value", 0), "integer"),
        Column("Global-Default", _at(".globalDefault", False), "boolean"),
        AGE,
        Column("PreemptionPolicy", _at(".preemptionPolicy")),
    ),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): _webhooks(),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): _policies(),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): _policy_bindings(),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): _webhooks(),
}
