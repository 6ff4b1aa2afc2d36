"""From findings to a verdict: a story for each principle of spec admission §4.1, and for each writer of §4.9."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from api.v1.gates import DEFAULT_GATES
from api.v1.rules.judging import SKIP, Verdict, judge
from api.v1.rules.model import Context, Finding
from api.v1.rules.places import CLUSTER_PATHS
from api.v1.rules.settings import AdmissionSettings, Profile

CONTEXT = Context(DEFAULT_GATES)
Json = dict[str, Any]
OPERATOR = "system:serviceaccount:ray-system:kuberay-operator"
AUTOSCALER = "system:serviceaccount:default:train"
RESOURCES = {"limits": {"cpu": "1", "memory": "2Gi"}}


def with_settings(**settings: Any) -> Context:
    return replace(CONTEXT, admission=AdmissionSettings(**settings))


def a_template(image: str = "rayproject/ray:2.52.0", **limits: str) -> Json:
    resources = {"limits": {**RESOURCES["limits"], **limits}}
    return {"spec": {"containers": [{"name": "ray", "image": image, "resources": resources}]}}


def a_cluster_spec(*, version: str = "2.52.0", image: str = "rayproject/ray:2.52.0") -> Json:
    group = {"groupName": "small", "replicas": 1, "minReplicas": 0, "maxReplicas": 3, "rayStartParams": {}}
    return {
        "rayVersion": version,
        "headGroupSpec": {"rayStartParams": {}, "template": a_template(image)},
        "workerGroupSpecs": [{**group, "template": a_template(image)}],
    }


def an_object(kind: str = "RayCluster", spec: Json | None = None, **metadata: Any) -> Json:
    """A good object of that kind around a cluster spec."""
    spec = spec if spec is not None else a_cluster_spec()
    whole: Json = {
        "RayCluster": spec,
        "RayJob": {"entrypoint": "python -c pass", "shutdownAfterJobFinishes": True, "rayClusterSpec": spec},
        "RayService": {"serveConfigV2": "applications: [{name: a, import_path: 'a:b'}]", "rayClusterConfig": spec},
        "RayCronJob": {
            "schedule": "@daily",
            "jobTemplate": {"entrypoint": "python -c pass", "shutdownAfterJobFinishes": True, "rayClusterSpec": spec},
        },
    }[kind]
    return {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "train", **metadata}, "spec": whole}


def told(findings: Any) -> list[tuple[str, str]]:
    return [(one.rule, one.path) for one in findings]


MISMATCHED = a_cluster_spec(version="2.46.0")  # RV02: the image is 2.52.0
PATCHED = a_cluster_spec(version="2.52.1")  # RV02, of which only the patch differs
RV02 = [("RV02", "spec.rayVersion")]
ENFORCED = {**a_cluster_spec(), "headGroupSpec": {"template": {"spec": {"containers": []}}}}  # C1


def verdict(new: Json, old: Json | None = None, context: Context = CONTEXT, user: str = "") -> Verdict:
    return judge(new["kind"], new, old, context, user=user)


@pytest.mark.parametrize("kind", sorted(CLUSTER_PATHS))
def test_a_good_object_is_let_through_without_a_word(kind: str) -> None:
    """All rules are asked of it."""
    found = verdict(an_object(kind), context=replace(CONTEXT, gates=dict.fromkeys(DEFAULT_GATES, True)))

    assert found == Verdict([], [], ())


@pytest.mark.spec("admission:P2")
def test_everything_that_is_wrong_is_told_at_once() -> None:
    """P2: with path, value, rule and the way out."""
    spec = deepcopy(MISMATCHED)
    spec["workerGroupSpecs"][0]["template"] = a_template("rayproject/ray:2.9.0")
    spec["workerGroupSpecs"][0]["minReplicas"] = -1

    found = verdict(an_object(spec=spec))

    assert told(found.denials) == [
        ("C7", "spec.workerGroupSpecs[0].minReplicas"),
        *RV02,
        ("RV03", "spec.workerGroupSpecs[0].template.spec.containers[0].image"),
    ]
    assert found.denials[1].value == "2.46.0"
    assert found.denials[1].hint
    assert str(found.denials[1]).endswith("[RV02]")


def test_whatever_is_told_comes_with_a_way_out() -> None:
    """Its own, or what is said of the rule; as the end of a line."""
    spec = a_cluster_spec(version="2.46.0")
    spec["workerGroupSpecs"][0] |= {"minReplicas": 5, "idleTimeoutSeconds": 3}

    hints = {one.rule: one.hint for one in verdict(an_object(spec=spec)).denials}

    assert hints == {
        "C9": "exchange or mend them",
        "C12": "set autoscalerOptions.version: v2",
        "RV02": "the image holds Ray 2.52.0: write that, or change the image",
    }


def test_what_the_reference_refuses_is_told_first() -> None:
    """In the order in which its reconcile loop would meet it."""
    spec = {**deepcopy(MISMATCHED), "autoscalerOptions": {"idleTimeoutSeconds": -1}}

    found = verdict(an_object(spec=spec, name="Train"))

    assert [one.rule for one in found.denials] == ["M2", "C37", "RV02"]


@pytest.mark.spec("admission:P3")
@pytest.mark.parametrize(
    ("profile", "spec", "denied", "warned"),
    [
        (Profile.STANDARD, MISMATCHED, RV02, []),
        (Profile.STANDARD, PATCHED, [], RV02),
        (Profile.COMPAT, MISMATCHED, [], RV02),
        (Profile.STRICT, PATCHED, RV02, []),
        (Profile.COMPAT, ENFORCED, [("C1", "spec.headGroupSpec.template.spec.containers")], []),
    ],
)
def test_a_profile_says_how_strict_the_whole_is(profile: Profile, spec: Json, denied: Any, warned: Any) -> None:
    """P3: compat refuses what the reference refuses and nothing else; strict refuses what others warn of."""
    found = verdict(an_object(spec=spec), context=with_settings(profile=profile))

    assert told(found.denials) == denied
    assert told(found.warnings) == warned


def test_the_strict_profile_turns_nothing_on() -> None:
    """GPU28 is a house rule."""
    spec = a_cluster_spec()
    spec["workerGroupSpecs"][0]["template"] = a_template("rayproject/ray:2.52.0-gpu", **{"nvidia.com/gpu": "1"})

    assert verdict(an_object(spec=spec), context=with_settings(profile=Profile.STRICT)).denials == []


@pytest.mark.spec("admission:P3")
@pytest.mark.parametrize(
    ("severity", "spec", "denied", "warned"),
    [
        ("warn", MISMATCHED, [], RV02),
        ("off", MISMATCHED, [], []),
        ("deny", PATCHED, RV02, []),
    ],
)
def test_one_rule_may_be_set_for_everybody(severity: str, spec: Json, denied: Any, warned: Any) -> None:
    """P3: it wins over the profile."""
    found = verdict(an_object(spec=spec), context=with_settings(profile=Profile.COMPAT, rules={"RV02": severity}))

    assert told(found.denials) == denied
    assert told(found.warnings) == warned


def test_a_rule_that_is_off_can_be_turned_on() -> None:
    """GPU28 speaks only where somebody wants it to."""
    spec = a_cluster_spec()
    spec["workerGroupSpecs"][0]["template"] = a_template("rayproject/ray:2.52.0-gpu", **{"nvidia.com/gpu": "1"})

    assert [one.rule for one in verdict(an_object(spec=spec)).denials] == []
    found = verdict(an_object(spec=spec), context=with_settings(rules={"GPU28": "deny"}))
    assert told(found.denials) == [("GPU28", "spec.workerGroupSpecs[0].replicas")]


@pytest.mark.spec("admission:P3")
@pytest.mark.parametrize("severity", ["warn", "off"])
def test_no_setting_makes_less_of_what_the_reference_refuses(severity: str) -> None:
    """The reconcile loop would refuse it afterwards."""
    found = verdict(an_object(spec=ENFORCED), context=with_settings(rules={"C1": severity}))

    assert told(found.denials) == [("C1", "spec.headGroupSpec.template.spec.containers")]


@pytest.mark.parametrize(
    ("settings", "denied"),
    [
        ({}, False),
        ({"rules": {"C65": "off"}}, False),
        ({"rules": {"C65": "deny"}}, True),
        ({"profile": Profile.STRICT}, True),
    ],
)
def test_what_the_reference_only_warns_of_can_be_refused_and_not_silenced(settings: Json, denied: bool) -> None:
    """C65: workers that kubelet restarts under autoscaler v1."""
    spec = {**a_cluster_spec(), "enableInTreeAutoscaling": True, "autoscalerOptions": {"version": "v1"}}
    spec["workerGroupSpecs"][0]["template"]["spec"]["restartPolicy"] = "Always"

    found = verdict(an_object(spec=spec), context=with_settings(**settings))

    assert ("C65" in [one.rule for one in found.denials], "C65" in [one.rule for one in found.warnings]) == (
        denied,
        not denied,
    )


def test_a_severity_that_there_is_not_is_refused_at_the_start() -> None:
    """Not at the first request."""
    with pytest.raises(ValueError, match="RV02"):
        AdmissionSettings(rules={"RV02": "loud"})


@pytest.mark.spec("admission:P4")
def test_an_object_may_be_spared_a_rule_by_its_annotation() -> None:
    """P4: and that it was is known."""
    found = verdict(an_object(spec=MISMATCHED, annotations={SKIP: "RV02, GPU05"}))

    assert found == Verdict([], [], ["RV02"])


@pytest.mark.spec("admission:P4")
@pytest.mark.parametrize(
    ("written", "unknown", "hint"),
    [
        ("RV2", "RV2", "did you mean RV"),
        ("RV02,QUUX", "QUUX", "docs/rules.md has them all"),
        ("RV02 GPU05", "RV02 GPU05", "did you mean"),
        ("P4", "P4", ""),
    ],
)
def test_an_id_that_there_is_not_is_told_with_those_that_may_be_meant(written: str, unknown: str, hint: str) -> None:
    """The rule that was meant would speak on, and nobody would know why."""
    found = verdict(an_object(annotations={SKIP: written}))

    assert [one.rule for one in found.warnings] == ["P4"]
    assert found.warnings[0].message.startswith(f"there is no rule {unknown},")
    assert found.warnings[0].hint.startswith(hint)


def test_ids_of_a_skip_are_read_in_any_case() -> None:
    """As on the command line; a rule of another kind is no mistake."""
    assert verdict(an_object(spec=MISMATCHED, annotations={SKIP: "rv02,sv01"})) == Verdict([], [], ["RV02"])


def test_a_skip_that_had_nothing_to_skip_is_not_told() -> None:
    """An annotation that is left over disturbs nobody."""
    assert verdict(an_object(annotations={SKIP: "RV02"})) == Verdict([], [], [])


@pytest.mark.spec("admission:P4")
def test_what_the_reference_refuses_cannot_be_skipped() -> None:
    """And the user reads that."""
    found = verdict(an_object(spec=ENFORCED, annotations={SKIP: "C1"}))

    assert [one.rule for one in found.denials] == ["C1"]
    assert [(one.rule, "C1" in one.message) for one in found.warnings] == [("P4", True)]


@pytest.mark.spec("admission:P4")
def test_skipping_can_be_forbidden() -> None:
    """P4: by the operator's owner."""
    found = verdict(an_object(spec=MISMATCHED, annotations={SKIP: "RV02"}), context=with_settings(skips_allowed=False))

    assert told(found.denials) == RV02
    assert told(found.warnings) == [("P4", f"metadata.annotations[{SKIP}]")]


