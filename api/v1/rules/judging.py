"""From findings to a verdict: profiles, overrides, skips, ratcheting, who passes unasked (spec admission §4.1, §4.9).

The one door for the webhook and for lint: both give the same findings for the same object. The reconcile loop asks
`first_denial` of the enforced rules instead: it must refuse what the reference refuses, and nothing else.

Three writers must never be stopped, or integrations break: the operator itself, the autoscaler, and Kueue. The first
two are known by name, and the autoscaler only for what it writes; Kueue is known by the shape of its patches alone,
for it runs under many names (`exemptions`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from api.v1.rules.entries import ENTRIES
from api.v1.rules.exemptions import by_autoscaler, by_queue
from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.model import MOST_BEFORE, Context, Finding, Rule, Severity, Subject, all_findings
from api.v1.rules.reading import amount
from api.v1.rules.settings import AdmissionSettings, Profile
from api.v1.rules.typed import child, mapping, text
from api.v1.spelling import alike

__all__ = ["SKIP", "SKIPPED", "Verdict", "judge"]

SKIP: Final = "ray.io/admission-skip"  # ids that this object is not held to, comma-separated, in any case (P4)
SKIPPED: Final = "P4"  # the id of the warning that an annotation could not silence; no rule, so nothing silences it
MULTIKUEUE: Final = "kueue.x-k8s.io/multikueue"
# What is judged by gates, APIs and objects of this cluster: nothing to those that run in another one (P10).
OF_THIS_CLUSTER: Final = frozenset(
    {"C23", "C31", "C39", "C56", "C61", "C66", "J4", "CR05", "RV11", "SV10", "XC06", "XC15", "XC17"}
)

OF_SUSPENSIONS: Final = frozenset({"IM07"})  # told even of what may be Kueue's: a job that has ended stays so
KNOWN: Final = frozenset(rule.id for rules in RULES_BY_KIND.values() for rule in rules)
# As hints are written: in a line, without marks and without a full stop.
WAYS_OUT: Final = {
    id_: entry.mend[0].lower() + entry.mend[1:].replace("`", "").rstrip(".") for id_, entry in ENTRIES.items()
}
LONGEST_SKIP: Final = 1024  # characters of the annotation that are read
LONGEST_ID: Final = 20  # characters of what stands for an id, and is shown
LONGEST_INDEX: Final = 9  # digits
_STEP: Final = re.compile(r"[^.\[\]]+|\[[^\]]*\]")  # of a path: a name, or a number or key in brackets

Json: TypeAlias = Mapping[str, Any]
Identity: TypeAlias = tuple[str, str, str]
Counts: TypeAlias = dict[int, Counter[str]]  # id of a list -> how often each name stands in it


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an object is refused for, and what its user is warned of; both empty: nothing to say.

    Both are in the order of the rules: first what the reference refuses, as its reconcile loop would meet it.
    """

    denials: Sequence[Finding] = ()
    warnings: Sequence[Finding] = ()
    skipped: Sequence[str] = ()  # rule ids that the object's annotation silenced and that would have spoken

    @property
    def allowed(self) -> bool:
        """Nothing denies."""
        return not self.denials


def judge(
    kind: str, new: Json, old: Json | None, context: Context, *, user: str = "", rules: Sequence[Rule] | None = None
) -> Verdict:
    """Ask every rule of the kind, or `rules`; `old` is None on create, `user` is who asks ("" where nobody knows).

    Objects in deletion and requests of trusted users pass unasked (P6, P8). Never raises, whatever JSON it gets.
    """
    user = user or context.surroundings.user
    if _passes(new, old, user, context.admission):
        return Verdict()
    context = replace(context, surroundings=replace(context.surroundings, user=user))
    new, old = Subject(new), Subject(old) if old is not None else None
    queue = old is not None and by_queue(new, old)
    every = RULES_BY_KIND.get(kind, ()) if rules is None else rules
    asked = _asked(every, kind, new, old, context.admission, queue=queue)
    by_id = {rule.id: rule for rule in asked}
    found = [_weighed(one, by_id[one.rule], context.admission) for one in all_findings(asked, new, old, context)]
    kept, skipped, told = _unskipped(found, by_id, new, context.admission)
    if queue:  # is never refused for what is ours
        kept = [one if by_id[one.rule].fixed else _at_most_warning(one) for one in kept]
    if old is not None and any(one.severity is Severity.DENY for one in kept):
        kept = _ratcheted(kept, by_id, new, old, context)
    return Verdict(
        [one for one in kept if one.severity is Severity.DENY],
        [*told, *(one for one in kept if one.severity is Severity.WARN)],
        skipped,
    )


def _passes(new: Json, old: Json | None, user: str, settings: AdmissionSettings) -> bool:
    """Is it asked nothing at all: in deletion, or written by the operator or by an autoscaler?"""
    if child(new, "metadata").get("deletionTimestamp") or (user and user in settings.trusted_users):
        return True
    return old is not None and by_autoscaler(new, old, user)


def _at_most_warning(finding: Finding) -> Finding:
    return replace(finding, severity=Severity.WARN) if finding.severity is Severity.DENY else finding


