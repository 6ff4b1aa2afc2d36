"""What is wrong with documents, without a cluster."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.v1.gates import DEFAULT_GATES
from api.v1.rules.judging import judge
from api.v1.rules.model import Context
from api.v1.rules.settings import AdmissionSettings, Profile
from controller.settings import GATES
from localcluster.apiserver.kinds.base import DecodeError
from localcluster.apiserver.metadata import decode_metadata
from manta.checking import usable
from manta.documents import Unusable, parsed, read_documents
from manta.doubts import begins
from manta.findings import Target, findings
from manta.served import Nowhere, served_kind

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "config" / "samples"
CATALOGUE = sorted((ROOT / "test" / "admission").glob("*/*.yaml"))

SIZE = "resources: {limits: {cpu: 1, memory: 4Gi}, requests: {cpu: 1, memory: 4Gi}}"
CLUSTER = f"""
    rayVersion: "2.52.0"
    headGroupSpec:
      rayStartParams: {{}}
      template: {{spec: {{containers: [{{name: ray-head, image: "rayproject/ray:2.52.0", {SIZE}}}]}}}}
"""
JOB = f"""\
apiVersion: ray.io/v1
kind: RayJob
metadata: {{name: train}}
spec:
  entrypoint: python train.py
  rayClusterSpec:{CLUSTER}"""


def told(text: str) -> list[str]:
    """The first line of each finding: place, path, sentence."""
    return [str(one).splitlines()[0] for one in findings(parsed("job.yaml", text))]


def hints(text: str) -> list[str]:
    return [one.hint for one in findings(parsed("job.yaml", text))]


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_nothing_is_wrong_with_our_samples(sample: Path) -> None:
    """They are what new users run first."""
    assert findings(read_documents(str(sample))) == []


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    """One look at the file mends it all."""
    text = JOB.replace("entrypoint", "entrypint") + "  backoffLimit: lots\n---\n" + JOB.replace("train}", "Train}")

    assert [line.split(": ")[:2] for line in told(text)] == [
        ["job.yaml:5:3", "spec.entrypint"],
        ["job.yaml:11:3", "spec.backoffLimit"],
        ["job.yaml:15:12", "metadata.name"],
    ]


def test_a_finding_shows_its_line_with_a_mark_and_the_way_out() -> None:
    """Place, path and sentence come first, as compilers have it."""
    (found,) = findings(parsed("job.yaml", JOB.replace("entrypoint", "entrypint")))

    assert str(found).splitlines() == [
        "job.yaml:5:3: spec.entrypint: there is no such field",
        "      entrypint: python train.py",
        "      ^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "    did you mean entrypoint?",
    ]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("backoffLimit: lots", 'found the text "lots", expected a whole number'),
        ("backoffLimit: 1.5", "found the number 1.5, expected a whole number"),
        ("suspend: 1", "found the number 1, expected true or false"),
        ("jobId: 12", "found the number 12, expected a text"),
        ("jobId: {a: b}", "found an object with fields, expected a text"),
        ("clusterSelector: [a]", "found a list, expected an object with fields"),
    ],
)
def test_a_wrong_type_is_one_sentence_of_what_is_there_and_what_is_expected(field: str, words: str) -> None:
    """Not the server's three."""
    name = field.partition(":")[0]

    assert told(f"{JOB}  {field}\n") == [f"job.yaml:11:3: spec.{name}: {words}"]


