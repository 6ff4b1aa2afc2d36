"""What a service deploys: each rule finds what it is there for, and lets the nearest good object pass."""

from __future__ import annotations

from typing import Any

import pytest

from api.v1.rules import rayservice, serve_content, serve_deployments
from api.v1.rules.model import MOST_FOUND, Context, Severity
from localcluster.testing.judged import GONE, INSIDE, Changes, found, good, ids

RULES = (*serve_content.RULES, *serve_deployments.RULES)
DENY, WARN = Severity.DENY, Severity.WARN
CONFIG = "spec.serveConfigV2"
CLUSTER = "spec.rayClusterConfig"
HEAD_PORTS = f"{CLUSTER}.headGroupSpec.template.spec.containers.0.ports"
LIMITS = f"{CLUSTER}.workerGroupSpecs.0.template.spec.containers.0.resources.limits"
INCREMENTAL: Changes = {"spec.upgradeStrategy": {"type": "NewClusterWithIncrementalUpgrade"}}
NO_WORKERS: Changes = {f"{CLUSTER}.workerGroupSpecs.{n}.maxReplicas": 0 for n in (0, 1)}
GOOD_CONFIG = "applications: [{name: a, route_prefix: /a, import_path: 'm:a'}]"
ONE = "{name: a, route_prefix: /a, import_path: 'm:a'}"


def apps(*applications: str, more: str = "") -> Changes:
    """serveConfigV2 with these applications, each as YAML in one line."""
    return {CONFIG: f"{more}\napplications: [{', '.join(applications)}]"}


def deployed(*deployments: str) -> Changes:
    return apps(f"{{import_path: 'm:a', deployments: [{', '.join(deployments)}]}}")


def actor(options: str) -> Changes:
    return deployed(f"{{name: d, ray_actor_options: {options}}}")


