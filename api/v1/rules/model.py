"""What a rule is, what it finds, and how a list of them is asked (spec admission §4.1 P1, P2).

Rules read JSON, not models: they also judge objects that no schema let through (offline, or of an older CRD), and a
model is only made of what they did not deny.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import groupby, islice
from typing import Any, Final, TypeAlias, TypeVar

from api.v1.rules.settings import AdmissionSettings
from api.v1.rules.surroundings import Surroundings

__all__ = [
    "MOST_BEFORE",
    "MOST_FOUND",
    "Block",
    "Context",
    "Finding",
    "Inside",
    "Rule",
    "Severity",
    "Subject",
    "all_findings",
    "first_denial",
    "remembered",
]

T = TypeVar("T")
Inside: TypeAlias = str | tuple[int, int]  # runtime_env's Mark; that module brings yaml, which --version does without

MOST_FOUND: Final = 100  # findings of one rule in one object
MOST_BEFORE: Final = 1000  # of the object before an update: who mends the first of many is not told of the next as new


class Severity(Enum):
    """What a finding does to the request; OFF: nothing, unless somebody turns the rule on."""

    DENY = "deny"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where (a field path), what stood there, and the way out.

    `item` orders the findings of a block: the number of the group or list entry they are about. `reason` is the
    event reason of the rule; `all_findings` fills it in. Where the field holds YAML as text, `inside` is the place in
    that: a path, or line and column.
    """

    rule: str
    severity: Severity
    path: str  # spec.workerGroupSpecs[2].minReplicas
    message: str
    value: Any = None
    hint: str = ""
    item: int = 0
    reason: str = ""
    inside: Inside = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.message} [{self.rule}]" if self.path else f"{self.message} [{self.rule}]"


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule may know beside the object: the operator's gates by their wire names, and what the cluster has."""

    gates: Mapping[str, bool]
    cert_manager: bool = True  # its API is served; where nobody knows, it is taken for granted
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    surroundings: Surroundings = field(default_factory=Surroundings)
    zero_downtime: bool = True  # ENABLE_ZERO_DOWNTIME: what an unset upgradeStrategy.type means (AC-1)

    def gate(self, name: str) -> bool:
        """Is the feature gate on? Unknown gates are off."""
        return self.gates.get(name, False)


@dataclass(frozen=True, slots=True)
class Block:
    """Rules that are asked item by item: all of them about the first worker group, then all about the second.

    With a `joiner`, the reference reports everything that the block finds as one error.
    """

    name: str
    joiner: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """`find` gets the new object, the old one on update (else None), and the context; all as JSON.

    Rules are listed in the order in which the reconcile loop reports them: it shows the first finding that denies.
    `enforced` rules are those that the reference enforces at reconcile (spec admission §2); `reason` is the event
    reason it uses (InvalidRayClusterSpec). `reference` rules are refused by the reference's webhook alone (M11).
    Rules of one block stand next to each other. A rule `of_metadata` is asked although only metadata changed (P6).
    """

    id: str
    severity: Severity
    kinds: frozenset[str]
    find: Callable[[Mapping[str, Any], Mapping[str, Any] | None, Context], Iterator[Finding]]
    reason: str = ""
    enforced: bool = False
    block: Block | None = None
    reference: bool = False
    of_metadata: bool = False

    @property
    def fixed(self) -> bool:
        """The reference refuses it: no setting and no annotation makes less of it."""
        return self.enforced or self.reference


class Subject(dict[str, Any]):
    """An object while rules are asked about it: a shallow copy that remembers what one rule has read for the next.

    Nobody may change the object meanwhile.
    """

    def __init__(self, object_: Mapping[str, Any]) -> None:
        super().__init__(object_)
        self.memory: dict[Hashable, Any] = {}


def remembered(object_: Mapping[str, Any], key: Hashable, make: Callable[[], T]) -> T:
    """What `make` reads of the object; made once per key where the object is a Subject, each time where it is not."""
    if not isinstance(object_, Subject):
        return make()
    if key not in object_.memory:
        object_.memory[key] = make()
    made: T = object_.memory[key]
    return made


def all_findings(
    rules: Iterable[Rule],
    new: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    context: Context,
    *,
    most: int = MOST_FOUND,
) -> Iterator[Finding]:
    """What is wrong, in the order in which the reconcile loop would meet it; lazily.

    Of each rule the first `most` findings: whoever has more of one kind has one mistake that stands everywhere.
    """
    for _, findings in _by_block(rules, new, old, context, most):
        yield from findings


def first_denial(
    rules: Iterable[Rule], new: Mapping[str, Any], old: Mapping[str, Any] | None, context: Context
) -> Finding | None:
    """The finding that the reconcile loop reports, or None: the object may be worked on."""
    for block, findings in _by_block(rules, new, old, context):
        denials = [finding for finding in findings if finding.severity is Severity.DENY]
        if denials and block is not None and block.joiner:
            return replace(denials[0], message=block.joiner.join(finding.message for finding in denials))
        if denials:
            return denials[0]
    return None


def _by_block(
    rules: Iterable[Rule],
    new: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    context: Context,
    most: int = MOST_FOUND,
) -> Iterator[tuple[Block | None, Sequence[Finding]]]:
    """The findings of neighbouring rules of one block by item; a rule without a block is one by itself."""
    new = new if isinstance(new, Subject) else Subject(new)
    old = Subject(old) if old is not None and not isinstance(old, Subject) else old
    for block, neighbours in groupby(rules, key=lambda rule: rule.block):
        if block is None:
            for rule in neighbours:
                yield None, _of(rule, new, old, context, most)
        else:
            found = [one for rule in neighbours for one in _of(rule, new, old, context, most)]
            yield block, sorted(found, key=lambda finding: finding.item)


def _of(
    rule: Rule, new: Mapping[str, Any], old: Mapping[str, Any] | None, context: Context, most: int
) -> Sequence[Finding]:
    return [replace(one, reason=rule.reason) for one in islice(rule.find(new, old, context), most)]
