"""What a job runs: each rule finds what it is there for, and lets the nearest good object pass."""

from __future__ import annotations

from typing import Any

import pytest

from api.v1.rules import job_content, rayjob
from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.model import Severity
from localcluster.testing.judged import GONE, INSIDE, Changes, found, good, ids

RULES = job_content.RULES
DENY, WARN = Severity.DENY, Severity.WARN
CLUSTER = "spec.rayClusterSpec"
ENV = "spec.runtimeEnvYAML"
TEMPLATE = "spec.submitterPodTemplate"
STRATEGY = "spec.deletionStrategy"
QUEUED: Changes = {"metadata.labels.kueue~x-k8s~io/queue-name": "team"}
SELECTED: Changes = {
    "spec.clusterSelector": {"ray.io/cluster": "shared"},
    CLUSTER: GONE,
    "spec.shutdownAfterJobFinishes": False,
}


def mode(word: str) -> Changes:
    return {"spec.submissionMode": word}


INTERACTIVE: Changes = {**mode("InteractiveMode"), "spec.entrypoint": ""}


def submitter(**pod: Any) -> Changes:
    return {TEMPLATE: {"spec": {"containers": [{"name": "submit", "image": "x"}], "restartPolicy": "Never", **pod}}}


def on(status: str, policy: str, seconds: int = 0) -> dict[str, Any]:
    return {"policy": policy, "condition": {"jobStatus": status, "ttlSeconds": seconds}}


def rules(*some: dict[str, Any]) -> Changes:
    return {"spec.shutdownAfterJobFinishes": False, STRATEGY: {"deletionRules": list(some)}}


RETRIED: Changes = {"spec.jobId": "one", "spec.backoffLimit": 1}
KEPT_IN_REDIS: Changes = {
    f"{CLUSTER}.gcsFaultToleranceOptions": {"redisAddress": "redis:6379", "externalStorageNamespace": "train"}
}
OWN_SUBMITTER: Changes = submitter(containers=[{"name": "submit", "image": "x", "command": ["submit"]}])