@pytest.mark.spec("admission:P6")
def test_an_object_in_deletion_is_asked_nothing() -> None:
    """P6: a finalizer must come off, whatever else is wrong."""
    old = an_object(spec=ENFORCED, name="Not a name", finalizers=["a/b"])
    new = an_object(spec=ENFORCED, name="Not a name", deletionTimestamp="2026-01-01T00:00:00Z")

    assert verdict(new, old) == Verdict()


@pytest.mark.spec("admission:P6")
def test_a_change_of_metadata_asks_no_rule_about_the_spec() -> None:
    """P6: labels and owners are written by many."""
    old, new = an_object(spec=MISMATCHED), an_object(spec=MISMATCHED, labels={"team": "a"})

    assert verdict(new, old) == Verdict([], [], ())


@pytest.mark.spec("admission:P6")
def test_a_change_of_metadata_asks_the_rules_about_metadata() -> None:
    """M10 reads an annotation."""
    annotations = {"ray.io/initializing-timeout": "soon"}
    found = verdict(an_object("RayService", annotations=annotations), an_object("RayService"))

    assert [one.rule for one in found.denials] == ["M10"]


@pytest.mark.spec("admission:P7")
def test_what_was_wrong_before_only_warns() -> None:
    """P7: an object that was stored before there was a webhook can be edited elsewhere."""
    old = an_object(spec=deepcopy(MISMATCHED))
    new = deepcopy(old)
    new["spec"]["workerGroupSpecs"][0]["replicas"] = 2

    found = verdict(new, old)

    assert told(found.denials) == []
    assert told(found.warnings) == RV02