def test_a_number_where_a_text_belongs_needs_its_quotes() -> None:
    """`rayVersion: 2.52` is the mistake that everybody makes once."""
    assert hints(JOB.replace('"2.52.0"', "2.52")) == ["put it into quotes, to make it a text"]


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("shutdownAfterJobFinishes: 'true'", "take its quotes away: with them it is a text"),
        ("backoffLimit: '3'", "take its quotes away: with them it is a text"),
        ("backoffLimit: three", ""),
        ("shutdownAfterJobFinishes: 'yes please'", ""),
    ],
)
def test_a_text_that_would_do_without_its_quotes_is_told_so(field: str, hint: str) -> None:
    """Templates put them around everything."""
    assert hints(f"{JOB}  {field}\n") == [hint]


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("shutdownAfterJobFinishes: 'yes'", "write true"),
        ("ttlSecondsAfterFinished: 1h", "in seconds: 3600"),
        ("ttlSecondsAfterFinished: 1x", ""),
        ("jobId: [python, x.py]", 'as one text: "python x.py"'),
        ("jobId: [1]", ""),
        ("runtimeEnvYAML: {pip: [torch]}", "put | behind the name: what follows, indented, is a text then"),
        ("deletionStrategy: {deletionRules: {policy: DeleteSelf}}", "a list: begin each entry with `- `"),
    ],
)
def test_a_value_in_another_form_is_told_with_the_form_that_is_read(field: str, hint: str) -> None:
    """Where it is plain what was meant."""
    assert hint in hints(f"{JOB}  {field}\n")


def test_a_command_in_one_text_is_told_as_a_list() -> None:
    """As a Dockerfile would take it."""
    text = JOB.replace("name: ray-head,", "name: ray-head, command: sleep 5,")

    assert hints(text) == ['as a list: ["sleep", "5"]']


@pytest.mark.parametrize(
    ("before", "after", "hint"),
    [
        (
            "name: ray-head,",
            "name: ray-head, volumes: [{name: a, emptyDir: {}}],",
            "it belongs to spec.rayClusterSpec.headGroupSpec.template.spec.volumes",
        ),
        (
            "{spec: {containers",
            "{containers",
            "it belongs to spec.rayClusterSpec.headGroupSpec.template.spec.containers",
        ),
        (
            "  entrypoint: python train.py",
            "  job: {entrypoint: python train.py}",
            "leave job out: what stands in it belongs here",
        ),
    ],
)
def test_a_field_in_a_wrong_place_is_told_where_it_belongs(before: str, after: str, hint: str) -> None:
    """One step too deep, or not deep enough. What is missing there is no finding of its own."""
    text = JOB.replace(before, after)
    text = text.replace("}}]}}", "}}]}") if "{containers" in after else text

    found = findings(parsed("job.yaml", text))

    assert [one.hint for one in found if one.message == "there is no such field"] == [hint]
    assert [one.rule for one in found if one.rule] == (["JC01"] if "job:" in after else [])


def test_a_name_that_is_none_is_told_without_the_expression_that_says_so() -> None:
    """The sentence before it is enough."""
    (found,) = findings(parsed("job.yaml", JOB.replace("name: train", "name: Train_1")))

    assert "regex" not in found.message
    assert found.message.endswith("and must start and end with an alphanumeric character")


def test_a_list_that_is_no_list_is_told_once() -> None:
    """And nobody looks into it."""
    assert told(f"{JOB}    workerGroupSpecs: 3\n") == [
        "job.yaml:11:5: spec.rayClusterSpec.workerGroupSpecs: found the number 3, expected a list"
    ]


def test_a_field_that_is_missing_is_shown_at_what_lacks_it() -> None:
    """There is no line of its own."""
    text = f"{JOB}    workerGroupSpecs:\n      - groupName: small\n"

    assert told(text) == ["job.yaml:12:9: spec.rayClusterSpec.workerGroupSpecs[0].template: is missing"]


def test_a_value_out_of_bounds_says_what_it_should_be() -> None:
    """In the schema's words, which are short enough; the rule that says the same is not told, others are."""
    text = f"{JOB}  backoffLimit: -1\n  preRunningDeadlineSeconds: 0\n"

    assert told(text) == [
        "job.yaml:11:3: spec.backoffLimit: The RayJob spec is invalid: backoffLimit must be a positive integer [J33]",
        "job.yaml:12:3: spec.preRunningDeadlineSeconds: found 0, which should be greater than or equal to 1",
    ]


def test_what_only_a_rule_of_the_operator_sees_is_told_with_its_id() -> None:
    """The schema has nothing against it, and the job would fail once all has started."""
    (found,) = findings(parsed("job.yaml", f"{JOB}  ttlSecondsAfterFinished: 10\n"))

    assert (found.rule, found.path, found.denies) == ("J3", "spec.ttlSecondsAfterFinished", True)
    assert str(found).splitlines()[0].endswith("cannot have TTLSecondsAfterFinished [J3]")


