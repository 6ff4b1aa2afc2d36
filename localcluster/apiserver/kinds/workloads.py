"""Jobs, and what else holds a pod template (spec kube-api JOB-1, META-2). Pure."""

from __future__ import annotations

from typing import Final

from localcluster.api import Json
from localcluster.apiserver.kinds.base import FieldReaders, Kind, World, unchanged
from localcluster.apiserver.kinds.podspec import decode_spec, default_spec, spec_causes
from localcluster.apiserver.refusals import Cause, immutable, invalid_value, not_supported, required

__all__ = ["DeploymentKind", "JobKind", "ReplicaSetKind"]

_UID_LABEL: Final = "batch.kubernetes.io/controller-uid"
_NAME_LABEL: Final = "batch.kubernetes.io/job-name"
_JOB_RESTARTS: Final = ("OnFailure", "Never")
_TEMPLATE: Final = "spec.template.spec"
_NOT_NEGATIVE: Final = (
    "parallelism",
    "completions",
    "backoffLimit",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
)


def _finished_count(job: Json) -> str:
    return str((job.get("status") or {}).get("succeeded", 0))


_JOB_FIELDS: Final[FieldReaders] = {"status.successful": _finished_count}


def _decode_template(obj: Json, kind: str) -> None:
    template = obj.setdefault("spec", {}).setdefault("template", {})
    decode_spec(template.setdefault("spec", {}), kind)


class JobKind(Kind):
    """Jobs of batch/v1."""

    known = frozenset({"spec", "status"})
    fields = _JOB_FIELDS

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """The template's pod spec."""
        decoded, unknown = super().decode(obj)
        _decode_template(decoded, "Job")
        return decoded, unknown

    def default(self, obj: Json) -> None:
        """One pod, six retries; the template's restartPolicy must be given, so it gets no default."""
        spec = obj["spec"]
        if "completions" not in spec and "parallelism" not in spec:
            spec["completions"] = spec["parallelism"] = 1
        spec.setdefault("parallelism", 1)
        spec.setdefault("backoffLimit", 6)
        spec.setdefault("completionMode", "NonIndexed")
        spec.setdefault("suspend", False)
        spec.setdefault("manualSelector", False)
        spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
        template = spec["template"]["spec"]
        given = "restartPolicy" in template
        default_spec(template)
        if not given:
            del template["restartPolicy"]

    def prepare_create(self, obj: Json, world: World) -> None:
        """Selector and labels by which its pods are known."""
        obj["status"] = {}
        spec, metadata = obj["spec"], obj["metadata"]
        if spec["manualSelector"]:
            return
        labels = {
            _UID_LABEL: metadata["uid"],
            _NAME_LABEL: metadata["name"],
            "controller-uid": metadata["uid"],
            "job-name": metadata["name"],
        }
        template = spec["template"].setdefault("metadata", {})
        template["labels"] = {**(template.get("labels") or {}), **labels}
        spec["selector"] = {"matchLabels": {_UID_LABEL: metadata["uid"]}}
        if not metadata.get("labels"):
            metadata["labels"] = dict(template["labels"])  # a Job without labels takes those of its template

    def generation(self, new: Json, old: Json | None) -> bool:
        """The spec counts."""
        return old is None or not unchanged(new, old, "spec")

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """Counts and the template."""
        spec = obj["spec"]
        causes = [
            invalid_value(f"spec.{key}", spec[key], "must be greater than or equal to 0")
            for key in _NOT_NEGATIVE
            if spec.get(key, 0) < 0
        ]
        template = spec["template"]["spec"]
        policy = template.get("restartPolicy")
        field = f"{_TEMPLATE}.restartPolicy"
        if not policy:
            causes.append(required(field, 'valid values: "OnFailure", "Never"'))
        elif policy not in _JOB_RESTARTS:
            causes.append(not_supported(field, policy, _JOB_RESTARTS))
        return causes + spec_causes({**template, "restartPolicy": "Never"}, _TEMPLATE)

    def validate_update(self, new: Json, old: Json) -> list[Cause]:
        """Selector, completions and, once it was started, template stay."""
        causes = [
            immutable(f"spec.{key}", new["spec"].get(key))
            for key in ("selector", "completionMode", "manualSelector", "podReplacementPolicy")
            if not unchanged(new, old, "spec", key)
        ]
        if not unchanged(new, old, "spec", "completions") and new["spec"]["completionMode"] != "Indexed":
            causes.append(immutable("spec.completions", new["spec"].get("completions")))
        started = (old.get("status") or {}).get("startTime") is not None
        if (started or not old["spec"].get("suspend")) and not unchanged(new, old, "spec", "template"):
            causes.append(immutable("spec.template", new["spec"]["template"]))
        return causes


class ReplicaSetKind(Kind):
    """ReplicaSets: stored, defaulted, counted; nothing here runs them."""

    known = frozenset({"spec", "status"})
    kind_name = "ReplicaSet"

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """The template's pod spec."""
        decoded, unknown = super().decode(obj)
        _decode_template(decoded, self.kind_name)
        return decoded, unknown

    def default(self, obj: Json) -> None:
        """One replica."""
        obj["spec"].setdefault("replicas", 1)
        default_spec(obj["spec"]["template"]["spec"])

    def prepare_create(self, obj: Json, world: World) -> None:
        """Nothing runs yet."""
        obj["status"] = {"replicas": 0}

    def generation(self, new: Json, old: Json | None) -> bool:
        """The spec counts."""
        return old is None or not unchanged(new, old, "spec")

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """Selector and template."""
        causes = spec_causes(obj["spec"]["template"]["spec"], _TEMPLATE)
        if (replicas := obj["spec"]["replicas"]) < 0:
            causes.append(invalid_value("spec.replicas", replicas, "must be greater than or equal to 0"))
        selector = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
        labels = (obj["spec"]["template"].get("metadata") or {}).get("labels") or {}
        if "selector" not in obj["spec"]:
            causes.append(required("spec.selector"))
        elif any(labels.get(key) != value for key, value in selector.items()):
            text = "`selector` does not match template `labels`"
            causes.append(invalid_value("spec.template.metadata.labels", labels, text))
        return causes

    def validate_update(self, new: Json, old: Json) -> list[Cause]:
        """The selector stays."""
        if unchanged(new, old, "spec", "selector"):
            return []
        return [immutable("spec.selector", new["spec"].get("selector"))]


class DeploymentKind(ReplicaSetKind):
    """Deployments: stored and defaulted, so that manifests can be applied; nothing here runs them."""

    kind_name = "Deployment"

    def default(self, obj: Json) -> None:
        """A rolling update of a quarter at a time."""
        super().default(obj)
        spec = obj["spec"]
        strategy = spec.setdefault("strategy", {})
        if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", "25%")
            rolling.setdefault("maxSurge", "25%")
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)

    def prepare_create(self, obj: Json, world: World) -> None:
        """Nothing was observed yet."""
        obj["status"] = {}

    def generation(self, new: Json, old: Json | None) -> bool:
        """Annotations count as well as the spec (META-2)."""
        return super().generation(new, old) or not unchanged(new, old, "metadata", "annotations")
