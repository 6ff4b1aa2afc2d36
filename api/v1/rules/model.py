"""What a rule is and what it finds (spec admission §4.1 P1, P2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["Context", "Finding", "Rule", "Severity"]


class Severity(Enum):
    """What a finding does to the request."""

    DENY = "deny"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where (a field path), what stood there, and the way out."""

    rule: str
    severity: Severity
    path: str  # spec.workerGroupSpecs[2].minReplicas
    message: str
    value: Any = None
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.message} [{self.rule}]" if self.path else f"{self.message} [{self.rule}]"


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule may know beside the object: the operator's gates by their wire names."""

    gates: Mapping[str, bool]

    def gate(self, name: str) -> bool:
        """Is the feature gate on? Unknown gates are off."""
        return self.gates.get(name, False)


@dataclass(frozen=True, slots=True)
class Rule:
    """`find` gets the new object, the old one on update (else None), and the context; all as JSON.

    Rules are listed in the order in which the reconcile loop reports them: it shows the first finding that denies.
    `enforced` rules are those that the reference enforces at reconcile (spec admission §2); `reason` is the event
    reason it uses (InvalidRayClusterSpec).
    """

    id: str
    severity: Severity
    kinds: frozenset[str]
    find: Callable[[Mapping[str, Any], Mapping[str, Any] | None, Context], Iterator[Finding]]
    reason: str = ""
    enforced: bool = False
