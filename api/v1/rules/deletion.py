"""Rules about spec.deletionStrategy: J4 to J18 (spec admission §2.3, rayjob §9.2.4-9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from api.v1.rayjob import DeletionPolicy
from api.v1.rules.model import Block, Context, Finding, Severity
from api.v1.rules.reading import children, object_or_none
from api.v1.rules.typed import child, is_true, mapping, text, whole

__all__ = ["PREFIX", "RULE_BY_RULE", "STRATEGY", "JobSpec"]

PREFIX: Final = "The RayJob spec is invalid: "
GATE: Final = "RayJobDeletionPolicy"
RULE_BY_RULE: Final = Block("deletionRules", joiner="\n")  # the reference reports all of them in one error
CLUSTER_POLICIES: Final = (DeletionPolicy.DELETE_CLUSTER, DeletionPolicy.DELETE_WORKERS)
# Each of these may come no earlier than the one before it.
STAGES: Final = (DeletionPolicy.DELETE_WORKERS, DeletionPolicy.DELETE_CLUSTER, DeletionPolicy.DELETE_SELF)
LEGACY: Final = ("onSuccess", "onFailure")
AT: Final = "spec.deletionStrategy"
TRIGGERS: Final = {"jobStatus": "JobStatus", "jobDeploymentStatus": "JobDeploymentStatus"}
AFTER_ALL: Final = 2**31  # the item of what is said after the last deletion rule


class JobSpec:
    """A RayJob's spec as these rules read it."""

    def __init__(self, new: Mapping[str, Any]) -> None:
        self.spec = child(new, "spec")
        self.strategy: Mapping[str, Any] | None = object_or_none(self.spec, "deletionStrategy")

    @property
    def shutdown(self) -> bool:
        """shutdownAfterJobFinishes"""
        return is_true(self.spec, "shutdownAfterJobFinishes")

    @property
    def selects(self) -> bool:
        """The job runs on a cluster that is not its own."""
        return bool(mapping(self.spec, "clusterSelector"))

    @property
    def autoscaling(self) -> bool:
        """The job's own cluster has an autoscaler."""
        return child(self.spec, "rayClusterSpec").get("enableInTreeAutoscaling") is True

    @property
    def rules(self) -> Sequence[Mapping[str, Any]]:
        """deletionRules"""
        return children(self.spec, "deletionStrategy", "deletionRules")

    @property
    def legacy(self) -> dict[str, Mapping[str, Any]]:
        """onSuccess and onFailure, as far as they are there."""
        strategy = self.strategy or {}
        return {name: strategy[name] for name in LEGACY if isinstance(strategy.get(name), dict)}

    @property
    def legacy_pair(self) -> dict[str, Mapping[str, Any]]:
        """Both of them, where they alone decide; else nothing."""
        return self.legacy if len(self.legacy) == len(LEGACY) and not self.rules else {}


def _deny(id_: str, path: str, message: str, value: Any = None, item: int = 0) -> Finding:
    return Finding(id_, Severity.DENY, path, message, value, item=item)


def strategy_needs_gate(job: JobSpec, context: Context) -> Iterator[Finding]:
    """J4"""
    if job.strategy is not None and not context.gate(GATE):
        yield _deny("J4", AT, f"{GATE} feature gate must be enabled to use the DeletionStrategy feature")