# id, severity, what is found, a fragment of the message, the path; then the near miss that passes.
CASES: list[tuple[str, Severity, Changes, str, str, Changes]] = [
    ("SV01", DENY, {CONFIG: "applications: ["}, "no YAML", CONFIG, {}),
    ("SV01", DENY, {CONFIG: "- a"}, "should be a mapping", CONFIG, {}),
    ("SV02", WARN, {CONFIG: ""}, "no applications", CONFIG, apps(ONE)),
    ("SV02", WARN, {CONFIG: GONE}, "no applications", CONFIG, apps(ONE)),
    ("SV02", WARN, {CONFIG: "applications: []"}, "no applications", CONFIG, apps(ONE)),
    ("SV02", DENY, {CONFIG: "applications: {a: b}"}, "should be a list", CONFIG, apps(ONE)),
    ("SV02", DENY, {CONFIG: "applications: [a]"}, "applications[0] should be a mapping", CONFIG, apps(ONE)),
    ("SV02", DENY, {CONFIG: "import_path: m:a"}, "stands beside", CONFIG, apps(ONE)),
    ("SV03", DENY, apps("{name: a}"), "applications[0] has no import_path", CONFIG, apps(ONE)),
    ("SV03", DENY, apps("{import_path: app}"), "neither module:attribute", CONFIG, apps("{import_path: m.n.app}")),
    ("SV03", DENY, apps("{import_path: 'm:a:b'}"), "neither module:attribute", CONFIG, apps("{import_path: 'm:a.b'}")),
    ("SV03", DENY, apps("{import_path: 'm:'}"), "neither module:attribute", CONFIG, apps("{import_path: 'm.n:app'}")),
    ("SV03", WARN, apps("{import_path: src/m.py}"), "neither module:attribute", CONFIG, apps("{import_path: src.m.p}")),
    (
        "SV03",
        WARN,
        apps("{import_path: 'm.py:app'}"),
        "neither module:attribute",
        CONFIG,
        apps("{import_path: 'm:py'}"),
    ),
    (
        "SV04",
        DENY,
        apps(ONE, "{name: a, route_prefix: /b, import_path: 'm:a'}"),
        "applications[1]: two applications are called a",
        CONFIG,
        apps(ONE, "{name: b, route_prefix: /b, import_path: 'm:a'}"),
    ),
    ("SV04", DENY, apps("{name: '', import_path: 'm:a'}"), "has an empty name", CONFIG, apps("{import_path: 'm:a'}")),
    (
        "SV04",
        DENY,
        apps("{name: b, import_path: 'm:a'}", "{name: c, import_path: 'm:a'}"),
        "two applications have the route_prefix /",
        CONFIG,
        apps("{name: b, import_path: 'm:a', route_prefix: null}", "{name: c, import_path: 'm:a'}"),
    ),
    (
        "SV04",
        DENY,
        apps("{import_path: 'm:a', route_prefix: a}"),
        "route_prefix a should start with /",
        CONFIG,
        apps("{import_path: 'm:a', route_prefix: /}"),
    ),
    ("SV04", DENY, apps("{import_path: 'm:a', route_prefix: /a/}"), "should not end with /", CONFIG, {}),
    ("SV04", DENY, apps("{import_path: 'm:a', route_prefix: '/{a}'}"), "cannot have wildcards", CONFIG, {}),
    (
        "SV05",
        WARN,
        deployed("{name: d}", "{name: d}"),
        "deployments[1]: two deployments of the application are called d",
        CONFIG,
        deployed("{name: d}", "{name: e}"),
    ),
    (
        "SV05",
        DENY,
        deployed("{name: d, num_replicas: 2, autoscaling_config: {max_replicas: 3}}"),
        "both num_replicas and autoscaling_config",
        CONFIG,
        deployed("{name: d, num_replicas: auto, autoscaling_config: {max_replicas: 3}}"),
    ),
    (
        "SV05",
        DENY,
        deployed("{name: d, autoscaling_config: {min_replicas: 3, max_replicas: 2}}"),
        "min_replicas 3 is more than max_replicas 2",
        CONFIG,
        deployed("{name: d, autoscaling_config: {min_replicas: 2, max_replicas: 2}}"),
    ),
    (
        "SV05",
        DENY,
        deployed("{name: d, autoscaling_config: {min_replicas: 2}}"),
        "min_replicas 2 is more than max_replicas 1",
        CONFIG,
        deployed("{name: d, num_replicas: auto, autoscaling_config: {min_replicas: 2}}"),
    ),
    ("SV05", DENY, deployed("{name: d, num_replicas: -1}"), "num_replicas cannot be -1", CONFIG, {}),
    ("SV05", DENY, deployed("{name: d, num_replicas: 0}"), "num_replicas cannot be 0", CONFIG, {}),
    (
        "SV05",
        DENY,
        deployed("{name: d, num_replicas: two}"),
        "should be a number or auto, not two",
        CONFIG,
        deployed("{name: d, num_replicas: '2'}"),
    ),
    (
        "SV05",
        DENY,
        deployed("{name: d, max_queued_requests: 0}"),
        "max_queued_requests cannot be 0",
        CONFIG,
        deployed("{name: d, max_queued_requests: -1}"),
    ),
    (
        "SV05",
        DENY,
        deployed("{name: d, health_check_period_s: 0}"),
        "health_check_period_s cannot be 0",
        CONFIG,
        deployed("{name: d, health_check_period_s: 0.5, graceful_shutdown_timeout_s: 0}"),
    ),
    ("SV05", DENY, deployed("{num_replicas: 2}"), "deployments[0] has no name", CONFIG, {}),
    (
        "SV05",
        DENY,
        apps("{import_path: 'm:a', deployments: {name: d}}"),
        "applications[0].deployments should be a list",
        CONFIG,
        apps("{import_path: 'm:a', deployments: []}"),
    ),
    (
        "SV05",
        DENY,
        actor("{memory: 4Gi}"),
        "memory should be a number of bytes, not 4Gi",
        CONFIG,
        actor("{memory: 4294967296}"),
    ),
    (
        "SV05",
        DENY,
        apps("{import_path: 'm:a', runtime_env: {working_dir: ./src}}"),
        "working_dir ./src is a local path",
        CONFIG,
        apps("{import_path: 'm:a', runtime_env: {working_dir: 's3://a/b.zip'}}"),
    ),
    (
        "SV05",
        DENY,
        actor("{runtime_env: {py_modules: [lib]}}"),
        "py_modules lib is a local path",
        CONFIG,
        actor("{runtime_env: {py_modules: ['https://a/b.whl'], pip: [torch]}}"),
    ),
    ("SV05", DENY, actor("{num_cpus: -0.5}"), "num_cpus cannot be -0.5", CONFIG, actor("{num_cpus: 0.5}")),
    (
        "SV05",
        WARN,
        deployed("{name: d, numReplicas: 2}"),
        "applications[0].deployments[0].numReplicas is not known",
        CONFIG,
        deployed("{name: d, user_config: {numReplicas: 2}}"),
    ),
    ("SV05", WARN, apps("{import_path: 'm:a', routePrefix: /}"), "routePrefix is not known", CONFIG, {}),
    (
        "SV06",
        WARN,
        actor("{num_gpus: 1}"),
        "wants 1 GPUs for a replica; the largest group offers 0",
        CONFIG,
        {**actor("{num_gpus: 1}"), f"{LIMITS}.nvidia~com/gpu": "1"},
    ),
    (
        "SV06",
        WARN,
        {**actor("{num_gpus: 2}"), f"{LIMITS}.nvidia~com/gpu": "1"},
        "the largest group offers 1",
        CONFIG,
        {**actor("{num_gpus: 0.5}"), f"{LIMITS}.nvidia~com/gpu": "1"},
    ),
    (
        "SV06",
        WARN,
        actor("{accelerator_type: A100}"),
        "no group has an accelerator",
        CONFIG,
        {**actor("{accelerator_type: A100}"), f"{LIMITS}.nvidia~com/gpu": "1"},
    ),
    (
        "SV06",
        WARN,
        actor("{resources: {disk: 1}}"),
        "wants the resource disk",
        CONFIG,
        {
            **actor("{resources: {disk: 1}}"),
            f"{CLUSTER}.workerGroupSpecs.0.rayStartParams.resources": "'{\"disk\": 4}'",
        },
    ),
    (
        "SV07",
        WARN,
        apps(ONE, more="http_options: {port: 9000}"),
        "Serve listens at 9000; the head's port serve is 8000",
        CONFIG,
        {
            **apps(ONE, more="http_options: {port: 9000}"),
            HEAD_PORTS: [{"name": "serve", "containerPort": 9000}],
        },
    ),
    (
        "SV07",
        WARN,
        {HEAD_PORTS: [{"name": "serve", "containerPort": 9000}]},
        "Serve listens at 8000; the head's port serve is 9000",
        CONFIG,
        {HEAD_PORTS: [{"name": "serve", "containerPort": 8000}]},
    ),
    (
        "SV07",
        DENY,
        apps(ONE, more="proxy_location: Everywhere"),
        "there is no proxy_location Everywhere",
        CONFIG,
        apps(ONE, more="proxy_location: EveryNode"),
    ),
    (
        "SV07",
        WARN,
        {**apps(ONE, more="proxy_location: HeadOnly"), "spec.excludeHeadPodFromServeSvc": True},
        "nobody to take requests",
        CONFIG,
        {**apps(ONE, more="proxy_location: EveryNode"), "spec.excludeHeadPodFromServeSvc": True},
    ),
    (
        "SV08",
        WARN,
        apps(ONE, more="httpOptions: {port: 8000}"),
        "no top-level field httpOptions",
        CONFIG,
        apps(ONE, more="logging_config: {}"),
    ),
    (
        "SV09",
        DENY,
        {**INCREMENTAL, **apps(ONE, more="target_capacity: 50")},
        "target_capacity is the operator's",
        CONFIG,
        apps(ONE, more="target_capacity: 50"),
    ),
    (
        "SV11",
        WARN,
        {f"{CLUSTER}.suspend": True},
        "stay suspended",
        f"{CLUSTER}.suspend",
        {f"{CLUSTER}.suspend": True, "metadata.labels.kueue~x-k8s~io/queue-name": "team"},
    ),
    (
        "SV12",
        WARN,
        {**NO_WORKERS, f"{CLUSTER}.headGroupSpec.rayStartParams.num-cpus": "0"},
        "no replica can run",
        f"{CLUSTER}.workerGroupSpecs",
        {f"{CLUSTER}.headGroupSpec.rayStartParams.num-cpus": "0"},
    ),
    (
        "SV12",
        WARN,
        {f"{CLUSTER}.workerGroupSpecs": GONE, f"{CLUSTER}.headGroupSpec.resources.CPU": "0"},
        "no replica can run",
        f"{CLUSTER}.workerGroupSpecs",
        NO_WORKERS,
    ),
    (
        "SV13",
        WARN,
        {CONFIG: f"{GOOD_CONFIG}\n#{'x' * 262_144}"},
        "more than 262144",
        CONFIG,
        {CONFIG: f"{GOOD_CONFIG}\n#{'x' * 200_000}"},
    ),
    (
        "SV13",
        WARN,
        {CONFIG: "proxy_location: [" + "1," * 30_000 + "1]"},
        "more than 30000 values",
        CONFIG,
        {CONFIG: f"{GOOD_CONFIG}\nlogging_config: [" + "1," * 20_000 + "1]"},
    ),
    (
        "SV13",
        WARN,
        {CONFIG: f"{GOOD_CONFIG}\nlogging_config: &a {{x: 1}}\n#{'x' * 32_768}"},
        "has anchors or tags",
        CONFIG,
        {CONFIG: f"{GOOD_CONFIG}\nlogging_config: &a {{x: 1}}\n#{'x' * 32_000}"},
    ),
]


