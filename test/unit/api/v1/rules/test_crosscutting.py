"""Rules that cut across: each finds what it is there for, and lets the nearest good object pass."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from api.v1.rules import crosscutting, raycluster
from api.v1.rules.model import Context, Severity
from api.v1.rules.surroundings import Surroundings
from localcluster.testing.judged import GONE, INSIDE, OPEN, Changes, changed, found, good, ids

RULES = crosscutting.RULES
DENY, WARN, OFF = Severity.DENY, Severity.WARN, Severity.OFF
HEAD = "spec.headGroupSpec"
RAY = f"{HEAD}.template.spec.containers.0"
AT_RAY = f"{HEAD}.template.spec.containers[0]"
POLICY = "spec.networkPolicy"
OPTIONS = "spec.gcsFaultToleranceOptions"
INGRESS = f"{HEAD}.ingressOptions"
ENABLED: Changes = {f"{HEAD}.enableIngress": True}
LAST_APPLIED = "kubectl~kubernetes~io/last-applied-configuration"
OVERWRITE: Changes = {"metadata.annotations.ray~io/overwrite-container-cmd": "true"}
FT_ANNOTATED: Changes = {"metadata.annotations.ray~io/ft-enabled": "true"}
FROM_SECRET = {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}}


def annotated(key: str, value: str) -> Changes:
    return {f"metadata.annotations.ray~io/{key}": value}


def egress(*ports: dict[str, Any]) -> dict[str, Any]:
    return {"egressRules": [{"to": [], "ports": list(ports)}]}


def head_env(name: str, **more: Any) -> Changes:
    return {f"{RAY}.env": [{"name": name, **more}]}


DNS = egress({"protocol": "UDP", "port": 53})

# id, severity, kind, what is found, its path; then the near miss that passes.
CASES: list[tuple[str, Severity, str, Changes, str, Changes]] = [
    ("XC04", WARN, "RayCluster", {"apiVersion": "ray.io/v1alpha1"}, "apiVersion", {}),
    (
        "XC07",
        WARN,
        "RayCluster",
        annotated("overwrite-container-cmd", "yes"),
        "metadata.annotations[ray.io/overwrite-container-cmd]",
        annotated("overwrite-container-cmd", "TRUE"),
    ),
    (
        "XC07",
        WARN,
        "RayJob",
        annotated("ft-enabled", "on"),
        "metadata.annotations[ray.io/ft-enabled]",
        annotated("ft-enabled", "false"),
    ),
    (
        "XC07",
        WARN,
        "RayCluster",
        annotated("gcs-ft-deletion-timeout", "0"),
        "metadata.annotations[ray.io/gcs-ft-deletion-timeout]",
        annotated("gcs-ft-deletion-timeout", "1"),
    ),
    (
        "XC07",
        WARN,
        "RayCluster",
        annotated("enable-serve-service", "True"),
        "metadata.annotations[ray.io/enable-serve-service]",
        annotated("enable-serve-service", "true"),
    ),
    ("XC08", DENY, "RayCluster", {f"{HEAD}.serviceType": "ExternalName"}, f"{HEAD}.serviceType", {}),
    (
        "XC08",
        DENY,
        "RayCluster",
        {f"{HEAD}.serviceType": "Nodeport"},
        f"{HEAD}.serviceType",
        {f"{HEAD}.serviceType": "NodePort"},
    ),
    (
        "XC08",
        DENY,
        "RayCluster",
        {f"{HEAD}.headService": {"spec": {"type": "ExternalName"}}},
        f"{HEAD}.headService.spec.type",
        {f"{HEAD}.headService": {"spec": {"type": "LoadBalancer"}}},
    ),
    (
        "XC09",
        WARN,
        "RayCluster",
        {**ENABLED, INGRESS: {"path": "ray"}},
        f"{INGRESS}.path",
        {INGRESS: {"path": "ray"}},
    ),
    (
        "XC09",
        WARN,
        "RayCluster",
        {**ENABLED, INGRESS: {"host": "ray.a.b", "tls": [{"hosts": ["other.a.b"]}]}},
        f"{INGRESS}.tls[0].hosts",
        {**ENABLED, INGRESS: {"host": "ray.a.b", "path": "/x", "tls": [{"hosts": ["*.a.b"]}, {"secretName": "s"}]}},
    ),
    ("XC10", WARN, "RayCluster", {POLICY: {}}, POLICY, {POLICY: {"worker": DNS}}),
    (
        "XC10",
        WARN,
        "RayCluster",
        {POLICY: {"mode": "DenyAllEgress", "head": DNS}},
        POLICY,
        {POLICY: {"mode": "DenyAllIngress"}},
    ),
    (
        "XC10",
        WARN,
        "RayCluster",
        {POLICY: {"worker": DNS, "workerGroups": [{"groupName": "small"}]}},
        POLICY,
        {POLICY: {"worker": egress(), "workerGroups": [{"groupName": "small", **egress({"port": 1, "endPort": 99})}]}},
    ),
    (
        "XC10",
        WARN,
        "RayCluster",
        {POLICY: {"worker": egress({"port": 443}, {"protocol": "SCTP", "port": 53})}},
        POLICY,
        {POLICY: {"worker": egress({"port": "dns-tcp"})}},
    ),
    (
        "XC11",
        WARN,
        "RayCluster",
        {OPTIONS: {}},
        f"{OPTIONS}.redisAddress",
        {OPTIONS: {"redisAddress": "redis:6379"}},
    ),
    (
        "XC11",
        WARN,
        "RayCluster",
        FT_ANNOTATED,
        "metadata.annotations[ray.io/ft-enabled]",
        {**FT_ANNOTATED, **head_env("RAY_REDIS_ADDRESS", value="redis:6379")},
    ),
    (
        "XC11",
        WARN,
        "RayCluster",
        {OPTIONS: {"backend": "redis"}},
        f"{OPTIONS}.redisAddress",
        {OPTIONS: {"backend": "rocksdb"}},
    ),
    (
        "XC12",
        WARN,
        "RayCluster",
        {OPTIONS: {"redisAddress": "r", "redisPassword": {"value": "secret"}}},
        f"{OPTIONS}.redisPassword.value",
        {OPTIONS: {"redisAddress": "r", "redisPassword": FROM_SECRET}},
    ),
    (
        "XC12",
        WARN,
        "RayCluster",
        head_env("REDIS_PASSWORD", value="secret"),
        f"{AT_RAY}.env[0]",
        head_env("REDIS_PASSWORD", **FROM_SECRET),
    ),
    (
        "XC12",
        WARN,
        "RayCluster",
        {f"{HEAD}.rayStartParams.redis-password": "secret"},
        f"{HEAD}.rayStartParams[redis-password]",
        {f"{HEAD}.rayStartParams.redis-password": "$REDIS_PASSWORD"},
    ),
    (
        "XC13",
        WARN,
        "RayCluster",
        {f"{RAY}.command": ["ray start --head"]},
        f"{AT_RAY}.command",
        {**OVERWRITE, f"{RAY}.command": ["ray start --head"]},
    ),
    (
        "XC13",
        WARN,
        "RayCluster",
        {f"{RAY}.command": ["/bin/bash", "-lc", "pip install x"]},
        f"{AT_RAY}.command",
        {f"{RAY}.command": ["pip", "install", "x"]},
    ),
    (
        "XC13",
        WARN,
        "RayCluster",
        {f"{RAY}.args": ["sleep infinity"]},
        f"{AT_RAY}.args",
        {f"{RAY}.args": ["sleep 5"]},
    ),
    (
        "XC13",
        WARN,
        "RayService",
        {"spec.rayClusterConfig.headGroupSpec.template.spec.containers.0.ports": [{"containerPort": 6379}]},
        "spec.rayClusterConfig.headGroupSpec.template.spec.containers[0].ports",
        {
            "spec.rayClusterConfig.headGroupSpec.template.spec.containers.0.ports": [
                {"name": "dashboard", "containerPort": 8265}
            ]
        },
    ),
    (
        "XC16",
        WARN,
        "RayCluster",
        {"metadata.annotations.note": "a" * (900 * 1024)},
        "",
        {"metadata.annotations.note": "a" * (890 * 1024)},
    ),
]


def claims(rows: list[Any]) -> list[Any]:
    return [
        pytest.param(*row, id=f"{row[0]}-{n}", marks=pytest.mark.spec(f"admission:{row[0]}"))
        for n, row in enumerate(rows)
    ]


@pytest.mark.parametrize("kind", INSIDE)
def test_a_good_object_is_not_spoken_of(kind: str) -> None:
    """Without this every case below could pass for a wrong reason."""
    assert found(RULES, good(kind)) == []


@pytest.mark.parametrize(("rule", "severity", "kind", "changes", "path", "passed"), claims(CASES))
def test_each_rule_finds_its_case_and_passes_the_nearest_good_one(
    rule: str, severity: Severity, kind: str, changes: Changes, path: str, passed: Changes
) -> None:
    """Nothing else is found beside it."""
    told = found(RULES, good(kind, changes))

    assert [(one.rule, one.path, one.severity) for one in told] == [(rule, path, severity)]
    assert found(RULES, good(kind, passed), only=rule) == []


@pytest.mark.spec("admission:XC12")
def test_a_password_is_not_repeated() -> None:
    """Findings are printed, logged and counted."""
    told = found(RULES, good("RayCluster", head_env("REDIS_PASSWORD", value="do-not-tell")))

    assert "do-not-tell" not in repr(told)


@pytest.mark.spec("admission:XC01")
def test_rules_about_gates_are_asked_at_admission_too() -> None:
    """They are enforced, so no webhook is needed for them, and where there is one it says so at once."""
    gated = good("RayCluster", {"spec.tlsOptions": {}, "spec.networkPolicy": {"mode": "DenyAllIngress"}})

    assert [one.rule for one in found(raycluster.RULES, gated, context=Context({}))] == ["C56", "C61"]


def applied(kind: str, sent: Changes, *, stored: Changes | None = None) -> dict[str, Any]:
    """What kubectl sent, noted on what the API server made of it."""
    note = json.dumps(good(kind, sent))
    return good(kind, {**(stored or {}), f"metadata.annotations.{LAST_APPLIED}": note})


@pytest.mark.spec("admission:XC02")
def test_a_field_that_was_lost_on_the_way_is_told_of() -> None:
    """A typo, or a field of newer CRDs: the server drops it in silence."""
    lost = applied("RayCluster", {"spec.workerGroupSpecs.1.minReplica": 1, "spec.rayVersin": "2.52.0"})

    assert ids(found(RULES, lost)) == [
        ("XC02", "spec.workerGroupSpecs[1].minReplica"),
        ("XC02", "spec.rayVersin"),
    ]
    assert {one.severity for one in found(RULES, lost)} == {WARN}


@pytest.mark.spec("admission:XC02")
def test_what_is_not_there_on_purpose_was_not_lost() -> None:
    """A null removes a field, defaults are added, and another number of groups compares with nothing."""
    nulls = applied("RayCluster", {"spec.suspend": None, f"{HEAD}.template.metadata": {"creationTimestamp": None}})
    nulls["spec"]["headGroupSpec"]["template"]["metadata"] = {}
    defaults = applied("RayCluster", {}, stored={"spec.workerGroupSpecs.0.numOfHosts": 1})
    fewer = applied("RayCluster", {"spec.workerGroupSpecs": []})

    assert [found(RULES, one) for one in (nulls, defaults, fewer)] == [[], [], []]


@pytest.mark.spec("admission:XC02")
def test_a_note_that_others_have_left_behind_tells_nothing() -> None:
    """Somebody took the field out since, by other means than kubectl apply."""
    old = applied("RayCluster", {"spec.suspend": False}, stored={"spec.suspend": False})
    edited = changed(old, {"spec.suspend": GONE})

    assert found(RULES, edited, old) == []
    assert ids(found(RULES, edited)) == [("XC02", "spec.suspend")]


@pytest.mark.spec("admission:XC02")
@pytest.mark.parametrize("note", ["", "{", "[1]", '{"spec": [1]}', "[" * 5000])
def test_a_note_that_is_none_is_passed_over(note: str) -> None:
    """Users write annotations, too."""
    assert found(RULES, good("RayCluster", {f"metadata.annotations.{LAST_APPLIED}": note})) == []


@pytest.mark.spec("admission:XC04")
def test_a_request_in_the_old_version_is_warned_of_though_the_object_is_converted() -> None:
    """The webhook sees v1; the request says what was asked for."""
    context = replace(OPEN, surroundings=Surroundings(requested_version="v1alpha1"))

    assert ids(found(RULES, good("RayCluster"), context=context)) == [("XC04", "apiVersion")]


STATES: dict[str, Changes] = {
    "RayCluster": {"status.state": "ready"},
    "RayJob": {"status.jobDeploymentStatus": "Running"},
    "RayService": {"status.activeServiceStatus.rayClusterName": "good-abcde"},
}
MULTIKUEUE: Changes = {"spec.managedBy": "kueue.x-k8s.io/multikueue"}


@pytest.mark.spec("admission:XC05", "admission:IM12")
@pytest.mark.parametrize("kind", STATES)
def test_who_manages_what_runs_stays_as_it_is(kind: str) -> None:
    """Set, or removed; before anybody works on it both are free, and naming this operator changes nothing."""
    plain, managed = good(kind, STATES[kind]), good(kind, {**STATES[kind], **MULTIKUEUE})
    named = good(kind, {**STATES[kind], "spec.managedBy": "ray.io/kuberay-operator"})

    for old, new in ((plain, managed), (managed, plain)):
        assert [(one.rule, one.path, one.severity) for one in found(RULES, new, old)] == [
            ("XC05", "spec.managedBy", DENY)
        ]
    assert found(RULES, named, plain) == []
    assert found(RULES, good(kind, MULTIKUEUE), good(kind)) == []


@pytest.mark.spec("admission:XC06")
@pytest.mark.parametrize(("served", "told"), [(False, True), (True, False), (None, False)])
def test_a_manager_that_is_not_there_is_told_of_only_where_somebody_turns_the_rule_on(
    served: bool | None, told: bool
) -> None:
    """Off by itself: MultiKueue may come later."""
    context = replace(OPEN, surroundings=Surroundings(multikueue=served))

    findings = found(RULES, good("RayJob", MULTIKUEUE), context=context)

    assert [(one.rule, one.severity) for one in findings] == ([("XC06", OFF)] if told else [])


@pytest.mark.spec("admission:XC15")
@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_a_priority_class_that_is_not_there_is_warned_of(kind: str) -> None:
    """The pod would be refused. Where nobody knows which there are, nobody warns."""
    at = INSIDE[kind]
    new = good(kind, {f"{at}.headGroupSpec.template.spec.priorityClassName": "high"})
    path = f"{at}.headGroupSpec.template.spec.priorityClassName"

    def told(classes: frozenset[str] | None) -> list[tuple[str, str]]:
        context = replace(OPEN, surroundings=Surroundings(priority_classes=classes))
        return ids(found(RULES, new, context=context))

    assert told(frozenset({"low"})) == [("XC15", path)]
    assert told(frozenset({"high"})) == []
    assert told(None) == []


@pytest.mark.spec("admission:XC13")
def test_a_template_may_replace_its_own_command() -> None:
    """The annotation counts on the pod template as well."""
    own = {f"{HEAD}.template.metadata.annotations": {"ray.io/overwrite-container-cmd": "true"}}

    assert found(RULES, good("RayCluster", {**own, f"{RAY}.command": ["ray start --head"]})) == []
