"""What the operator does not do yet: whoever asks for it is told when it is applied, not only by an event later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.v1.rules import not_yet
from api.v1.rules.judging import judge
from api.v1.rules.model import Context, Severity
from api.v1.rules.settings import AdmissionSettings
from localcluster.testing.judged import INSIDE, OPEN, Changes, found, good, ids

RULES = not_yet.RULES
RULE = "XC17"
FT: Changes = {"spec.gcsFaultToleranceOptions": {}}
FT_ANNOTATED: Changes = {"metadata.annotations.ray~io/ft-enabled": "True"}
NOT_FT: Changes = {"metadata.annotations.ray~io/ft-enabled": "false"}
JOBS = "spec.jobTemplate"
RULES_OF_DELETION = {"onSuccess": {"policy": "DeleteNone"}, "onFailure": {"policy": "DeleteNone"}}
SELECTED: Changes = {"spec.clusterSelector": {"ray.io/cluster": "other"}}
INCREMENTAL: Changes = {"spec.upgradeStrategy": {"type": "NewClusterWithIncrementalUpgrade"}}

# id, kind, what is asked for, its path; then the near miss that passes.
CASES: list[tuple[str, str, Changes, str, Changes]] = [
    ("XC17", "RayCluster", FT, "spec.gcsFaultToleranceOptions", {}),
    ("XC17", "RayCluster", FT_ANNOTATED, "metadata.annotations[ray.io/ft-enabled]", NOT_FT),
    ("XC17", "RayJob", FT_ANNOTATED, "metadata.annotations[ray.io/ft-enabled]", NOT_FT),
    (
        "XC17",
        "RayCluster",
        {"spec.tlsOptions": {"enabled": True}},
        "spec.tlsOptions.enabled",
        {"spec.tlsOptions": {"enabled": False}},
    ),
    ("XC17", "RayCluster", {"spec.networkPolicy": {}}, "spec.networkPolicy", {}),
    (
        "XC17",
        "RayService",
        {"spec.rayClusterConfig.historyServerOptions": {}},
        "spec.rayClusterConfig.historyServerOptions",
        {},
    ),
    (
        "XC17",
        "RayJob",
        {"spec.submissionMode": "SidecarMode"},
        "spec.submissionMode",
        {"spec.submissionMode": "HTTPMode"},
    ),
    ("XC17", "RayJob", {"spec.deletionStrategy": RULES_OF_DELETION}, "spec.deletionStrategy", {}),
    (
        "XC17",
        "RayCronJob",
        {f"{JOBS}.deletionStrategy": RULES_OF_DELETION},
        f"{JOBS}.deletionStrategy",
        {f"{JOBS}.suspend": False},
    ),
    (
        "XC17",
        "RayCronJob",
        {f"{JOBS}.rayClusterSpec.gcsFaultToleranceOptions": {}},
        f"{JOBS}.rayClusterSpec.gcsFaultToleranceOptions",
        FT_ANNOTATED,
    ),
    (
        "XC17",
        "RayService",
        INCREMENTAL,
        "spec.upgradeStrategy.type",
        {"spec.upgradeStrategy": {"type": "NewCluster"}},
    ),
]


@pytest.mark.parametrize("kind", INSIDE)
def test_a_good_object_is_not_spoken_of(kind: str) -> None:
    """Without this every case below could pass for a wrong reason."""
    assert found(RULES, good(kind)) == []


@pytest.mark.spec("admission:XC17")
@pytest.mark.parametrize(("rule", "kind", "asked", "path", "passed"), CASES)
def test_what_the_operator_does_not_do_yet_is_told_at_its_field_with_the_way_out(
    rule: str, kind: str, asked: Changes, path: str, passed: Changes
) -> None:
    """What will happen stands in the sentence: the object is left alone, or never upgraded."""
    told = found(RULES, good(kind, asked))

    assert [(one.rule, one.path, one.severity) for one in told] == [(rule, path, Severity.WARN)]
    assert "yet" in told[0].message
    assert told[0].hint
    assert found(RULES, good(kind, passed)) == []


@pytest.mark.parametrize(
    ("kind", "asked", "refused_by"),
    [
        ("RayCluster", {"spec.networkPolicy": {}}, "C56"),
        ("RayCluster", {"spec.tlsOptions": {"enabled": True}}, "C61"),
        ("RayCluster", {"spec.historyServerOptions": {}}, "C39"),
        ("RayJob", {"spec.shutdownAfterJobFinishes": False, "spec.deletionStrategy": RULES_OF_DELETION}, "J4"),
    ],
)
def test_what_a_gate_refuses_is_told_once(kind: str, asked: Changes, refused_by: str) -> None:
    """The operator's own refusal says enough; that the gate would not help is told where it is on."""
    verdict = judge(kind, good(kind, asked), None, Context({}))

    assert refused_by in [one.rule for one in verdict.denials]
    assert RULE not in [one.rule for one in verdict.warnings]


def test_a_cluster_spec_that_is_not_used_is_not_spoken_of() -> None:
    """The clusterSelector wins; that cluster was judged when it was applied."""
    asked: Changes = {"spec.rayClusterSpec.gcsFaultToleranceOptions": {}}

    assert found(RULES, good("RayJob", {**asked, **SELECTED})) == []


def test_an_incremental_upgrade_is_told_of_once() -> None:
    """Without its gate SV10 says that there will be none."""
    told = {
        gate: [
            one.rule
            for one in judge(
                "RayService", good("RayService", INCREMENTAL), None, Context({"RayServiceIncrementalUpgrade": gate})
            ).warnings
        ]
        for gate in (False, True)
    }

    assert told[False] == ["SV10"]
    assert RULE in told[True]


@pytest.mark.parametrize(
    ("new", "context"),
    [
        (good("RayCluster", {**FT, "spec.managedBy": "kueue.x-k8s.io/multikueue"}), OPEN),
        (good("RayCluster", FT), replace(OPEN, admission=AdmissionSettings(rules={RULE: "off"}))),
    ],
    ids=["elsewhere", "turned off"],
)
def test_another_operator_may_do_it(new: dict[str, object], context: Context) -> None:
    """In another cluster, or where the owner of this one says so."""
    assert RULE not in [rule for rule, _ in ids(judge("RayCluster", new, None, context).warnings)]