def _asked(
    rules: Iterable[Rule], kind: str, new: Json, old: Json | None, settings: AdmissionSettings, *, queue: bool
) -> Sequence[Rule]:
    """Those that have a say in this request."""
    if old is not None and alike(child(new, "spec"), child(old, "spec")):
        rules = (rule for rule in rules if rule.of_metadata)  # P6
    elif queue:
        rules = (rule for rule in rules if rule.fixed or rule.id in OF_SUSPENSIONS)  # what was wrong before only warns
    if _manager(kind, new) == MULTIKUEUE:
        rules = (rule for rule in rules if rule.id not in OF_THIS_CLUSTER)
    if settings.rules:
        rules = (rule for rule in rules if rule.fixed or settings.rules.get(rule.id) != Severity.OFF.value)
    return list(rules)


def _manager(kind: str, new: Json) -> str:
    spec = child(new, "spec")
    return text(child(spec, "jobTemplate") if kind == "RayCronJob" else spec, "managedBy")


def _weighed(finding: Finding, rule: Rule, settings: AdmissionSettings) -> Finding:
    """With the severity that profile and overrides give it; nothing makes less of what the reference refuses (P3).

    And with a way out: its own, or what is said of the rule.
    """
    severity = _severity(finding.severity, rule, settings)
    return replace(finding, severity=severity, hint=finding.hint or WAYS_OUT.get(finding.rule, ""))


def _severity(own: Severity, rule: Rule, settings: AdmissionSettings) -> Severity:
    if rule.fixed and own is Severity.DENY:
        return own
    if said := settings.rules.get(rule.id):
        return own if rule.fixed and said == Severity.OFF.value else Severity(said)
    if settings.profile is Profile.COMPAT and own is Severity.DENY:
        return Severity.WARN
    if settings.profile is Profile.STRICT and own is Severity.WARN:
        return Severity.DENY
    return own


def _unskipped(
    found: Sequence[Finding], rules: Mapping[str, Rule], new: Json, settings: AdmissionSettings
) -> tuple[Sequence[Finding], Sequence[str], Sequence[Finding]]:
    """What is left of the findings, the ids that were skipped, and a warning of what cannot be (P4)."""
    written = mapping(child(new, "metadata"), "annotations").get(SKIP, "")
    asked = {part.strip().upper() for part in written[:LONGEST_SKIP].split(",")} - {""}
    if not asked:
        return found, (), ()
    if not settings.skips_allowed:
        return found, (), [_told(f"{SKIP} has no effect: this operator's owner does not allow it", written)]
    ids = {one for one in asked if one in rules and not rules[one].fixed}
    skipped = sorted({one.rule for one in found if one.rule in ids and one.severity is not Severity.OFF})
    refused = sorted({one.rule for one in found if one.rule in asked - ids})
    told = [_told(f"{', '.join(refused)} cannot be skipped: the reference refuses it", written)] if refused else []
    told += [_unknown(one, written) for one in sorted(asked - KNOWN)]
    return [one for one in found if one.rule not in ids], skipped, told


def _unknown(id_: str, written: str) -> Finding:
    near = get_close_matches(id_[:LONGEST_ID], sorted(KNOWN), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "docs/rules.md has them all"
    return _told(f"there is no rule {id_[:LONGEST_ID]}, so nothing is skipped by it", written, hint)


def _told(message: str, written: str, hint: str = "") -> Finding:
    return Finding(SKIPPED, Severity.WARN, f"metadata.annotations[{SKIP}]", message, written, hint)


def _ratcheted(
    found: Sequence[Finding], rules: Mapping[str, Rule], new: Json, old: Json, context: Context
) -> Sequence[Finding]:
    """A denial for what stood there before is a warning: an upgrade of the operator freezes no object (P7)."""
    asked = [rules[id_] for id_ in dict.fromkeys(one.rule for one in found if one.severity is Severity.DENY)]
    counted: Counts = {}
    before = {
        _identity(one, old, counted)
        for one in all_findings(asked, old, None, context, most=MOST_BEFORE)
        if _severity(one.severity, rules[one.rule], context.admission) is Severity.DENY
    }
    return [
        replace(one, severity=Severity.WARN)
        if one.severity is Severity.DENY and _identity(one, new, counted) in before
        else one
        for one in found
    ]


def _identity(finding: Finding, object_: Json, counted: Counts) -> Identity:
    """Rule, place and value. Groups, containers and variables are known by name: another one may have come first.

    A quantity is the same however it is spelt: clients with typed models write "500m" where "0.5" stood.
    """
    much = amount(finding.value)
    return finding.rule, _by_names(finding.path, object_, counted), repr(finding.value if much is None else much)


def _by_names(path: str, object_: Json, counted: Counts) -> str:
    """The path with the names of list entries for their numbers, where a name stands once in its list."""
    node: Any = object_
    steps = []
    for step in _STEP.findall(path):
        key = step.strip("[]")
        if isinstance(node, list):
            entry = node[int(key)] if _is_index(key, node) else None
            steps.append(_named(entry, node, counted) or step)
            node = entry
        else:
            steps.append(step)
            node = node.get(key) if isinstance(node, dict) else None
    return ".".join(steps)


def _named(entry: Any, entries: Sequence[Any], counted: Counts) -> str:
    """What it is called, quoted, where no other is; each list is counted once."""
    if not (name := _name(entry)):
        return ""
    if id(entries) not in counted:
        counted[id(entries)] = Counter(map(_name, entries))
    return repr(name) if counted[id(entries)][name] == 1 else ""


def _name(entry: Any) -> str:
    return text(entry, "groupName") or text(entry, "name") or text(entry, "key")  # of a toleration


def _is_index(key: str, entries: Sequence[Any]) -> bool:
    return len(key) <= LONGEST_INDEX and key.isdecimal() and int(key) < len(entries)