def test_what_the_reference_refuses_is_ratcheted_too() -> None:
    """P7: the operator may have been upgraded, or a gate turned off."""
    spec = {**a_cluster_spec(), "tlsOptions": {"enabled": False}}
    old, new = an_object(spec=spec), an_object(spec={**deepcopy(spec), "suspend": False, "rayVersion": "2.52"})

    found = verdict(new, old)

    assert told(found.denials) == []
    assert [one.rule for one in found.warnings] == ["C61"]


@pytest.mark.spec("admission:P7")
def test_another_wrong_value_is_refused() -> None:
    """P7: the same value only."""
    found = verdict(an_object(spec=a_cluster_spec(version="2.45.0")), an_object(spec=MISMATCHED))

    assert told(found.denials) == RV02


def test_what_only_warned_before_is_no_reason_to_let_a_refusal_pass() -> None:
    """Only the image changes, from another patch to another minor release."""
    old = an_object(spec=a_cluster_spec(version="2.46.1", image="rayproject/ray:2.46.0"))
    new = an_object(spec=a_cluster_spec(version="2.46.1", image="rayproject/ray:2.52.0"))

    assert told(verdict(old).warnings) == RV02
    assert told(verdict(new, old).denials) == RV02


@pytest.mark.spec("admission:P7")
def test_a_group_that_moves_keeps_its_old_faults() -> None:
    """P7: another group was put before it."""
    spec = a_cluster_spec()
    spec["workerGroupSpecs"][0]["template"] = a_template("rayproject/ray:2.9.0")
    old = an_object(spec=spec)
    new = deepcopy(old)
    new["spec"]["workerGroupSpecs"].insert(0, {**a_cluster_spec()["workerGroupSpecs"][0], "groupName": "other"})

    found = verdict(new, old)

    assert told(found.denials) == []
    assert told(found.warnings) == [("RV03", "spec.workerGroupSpecs[1].template.spec.containers[0].image")]


