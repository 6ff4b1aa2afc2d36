"""What our webhooks do: fill in defaults, and judge (spec admission §4.1, §4.10). Pure, but for counting.

No step asks the API server, and none writes: a dry run is answered like any other. Of the cluster around an object,
they know what the operator's caches hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, Counter

from api.meta import Resource
from api.v1 import wire
from api.v1.rules.judging import judge
from api.v1.rules.model import Context
from api.v1.rules.typed import child, text
from webhooks.review import Outcome, Request, Step, outcome_of, refused

__all__ = ["Defaulting", "FindCluster", "Findings", "defaulting", "no_cluster", "validating"]

Defaulting: TypeAlias = Callable[
    [str, Mapping[str, Any], Mapping[str, Any] | None, Context], Mapping[str, Any]
]  # kind, new object, old object, context -> new object; the same one where nothing changes

FindCluster: TypeAlias = Callable[[str, str], Mapping[str, Any] | None]  # namespace, name -> a cached RayCluster


def no_cluster(_namespace: str, _name: str) -> None:
    """Nobody knows any."""


class Findings:
    """How often each rule spoke. The library's own counter: large objects are judged on threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter(
            "kuberay_admission_findings_total",
            "Findings of admission, by rule.",
            ("rule", "severity", "kind"),
            registry=registry,
        )

    def count(self, rule: str, severity: str, kind: str) -> None:
        """One more."""
        self._total.labels(rule, severity, kind).inc()


def validating(
    resource: Resource, context: Context, findings: Findings, find_cluster: FindCluster = no_cluster
) -> Step:
    """Refuse what the rules deny, and tell what they warn of."""

    def step(request: Request) -> Outcome:
        if not request.writes:
            return Outcome()
        if misled := _misled(resource, request):
            return misled
        asked = _knowing(context, request, find_cluster)
        verdict = judge(
            resource.kind, _named(resource, request.object), _old(resource, request), asked, user=request.user
        )
        for one in (*verdict.denials, *verdict.warnings):
            findings.count(one.rule, one.severity.value, resource.kind)
        return outcome_of(request, verdict)

    return step


def defaulting(resource: Resource, context: Context, defaulted: Defaulting) -> Step:
    """Fill in what is absent; never in an object that is being deleted (WH-5)."""

    def step(request: Request) -> Outcome:
        if not request.writes or request.in_deletion:
            return Outcome()
        if misled := _misled(resource, request):
            return misled
        assert request.object is not None
        object_ = _named(resource, request.object)
        filled = defaulted(resource.kind, object_, _old(resource, request), _knowing(context, request, no_cluster))
        return Outcome(object={key: value for key, value in filled.items() if key in request.object or key != "kind"})

    return step


def _misled(resource: Resource, request: Request) -> Outcome | None:
    """A configuration that is not ours sends another kind here."""
    if (request.group, request.kind) == (resource.group, resource.kind):
        return None
    sent = f"{request.kind}.{request.group}"
    return Outcome(refused(400, "BadRequest", f"this path is for {resource.kind}.{resource.group}, not for {sent}"))


def _knowing(context: Context, request: Request, find_cluster: FindCluster) -> Context:
    """With what this request alone says."""
    selected = text(child(request.object, "spec", "clusterSelector"), wire.LABEL_CLUSTER)
    known = replace(
        context.surroundings,
        user=request.user,
        requested_version=request.requested_version,
        selected_cluster=find_cluster(request.namespace, selected) if selected else None,
    )
    return replace(context, surroundings=known)


def _named(resource: Resource, object_: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Rules find their way by the object's own kind."""
    return {"kind": resource.kind, **(object_ or {})}


def _old(resource: Resource, request: Request) -> Mapping[str, Any] | None:
    return _named(resource, request.old_object) if request.old_object is not None else None
