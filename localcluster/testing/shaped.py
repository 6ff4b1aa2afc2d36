"""Objects of the kinds of ray.io, made at random along their schemas, and more or less spoilt: to try rules upon.

`hostility` is the share of values that are of another type, huge, or text from elsewhere; with none of it the objects
are such as the API server would store, if rarely such as anybody would write. The same chance makes the same object.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from api.meta import Json
from api.v1.definitions import DEFINITIONS

__all__ = ["KINDS", "UNREADABLE", "shaped_object", "spoilt"]

_GROWS: Final = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
# YAML that no JSON can hold, or not in time and space that anybody has; by what is wrong with it.
UNREADABLE: Final[Mapping[str, str]] = {
    "list in itself": "a: &a [*a]",
    "mapping in itself": "&a {b: *a}",
    "nine to the ninth": _GROWS,
    "null byte": "a: \x00",
    "half a character": "a: \ud800",
    "deep": "{a: " * 5000,
    "set": "a: !!set {x, y}",
    "date": "a: !!timestamp 2001-01-01",
    "no date": "a: !!timestamp x",
    "no truth": "a: !!bool x",
    "no number": "a: [!!int x]",
    "endless number": "a: !!float .inf",
    "bytes": "a: !!binary /w==",
    "no bytes": "a: !!binary ä",
}

KINDS: Final = tuple(definition.resource.kind for definition in DEFINITIONS)
DEEPEST: Final = 14

# What rules look for is made more often than what they do not know.
LIKELY: Final = frozenset(
    [
        "spec",
        "metadata",
        "name",
        "template",
        "containers",
        "resources",
        "limits",
        "requests",
        "image",
        "env",
        "value",
        "headGroupSpec",
        "workerGroupSpecs",
        "rayStartParams",
        "rayClusterSpec",
        "rayClusterConfig",
        "jobTemplate",
        "groupName",
        "replicas",
        "minReplicas",
        "maxReplicas",
        "rayVersion",
        "enableInTreeAutoscaling",
        "autoscalerOptions",
        "version",
        "schedule",
        "serveConfigV2",
        "entrypoint",
        "labels",
        "annotations",
        "gcsFaultToleranceOptions",
        "deletionStrategy",
        "deletionRules",
        "condition",
        "upgradeStrategy",
        "type",
        "numOfHosts",
        "tolerations",
        "nodeSelector",
        "status",
        "submitterPodTemplate",
        "runtimeEnvYAML",
        "submissionMode",
    ]
)
WORDS: Final = (
    "",
    "2.52.0",
    "2.9",
    "nightly",
    "rayproject/ray:2.52.0-py311",
    "rayproject/ray:2.46.0-gpu",
    "corp/x@sha256:" + "a" * 64,
    "$IMAGE",
    "localhost:5000/ray",
    "v2",
    "1",
    "-1",
    "0.5",
    "500m",
    "2Gi",
    "1e9999",
    "9" * 5000,
    "true",
    "Never",
    "Always",
    "Exists",
    "head",
    "headgroup",
    "Small_Group",
    "small",
    "K8sJobMode",
    "SidecarMode",
    "HTTPMode",
    "DeleteCluster",
    "DeleteSelf",
    "FAILED",
    "SUCCEEDED",
    "rocksdb",
    "token",
    "NewCluster",
    "None",
    "@daily",
    "0 0 30 2 *",
    "CRON_TZ=UTC * * * * *",
    "Europe/Berlin",
    "python train.py && echo done; 'open",
    "applications: [{name: a, import_path: 'a:b', route_prefix: /}, {name: a}]",
    "pip: [x]\nconda: y",
    "{" * 300,
    "'{\"a\": 1}'",
    '"{\\"GPU\\": 1}"',
    '{"special": 1}',
    "ray.io/kuberay-operator",
    "kueue.x-k8s.io/multikueue",
    "2x2x2",
    "RAY_enable_autoscaler_v2",
    "RAY_REDIS_ADDRESS",
    "\x00\u202e\ud83d\ude00\u0660",
    "\ud800",
    "x" * 3000,
)
NAMES: Final = (
    "cpu",
    "memory",
    "nvidia.com/gpu",
    "amd.com/gpu",
    "nvidia.com/mig-1g.10gb",
    "nvidia.com/mig-1g.10gb.me",
    "google.com/tpu",
    "aliyun.com/gpu-mem",
    "aws.amazon.com/neuron",
    "GPU",
    "CPU",
    "num-cpus",
    "num-gpus",
    "resources",
    "labels",
    "redis-password",
    "ray.io/cluster",
    "ray.io/group",
    "ray.io/ft-enabled",
    "ray.io/admission-skip",
    "ray.io/initializing-timeout",
    "ray.io/image-ray-version",
    "kueue.x-k8s.io/queue-name",
    "gpu-fraction",
    "cloud.google.com/gke-tpu-topology",
    "kubernetes.io/arch",
    "working_dir",
    "env_vars",
    "",
)
# What stands under a name, more often than not, where rules look closely at it.
MEANT: Final[Mapping[str, tuple[str, ...]]] = {
    "image": (
        "rayproject/ray:2.52.0-py311",
        "rayproject/ray:2.52.0-py310",
        "rayproject/ray:2.46.0-gpu",
        "rayproject/ray:latest",
        "rayproject/ray@sha256:" + "a" * 64,
        "rayproject/ray@sha256:" + "b" * 64,
        "corp/train:2.9.0-py39",
        "$IMAGE",
    ),
    "imagePullPolicy": ("IfNotPresent", "Always"),
    "rayVersion": ("2.52.0", "2.46.0", "1.13.0", "nightly", "foo"),
    "groupName": ("small", "Small", "small", "head", "a_b", "x" * 60),
    "submissionMode": ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode", "k8s"),
    "jobDeploymentStatus": ("Running", "Waiting", "Complete", "Failed", "ValidationFailed"),
    "schedule": ("@daily", "*/5 * * * *", "0 0 30 2 *", "CRON_TZ=UTC * * * * *", "soon"),
    "policy": ("DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone"),
    "type": ("NewCluster", "NewClusterWithIncrementalUpgrade", "None", "Recreate", "ClusterIP"),
    "restartPolicy": ("Never", "Always", "OnFailure"),
    "mode": ("token", "DenyAll", "DenyAllEgress", "DenyAllIngress"),
    "backend": ("rocksdb", "redis"),
    "serveConfigV2": (
        "applications: [{name: a, import_path: 'a:b', route_prefix: /}, {name: a, import_path: x}]",
        "applications:\n- import_path: a.b\n  deployments: [{name: d, num_replicas: 2, autoscaling_config: {}}]",
        "target_capacity: 5\napplications: [{import_path: 'a:b', deployments: [{ray_actor_options: {num_gpus: 9}}]}]",
        "[]",
    ),
    "name": (
        "RAY_REDIS_ADDRESS",
        "REDIS_PASSWORD",
        "REDIS_USERNAME",
        "RAY_enable_autoscaler_v2",
        "RAY_USE_TLS",
        "RAY_gcs_storage",
        "STORAGE_BACKEND",
        "POD_IP",
        "gcs-storage",
        "ray-tls",
        "autoscaler",
        "ray-history-collector",
        "ray",
    ),
    "value": ("1", "true", "S3", "GCS", "AZUREBLOB", "ALIYUNOSS", "redis:6379"),
}


@cache
def _schema(kind: str) -> Json:
    resource = next(one.resource for one in DEFINITIONS if one.resource.kind == kind)
    definition = json.loads(files("api.crds").joinpath(f"{resource.plural}.{resource.group}.json").read_bytes())
    versions = {one["name"]: one for one in definition["spec"]["versions"]}
    schema: Json = versions["v1"]["schema"]["openAPIV3Schema"]
    return schema


def shaped_object(kind: str, chance: random.Random, hostility: float = 0.0) -> Json:
    """An object of the kind, made along its schema."""
    made = _made(_schema(kind), chance, hostility, 0)
    whole: Json = made if isinstance(made, dict) else {}
    metadata = {
        "name": chance.choice(WORDS),
        "namespace": "default",
        "labels": _map({"type": "string"}, chance, 0.0, DEEPEST),
        "annotations": _map({"type": "string"}, chance, 0.0, DEEPEST),
    }
    if chance.random() >= hostility:
        whole["metadata"] = metadata
    return {**whole, "apiVersion": "ray.io/v1", "kind": kind}


def _made(schema: Mapping[str, Any], chance: random.Random, hostility: float, depth: int) -> Any:
    if chance.random() < hostility:
        return spoilt(chance)
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        if "properties" not in schema:
            return _map(schema.get("additionalProperties"), chance, hostility, depth)
        return _object(schema, chance, hostility, depth)
    if kind == "array":
        count = chance.choice((0, 1, 1, 2, 3)) if depth < DEEPEST else 0
        return [_made(schema.get("items") or {}, chance, hostility, depth + 1) for _ in range(count)]
    return _scalar(schema, chance)


def _object(schema: Mapping[str, Any], chance: random.Random, hostility: float, depth: int) -> Json:
    made: Json = {}
    for name, inner in schema["properties"].items():
        share = 0.75 if name in LIKELY else 0.12 / (1 + depth / 4)
        if depth < DEEPEST and (chance.random() < share or name in schema.get("required", ())):
            meant = MEANT.get(name) if inner.get("type") == "string" and "enum" not in inner else None
            told = meant is not None and chance.random() < 0.7
            made[name] = chance.choice(meant or ("",)) if told else _made(inner, chance, hostility, depth + 1)
    return made


def _map(values: Any, chance: random.Random, hostility: float, depth: int) -> Json:
    of = values if isinstance(values, dict) else {"type": "string"}
    keys = chance.sample(NAMES, chance.choice((0, 1, 2, 3, 4)))
    return {key: _made(of, chance, hostility, depth + 1) for key in keys}


def _scalar(schema: Mapping[str, Any], chance: random.Random) -> Any:
    if "enum" in schema:
        return chance.choice(schema["enum"])
    match schema.get("type"):
        case "boolean":
            return chance.random() < 0.5
        case "integer":
            return chance.choice((-1, 0, 1, 2, 4, 50, 8000, 2**31 - 1))
        case "number":
            return chance.choice((-1.0, 0.0, 0.5, 1, 2, 8))
        case _:
            numeric = schema.get("x-kubernetes-int-or-string") and chance.random() < 0.3
            return chance.choice((0, 1, 4)) if numeric else chance.choice(WORDS)


def spoilt(chance: random.Random) -> Any:
    """A value that nobody has a right to expect."""
    return chance.choice(
        (
            None,
            True,
            -1,
            10**30,
            1.5,
            float("inf"),
            float("nan"),
            "",
            chance.choice(WORDS),
            [],
            {},
            [None, {"name": 3}, [[]]],
            {"name": ["x"], "": {}},
            [chance.choice(WORDS), 2, {}],
            _deep(chance.randrange(1, 60)),
        )
    )


def _deep(levels: int) -> Any:
    node: Any = []
    for level in range(levels):
        node = [node] if level % 2 else {"spec": node}
    return node