@pytest.mark.spec("admission:P7")
def test_a_variable_that_moves_keeps_its_old_faults() -> None:
    """P7: another variable, and another container, was put before it."""
    spec = a_cluster_spec()
    ray, sidecar = spec["headGroupSpec"]["template"]["spec"]["containers"][0], a_template()["spec"]["containers"][0]
    ray["env"] = [{"name": "REDIS_USERNAME", "value": "ray"}]
    spec["headGroupSpec"]["template"]["spec"]["containers"].append({**sidecar, "name": "logs", "image": ""})
    old = an_object(spec=spec)
    new = deepcopy(old)
    containers = new["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    containers[0]["env"].insert(0, {"name": "STAGE", "value": "prod"})
    containers.insert(1, {**sidecar, "name": "metrics"})

    found = verdict(new, old)

    at = "spec.headGroupSpec.template.spec.containers"
    assert told(found.denials) == []
    assert told(found.warnings) == [("C30", f"{at}[0].env[1]"), ("XC14", f"{at}[2].image")]


@pytest.mark.spec("admission:P8")
def test_the_operator_itself_passes_unasked() -> None:
    """P8: it writes finalizers, annotations and, for its own rules, groups' suspension."""
    context = with_settings(trusted_users=(OPERATOR,))

    assert verdict(an_object(spec=ENFORCED), context=context, user=OPERATOR) == Verdict()
    assert not verdict(an_object(spec=ENFORCED), context=context, user="alice").allowed


def scaled(old: Json, replicas: int, doomed: list[str]) -> Json:
    new = deepcopy(old)
    new["spec"]["workerGroupSpecs"][0] |= {"replicas": replicas, "scaleStrategy": {"workersToDelete": doomed}}
    return new


def written_back(object_: Json) -> Json:
    """As a program with a typed model writes what it read: the same, spelt in its own way."""
    new = deepcopy(object_)
    spec: Any = new
    for step in CLUSTER_PATHS[new["kind"]]:
        spec = spec[step]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        group["template"].setdefault("metadata", {})
        group["template"]["spec"]["containers"][0]["resources"]["limits"] |= {"cpu": "1000m", "memory": "2048Mi"}
    spec["workerGroupSpecs"][0]["scaleStrategy"] = {}
    return new


@pytest.mark.spec("admission:P6")
@pytest.mark.parametrize("kind", CLUSTER_PATHS)
def test_an_object_that_is_only_spelt_anew_is_asked_no_rule_about_its_spec(kind: str) -> None:
    """A finalizer that a typed client adds: in the strict profile every other answer would block it."""
    old = an_object(kind, MISMATCHED)
    old["status"] = {"jobDeploymentStatus": "Running", "state": "ready"}
    new = written_back({**old, "metadata": {**old["metadata"], "finalizers": ["a/b"]}})

    assert new["spec"] != old["spec"]
    assert verdict(new, old, with_settings(profile=Profile.STRICT)) == Verdict([], [], ())


@pytest.mark.spec("admission:P7")
def test_who_mends_one_of_many_faults_is_not_refused_for_those_that_were_not_told_yet() -> None:
    """Of a rule the first hundred are told, and the hundred-and-first is no new one."""
    old = an_object()
    container = old["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    container["volumeMounts"] = [{"name": f"v{n}", "mountPath": f"/v{n}"} for n in range(150)]
    new = deepcopy(old)
    del new["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]

    assert len(verdict(old).denials) == 100
    assert verdict(new, old).allowed


@pytest.mark.spec("admission:P7")
def test_a_toleration_that_moves_keeps_its_old_fault() -> None:
    """Whoever admits the object puts another one before it."""
    old = an_object()
    wrong = {"key": "team", "operator": "exists"}
    old["spec"]["headGroupSpec"]["template"]["spec"]["tolerations"] = [wrong]
    new = deepcopy(old)
    new["spec"]["headGroupSpec"]["template"]["spec"]["tolerations"] = [{"key": "a", "operator": "Exists"}, wrong]

    assert not verdict(old).allowed
    assert verdict(new, old).allowed


@pytest.mark.spec("admission:P7")
def test_a_fault_that_is_spelt_anew_is_the_old_one() -> None:
    """Half a GPU is as much as 500 thousandths of one, and the group was edited elsewhere."""
    group = {**a_cluster_spec()["workerGroupSpecs"][0], "template": a_template(**{"nvidia.com/gpu": "0.5"})}
    old = an_object(spec={**a_cluster_spec(), "workerGroupSpecs": [group]})
    new = deepcopy(old)
    new["spec"]["workerGroupSpecs"][0]["replicas"] = 2
    limits = new["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resources"]["limits"]
    limits["nvidia.com/gpu"] = "500m"

    assert "GPU04" in [one.rule for one in verdict(old).denials]
    assert verdict(new, old).allowed


@pytest.mark.spec("admission:P8")
def test_the_autoscaler_scales_unasked() -> None:
    """P8: not even beyond the bounds; the operator clamps."""
    old = an_object(namespace="default")

    assert verdict(scaled(old, 99, ["train-small-worker-x"]), old, user=AUTOSCALER) == Verdict()


def test_the_autoscaler_of_another_service_account_is_known_by_the_pod_template() -> None:
    """As the head pod runs."""
    spec = a_cluster_spec()
    spec["headGroupSpec"]["template"]["spec"]["serviceAccountName"] = "mine"
    old = an_object(namespace="default", spec=spec)

    assert verdict(scaled(old, -1, []), old, user="system:serviceaccount:default:mine") == Verdict()


def test_the_autoscaler_may_write_nothing_else() -> None:
    """It is a pod that runs users' code."""
    old = an_object(namespace="default")
    new = scaled(old, 2, [])
    new["spec"]["rayVersion"] = "2.46.0"

    assert told(verdict(new, old, user=AUTOSCALER).denials) == RV02


GPU_JOB = an_object(
    "RayJob",
    {
        **a_cluster_spec(image="rayproject/ray:2.52.0-gpu"),
        "workerGroupSpecs": [
            {
                **a_cluster_spec()["workerGroupSpecs"][0],
                "rayStartParams": {"num-gpus": "4"},
                "template": a_template("rayproject/ray:2.52.0-gpu", **{"nvidia.com/gpu": "1"}),
            }
        ],
    },
)


def admitted(job: Json) -> Json:
    """As Kueue sets it going: on nodes of the flavour that it chose."""
    new = deepcopy(job)
    new["spec"]["suspend"] = False
    for template in (
        new["spec"]["rayClusterSpec"]["headGroupSpec"]["template"],
        new["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"],
        new["spec"].setdefault("submitterPodTemplate", {"spec": {}}),
    ):
        template["spec"] |= {"nodeSelector": {"pool": "a"}, "tolerations": [{"key": "nvidia.com/gpu"}]}
        template["metadata"] = {"labels": {"kueue.x-k8s.io/podset": "small"}}
    return new


@pytest.mark.spec("admission:P8")
def test_kueue_sets_a_job_going_whatever_rules_say_of_it() -> None:
    """P8: GPU05 was told when it was made, and the GPU toleration comes from the flavour."""
    old = deepcopy(GPU_JOB)
    old["spec"] |= {"suspend": True, "submitterPodTemplate": {"spec": {}}}
    new = admitted(old)

    assert not verdict(old).allowed
    assert verdict(new, old) == Verdict([], [], ())
    assert verdict(old, new) == Verdict([], [], ())


@pytest.mark.spec("admission:P8")
def test_kueue_may_write_the_whole_job_back_in_its_own_spelling() -> None:
    """In the strict profile, where whatever it is not excused would be refused."""
    old = deepcopy(GPU_JOB)
    old["spec"] |= {"suspend": True, "submitterPodTemplate": {"spec": {}}}
    strict = with_settings(profile=Profile.STRICT)

    assert verdict(written_back(admitted(old)), old, strict) == Verdict([], [], ())


def test_who_sets_a_job_going_and_changes_more_is_no_queue() -> None:
    """A user does that."""
    old = deepcopy(GPU_JOB)
    old["spec"] |= {"suspend": True, "submitterPodTemplate": {"spec": {}}}
    new = admitted(old)
    new["spec"]["rayClusterSpec"]["rayVersion"] = "2.46.0"

    assert "RV02" in [one.rule for one in verdict(new, old).denials]


@pytest.mark.spec("admission:IM07")
@pytest.mark.parametrize("profile", [Profile.STANDARD, Profile.STRICT])
def test_whoever_suspends_a_job_that_has_ended_is_told_that_this_does_nothing(profile: Profile) -> None:
    """It may be Kueue, which is never refused."""
    old = an_object("RayJob")
    old["spec"]["suspend"] = False
    old["status"] = {"jobDeploymentStatus": "Complete"}
    new = deepcopy(old)
    new["spec"]["suspend"] = True

    found = verdict(new, old, with_settings(profile=profile))

    assert found.allowed
    assert told(found.warnings) == [("IM07", "spec.suspend")]


def test_a_job_that_may_not_be_suspended_is_refused_when_it_is() -> None:
    """J1 is about that very field, and Kueue takes no such job."""
    old = an_object("RayJob")
    old["spec"]["shutdownAfterJobFinishes"] = False
    new = deepcopy(old)
    new["spec"]["suspend"] = True

    assert [one.rule for one in verdict(new, old).denials] == ["J1"]


@pytest.mark.spec("admission:P10")
def test_what_runs_in_another_cluster_is_not_held_to_the_gates_of_this_one() -> None:
    """P10: of MultiKueue; rules of form are asked all the same."""
    gated = {"networkPolicy": {}, "managedBy": "kueue.x-k8s.io/multikueue"}

    found = verdict(an_object(spec={**MISMATCHED, **gated}))

    assert told(found.denials) == RV02
    own = verdict(an_object(spec={**MISMATCHED, **gated, "managedBy": "ray.io/kuberay-operator"}))
    assert [one.rule for one in own.denials] == ["C56", "RV02"]


@pytest.mark.spec("admission:P12")
@pytest.mark.parametrize("kind", sorted(CLUSTER_PATHS))
def test_a_cluster_is_judged_alike_wherever_it_stands(kind: str) -> None:
    """P12: with the path of the field in that kind."""
    at = ".".join(CLUSTER_PATHS[kind])

    assert told(verdict(an_object(kind, MISMATCHED)).denials) == [("RV02", f"{at}.rayVersion")]


@pytest.mark.parametrize("body", [{}, {"metadata": None, "spec": 3}, {"metadata": [], "spec": {"rayVersion": {}}}])
@pytest.mark.parametrize("kind", [*sorted(CLUSTER_PATHS), "Pod"])
def test_nothing_in_an_object_makes_a_judge_stumble(kind: str, body: Mapping[str, Any]) -> None:
    """What is missing or of another type is the schema's to say."""
    whole = {"kind": kind, **body}

    for one in (judge(kind, whole, None, CONTEXT), judge(kind, whole, an_object(), CONTEXT)):
        assert all(isinstance(finding, Finding) for finding in (*one.denials, *one.warnings))