def claims(rows: list[Any]) -> list[Any]:
    return [
        pytest.param(*row, id=f"{row[0]}-{n}", marks=pytest.mark.spec(f"admission:{row[0]}"))
        for n, row in enumerate(rows)
    ]


@pytest.mark.parametrize("kind", INSIDE)
def test_a_good_service_is_not_spoken_of(kind: str) -> None:
    """Without this every case below could pass for a wrong reason."""
    assert found(RULES, good(kind)) == []


@pytest.mark.parametrize(("rule", "severity", "changes", "fragment", "path", "passed"), claims(CASES))
def test_each_rule_finds_its_case_and_passes_the_nearest_good_one(
    rule: str, severity: Severity, changes: Changes, fragment: str, path: str, passed: Changes
) -> None:
    """Nothing else is found beside it; the message names the place inside the text."""
    told = found(RULES, good("RayService", changes))

    assert [(one.rule, one.path, one.severity) for one in told] == [(rule, path, severity)]
    assert fragment in told[0].message
    assert found(RULES, good("RayService", passed), only=rule) == []


@pytest.mark.spec("admission:SV13", "admission:P9")
def test_a_configuration_as_large_as_any_that_was_seen_is_read_to_its_end() -> None:
    """A thousand applications in 240 KB; of a mistake in each the first hundred are told."""
    replica = "num_replicas: 2, ray_actor_options: {num_cpus: 0.2}"
    deployments = "".join(f"  - {{name: deployment_{number}, {replica}}}\n" for number in (1, 2))
    applications = "".join(
        f"- name: a{number}\n  import_path: m:app\n  route_prefix: /a{number}\n  deployments:\n{deployments}"
        for number in range(1050)
    )
    wrong = "".join(f"- name: z{number}\n" for number in range(200))
    text = f"applications:\n{applications}{wrong}"

    told = found(RULES, good("RayService", {CONFIG: text}), only="SV03")

    assert len(text) > 240_000
    assert len(told) == MOST_FOUND
    assert told[0].message == "applications[1050] has no import_path"