def test_a_rule_inside_a_jobs_cluster_points_to_where_it_really_stands() -> None:
    """The cluster's own rules are asked with the job's path in front."""
    worker = f"{{name: ray-worker, image: a, {SIZE}}}"
    text = f"""{JOB}    workerGroupSpecs:
      - groupName: small
        replicas: 1
        minReplicas: 5
        maxReplicas: 3
        rayStartParams: {{}}
        template: {{spec: {{containers: [{worker}]}}}}
"""

    (found,) = findings(parsed("job.yaml", text))

    assert found.path.startswith("spec.rayClusterSpec.workerGroupSpecs[0]")
    assert found.document.place_of(found.path).line in range(12, 18)


def test_what_is_only_unwise_does_not_deny() -> None:
    """It is told, and the run goes on."""
    text = f"""apiVersion: ray.io/v1
kind: RayCluster
metadata: {{name: a}}
spec:
  enableInTreeAutoscaling: true
  autoscalerOptions: {{version: v1}}
{CLUSTER.replace(chr(10) + "    ", chr(10) + "  ").lstrip(chr(10))}  workerGroupSpecs:
    - groupName: small
      rayStartParams: {{}}
      template: {{spec: {{restartPolicy: Always, containers: [{{name: w, image: a, {SIZE}}}]}}}}
"""

    documents = list(parsed("cluster.yaml", text))

    assert [(one.rule, one.denies) for one in usable(documents)] == [("C65", False)]


def test_a_key_that_stands_twice_is_told() -> None:
    """The last one would win, silently."""
    assert told(f"{JOB}  entrypoint: other\n") == ["job.yaml:11:3: spec.entrypoint: stands here twice"]


def test_a_version_that_is_not_there_is_told_with_those_that_are() -> None:
    """KubeRay had alpha and beta."""
    text = JOB.replace("ray.io/v1", "ray.io/v1beta1")

    assert told(text) == ["job.yaml:1:1: apiVersion: the local cluster does not serve RayJob of ray.io/v1beta1"]
    assert hints(text) == ["RayJob is served as ray.io/v1 and ray.io/v1alpha1"]


@pytest.mark.parametrize(
    ("api_version", "kind", "hint"),
    [
        ("ray.io/v1", "RayJub", "did you mean RayJob (ray.io/v1 and ray.io/v1alpha1)?"),
        ("ray.io/v1", "rayjob", "did you mean RayJob (ray.io/v1 and ray.io/v1alpha1)?"),
        ("v1", "Configmap", "did you mean ConfigMap (v1)?"),
        ("batch/v2", "Job", "Job is served as batch/v1"),
        ("apps/v1", "Zookeeper", "apps/v1 has Deployment and ReplicaSet"),
        ("example.com/v1", "Zookeeper", ""),
    ],
)
def test_a_kind_that_is_not_served_comes_with_what_might_be_meant(api_version: str, kind: str, hint: str) -> None:
    """As far as anything comes near."""
    text = f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\n"

    assert hints(text) == [hint]


def test_a_kind_that_the_file_itself_defines_is_left_to_the_server() -> None:
    """A definition and its objects may well come together."""
    definition = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: toys.example.com}
