"""ValidatingAdmissionPolicies and their bindings: defaults, and what they may say (spec kube-api ADM-15). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from localcluster.api import Json
from localcluster.apiserver.admission_conditions import NO_BOOL, condition_error
from localcluster.apiserver.admission_policies import VARIABLES
from localcluster.apiserver.kinds.base import Kind, World, unchanged
from localcluster.apiserver.kinds.webhooks import condition_causes, rule_causes
from localcluster.apiserver.refusals import Cause, forbidden_field, invalid_value, not_supported, required

__all__ = ["PolicyBindingKind", "PolicyKind"]

_ACTIONS: Final = ("Audit", "Deny", "Warn")


class PolicyKind(Kind):
    """A ValidatingAdmissionPolicy."""

    known = frozenset({"spec", "status"})

    def default(self, obj: Json) -> None:
        """Fail closed, match equivalents."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("failurePolicy", "Fail")
        if isinstance(spec.get("matchConstraints"), dict):
            _default_match(spec["matchConstraints"])

    def prepare_create(self, obj: Json, world: World) -> None:
        """Nobody has looked yet."""
        obj["status"] = {}

    def generation(self, new: Json, old: Json | None) -> bool:
        """The spec counts."""
        return old is None or not unchanged(new, old, "spec")

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """What it matches and says, and that it has no params."""
        spec = obj["spec"]
        causes = [] if spec["failurePolicy"] in {"Fail", "Ignore"} else [_policy(spec["failurePolicy"])]
        if spec.get("paramKind"):
            causes.append(forbidden_field("spec.paramKind", "params are not served by the local cluster yet"))
        match = spec.get("matchConstraints")
        if match is None:
            causes.append(required("spec.matchConstraints"))
        elif not match.get("resourceRules"):
            causes.append(required("spec.matchConstraints.resourceRules"))
        else:
            for index, rule in enumerate(match["resourceRules"]):
                causes += rule_causes(f"spec.matchConstraints.resourceRules[{index}]", rule)
        causes += condition_causes("spec.matchConditions", spec.get("matchConditions") or ())
        if not spec.get("validations") and not spec.get("auditAnnotations"):
            text = "validations or auditAnnotations must contain at least one item"
            causes.append(required("spec.validations", text))
        return causes + list(_expressions(spec))


def _policy(value: str) -> Cause:
    return not_supported("spec.failurePolicy", value, ("Fail", "Ignore"))


def _expressions(spec: Json) -> Iterable[Cause]:
    for part, wanted in (("variables", False), ("validations", True)):
        for index, one in enumerate(spec.get(part) or ()):
            field, expression = f"spec.{part}[{index}].expression", one.get("expression") or ""
            if not expression.strip():
                yield required(field, "expression is not specified")
                continue
            error = condition_error(expression, VARIABLES)
            if error and (wanted or not error.startswith(NO_BOOL)):
                yield invalid_value(field, expression, error)


class PolicyBindingKind(Kind):
    """A ValidatingAdmissionPolicyBinding."""

    known = frozenset({"spec"})

    def default(self, obj: Json) -> None:
        """Match equivalents."""
        match = obj.setdefault("spec", {}).get("matchResources")
        if isinstance(match, dict):
            _default_match(match)

    def generation(self, new: Json, old: Json | None) -> bool:
        """The spec counts."""
        return old is None or not unchanged(new, old, "spec")

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """Which policy, and what follows."""
        spec = obj["spec"]
        causes = [] if spec.get("policyName") else [required("spec.policyName")]
        actions = spec.get("validationActions") or ()
        if not actions:
            causes.append(required("spec.validationActions"))
        for index, one in enumerate(actions):
            if one not in _ACTIONS:
                causes.append(not_supported(f"spec.validationActions[{index}]", one, _ACTIONS))
        if {"Deny", "Warn"} <= set(actions):
            text = (
                "must not contain both Deny and Warn (repeating the same validation failure information in the API"
                " response and headers serves no purpose)"
            )
            causes.append(invalid_value("spec.validationActions", list(actions), text))
        return causes


def _default_match(match: Json) -> None:
    match.setdefault("matchPolicy", "Equivalent")
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    for part in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(part) or ():
            rule.setdefault("scope", "*")
