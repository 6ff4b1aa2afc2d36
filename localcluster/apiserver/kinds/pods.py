"""Pods: what is added to a new one, and the little that may change later (spec kube-api POD-1 to POD-3). Pure."""

from __future__ import annotations

import copy
from typing import Any, Final

from localcluster.api import Json
from localcluster.apiserver.kinds.base import FieldReaders, Kind, World, field_text, unchanged
from localcluster.apiserver.kinds.podspec import all_containers, decode_spec, default_spec, spec_causes
from localcluster.apiserver.refusals import Cause, forbidden_field, forbidden_request, invalid_value
from localcluster.resources import BUILT_IN

__all__ = ["PodKind", "qos_class"]

_PODS: Final = next(one for one in BUILT_IN if one.name == "pods")
_TOKEN_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 (a folder, not a token)
_TOKEN_SECONDS: Final = 3607
_TAINT_SECONDS: Final = 300
_TAINTS: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_ONLY_THESE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_COUNTED: Final = ("cpu", "memory")


def _pod_ips(pod: Json) -> str:
    return ",".join(one.get("ip", "") for one in (pod.get("status") or {}).get("podIPs") or ())


def _host_network(pod: Json) -> str:
    return "true" if (pod.get("spec") or {}).get("hostNetwork") else "false"


_FIELDS: Final[FieldReaders] = {
    "spec.nodeName": field_text("spec", "nodeName"),
    "spec.restartPolicy": field_text("spec", "restartPolicy"),
    "spec.schedulerName": field_text("spec", "schedulerName"),
    "spec.serviceAccountName": field_text("spec", "serviceAccountName"),
    "spec.hostNetwork": _host_network,
    "status.phase": field_text("status", "phase"),
    "status.podIP": field_text("status", "podIP"),
    "status.podIPs": _pod_ips,
    "status.nominatedNodeName": field_text("status", "nominatedNodeName"),
}


class PodKind(Kind):
    """Pods."""

    known = frozenset({"spec", "status"})
    answers_object_on_delete = True
    fields = _FIELDS

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """Types of the spec, quantities; the times of a condition are shown even when null."""
        decoded, unknown = super().decode(obj)
        decode_spec(decoded.setdefault("spec", {}), "Pod")
        for condition in (decoded.get("status") or {}).get("conditions") or ():
            condition.setdefault("lastProbeTime", None)
            condition.setdefault("lastTransitionTime", None)
        return decoded, unknown

    def default(self, obj: Json) -> None:
        """Defaults of the spec; in pods, not in templates, a limit is also a request."""
        spec = obj["spec"]
        default_spec(spec)
        spec.setdefault("enableServiceLinks", True)
        for _, _, container in all_containers(spec):
            resources = container["resources"]
            for name, limit in (resources.get("limits") or {}).items():
                resources.setdefault("requests", {}).setdefault(name, limit)

    def prepare_create(self, obj: Json, world: World) -> None:
        """Service account with its token, tolerations, priority, status. Raises Refusal for an absent account.

        The account `default` may be late: a controller makes it some time after the namespace. Real servers refuse
        pods until then; here they only would delay a test.
        """
        spec, namespace = obj["spec"], obj["metadata"]["namespace"]
        account = spec.setdefault("serviceAccountName", "default")
        spec["serviceAccount"] = account
        found = world.find("serviceaccounts", namespace, account)
        if found is None and account != "default":
            why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            raise forbidden_request(_PODS, obj["metadata"]["name"], why)
        _add_token(spec, found or {}, world)
        _add_tolerations(spec)
        _add_priority(spec, world)
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}

    def generation(self, new: Json, old: Json | None) -> bool:
        """The spec counts (META-2)."""
        return old is None or not unchanged(new, old, "spec")

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """The spec."""
        return spec_causes(obj["spec"], "spec")

    def validate_update(self, new: Json, old: Json) -> list[Cause]:
        """Images, a deadline, further tolerations, scheduling gates that go: nothing else may change (POD-3)."""
        if new["spec"] == old["spec"]:
            return []
        for key in ("containers", "initContainers"):
            if len(new["spec"].get(key) or ()) != len(old["spec"].get(key) or ()):
                return [forbidden_field(f"spec.{key}", "pod updates may not add or remove containers")]
        tolerations = _toleration_causes(new["spec"], old["spec"])
        if _frozen(new["spec"]) != _frozen(old["spec"]):
            return [*tolerations, forbidden_field("spec", _ONLY_THESE)]
        return tolerations

    def validate_part(self, subresource: str, new: Json, old: Json) -> list[Cause]:
        """Other resources must leave the pod in its class (SUB-3)."""
        before = qos_class(old["spec"])
        if subresource != "resize" or qos_class(new["spec"]) == before:
            return []
        return [invalid_value("spec", before, "Pod QOS Class may not change as a result of resizing")]

    def merge_status(self, new: Json, old: Json) -> Json:
        """Owners are not changed through /status."""
        merged = super().merge_status(new, old)
        owners = old["metadata"].get("ownerReferences")
        merged["metadata"] = {**merged["metadata"], "ownerReferences": owners or []}
        if not owners:
            del merged["metadata"]["ownerReferences"]
        if "status" in merged and "qosClass" in (old.get("status") or {}):
            merged["status"] = {**merged["status"], "qosClass": old["status"]["qosClass"]}
        return merged

    def grace_seconds(self, obj: Json, asked: int | None) -> int:
        """None for a pod that never reached a node, or has finished (DEL-8, DEL-9)."""
        spec = obj["spec"]
        if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in _FINISHED:
            return 0
        grace: int = spec.get("terminationGracePeriodSeconds", 30) if asked is None else asked
        return 1 if grace < 0 else grace


