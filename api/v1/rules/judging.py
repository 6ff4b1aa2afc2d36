"""From findings to a verdict: profiles, overrides, skips, ratcheting, who passes unasked (spec admission §4.1).

The one door for the webhook and for lint: both give the same findings for the same object. The reconcile loop asks
`first_denial` of the enforced rules instead: it must refuse what the reference refuses, and nothing else.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.model import Context, Finding, Rule, Severity, all_findings
from api.v1.rules.reading import child, mapping
from api.v1.rules.settings import AdmissionSettings, Profile

__all__ = ["SKIP", "Verdict", "judge"]

SKIP: Final = "ray.io/admission-skip"  # ids that this object is not held to, comma-separated (P4)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an object is refused for, and what its user is warned of; both empty: nothing to say."""

    denials: Sequence[Finding] = ()
    warnings: Sequence[Finding] = ()
    skipped: Sequence[str] = ()  # rule ids that the object's annotation silenced and that would have spoken

    @property
    def allowed(self) -> bool:
        """Nothing denies."""
        return not self.denials


def judge(
    kind: str,
    new: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    context: Context,
    *,
    user: str = "",
) -> Verdict:
    """Ask every rule of the kind; `old` is None on create, `user` is who asks ("" where nobody knows).

    Objects in deletion and requests of trusted users pass unasked (P6, P8).
    """
    settings = context.admission
    if child(new, "metadata").get("deletionTimestamp") or (user and user in settings.trusted_users):
        return Verdict()
    rules = _asked(RULES_BY_KIND.get(kind, ()), new, old)
    found = [_weighed(one, rule_of(one, rules), settings) for one in all_findings(rules, new, old, context)]
    kept, skipped = _unskipped(found, rules, new, settings)
    before = {_identity(one) for one in all_findings(rules, old, None, context)} if old is not None else set()
    final = [_ratcheted(one, before) for one in kept]
    return Verdict(
        [one for one in final if one.severity is Severity.DENY],
        [one for one in final if one.severity is Severity.WARN],
        skipped,
    )


def rule_of(finding: Finding, rules: Iterable[Rule]) -> Rule:
    """The rule that found it."""
    return next(rule for rule in rules if rule.id == finding.rule)


def _asked(rules: Sequence[Rule], new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Rule]:
    """All of them, or, where only metadata changed, those that read metadata (P6)."""
    if old is None or child(new, "spec") != child(old, "spec"):
        return rules
    return [rule for rule in rules if rule.of_metadata]


def _weighed(finding: Finding, rule: Rule, settings: AdmissionSettings) -> Finding:
    """The severity that profile and overrides give it; what the reference enforces stays a denial (P3)."""
    if rule.fixed:
        return finding
    if said := settings.rules.get(rule.id):
        return replace(finding, severity=Severity(said))
    if settings.profile is Profile.COMPAT and finding.severity is Severity.DENY:
        return replace(finding, severity=Severity.WARN)
    if settings.profile is Profile.STRICT and finding.severity is Severity.WARN:
        return replace(finding, severity=Severity.DENY)
    return finding


def _unskipped(
    found: Iterable[Finding], rules: Sequence[Rule], new: Mapping[str, Any], settings: AdmissionSettings
) -> tuple[Sequence[Finding], Sequence[str]]:
    asked = mapping(child(new, "metadata"), "annotations").get(SKIP, "") if settings.skips_allowed else ""
    ids = {part.strip() for part in asked.split(",")} - {rule.id for rule in rules if rule.fixed}
    kept = [one for one in found if one.rule not in ids]
    return kept, sorted({one.rule for one in found if one.rule in ids and one.severity is not Severity.OFF})


def _identity(finding: Finding) -> tuple[str, str, str]:
    return finding.rule, finding.path, repr(finding.value)


def _ratcheted(finding: Finding, before: Container[tuple[str, str, str]]) -> Finding:
    """A denial for what stood there before is a warning: an upgrade of the operator freezes no object (P7)."""
    if finding.severity is Severity.DENY and _identity(finding) in before:
        return replace(finding, severity=Severity.WARN)
    return finding