# id, severity, what is found, its path; then the near miss that passes.
CASES: list[tuple[str, Severity, Changes, str, Changes]] = [
    ("JC01", DENY, {"spec.entrypoint": " \n"}, "spec.entrypoint", INTERACTIVE),
    ("JC01", DENY, {"spec.entrypoint": GONE}, "spec.entrypoint", {"spec.entrypoint": "x"}),
    ("JC01", DENY, {**submitter(), "spec.entrypoint": ""}, "spec.entrypoint", {**OWN_SUBMITTER, "spec.entrypoint": ""}),
    ("JC03", WARN, mode("InteractiveMode"), "spec.entrypoint", INTERACTIVE),
    (
        "JC04",
        WARN,
        {"spec.entrypoint": "pip install x && python main.py"},
        "spec.entrypoint",
        {"spec.entrypoint": "bash -c 'pip install x && python main.py'"},
    ),
    (
        "JC04",
        WARN,
        {"spec.entrypoint": "cd /app\npython main.py\n"},
        "spec.entrypoint",
        {"spec.entrypoint": "python main.py\n"},
    ),
    (
        "JC04",
        WARN,
        {**mode("SidecarMode"), "spec.entrypoint": "python main.py | tee log"},
        "spec.entrypoint",
        {**mode("HTTPMode"), "spec.entrypoint": "python main.py | tee log"},
    ),
    (
        "JC05",
        DENY,
        {"spec.entrypointResources": "{a: 1}"},
        "spec.entrypointResources",
        {"spec.entrypointResources": '{"a": 1}'},
    ),
    (
        "JC05",
        DENY,
        {"spec.entrypointResources": '{"a": "1"}'},
        "spec.entrypointResources",
        {"spec.entrypointResources": '{"a": 0.5}'},
    ),
    ("JC05", DENY, {"spec.entrypointResources": '{"a": -1}'}, "spec.entrypointResources", {}),
    ("JC05", DENY, {"spec.entrypointResources": "[1]"}, "spec.entrypointResources", {"spec.entrypointResources": ""}),
    (
        "JC06",
        DENY,
        {"spec.entrypointNumGpus": -0.5},
        "spec.entrypointNumGpus",
        {"spec.entrypointNumGpus": 0.5},
    ),
    ("JC06", DENY, {"spec.entrypointNumCpus": -1}, "spec.entrypointNumCpus", {"spec.entrypointNumCpus": 0}),
    ("JC07", WARN, {ENV: "workingdir: s3://a"}, ENV, {ENV: "working_dir: s3://a"}),
    ("JC08", DENY, {ENV: "pip: [a]\nconda: base"}, ENV, {ENV: "pip: [a]"}),
    ("JC08", DENY, {ENV: "pip: [a]\nuv: [b]"}, ENV, {ENV: "uv: [b]"}),
    ("JC08", DENY, {ENV: "conda: base\nuv: [b]"}, ENV, {ENV: "conda: base"}),
    ("JC08", WARN, {ENV: "working_dir: s3://a/b"}, ENV, {ENV: "working_dir: s3://a/b.zip?versionId=1"}),
    ("JC08", WARN, {ENV: "working_dir: s3://a/b#c.zip"}, ENV, {ENV: "working_dir: s3://a/$CODE"}),
    ("JC08", DENY, {ENV: "env_vars: {A: 1}"}, ENV, {ENV: 'env_vars: {A: "1"}'}),
    ("JC08", DENY, {ENV: "env_vars: [A=1]"}, ENV, {ENV: "env_vars: {}"}),
    ("JC08", WARN, {ENV: "working_dir: ./src"}, ENV, {ENV: "working_dir: https://a/b.zip"}),
    ("JC08", WARN, {ENV: "working_dir: /src"}, ENV, {**mode("SidecarMode"), ENV: "working_dir: /src"}),
    ("JC09", WARN, {**RETRIED, **KEPT_IN_REDIS}, "spec.jobId", RETRIED),
    ("JC10", DENY, submitter(containers=[]), f"{TEMPLATE}.spec.containers", submitter()),
    (
        "JC10",
        DENY,
        submitter(restartPolicy="Always"),
        f"{TEMPLATE}.spec.restartPolicy",
        submitter(restartPolicy="OnFailure"),
    ),
    ("JC11", WARN, {**mode("HTTPMode"), **submitter()}, TEMPLATE, submitter()),
    (
        "JC11",
        WARN,
        {**INTERACTIVE, "spec.submitterConfig": {"backoffLimit": 1}},
        "spec.submitterConfig",
        {"spec.submitterConfig": {"backoffLimit": 1}},
    ),
    (
        "JC13",
        WARN,
        rules(on("FAILED", "DeleteSelf", 5), on("FAILED", "DeleteNone", 6), on("SUCCEEDED", "DeleteSelf")),
        f"{STRATEGY}.deletionRules[1]",
        rules(on("FAILED", "DeleteSelf", 6), on("FAILED", "DeleteNone", 6), on("SUCCEEDED", "DeleteSelf")),
    ),
    (
        "JC14",
        WARN,
        rules(on("FAILED", "DeleteCluster")),
        f"{STRATEGY}.deletionRules",
        rules(on("FAILED", "DeleteCluster"), on("SUCCEEDED", "DeleteNone")),
    ),
    (
        "JC14",
        WARN,
        rules(on("SUCCEEDED", "DeleteSelf")),
        f"{STRATEGY}.deletionRules",
        rules(
            on("SUCCEEDED", "DeleteSelf"),
            {"policy": "DeleteCluster", "condition": {"jobDeploymentStatus": "Failed"}},
        ),
    ),
    (
        "JC15",
        WARN,
        {"spec.activeDeadlineSeconds": 60, "spec.preRunningDeadlineSeconds": 60},
        "spec.activeDeadlineSeconds",
        {"spec.activeDeadlineSeconds": 61, "spec.preRunningDeadlineSeconds": 60},
    ),
    ("JC16", WARN, {**SELECTED, CLUSTER: good("RayCluster")["spec"]}, CLUSTER, SELECTED),
    (
        "JC17",
        DENY,
        {f"{CLUSTER}.upgradeStrategy": {"type": "Recreate"}},
        f"{CLUSTER}.upgradeStrategy",
        {f"{CLUSTER}.upgradeStrategy": {}},
    ),
    ("JC17", WARN, {f"{CLUSTER}.suspend": True}, f"{CLUSTER}.suspend", {"spec.suspend": True}),
    (
        "JC17",
        WARN,
        {f"{CLUSTER}.managedBy": "kueue.x-k8s.io/multikueue"},
        f"{CLUSTER}.managedBy",
        {f"{CLUSTER}.managedBy": "ray.io/kuberay-operator"},
    ),
    ("JC18", WARN, {**INTERACTIVE, "spec.suspend": True}, "spec.suspend", {"spec.suspend": True}),
    ("JC18", WARN, {**QUEUED, **INTERACTIVE}, "spec.submissionMode", {**QUEUED}),
    (
        "JC18",
        WARN,
        {**QUEUED, "spec.shutdownAfterJobFinishes": False},
        "spec.shutdownAfterJobFinishes",
        {"spec.shutdownAfterJobFinishes": False},
    ),
    (
        "JC19",
        WARN,
        {"spec.entrypoint": "a" * (64 * 1024 + 1)},
        "spec.entrypoint",
        {"spec.entrypoint": "a" * (64 * 1024)},
    ),
    (  # JC04 does not read so long a line
        "JC19",
        WARN,
        {"spec.entrypoint": "a && " * (16 * 1024)},
        "spec.entrypoint",
        {},
    ),
    (
        "JB9",
        WARN,
        {**SELECTED, "spec.shutdownAfterJobFinishes": True},
        "spec.shutdownAfterJobFinishes",
        SELECTED,
    ),
    ("JB9", WARN, {**SELECTED, STRATEGY: {"deletionRules": [on("FAILED", "DeleteSelf")]}}, STRATEGY, SELECTED),
]