def shutdown_beside_rules(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J5: two answers to one question."""
    if job.rules and job.shutdown:
        yield _deny(
            "J5",
            f"{AT}.deletionRules",
            f"{PREFIX}shutdownAfterJobFinishes and deletionRules are mutually exclusive; set only one of them",
        )


def legacy_beside_rules(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J6: two answers to one question; the API server says the same."""
    if job.rules and job.legacy:
        yield _deny(
            "J6",
            f"{AT}.deletionRules",
            f"{PREFIX}the legacy onSuccess/onFailure policies and deletionRules cannot be used together",
        )


def half_a_legacy(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J8"""
    if len(job.legacy) == 1 and not job.rules:
        yield _deny("J8", AT, "both DeletionStrategy.OnSuccess and DeletionStrategy.OnFailure must be set when one is")


def legacy_without_policy(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J9"""
    for name, outcome in job.legacy_pair.items():
        if outcome.get("policy") is None:
            yield _deny(
                "J9",
                f"{AT}.{name}.policy",
                "the DeletionPolicyType field of DeletionStrategy.OnSuccess/OnFailure cannot be unset",
            )


def legacy_on_foreign_cluster(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J10: a cluster that the job did not make stays."""
    for name, policy in _legacy_policies(job):
        if job.selects and policy in CLUSTER_POLICIES:
            yield _deny(
                "J10",
                f"{AT}.{name}.policy",
                f"the ClusterSelector mode doesn't support DeletionStrategy={policy} on {_when(name)}",
                policy,
            )


def legacy_against_autoscaler(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J11: the autoscaler would start the workers again."""
    for name, policy in _legacy_policies(job):
        if policy == DeletionPolicy.DELETE_WORKERS and job.autoscaling:
            yield _deny(
                "J11",
                f"{AT}.{name}.policy",
                "DeletionStrategy=DeleteWorkers does not support RayCluster with autoscaling enabled",
                policy,
            )


def legacy_none_with_shutdown(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J12: the misspelling is the reference's, and people search for it."""
    for name, policy in _legacy_policies(job):
        if policy == DeletionPolicy.DELETE_NONE and job.shutdown:
            yield _deny(
                "J12",
                f"{AT}.{name}.policy",
                f"{PREFIX}shutdownAfterJobFinshes is set to 'true' while deletion policy is 'DeleteNone'",
                policy,
            )


def rule_condition(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J13"""
    for index, rule in enumerate(job.rules):
        given = _triggers(rule)
        if len(given) != 1:
            both = "cannot set both JobStatus and JobDeploymentStatus at the same time"
            none = "exactly one of JobStatus and JobDeploymentStatus must be set"
            yield _deny(
                "J13", f"{_at(index)}.condition", f"deletionRules[{index}]: {both if given else none}", item=index
            )


def rule_ttl(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J14"""
    for index, rule in enumerate(job.rules):
        ttl = _ttl(rule)
        if ttl < 0:
            yield _deny(
                "J14",
                f"{_at(index)}.condition.ttlSeconds",
                f"deletionRules[{index}]: TTLSeconds must be non-negative",
                ttl,
                item=index,
            )


def rule_on_foreign_cluster(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J15"""
    for index, rule in enumerate(job.rules if job.selects else ()):
        policy = text(rule, "policy")
        if policy in CLUSTER_POLICIES:
            yield _deny(
                "J15",
                f"{_at(index)}.policy",
                f"deletionRules[{index}]: DeletionPolicyType '{policy}' is not supported when ClusterSelector is set",
                policy,
                item=index,
            )


def rule_against_autoscaler(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J16"""
    for index, rule in enumerate(job.rules if job.autoscaling else ()):
        policy = text(rule, "policy")
        if policy == DeletionPolicy.DELETE_WORKERS:
            yield _deny(
                "J16",
                f"{_at(index)}.policy",
                f"deletionRules[{index}]: DeletionPolicyType 'DeleteWorkers' is not supported when autoscaling is "
                "enabled",
                policy,
                item=index,
            )


def rule_twice(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J17"""
    seen = set()
    for index, rule in enumerate(job.rules):
        policy = text(rule, "policy")
        for kind, value in _single_trigger(rule):
            if (kind, value, policy) in seen:
                yield _deny(
                    "J17",
                    _at(index),
                    f"deletionRules[{index}]: duplicate rule for DeletionPolicyType '{policy}' and "
                    f"{TRIGGERS[kind]} '{value}'",
                    item=index,
                )
            seen.add((kind, value, policy))


def rules_out_of_order(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J18: what is deleted with the cluster cannot be deleted after it. Said after all that is about single rules."""
    by_trigger: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    for index, rule in enumerate(job.rules):
        for trigger in _single_trigger(rule):
            by_trigger.setdefault(trigger, {}).setdefault(text(rule, "policy"), (index, _ttl(rule)))
    for (kind, value), rules in by_trigger.items():
        present = [(stage, *rules[stage]) for stage in STAGES if stage in rules]
        for (earlier, _at_earlier, least), (later, index, ttl) in pairwise(present):
            if ttl < least:
                yield _deny(
                    "J18",
                    f"{_at(index)}.condition.ttlSeconds",
                    f"for {TRIGGERS[kind]} '{value}': {later} TTL ({ttl}) must be >= {earlier} TTL ({least})",
                    ttl,
                    item=AFTER_ALL,
                )


def strategy_empty(job: JobSpec, _: Context) -> Iterator[Finding]:
    """J7"""
    if job.strategy is not None and not job.rules and not job.legacy:
        yield _deny(
            "J7",
            AT,
            f"{PREFIX}DeletionStrategy requires either BOTH onSuccess and onFailure OR the deletionRules field",
        )


# In the order of the reference, each with its id; those about single deletion rules are one block.
STRATEGY: Final = (
    ("J4", strategy_needs_gate, None),
    ("J5", shutdown_beside_rules, None),
    ("J6", legacy_beside_rules, None),
    ("J8", half_a_legacy, None),
    ("J9", legacy_without_policy, None),
    ("J10", legacy_on_foreign_cluster, None),
    ("J11", legacy_against_autoscaler, None),
    ("J12", legacy_none_with_shutdown, None),
    ("J13", rule_condition, RULE_BY_RULE),
    ("J14", rule_ttl, RULE_BY_RULE),
    ("J15", rule_on_foreign_cluster, RULE_BY_RULE),
    ("J16", rule_against_autoscaler, RULE_BY_RULE),
    ("J17", rule_twice, RULE_BY_RULE),
    ("J18", rules_out_of_order, RULE_BY_RULE),
    ("J7", strategy_empty, None),
)


def _at(index: int) -> str:
    return f"{AT}.deletionRules[{index}]"


def _ttl(rule: Mapping[str, Any]) -> int:
    return whole(child(rule, "condition"), "ttlSeconds") or 0


def _triggers(rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    condition = child(rule, "condition")
    return [(name, text(condition, name)) for name in TRIGGERS if isinstance(condition.get(name), str)]


def _single_trigger(rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The condition of a rule that has exactly one; others are J13's."""
    given = _triggers(rule)
    return given if len(given) == 1 else []


def _legacy_policies(job: JobSpec) -> list[tuple[str, str]]:
    return [(name, text(outcome, "policy")) for name, outcome in job.legacy_pair.items() if text(outcome, "policy")]


def _when(name: str) -> str:
    return "success" if name == "onSuccess" else "failure"
