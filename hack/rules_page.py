"""docs/rules.md: every rule of admission, from the rules and their entries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from api.v1.rules.entries import ELSEWHERE, ENTRIES
from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.model import Rule, Severity

INTRODUCTION = """\
# Rules of admission

<!-- Written by hack/generate.py from api/v1/rules; change the entries there instead. -->

What the webhook and `manta lint` ask of every RayCluster, RayJob, RayService and RayCronJob, wherever a cluster stands
in it. All that is wrong is told at once, each with its field and the id that stands here.

- **Refused** means that the object is not stored. **Warns** means that it is, and that whoever applied it reads why it
  may not do what was meant. **Off** rules are for those who turn them on.
- *Always* stands where the reference operator refuses the same: no setting and no annotation makes less of it, and the
  reconcile loop refuses it as well, with the reference's events.
- The profile (`admission.profile` in the operator's config file) is `standard`, as the severities here; `compat`, where
  only what the reference refuses is refused and everything else warns; or `strict`, where every warning refuses.
- `admission.rules` sets one rule for everybody: `{RV02: warn, GPU28: deny, GPU32: off}`.
- The annotation `ray.io/admission-skip: "RV02,GPU05"` spares one object those rules. It is told as a warning, and the
  operator's owner may forbid it (`admission.skipsAllowed: false`).
- What an object had wrong before it is edited does not keep it from being edited: such a finding only warns.
"""

SECTIONS: Sequence[tuple[str, str]] = (
    ("M", "Names and annotations"),
    ("C", "Clusters"),
    ("J", "Jobs"),
    ("V", "Services"),
    ("N", "Cron jobs"),
    ("RV", "Versions of Ray"),
    ("MV", "Oldest Ray for a feature"),
    ("GPU", "Accelerators and resources"),
    ("NM", "Names and topology"),
    ("RP", "Replicas and scaling"),
    ("JC", "What a job holds"),
    ("JB", "What a job later shows"),
    ("SV", "What a service holds"),
    ("CR", "What a cron job holds"),
    ("XC", "Across all kinds"),
    ("IM", "Changes while something runs"),
    ("P", "Principles"),
)
WORDS = {Severity.DENY: "refused", Severity.WARN: "warns", Severity.OFF: "off"}


def rules_page() -> str:
    """The whole page. A rule without an entry is not on it; a test says which one that is."""
    rules: dict[str, list[tuple[str, Rule]]] = {}
    for kind, known in RULES_BY_KIND.items():
        for rule in known:
            rules.setdefault(rule.id, []).append((kind, rule))
    parts = [INTRODUCTION]
    for prefix, title in SECTIONS:
        ids = sorted((one for one in {*ENTRIES, *ELSEWHERE} if family(one) == prefix), key=number)
        if ids:
            parts += [f"\n## {title}\n", *(part for id_ in ids for part in described(id_, rules))]
    return "\n".join(parts).rstrip("\n") + "\n"


def family(id_: str) -> str:
    return id_.rstrip("0123456789")


def number(id_: str) -> int:
    return int(re.sub(r"\D", "", id_))


def described(id_: str, rules: dict[str, list[tuple[str, Rule]]]) -> Iterator[str]:
    """One rule: heading, how grave, for which kinds, and the three sentences of its entry."""
    yield f"### {id_}\n"
    if id_ not in rules:
        yield f"No rule of its own: {ELSEWHERE[id_]}.\n"
        return
    rule = rules[id_][0][1]
    grave = WORDS[rule.severity] + (", always" if rule.fixed and rule.severity is Severity.DENY else "")
    kinds = ", ".join(kind for kind, _ in rules[id_])
    entry = ENTRIES[id_]
    yield f"*{grave[0].upper()}{grave[1:]} · {kinds}*\n"
    yield f"{entry.what} **Why:** {entry.why} **Mend:** {entry.mend}\n"
