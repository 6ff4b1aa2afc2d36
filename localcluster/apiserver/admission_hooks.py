"""Webhooks as their configurations describe them, and which of them a write meets (spec kube-api §16). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from localcluster.api import Json
from localcluster.apiserver.requests import Review
from localcluster.apiserver.selectors import LabelTest, parse_labels
from localcluster.apiserver.subresources import selector_text
from localcluster.resources import ResourceInfo

__all__ = ["GROUP", "MUTATING", "VALIDATING", "Condition", "Hook", "HookRule", "hooks_of", "matched", "rules_of"]

GROUP: Final = "admissionregistration.k8s.io"
MUTATING: Final = f"mutatingwebhookconfigurations.{GROUP}"  # names of stores
VALIDATING: Final = f"validatingwebhookconfigurations.{GROUP}"

Labels = Callable[[], Json]
"""The labels of the namespace that a write is about. May raise Refusal."""


class Condition(NamedTuple):
    """One of matchConditions."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class HookRule:
    """What a webhook is asked about. "*" stands for everything; of resources, ("pods", "*") for all below pods."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]
    scope: str
    names: frozenset[str] = frozenset()  # none: all

    def covers(self, review: Review, resource: ResourceInfo) -> bool:
        """Whether it is about this operation, seen as one on that resource."""
        return (
            _one_of(review.operation, self.operations)
            and _one_of(resource.group, self.groups)
            and _one_of(resource.version, self.versions)
            and any(
                whole in {"*", resource.plural} and part in {"*", review.request.subresource}
                for whole, part in self.resources
            )
            and (self.scope == "*" or (self.scope == "Namespaced") == resource.namespaced)
            and (not self.names or review.name in self.names)
        )


def _one_of(value: str, wanted: frozenset[str]) -> bool:
    return "*" in wanted or value in wanted


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of a configuration, defaults filled in. `key` is its own among all."""

    key: str
    name: str
    mutating: bool
    client: Json
    rules: tuple[HookRule, ...]
    namespaces: LabelTest | None
    objects: LabelTest | None
    conditions: tuple[Condition, ...]
    equivalent: bool = True
    fails: bool = True  # what cannot be asked is refused
    reinvocable: bool = False
    seconds: int = 10


def hooks_of(configuration: Json, *, mutating: bool) -> tuple[Hook, ...]:
    """The webhooks of a stored configuration, in their order."""
    own = configuration["metadata"]["name"]
    return tuple(
        Hook(
            key=f"{own}/{index}/{hook['name']}",
            name=hook["name"],
            mutating=mutating,
            client=hook.get("clientConfig") or {},
            rules=rules_of(hook.get("rules") or ()),
            namespaces=parse_labels(selector_text(hook.get("namespaceSelector"))),
            objects=parse_labels(selector_text(hook.get("objectSelector"))),
            conditions=tuple(Condition(one["name"], one["expression"]) for one in hook.get("matchConditions") or ()),
            equivalent=hook["matchPolicy"] == "Equivalent",
            fails=hook["failurePolicy"] == "Fail",
            reinvocable=hook.get("reinvocationPolicy") == "IfNeeded",
            seconds=hook["timeoutSeconds"],
        )
        for index, hook in enumerate(configuration.get("webhooks") or ())
    )


def rules_of(rules: Sequence[Json]) -> tuple[HookRule, ...]:
    """Stored rules."""
    return tuple(
        HookRule(
            operations=frozenset(one.get("operations") or ()),
            groups=frozenset(one.get("apiGroups") or ()),
            versions=frozenset(one.get("apiVersions") or ()),
            resources=tuple(_split(name) for name in one.get("resources") or ()),
            scope=one.get("scope") or "*",
            names=frozenset(one.get("resourceNames") or ()),
        )
        for one in rules
    )


def _split(resource: str) -> tuple[str, str]:
    whole, _, part = resource.partition("/")
    return whole, part


def matched(
    rules: Sequence[HookRule],
    review: Review,
    resources: Sequence[ResourceInfo],
    *,
    equivalent: bool,
    objects: LabelTest | None,
    namespaces: LabelTest | None,
    labels: Labels,
) -> ResourceInfo | None:
    """As which resource a webhook or policy is asked about the write; None: it is not asked (ADM-10, ADM-11).

    `resources` are those under which the object is served, the request's own first.
    """
    for resource in resources if equivalent else resources[:1]:
        if any(rule.covers(review, resource) for rule in rules):
            return resource if _selected(review, objects, namespaces, labels) else None
    return None


def _selected(review: Review, objects: LabelTest | None, namespaces: LabelTest | None, labels: Labels) -> bool:
    """Whether both selectors pass it: of objects, the new or the old one will do."""
    if objects is not None and not any(
        objects(one["metadata"].get("labels") or {}) for one in (review.object, review.old_object) if one is not None
    ):
        return False
    if namespaces is None or not (review.request.resource.namespaced or review.request.resource.name == "namespaces"):
        return True  # what belongs to no namespace is never exempted by one
    return namespaces(labels())