spec: {group: example.com, names: {kind: Toy, plural: toys}, scope: Namespaced, versions: [{name: v1}]}
"""

    assert told(f"{definition}---\napiVersion: example.com/v1\nkind: Toy\nmetadata: {{name: a}}\n") == []


def test_built_in_kinds_are_read_too() -> None:
    """The code of a job often comes as a ConfigMap."""
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A, labels: {a: 1}}\n"

    paths = [line.split(": ")[:2] for line in told(text + "dato: {}\n")]

    assert told(text.replace("A", "a")) == ["job.yaml:3:21: metadata.labels: found a number, expected a text"]
    assert paths == [
        ["job.yaml:3:21", "metadata.labels"],
        ["job.yaml:3:12", "metadata.name"],
        ["job.yaml:4:1", "dato"],
    ]


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: 3}\n",
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nspec: {template: []}\n",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a}\nspec: {names: 3}\n",
    ],
)
def test_built_in_objects_of_odd_shapes_are_left_to_the_server(text: str) -> None:
    """What fills in their defaults takes their shape for granted."""
    assert told(text) == []


def test_a_generated_name_is_judged_by_what_becomes_of_it() -> None:
    """Five letters more; the server keeps at most 58 of its prefix."""
    good = JOB.replace("name: train", "generateName: train-")
    bad = JOB.replace("name: train", f"generateName: {'a' * 45}-")

    assert told(good) == []
    assert [line.split(": ")[1] for line in told(bad)] == ["metadata.generateName"]


CRON = f"""\
apiVersion: ray.io/v1
kind: RayCronJob
metadata: {{name: nightly}}
spec:
  schedule: "30 6 * * *"
  jobTemplate:
    entrypoint: python train.py
    shutdownAfterJobFinishes: true
    rayClusterSpec:{CLUSTER.replace(chr(10), chr(10) + "  ")}"""


def test_a_cron_job_is_judged_with_the_template_inside_and_its_gate_is_open_here() -> None:
    """Each finding stands under the line that it is about."""
    assert told(CRON) == []

    wrong = CRON.replace("30 6 * * *", "0 30 6 * * *").replace("    entrypoint", "    backoffLimit: -1\n    entrypoint")
    places = [line.split(": ")[:2] for line in told(wrong)]

    assert places == [
        ["job.yaml:5:3", "spec.schedule"],
        ["job.yaml:7:5", "spec.jobTemplate.backoffLimit"],
    ]


def test_what_is_found_comes_for_programs_too() -> None:
    """`--output json`, and editors."""
    (found,) = findings(parsed("job.yaml", JOB.replace("entrypoint", "entrypint")))

    assert found.members == {
        "file": "job.yaml",
        "line": 5,
        "column": 3,
        "object": "RayJob default/train",
        "severity": "deny",
        "denies": True,
        "path": "spec.entrypint",
        "message": "there is no such field",
        "hint": "did you mean entrypoint?",
        "rule": "",
    }


def test_gates_are_those_of_an_operator_without_flags() -> None:
    """Which is what `manta` starts."""
    assert {name: default for name, (default, _) in GATES.items()} == DEFAULT_GATES


def test_a_gate_that_is_on_allows_what_it_is_for() -> None:
    """A linter may be told of the operator that it writes for. That ours does not do it yet is a warning."""
    text = f"{JOB}    networkPolicy: {{}}\n"

    off, on = (
        findings(parsed("job.yaml", text), Target(Context({**DEFAULT_GATES, "RayClusterNetworkPolicy": gate})))
        for gate in (False, True)
    )

    assert [one.rule for one in off] == ["C56", "XC10"]
    assert [(one.rule, one.weight) for one in on] == [("XC10", "warn"), ("XC17", "warn")]


def test_beside_a_wrong_type_all_is_told_that_holds_whatever_was_meant() -> None:
    """Rules that do not read the field are asked as ever: they would speak up in the next round otherwise."""
    text = f"{JOB}  ttlSecondsAfterFinished: 10\n  suspend: 1\n"

    assert [(one.path, one.rule) for one in findings(parsed("job.yaml", text))] == [
        ("spec.ttlSecondsAfterFinished", "J3"),
        ("spec.suspend", ""),
    ]


def test_beside_a_wrong_type_nothing_is_told_that_may_be_right() -> None:
    """Whether a job may have a TTL depends on what is meant by "yes" here."""
    text = f"{JOB}  ttlSecondsAfterFinished: 10\n  shutdownAfterJobFinishes: 'yes'\n"

    assert [(one.path, one.rule) for one in findings(parsed("job.yaml", text))] == [
        ("spec.shutdownAfterJobFinishes", "")
    ]


def test_a_number_in_quotes_may_be_any_number() -> None:
    """Retries of an interactive job are refused, and who knows whether any are meant."""
    interactive = "submissionMode: InteractiveMode"

    rules = [one.rule for one in findings(parsed("job.yaml", f"{JOB}  backoffLimit: '0'\n  {interactive}\n"))]

    assert rules == ["JC03", ""]  # the first is about the entrypoint


def test_metadata_that_cannot_be_read_hides_nothing_else() -> None:
    """Neither fields of the spec nor what rules say of them."""
    text = JOB.replace("name: train", "name: train, labels: {a: 1}, uid: 3")
    text = text.replace("entrypoint", "entrypint") + "  ttlSecondsAfterFinished: 10\n"

    assert [one.path for one in findings(parsed("job.yaml", text))] == [
        "metadata.uid",
        "metadata.labels",
        "spec.entrypint",
        "spec.ttlSecondsAfterFinished",
    ]


def test_a_typo_is_one_finding_and_not_that_what_was_meant_is_missing() -> None:
    """Neither the rule that misses the field is told, nor the schema that requires it."""
    job = JOB.replace("rayClusterSpec", "rayClusterSpecs")
    cluster = JOB.replace("headGroupSpec", "headGroupSpek")

    assert told(job) == ["job.yaml:6:3: spec.rayClusterSpecs: there is no such field"]
    assert told(cluster) == ["job.yaml:8:5: spec.rayClusterSpec.headGroupSpek: there is no such field"]


def test_a_typo_beside_the_field_that_it_resembles_is_no_typo() -> None:
    """Then what the field says counts."""
    text = f"{JOB}  ttlSecondsAfterFinish: 3\n  ttlSecondsAfterFinished: 10\n"

    assert [one.rule for one in findings(parsed("job.yaml", text))] == ["", "J3"]


def test_what_is_wrong_with_one_field_does_not_hide_its_neighbours() -> None:
    """`spec.ab` does not stand within `spec.a`, though its letters begin so."""
    assert begins(("spec", "ab"), [("spec", "a")]) is False
    assert begins(("spec", "a", 0), [("spec", "a")]) is True
    assert begins(("spec",), [("spec", "a")]) is False


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("  runtimeEnv: e30=\n", "v1alpha1 had it, in base64; runtimeEnvYAML takes the YAML itself"),
        (
            "    headGroupSpec: {replicas: 1}\n",
            "v1alpha1 had it, and nobody read it: a cluster has one head; leave it out",
        ),
    ],
)
def test_a_field_that_only_v1alpha1_had_comes_with_what_became_of_it(field: str, hint: str) -> None:
    """Old files are all over the web."""
    assert hint in hints(JOB + field)


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("concurrencyPolicy: Forbid", "jobTemplate.activeDeadlineSeconds"),
        ("successfulJobsHistoryLimit: 3", "jobTemplate.ttlSecondsAfterFinished"),
        ("failedJobsHistoryLimit: 3", "jobTemplate.ttlSecondsAfterFinished"),
        ("startingDeadlineSeconds: 3", "a RayCronJob does without"),
        ("jobTemplate: {spec: {entrypoint: a}}", "jobTemplate of a RayCronJob is the spec of a RayJob itself"),
    ],
)
def test_a_field_of_cron_jobs_comes_with_what_does_it_here(field: str, hint: str) -> None:
    """The kinds are much alike, and people begin with the one they know."""
    text = f"apiVersion: ray.io/v1\nkind: RayCronJob\nmetadata: {{name: a}}\nspec:\n  schedule: '@daily'\n  {field}\n"

    assert any(hint in one for one in hints(text))


def test_a_field_that_only_the_older_version_serves_is_told_so() -> None:
    """It is in the schema of v1alpha1."""
    status = "status: {activeServiceStatus: {applicationStatuses: {a: {healthLastUpdateTime: 2026-01-01T00:00:00Z}}}}"
    spec = f"spec:\n  serveConfig: {{}}\n  rayClusterConfig:{CLUSTER}"
    text = f"apiVersion: ray.io/v1\nkind: RayService\nmetadata: {{name: a}}\n{spec}{status}\n"

    assert hints(text) == [
        "v1alpha1 had it; serveConfigV2 takes the YAML that `serve build` writes, as a text",
        "only v1alpha1 has it; leave it out",
    ]


def test_what_is_no_quantity_is_told_with_what_one_looks_like() -> None:
    """Not with the regular expression that says so."""
    text = JOB.replace("limits: {cpu: 1, memory: 4Gi}", "limits: {cpu: 1, memory: 4 GB}")
    (found,) = findings(parsed("job.yaml", text))

    assert found.message == 'found "4 GB", which is no quantity'
    assert found.hint == "a quantity is a number with a unit or none, and no space: 2 or 500m of cpu, 16Gi of memory"


@pytest.mark.spec("admission:JC02")
@pytest.mark.parametrize(
    ("mode", "hint"),
    [("HttpMode", "did you mean HTTPMode?"), ("Batch", "write K8sJobMode, HTTPMode, SidecarMode or InteractiveMode")],
)
def test_a_mode_that_nobody_knows_is_told(mode: str, hint: str) -> None:
    """The job would run for ever, with nothing submitted."""
    (found,) = findings(parsed("job.yaml", f"{JOB}  submissionMode: {mode}\n"))

    assert (found.rule, found.path, found.denies, found.hint) == ("JC02", "spec.submissionMode", True, hint)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("99999999999999999999999", "found a number of more than 64 bits"),
        (".inf", "found the number inf"),
        ("!!binary aGk=", "found binary data"),
        (r'"\ud800"', "found half a character"),
    ],
)
def test_what_is_no_json_is_a_finding_like_any_other(value: str, words: str) -> None:
    """YAML can say more."""
    assert told(f"{JOB}  backoffLimit: {value}\n  suspended: true\n") == [
        f"job.yaml:11:3: spec.backoffLimit: {words}, which JSON cannot hold",
        "job.yaml:12:3: spec.suspended: there is no such field",
    ]


def test_a_key_that_json_cannot_hold_is_a_finding_too() -> None:
    """An escape of YAML's can write one half of a character alone."""
    (said,) = told(JOB + r'  metadata: {"\udfff": x}')

    assert said.startswith("job.yaml:11:")
    assert said.endswith("found half a character, which JSON cannot hold")