@pytest.mark.spec("admission:SV10", "admission:V13", "admission:AC-1")
def test_an_incremental_upgrade_without_its_gate_is_warned_of() -> None:
    """Accepted, and no cluster is ever replaced; V6 to V12 are not asked. With the gate they are, and nobody warns."""
    service = good("RayService", INCREMENTAL)
    shut = Context({})

    assert ids(found((*rayservice.RULES, *RULES), service, context=shut)) == [("SV10", "spec.upgradeStrategy.type")]
    assert [one.rule for one in found((*rayservice.RULES, *RULES), service)] == ["V6", "V7"]


@pytest.mark.spec("admission:SV06")
def test_a_group_of_which_nobody_can_tell_offers_enough() -> None:
    """Its GPUs come by resource claims, or a shell fills in how many there are; a closed group offers none."""
    wanting = actor("{num_gpus: 4}")
    group = f"{CLUSTER}.workerGroupSpecs.0"

    claimed = good("RayService", {**wanting, f"{group}.template.spec.resourceClaims": [{"name": "gpu"}]})
    filled = good("RayService", {**wanting, f"{group}.rayStartParams.num-gpus": "$GPUS"})
    closed = good("RayService", {**wanting, f"{group}.maxReplicas": 0, f"{group}.rayStartParams.num-gpus": "8"})

    assert found(RULES, claimed) == []
    assert found(RULES, filled) == []
    assert [one.rule for one in found(RULES, closed)] == ["SV06"]


@pytest.mark.spec("admission:SV05")
def test_the_hint_for_a_camel_case_key_is_the_key_that_serve_knows() -> None:
    """Kubernetes' spelling is what users have in their fingers."""
    told = found(RULES, good("RayService", deployed("{name: d, autoscalingConfig: {}, rayActorOptions: {}}")))

    assert [one.hint for one in told] == ["write autoscaling_config", "write ray_actor_options"]