def qos_class(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort, by the requests and limits of cpu and memory."""
    requested = False
    guaranteed = True
    for key, _, container in all_containers(spec):
        if key == "ephemeralContainers":
            continue
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        requested |= any(name in requests or name in limits for name in _COUNTED)
        guaranteed &= all(name in limits and requests.get(name, limits[name]) == limits[name] for name in _COUNTED)
    if not requested:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _add_token(spec: Json, account: Json, world: World) -> None:
    """The projected volume with token, CA and namespace, and a mount of it in every container."""
    automount = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if not automount:
        return
    missing = [
        container
        for key, _, container in all_containers(spec)
        if key != "ephemeralContainers"
        and all(mount.get("mountPath") != _TOKEN_PATH for mount in container.get("volumeMounts") or ())
    ]
    if not missing:
        return
    name = f"kube-api-access-{world.letters(5)}"
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]
    volume = {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]
    for container in missing:
        mount = {"name": name, "readOnly": True, "mountPath": _TOKEN_PATH}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]


def _add_tolerations(spec: Json) -> None:
    tolerations = list(spec.get("tolerations") or ())
    for key in _TAINTS:
        if not any(_tolerates(one, key) for one in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TAINT_SECONDS}
            )
    spec["tolerations"] = tolerations


def _tolerates(toleration: Json, key: str) -> bool:
    return toleration.get("key", "") in {"", key} and toleration.get("effect", "") in {"", "NoExecute"}


def _add_priority(spec: Json, world: World) -> None:
    name = spec.get("priorityClassName")
    found = world.find("priorityclasses.scheduling.k8s.io", "", name) if name else None
    spec["priority"] = (found or {}).get("value", 0)
    spec.setdefault("preemptionPolicy", (found or {}).get("preemptionPolicy", "PreemptLowerPriority"))


def _toleration_causes(new: Json, old: Json) -> list[Cause]:
    def kept(one: Any) -> Json:
        return {key: value for key, value in one.items() if key != "tolerationSeconds"}

    there = [kept(one) for one in new.get("tolerations") or ()]
    if all(kept(one) in there for one in old.get("tolerations") or ()):
        return []
    text = "existing toleration can not be modified except its tolerationSeconds"
    return [forbidden_field("spec.tolerations", text)]


def _frozen(spec: Json) -> Json:
    """The spec without what may change."""
    frozen: Json = copy.deepcopy(spec)
    for key in ("tolerations", "activeDeadlineSeconds", "schedulingGates"):
        frozen.pop(key, None)
    for key, _, container in all_containers(frozen):
        if key != "ephemeralContainers":
            container.pop("image", None)
    return frozen