def claims(rows: list[Any]) -> list[Any]:
    return [
        pytest.param(*row, id=f"{row[0]}-{n}", marks=[pytest.mark.spec(f"admission:{one}") for one in said(row[0])])
        for n, row in enumerate(rows)
    ]


def said(rule: str) -> list[str]:
    """The items that a rule is about: what would fail later, told before."""
    return {"JB9": ["AC-19"], "JC05": ["JC05", "JB3"], "JC10": ["JC10", "JB5"]}.get(rule, [rule])


@pytest.mark.parametrize("kind", INSIDE)
def test_a_good_job_is_not_spoken_of(kind: str) -> None:
    """Without this every case below could pass for a wrong reason."""
    assert found(RULES, good(kind)) == []


@pytest.mark.parametrize(("rule", "severity", "changes", "path", "passed"), claims(CASES))
def test_each_rule_finds_its_case_and_passes_the_nearest_good_one(
    rule: str, severity: Severity, changes: Changes, path: str, passed: Changes
) -> None:
    """Nothing else is found beside it."""
    told = found(RULES, good("RayJob", changes))

    assert [(one.rule, one.path, one.severity) for one in told] == [(rule, path, severity)]
    assert found(RULES, good("RayJob", passed), only=rule) == []


@pytest.mark.spec("admission:P12")
@pytest.mark.parametrize(("rule", "severity", "changes", "path", "passed"), claims(CASES))
def test_the_jobs_of_a_raycronjob_are_judged_alike_under_their_own_path(
    rule: str, severity: Severity, changes: Changes, path: str, passed: Changes
) -> None:
    """But for what its labels would say: its RayJobs inherit none."""
    told = found(RULES, good("RayCronJob", {_inside(one): value for one, value in changes.items()}))

    expected = [(rule, _inside(path), severity)]
    assert [(one.rule, one.path, one.severity) for one in told] == ([] if QUEUED.keys() <= changes.keys() else expected)
    assert found(RULES, good("RayCronJob", {_inside(one): value for one, value in passed.items()}), only=rule) == []