JUNK: tuple[Any, ...] = (None, 3, "x", [], {}, True, 1.5, [None], {"a": None}, -1, "")


def spots(value: Any) -> list[tuple[Any, Any]]:
    """Every place in the document at which something stands."""
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    below = [value[key] for key in keys if isinstance(value[key], dict | list)]
    return [(value, key) for key in keys] + [spot for one in below for spot in spots(one)]


@pytest.mark.parametrize("sample", ["raycluster", "rayjob-http", "rayservice"])
def test_whatever_stands_wherever_is_a_finding_and_no_bug_of_ours(sample: str) -> None:
    """Each place of a sample holds each kind of junk once."""
    text = (SAMPLES / f"{sample}.yaml").read_text()
    *_, last = yaml.safe_load_all(text)
    count = len(spots(last))
    denied = 0
    for index, junk in itertools.product(range(count), JUNK):
        body = copy.deepcopy(last)
        around, key = spots(body)[index]
        around[key] = copy.deepcopy(junk)
        try:
            denied += any(one.denies for one in findings(parsed("a.json", json.dumps(body))))
        except Unusable:
            denied += 1

    assert denied > 5 * count


def test_rules_beyond_the_reference_are_asked_as_the_webhook_asks_them() -> None:
    """With their severities, and as the operator's owner has set them."""
    text = JOB.replace('rayVersion: "2.52.0"', 'rayVersion: "2.46.0"')
    documents = list(parsed("job.yaml", text))

    def weights(admission: AdmissionSettings) -> list[tuple[str, str]]:
        return [(one.rule, one.weight) for one in findings(documents, Target(Context(DEFAULT_GATES, True, admission)))]

    assert weights(AdmissionSettings()) == [("RV02", "deny")]
    assert weights(AdmissionSettings(profile=Profile.COMPAT)) == [("RV02", "warn")]
    assert weights(AdmissionSettings(rules={"RV02": "off"})) == []


