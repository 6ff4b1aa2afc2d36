"""ValidatingAdmissionPolicies: rules in CEL that a binding puts into effect (spec kube-api ADM-15). Pure.

There: matchConstraints, matchConditions, variables, validations, and of a binding policyName, matchResources and
validationActions. Not there: params (such a policy is refused when it is created), audit annotations, `authorizer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from localcluster.api import Json, Refusal
from localcluster.apiserver.admission_conditions import ConditionError, hold, value_of
from localcluster.apiserver.admission_hooks import GROUP, Condition, HookRule, Labels, matched, rules_of
from localcluster.apiserver.refusals import forbidden_request
from localcluster.apiserver.requests import Review
from localcluster.apiserver.selectors import LabelTest, parse_labels
from localcluster.apiserver.subresources import selector_text
from localcluster.resources import ResourceInfo

__all__ = ["BINDINGS", "POLICIES", "VARIABLES", "Bound", "bound_policies", "verdict"]

POLICIES: Final = f"validatingadmissionpolicies.{GROUP}"  # names of stores
BINDINGS: Final = f"validatingadmissionpolicybindings.{GROUP}"
VARIABLES: Final = ("object", "oldObject", "request", "namespaceObject", "variables", "params")
_ANYTHING: Final = (HookRule(*(frozenset("*"),) * 3, (("*", "*"),), "*"),)
_CODES: Final = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}


@dataclass(frozen=True, slots=True)
class _Match:
    """matchConstraints of a policy, or matchResources of a binding."""

    rules: tuple[HookRule, ...]
    excluded: tuple[HookRule, ...]
    namespaces: LabelTest | None
    objects: LabelTest | None
    equivalent: bool

    def meets(self, review: Review, resources: Sequence[ResourceInfo], labels: Labels) -> ResourceInfo | None:
        """As which resource the write is met; None: it is not."""
        how: dict[str, Any] = {"equivalent": self.equivalent, "labels": labels}
        if matched(self.excluded, review, resources, objects=None, namespaces=None, **how) is not None:
            return None
        return matched(self.rules, review, resources, objects=self.objects, namespaces=self.namespaces, **how)


@dataclass(frozen=True, slots=True)
class Bound:
    """A policy with one of its bindings."""

    policy: str
    binding: str
    spec: Json
    actions: frozenset[str]
    _matches: tuple[_Match, ...]

    def meets(self, review: Review, resources: Sequence[ResourceInfo], labels: Labels) -> ResourceInfo | None:
        """As which resource the policy judges the write; None: it does not. Both parts must mean it."""
        met = [one.meets(review, resources, labels) for one in self._matches]
        return met[0] if all(one is not None for one in met) else None


def bound_policies(policies: Iterable[Json], bindings: Iterable[Json]) -> tuple[Bound, ...]:
    """The policies that are in effect, by their bindings."""
    by_name = {one["metadata"]["name"]: one.get("spec") or {} for one in policies}
    found = []
    for binding in bindings:
        own = binding.get("spec") or {}
        spec = by_name.get(own.get("policyName", ""))
        if spec is None:
            continue
        matches = [_match(spec.get("matchConstraints") or {}, ())]
        if own.get("matchResources"):
            matches.append(_match(own["matchResources"], _ANYTHING))
        name, actions = binding["metadata"]["name"], frozenset(own.get("validationActions") or ())
        found.append(Bound(own["policyName"], name, spec, actions, tuple(matches)))
    return tuple(found)


def _match(said: Json, usual: tuple[HookRule, ...]) -> _Match:
    return _Match(
        rules=rules_of(said.get("resourceRules") or ()) or usual,
        excluded=rules_of(said.get("excludeResourceRules") or ()),
        namespaces=parse_labels(selector_text(said.get("namespaceSelector"))),
        objects=parse_labels(selector_text(said.get("objectSelector"))),
        equivalent=said.get("matchPolicy", "Equivalent") == "Equivalent",
    )


def verdict(bound: Bound, facts: Callable[[], Mapping[str, Any]], review: Review) -> Refusal | None:
    """What the policy says of the write; what is to be a warning is noted in the review."""
    try:
        said = _violations(bound.spec, facts)
    except ConditionError as error:
        said = [(str(error), "")] if bound.spec.get("failurePolicy", "Fail") == "Fail" else []
    if "Warn" in bound.actions:
        by = f"Validation failed for ValidatingAdmissionPolicy '{bound.policy}' with binding '{bound.binding}'"
        review.warnings.extend(f"{by}: {message}" for message, _ in said)
    if not said or "Deny" not in bound.actions:
        return None
    message, reason = said[0]
    by = f"ValidatingAdmissionPolicy '{bound.policy}' with binding '{bound.binding}' denied request"
    whole = f"{by}: {message}"
    refusal = forbidden_request(review.request.resource, review.name, whole, [{"message": whole}])
    reason = reason or "Invalid"
    return Refusal(_CODES.get(reason, 422), reason, refusal.message, refusal.details)


def _violations(spec: Json, facts: Callable[[], Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(message, reason) of each validation that does not hold. Raises ConditionError where that is the whole answer."""
    seen = dict.fromkeys(VARIABLES) | dict(facts())
    conditions = [Condition(one["name"], one["expression"]) for one in spec.get("matchConditions") or ()]
    if not hold(conditions, lambda: {name: seen[name] for name in VARIABLES[:3]}):
        return []
    seen["variables"] = _variables(spec, seen)
    fails = spec.get("failurePolicy", "Fail") == "Fail"
    found = []
    for one in spec.get("validations") or ():
        try:
            if value_of(one["expression"], seen) is not True:
                found.append((_message(one, seen), one.get("reason") or ""))
        except ConditionError as error:
            if fails:
                found.append((str(error), one.get("reason") or ""))
    return found


def _variables(spec: Json, seen: Mapping[str, Any]) -> Json:
    """Those that can be evaluated; who uses another one fails there."""
    values: Json = {}
    for one in spec.get("variables") or ():
        try:
            values[one["name"]] = value_of(one["expression"], {**seen, "variables": values})
        except ConditionError:
            continue
    return values


def _message(validation: Json, seen: Mapping[str, Any]) -> str:
    if expression := validation.get("messageExpression"):
        try:
            said = value_of(expression, seen)
        except ConditionError:
            said = None
        if isinstance(said, str) and said.strip() and "\n" not in said:
            return said.strip()
    return str(validation.get("message") or f"failed expression: {validation['expression'].strip()}")