def _inside(path: str) -> str:
    return path.replace("spec.", "spec.jobTemplate.", 1) if path.startswith("spec.") else path


@pytest.mark.spec("admission:JC02")
@pytest.mark.parametrize(("kind", "at"), [("RayJob", "spec"), ("RayCronJob", "spec.jobTemplate")])
def test_a_mode_that_nobody_knows_is_refused_once(kind: str, at: str) -> None:
    """A cluster would be made, and nobody would submit. Such a job counts as one with an entrypoint to run."""
    path = f"{at}.submissionMode"

    assert ids(found(RULES_BY_KIND[kind], good(kind, {path: "PigeonMode"}))) == [("JC02", path)]
    assert found(RULES_BY_KIND[kind], good(kind, {path: "HTTPMode"})) == []


@pytest.mark.spec("admission:JC17", "admission:C68")
def test_an_upgrade_strategy_inside_a_rayservice_is_refused_as_well() -> None:
    """Its cluster would be refused just so."""
    doubled = good("RayService", {"spec.rayClusterConfig.upgradeStrategy": {"type": "Recreate"}})

    assert ids(found(RULES, doubled)) == [("JC17", "spec.rayClusterConfig.upgradeStrategy")]


@pytest.mark.spec("admission:JC04")
def test_a_submitter_with_a_command_of_its_own_reads_no_entrypoint() -> None:
    """The generated line is not run then."""
    assert found(RULES, good("RayJob", {**OWN_SUBMITTER, "spec.entrypoint": "a && b"})) == []


@pytest.mark.parametrize(
    ("written", "hint"), [("true", 'write A: "true"'), ("1.5", 'write A: "1.5"'), ("", 'write A: ""')]
)
def test_the_way_out_for_a_variable_that_is_no_text_is_what_was_written_in_quotes(written: str, hint: str) -> None:
    """Not as Python would write it."""
    told = found(RULES, good("RayJob", {ENV: f"env_vars: {{A: {written}}}"}))

    assert [one.hint for one in told] == [hint]


@pytest.mark.spec("admission:JC09")
def test_a_fixed_id_with_retries_is_also_told_where_an_annotation_names_the_storage() -> None:
    """The older way to say it; a RayCronJob's jobs have no annotations."""
    named = good("RayJob", {**RETRIED, "metadata.annotations": {"ray.io/external-storage-namespace": "train"}})

    assert ids(found(RULES, named)) == [("JC09", "spec.jobId")]


@pytest.mark.spec("admission:JC04")
def test_a_script_between_quotes_may_have_many_lines() -> None:
    """As the samples have."""
    script = 'python -c "\nimport ray\nray.init(); print(1)\n"\n'

    assert found(RULES, good("RayJob", {"spec.entrypoint": script})) == []


@pytest.mark.spec("admission:JC07", "admission:J30")
def test_a_runtime_environment_that_cannot_be_read_is_told_of_once() -> None:
    """By the rule that is enforced."""
    broken = good("RayJob", {ENV: "[1, 2]"})

    assert [one.rule for one in found((*rayjob.RULES, *RULES), broken)] == ["J30"]


@pytest.mark.spec("admission:JC10")
def test_a_submitter_without_restart_policy_is_not_spoken_of() -> None:
    """Its default is filled in (D07)."""
    assert found(RULES, good("RayJob", {TEMPLATE: {"spec": {"containers": [{"name": "a", "image": "x"}]}}})) == []


@pytest.mark.spec("admission:JC12", "admission:JC13")
def test_what_the_order_of_deletions_says_is_told_once() -> None:
    """J18 refuses a cluster that goes after its job."""
    late = good(
        "RayJob", rules(on("FAILED", "DeleteSelf", 1), on("FAILED", "DeleteCluster", 2), on("SUCCEEDED", "DeleteSelf"))
    )

    assert [one.rule for one in found((*rayjob.RULES, *RULES), late)] == ["J18"]