def test_a_rule_that_an_object_is_spared_is_noted_at_its_annotation() -> None:
    """So that it is not forgotten; and it is no warning, for somebody asked for it."""
    text = JOB.replace('rayVersion: "2.52.0"', 'rayVersion: "2.46.0"')
    text = text.replace("{name: train}", "{name: train, annotations: {ray.io/admission-skip: RV02}}")

    (found,) = findings(parsed("job.yaml", text))

    assert (found.weight, found.denies, found.message) == ("note", False, "not held to RV02")
    assert found.document.where(found.path) == "job.yaml:3:39"


@pytest.mark.parametrize(
    ("api_version", "kind", "told"),
    [
        ("monitoring.coreos.com/v1", "ServiceMonitor", []),
        ("autoscaling/v2", "HorizontalPodAutoscaler", []),
        ("kueue.example.com/v1", "RayJob", []),
        ("ray.io/v1", "RayJub", [("kind", "did you mean RayJob (ray.io/v1 and ray.io/v1alpha1)?")]),
        ("ray.io/v2", "RayJob", [("apiVersion", "RayJob is served as ray.io/v1 and ray.io/v1alpha1")]),
        ("ray.io", "RayJob", [("apiVersion", "RayJob is served as ray.io/v1 and ray.io/v1alpha1")]),
        ("v1", "RayJob", [("apiVersion", "RayJob is served as ray.io/v1 and ray.io/v1alpha1")]),
        ("cluster.ray.io/v1", "RayCluster", [("apiVersion", "RayCluster is served as ray.io/v1 and ray.io/v1alpha1")]),
        ("3", "RayJob", [("apiVersion", "")]),
        ("v1", "[RayJob]", [("kind", "")]),
    ],
)
def test_a_cluster_that_serves_more_is_asked_for_rays_kinds_only(
    api_version: str, kind: str, told: list[tuple[str, str]]
) -> None:
    """Whoever lints for production has kinds that nobody here knows; what looks like one of Ray's is known."""
    text = f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\n"
    target = Target(Context(DEFAULT_GATES), serves_more=True)

    assert [(one.path, one.hint) for one in findings(parsed("a.yaml", text), target)] == told


def test_a_field_that_should_have_been_a_text_does_not_make_its_absence_a_finding() -> None:
    """It is not known what was meant under the wrong name, but that something was."""
    spec = f"spec:\n  serveConfigv2: {{}}\n  rayClusterConfig:{CLUSTER}"

    assert told(f"apiVersion: ray.io/v1\nkind: RayService\nmetadata: {{name: a}}\n{spec}") == [
        "job.yaml:5:3: spec.serveConfigv2: there is no such field"
    ]


def created(path: Path) -> bool:
    """A file of the catalogue with one object that is created."""
    return "# operation: update" not in path.read_text()


def as_stored(body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The object as an API server would hand it to a webhook; and whether a strict one would refuse it before."""
    served = served_kind(str(body["apiVersion"]), str(body["kind"]))
    assert served is not None
    metadata, strange, wrong = decode_metadata(body["metadata"])
    if wrong:
        return body, True
    try:
        stored, unknown = served.rules.decode({**body, "metadata": metadata})
    except DecodeError:
        return body, True
    return stored, bool(strange or unknown or served.rules.validate(stored, Nowhere()))


@pytest.mark.spec("admission:P1")
@pytest.mark.parametrize("path", [path for path in CATALOGUE if created(path)], ids=lambda path: path.stem)
def test_a_linter_says_what_the_webhook_says(path: Path) -> None:
    """One door: the same rules, at the same fields and of the same weight, for what its schema lets through."""
    (document,) = parsed(path.name, path.read_text())
    stored, refused = as_stored(document.body)
    found = findings([document], Target(Context(DEFAULT_GATES)))

    if refused:
        assert [one for one in found if not one.rule]
    else:
        verdict = judge(document.kind, stored, None, Context(DEFAULT_GATES))
        said = [
            *((one.rule, "deny", one.path) for one in verdict.denials),
            *((one.rule, "warn", one.path) for one in verdict.warnings),
        ]
        assert sorted((one.rule, one.weight, one.path) for one in found if one.weight != "note") == sorted(said)
