"""Each rule about a RayCluster refuses what it is there for, and lets the nearest good object pass."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from api.v1.rules.model import Context, Finding, Severity, all_findings, first_denial
from api.v1.rules.raycluster import ENFORCED, RULES

GATED = (
    "GCSFaultToleranceEmbeddedStorage",
    "RayClusterHistoryServer",
    "RayClusterMTLS",
    "RayClusterNetworkPolicy",
    "RayJobDeletionPolicy",
)
OPEN = Context(dict.fromkeys(GATED, True))
SHUT = Context({})
Changes = dict[str, Any]


def template(**container: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.52.0", **container}]}}


def a_cluster(changes: Changes | None = None) -> dict[str, Any]:
    """A good RayCluster with two groups, changed at dotted paths ("spec.workerGroupSpecs.0.replicas"); "-" removes."""
    body = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "good", "namespace": "default"},
        "spec": {
            "rayVersion": "2.56.0",
            "headGroupSpec": {"template": template(), "rayStartParams": {}},
            "workerGroupSpecs": [
                {"groupName": name, "minReplicas": 0, "maxReplicas": 3, "replicas": 1, "template": template()}
                for name in ("first", "second")
            ],
        },
    }
    for path, value in (changes or {}).items():
        put(body, path.split("."), value)
    return body


def put(node: Any, path: list[str], value: Any) -> None:
    """Set the value under the path, making objects on the way; dots inside a key are written as "~"."""
    *parents, last = [step.replace("~", ".") for step in path]
    for step in parents:
        node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
    if value == "-":
        del node[last]
    elif isinstance(node, list):
        node[int(last)] = deepcopy(value)
    else:
        node[last] = deepcopy(value)


HEAD = "spec.headGroupSpec"
HEAD_ENV = f"{HEAD}.template.spec.containers.0.env"
HEAD_MOUNTS = f"{HEAD}.template.spec.containers.0.volumeMounts"
GROUP = "spec.workerGroupSpecs.1"
GROUP_ENV = f"{GROUP}.template.spec.containers.0.env"
GROUP_MOUNTS = f"{GROUP}.template.spec.containers.0.volumeMounts"
SCALED: Changes = {"spec.enableInTreeAutoscaling": True}
V2: Changes = {**SCALED, "spec.autoscalerOptions": {"version": "v2"}}
FT = "spec.gcsFaultToleranceOptions"
FT_ANNOTATION = "metadata.annotations.ray~io/ft-enabled"
NAMESPACE_ANNOTATION = "metadata.annotations.ray~io/external-storage-namespace"
ROCKS: Changes = {FT: {"backend": "rocksdb"}}
COLLECTOR = "spec.historyServerOptions.collectorOptions"
S3 = [{"name": "STORAGE_BACKEND", "value": "s3"}, {"name": "S3_REGION", "value": "eu"}]
HISTORY: Changes = {COLLECTOR: {"image": "collector", "env": S3}}
TOKEN: Changes = {"spec.authOptions": {"mode": "token"}}
K8S_TOKEN: Changes = {"spec.authOptions": {"mode": "token", "enableK8sTokenAuth": True}}
POLICY = "spec.networkPolicy"
TLS: Changes = {"spec.tlsOptions": {"enabled": True}}
RULE: list[Any] = [{"from": []}]


def env(*names: str, value: str = "x") -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name in names]


def backend(word: str, *names: str, **literals: str) -> Changes:
    """A collector with that storage backend and further variables, by valueFrom or as literals."""
    variables: list[dict[str, Any]] = [{"name": "STORAGE_BACKEND", "value": word}]
    variables += [{"name": name, "valueFrom": {"secretKeyRef": {}}} for name in names]
    variables += [{"name": name, "value": value} for name, value in literals.items()]
    return {COLLECTOR: {"image": "collector", "env": variables}}


# id, what is refused, the path and a fragment of the message; then the near miss that passes.
CASES: list[tuple[str, Changes, str, str, Changes]] = [
    (
        "M1",
        {"metadata.name": "a" * 54},
        "metadata.name",
        "no more than 53 characters; it has 54",
        {"metadata.name": "a" * 53},
    ),
    ("M2", {"metadata.name": "1a"}, "metadata.name", "valid DNS1035 label", {"metadata.name": "a-1"}),
    ("M2", {"metadata.name": "a.b"}, "metadata.name", "valid DNS1035 label", {"metadata.name": "ab"}),
    (
        "C1",
        {f"{HEAD}.template": {"spec": {"containers": []}}},
        f"{HEAD}.template.spec.containers",
        "headGroupSpec should have at least one container",
        {},
    ),
    ("C1", {"spec": {}}, f"{HEAD}.template.spec.containers", "at least one container", {}),
    (
        "C2",
        {f"{HEAD}.resources": {"cpu": "1"}, f"{HEAD}.rayStartParams": {"num-cpus": "1"}},
        f"{HEAD}.resources",
        "both rayStartParams and Resources for Head group",
        {f"{HEAD}.resources": {"cpu": "1"}, f"{HEAD}.rayStartParams": {"num-cpus": ""}},
    ),
    (
        "C3",
        {f"{HEAD}.rayStartParams": {"labels": ""}},
        f"{HEAD}.rayStartParams[labels]",
        "rayStartParams['labels'] is not supported for Head group",
        {f"{HEAD}.labels": {"a": "b"}},
    ),
    (
        "C4",
        {f"{HEAD}.labels": {"a/b/c": "1", "x": "-"}},
        f"{HEAD}.labels[a/b/c]",
        "invalid label key for Head group: 'a/b/c', error: ",
        {f"{HEAD}.labels": {"ray.io/zone": "", "x": "A_b.c-1"}},
    ),
    (
        "C4",
        {f"{HEAD}.labels": {"k": "x" * 64}},
        f"{HEAD}.labels[k]",
        "invalid label value for key 'k' in Head group: '",
        {f"{HEAD}.labels": {"k": "x" * 63}},
    ),
    (
        "C5",
        {f"{GROUP}.template": {"spec": {"containers": []}}},
        "spec.workerGroupSpecs[1].template.spec.containers",
        "workerGroupSpec should have at least one container",
        {},
    ),
    (
        "C6",
        {f"{GROUP}.maxReplicas": None},
        "spec.workerGroupSpecs[1].maxReplicas",
        "worker group second must set both minReplicas and maxReplicas while autoscaling is disabled",
        {f"{GROUP}.maxReplicas": None, f"{GROUP}.minReplicas": None, **SCALED},
    ),
    (
        "C7",
        {f"{GROUP}.minReplicas": -1},
        "spec.workerGroupSpecs[1].minReplicas",
        "negative minReplicas -1",
        {f"{GROUP}.minReplicas": 0},
    ),
    (
        "C8",
        {f"{GROUP}.maxReplicas": -1, f"{GROUP}.minReplicas": -1},
        "spec.workerGroupSpecs[1].maxReplicas",
        "negative maxReplicas -1",
        {f"{GROUP}.maxReplicas": 0},
    ),
    (
        "C9",
        {f"{GROUP}.minReplicas": 4},
        "spec.workerGroupSpecs[1].minReplicas",
        "minReplicas 4 greater than maxReplicas 3",
        {f"{GROUP}.minReplicas": 3, f"{GROUP}.replicas": 9},
    ),
    (
        "C10",
        {f"{GROUP}.resources": {"cpu": "1"}, f"{GROUP}.rayStartParams": {"memory": "1"}},
        "spec.workerGroupSpecs[1].resources",
        "both rayStartParams and Resources for second group",
        {f"{GROUP}.resources": {"cpu": "1"}, f"{GROUP}.rayStartParams": {"port": "1"}},
    ),
    (
        "C10",
        {f"{GROUP}.rayStartParams": {"labels": "a=b"}},
        "spec.workerGroupSpecs[1].rayStartParams[labels]",
        "not supported for second group",
        {},
    ),
    (
        "C10",
        {f"{GROUP}.labels": {"": "b"}},
        "spec.workerGroupSpecs[1].labels[]",
        "invalid label key for second group: ''",
        {f"{GROUP}.labels": {"a": "b"}},
    ),
    (
        "C11",
        {**V2, f"{GROUP}.idleTimeoutSeconds": -1},
        "spec.workerGroupSpecs[1].idleTimeoutSeconds",
        "worker group second: idleTimeoutSeconds must be non-negative, got -1",
        {**V2, f"{GROUP}.idleTimeoutSeconds": 0},
    ),
    (
        "C12",
        {**SCALED, f"{GROUP}.idleTimeoutSeconds": 60},
        "spec.workerGroupSpecs[1].idleTimeoutSeconds",
        "autoscaler v2 is not enabled",
        {**SCALED, f"{GROUP}.idleTimeoutSeconds": 60, HEAD_ENV: env("RAY_enable_autoscaler_v2", value="true")},
    ),
    (
        "C12",
        {**SCALED, f"{GROUP}.idleTimeoutSeconds": 60, HEAD_ENV: env("RAY_enable_autoscaler_v2", value="True")},
        "spec.workerGroupSpecs[1].idleTimeoutSeconds",
        "autoscaler v2 is not enabled",
        {**V2, f"{GROUP}.idleTimeoutSeconds": 60},
    ),
    (
        "C13",
        {**V2, f"{GROUP}.priority": 1, "spec.rayVersion": ""},
        "spec.workerGroupSpecs[1].priority",
        "RayVersion was not specified",
        {**V2, f"{GROUP}.priority": 0, "spec.rayVersion": ""},
    ),
    (
        "C14",
        {**V2, f"{GROUP}.priority": 1, "spec.rayVersion": "nightly"},
        "spec.workerGroupSpecs[1].priority",
        "RayVersion format is invalid: nightly, ",
        {**V2, f"{GROUP}.priority": 1, "spec.rayVersion": "2.56.0rc1"},
    ),
    (
        "C15",
        {**V2, f"{GROUP}.priority": 1, "spec.rayVersion": "2.55.9"},
        "spec.workerGroupSpecs[1].priority",
        "minimum Ray version is 2.56.0, got 2.55.9",
        {**V2, f"{GROUP}.priority": 1, "spec.rayVersion": "v2.56"},
    ),
    (
        "C16",
        {**SCALED, f"{GROUP}.priority": 7},
        "spec.workerGroupSpecs[1].priority",
        "priority is set to 7, but autoscaler v2 is not enabled",
        {**V2, f"{GROUP}.priority": 7},
    ),
    (
        "C17",
        {FT: {}, FT_ANNOTATION: "false"},
        "metadata.annotations[ray.io/ft-enabled]",
        "ray.io/ft-enabled annotation and GcsFaultToleranceOptions are both set.",
        {FT: {}, FT_ANNOTATION: ""},
    ),
    (
        "C18",
        {HEAD_ENV: env("RAY_REDIS_ADDRESS"), FT_ANNOTATION: "false"},
        "spec.headGroupSpec.template.spec.containers[0].env[0]",
        "implicitly enables GCS fault tolerance",
        {HEAD_ENV: env("RAY_REDIS_ADDRESS"), FT_ANNOTATION: "TRUE"},
    ),
    (
        "C19",
        {FT: {}, f"{HEAD}.rayStartParams": {"redis-password": "p"}},
        f"{HEAD}.rayStartParams[redis-password]",
        "cannot set `redis-password` in rayStartParams",
        {FT: {}, f"{HEAD}.rayStartParams": {"redis-password": ""}},
    ),
    (
        "C20",
        {FT: {}, HEAD_ENV: env("REDIS_PASSWORD")},
        "spec.headGroupSpec.template.spec.containers[0].env[0]",
        "cannot set `REDIS_PASSWORD` env var in head Pod",
        {HEAD_ENV: env("REDIS_PASSWORD")},
    ),
    (
        "C21",
        {FT: {}, HEAD_ENV: env("RAY_REDIS_ADDRESS")},
        "spec.headGroupSpec.template.spec.containers[0].env[0]",
        "cannot set `RAY_REDIS_ADDRESS` env var in head Pod",
        {FT: {}, GROUP_ENV: env("RAY_REDIS_ADDRESS")},
    ),
    (
        "C22",
        {FT: {}, NAMESPACE_ANNOTATION: "ns"},
        "metadata.annotations[ray.io/external-storage-namespace]",
        "cannot set `ray.io/external-storage-namespace` annotation",
        {FT: {}, NAMESPACE_ANNOTATION: ""},
    ),
    (
        "C24",
        {FT: {"backend": "rocksdb", "redisUsername": {}}},
        f"{FT}.redisUsername",
        "cannot set GcsFaultToleranceOptions.RedisUsername when backend is 'rocksdb'",
        {FT: {"backend": "rocksdb", "redisAddress": ""}},
    ),
    (
        "C25",
        {FT: {"backend": "rocksdb", "storage": {"claimName": "c", "size": "1Gi"}}},
        f"{FT}.storage.claimName",
        "mutually exclusive with size, storageClassName, and accessModes",
        {FT: {"backend": "rocksdb", "storage": {"claimName": "c", "subPath": "s"}}},
    ),
    (
        "C26",
        {**ROCKS, HEAD_ENV: env("RAY_gcs_storage_path")},
        "spec.headGroupSpec.template.spec.containers[0].env[0]",
        "cannot set `RAY_gcs_storage` or `RAY_gcs_storage_path` env var in head Pod",
        {**ROCKS, GROUP_ENV: env("RAY_gcs_storage_path")},
    ),
    (
        "C27",
        {**ROCKS, HEAD_MOUNTS: [{"name": "x", "mountPath": "/data/gcs"}]},
        "spec.headGroupSpec.template.spec.containers[0].volumeMounts[0]",
        'cannot set a volume mount named "gcs-storage" or mounted at /data/gcs',
        {**ROCKS, HEAD_MOUNTS: [{"name": "x", "mountPath": "/data/gcs2"}]},
    ),
    (
        "C28",
        {**ROCKS, f"{HEAD}.template.spec.volumes": [{"name": "gcs-storage"}]},
        f"{HEAD}.template.spec.volumes[0]",
        'cannot set a volume named "gcs-storage" in the head Pod',
        {**ROCKS, f"{GROUP}.template.spec.volumes": [{"name": "gcs-storage"}]},
    ),
    (
        "C29",
        {FT: {"storage": {}}},
        f"{FT}.storage",
        "cannot set GcsFaultToleranceOptions.Storage when backend is 'redis'",
        {FT: {"backend": "rocksdb", "storage": {}}},
    ),
    (
        "C30",
        {HEAD_ENV: env("REDIS_USERNAME")},
        "spec.headGroupSpec.template.spec.containers[0].env[0]",
        "cannot set redis username",
        {FT: {"redisUsername": {"value": "u"}}},
    ),
    (
        "C30",
        {f"{HEAD}.rayStartParams": {"redis-username": "u"}},
        f"{HEAD}.rayStartParams[redis-username]",
        "GcsFaultToleranceOptions.RedisUsername",
        {f"{HEAD}.rayStartParams": {"redis-username": ""}},
    ),
    (
        "C32",
        {HEAD_ENV: env("RAY_enable_autoscaler_v2", value="1")},
        "spec.headGroupSpec.template.spec.containers[0].env[0]",
        "RAY_enable_autoscaler_v2 is set to '1' in the head Pod, but enableInTreeAutoscaling is false",
        {HEAD_ENV: env("RAY_enable_autoscaler_v2", value="True")},
    ),
    (
        "C33",
        {**SCALED, f"{GROUP}.suspend": True},
        "spec.workerGroupSpecs[1].suspend",
        "worker group second cannot be suspended together with the Autoscaler",
        {f"{GROUP}.suspend": True},
    ),
    (
        "C34",
        {**SCALED, "spec.autoscalerOptions": {"version": "v1"}, HEAD_ENV: env("RAY_enable_autoscaler_v2", value="0")},
        "spec.autoscalerOptions.version",
        "both .spec.autoscalerOptions.version and head Pod env var RAY_enable_autoscaler_v2 are set, ",
        {**SCALED, HEAD_ENV: env("RAY_enable_autoscaler_v2", value="0")},
    ),
    (
        "C35",
        {**V2, f"{HEAD}.template.spec.restartPolicy": "Always"},
        f"{HEAD}.template.spec.restartPolicy",
        "restartPolicy for head Pod should be Never or unset",
        {**V2, f"{HEAD}.template.spec.restartPolicy": "Never"},
    ),
    (
        "C36",
        {**V2, f"{GROUP}.template.spec.restartPolicy": "OnFailure"},
        "spec.workerGroupSpecs[1].template.spec.restartPolicy",
        "restartPolicy for worker group second should be Never or unset",
        {"spec.autoscalerOptions": {"version": "v2"}, f"{GROUP}.template.spec.restartPolicy": "OnFailure"},
    ),
    (
        "C37",
        {"spec.autoscalerOptions": {"idleTimeoutSeconds": -1}},
        "spec.autoscalerOptions.idleTimeoutSeconds",
        "autoscalerOptions.idleTimeoutSeconds must be non-negative, got -1",
        {"spec.autoscalerOptions": {"idleTimeoutSeconds": 0}},
    ),
    (
        "C38",
        {"spec.autoscalerOptions": {"env": env("KUBERAY_GEN_AUTOSCALER_START_CMD")}},
        "spec.autoscalerOptions.env[0]",
        "autoscalerOptions.env must not contain KUBERAY_GEN_AUTOSCALER_START_CMD: ",
        {"spec.autoscalerOptions": {"env": env("OTHER")}},
    ),
    ("C40", {"spec.historyServerOptions": {}}, COLLECTOR, "collectorOptions must be set", HISTORY),
    ("C41", {COLLECTOR: {"image": "", "env": S3}}, f"{COLLECTOR}.image", "image must be set", HISTORY),
    (
        "C42",
        {COLLECTOR: {"image": "c", "env": [*S3, *env("RAY_ROLE")]}},
        f"{COLLECTOR}.env[2]",
        "env must not contain RAY_ROLE: ",
        {COLLECTOR: {"image": "c", "env": [*S3, *env("RAY_ROLES")]}},
    ),
    (
        "C43",
        {COLLECTOR: {"image": "c", "env": [{"name": "STORAGE_BACKEND", "valueFrom": {}}]}},
        f"{COLLECTOR}.env[0]",
        "STORAGE_BACKEND environment variable must be set to a literal string value",
        backend("Tape"),
    ),
    (
        "C44",
        backend("gcs"),
        f"{COLLECTOR}.env",
        "GCS_BUCKET environment variable must be set when STORAGE_BACKEND is GCS",
        backend("gcs", "GCS_BUCKET"),
    ),
    (
        "C45",
        backend("S3", S3_REGION=""),
        f"{COLLECTOR}.env[1]",
        "S3_REGION environment variable must be set when STORAGE_BACKEND is S3",
        backend("S3", S3_REGION="eu"),
    ),
    (
        "C46",
        backend("AzureBlob", "AZURE_STORAGE_CONNECTION_STRING", AZURE_STORAGE_AUTH_MODE=" Default "),
        f"{COLLECTOR}.env",
        "when STORAGE_BACKEND is AZUREBLOB and AZURE_STORAGE_AUTH_MODE is default",
        backend("AzureBlob", "AZURE_STORAGE_ACCOUNT_URL", AZURE_STORAGE_AUTH_MODE="workload_identity"),
    ),
    (
        "C46",
        backend("AzureBlob", "AZURE_STORAGE_ACCOUNT_URL", AZURE_STORAGE_AUTH_MODE="connection_string"),
        f"{COLLECTOR}.env",
        "AZURE_STORAGE_CONNECTION_STRING environment variable must be set",
        backend("AzureBlob", "AZURE_STORAGE_CONNECTION_STRING", AZURE_STORAGE_AUTH_MODE="connection_string"),
    ),
    (
        "C46",
        backend("AzureBlob", AZURE_STORAGE_AUTH_MODE="other"),
        f"{COLLECTOR}.env",
        "either AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT_URL",
        backend("AzureBlob", "AZURE_STORAGE_ACCOUNT_URL"),
    ),
    (
        "C47",
        backend("AliyunOSS", "OSS_BUCKET", "OSS_REGION"),
        f"{COLLECTOR}.env",
        "OSS_ENDPOINT environment variable must be set when STORAGE_BACKEND is ALIYUNOSS",
        backend("AliyunOSS", "OSS_BUCKET", "OSS_REGION", "OSS_ENDPOINT"),
    ),
    (
        "C49",
        {**HISTORY, f"{GROUP}.template.spec.containers.0.name": "ray-history-collector"},
        "spec.workerGroupSpecs[1].template.spec.containers[0].name",
        "worker group second pod template must not define a container with name 'ray-history-collector'",
        {f"{GROUP}.template.spec.containers.0.name": "ray-history-collector"},
    ),
    (
        "C50",
        {**TOKEN, "spec.rayVersion": "-"},
        "spec.rayVersion",
        "authOptions.mode is 'token' but RayVersion was not specified",
        {"spec.authOptions": {"mode": "disabled"}, "spec.rayVersion": "-"},
    ),
    (
        "C51",
        {**TOKEN, "spec.rayVersion": "02.56"},
        "spec.rayVersion",
        "RayVersion format is invalid: 02.56, ",
        {**TOKEN, "spec.rayVersion": "2.52"},
    ),
    (
        "C52",
        {**TOKEN, "spec.rayVersion": "2.51.2"},
        "spec.rayVersion",
        "minimum Ray version is 2.52.0, got 2.51.2",
        {**TOKEN, "spec.rayVersion": "2.52.0"},
    ),
    (
        "C53",
        {**K8S_TOKEN, "spec.rayVersion": "2.54.0"},
        "spec.authOptions.enableK8sTokenAuth",
        "authOptions.enableK8sTokenAuth is set but minimum Ray version is 2.55.0, got 2.54.0",
        {**K8S_TOKEN, "spec.rayVersion": "2.55.0"},
    ),
    (
        "C54",
        {"spec.authOptions": {"mode": "token", "enableK8sTokenAuth": True, "secretName": "s"}},
        "spec.authOptions.secretName",
        "authOptions.secretName is also set",
        {"spec.authOptions": {"mode": "token", "secretName": "s"}},
    ),
    (
        "C55",
        {"spec.authOptions": {"enableK8sTokenAuth": True}},
        "spec.authOptions.enableK8sTokenAuth",
        "authOptions.mode not set to 'token'",
        {"spec.authOptions": {"enableK8sTokenAuth": False}},
    ),
    (
        "C57",
        {POLICY: {"mode": "DenyAllEgress", "workerGroups": [{"groupName": "first", "ingressRules": RULE}]}},
        f"{POLICY}.workerGroups[0].ingressRules",
        'networkPolicy.workerGroups["first"].ingressRules must not be set when mode is "DenyAllEgress"',
        {POLICY: {"mode": "DenyAllEgress", "workerGroups": [{"groupName": "first", "egressRules": RULE}]}},
    ),
    (
        "C58",
        {POLICY: {"mode": "DenyAllIngress", "head": {"egressRules": RULE}}},
        f"{POLICY}.head.egressRules",
        'networkPolicy.head.egressRules must not be set when mode is "DenyAllIngress"',
        {POLICY: {"mode": "DenyAll", "head": {"egressRules": RULE, "ingressRules": RULE}}},
    ),
    (
        "C59",
        {POLICY: {}, f"{GROUP}.groupName": "Second"},
        "spec.workerGroupSpecs[1].groupName",
        'worker group name "Second" should be a valid DNS1123 label when networkPolicy is set',
        {f"{GROUP}.groupName": "Second"},
    ),
    (
        "C60",
        {POLICY: {"workerGroups": [{"groupName": "thrid"}]}},
        f"{POLICY}.workerGroups[0].groupName",
        'networkPolicy.workerGroups["thrid"] has no match in workerGroupSpecs',
        {POLICY: {"workerGroups": [{"groupName": "first"}]}},
    ),
    (
        "C62",
        {**TLS, GROUP_ENV: env("RAY_USE_TLS")},
        "spec.workerGroupSpecs[1].template.spec.containers[0].env[0]",
        'cannot set RAY_USE_TLS environment variable in worker group "second" when tlsOptions is set',
        {"spec.tlsOptions": {}, GROUP_ENV: env("RAY_USE_TLS")},
    ),
    (
        "C62",
        {**TLS, HEAD_ENV: env("RAY_TLS_CA_CERT")},
        "spec.headGroupSpec.template.spec.containers[0].env[0]",
        "cannot set RAY_TLS_CA_CERT environment variable in head Pod when tlsOptions is set",
        TLS,
    ),
    (
        "C63",
        {**TLS, HEAD_MOUNTS: [{"name": "x", "mountPath": "/etc/ray/tls"}]},
        "spec.headGroupSpec.template.spec.containers[0].volumeMounts[0]",
        'cannot use volume mount at path "/etc/ray/tls" in head Pod',
        {**TLS, HEAD_MOUNTS: [{"name": "x", "mountPath": "/etc/ray"}]},
    ),
    (
        "C63",
        {**TLS, GROUP_MOUNTS: [{"name": "ray-tls", "mountPath": "/x"}]},
        "spec.workerGroupSpecs[1].template.spec.containers[0].volumeMounts[0]",
        'cannot use volume mount named "ray-tls" in worker group "second"',
        {GROUP_MOUNTS: [{"name": "ray-tls", "mountPath": "/x"}]},
    ),
    (
        "C64",
        {**TLS, "spec.autoscalerOptions": {"env": env("RAY_TLS_SERVER_KEY")}},
        "spec.autoscalerOptions.env[0]",
        "in autoscalerOptions.env when",
        {**TLS, "spec.autoscalerOptions": {"env": env("RAY_TLS")}},
    ),
    (
        "C64",
        {**TLS, "spec.autoscalerOptions": {"volumeMounts": [{"name": "ray-tls"}]}},
        "spec.autoscalerOptions.volumeMounts[0]",
        'cannot use volume mount named "ray-tls" in autoscalerOptions.volumeMounts',
        {"spec.autoscalerOptions": {"volumeMounts": [{"name": "ray-tls"}]}},
    ),
    (
        "C67",
        {"spec.upgradeStrategy": {"type": "NewCluster"}},
        "spec.upgradeStrategy.type",
        "Spec.UpgradeStrategy.Type value NewCluster is invalid, valid options are Recreate or None",
        {"spec.upgradeStrategy": {"type": "None"}},
    ),
    (
        "C68",
        {"spec.upgradeStrategy": {"type": "None"}, "metadata.labels": {"ray.io/originated-from-crd": "RayJob"}},
        "spec.upgradeStrategy.type",
        "upgradeStrategy cannot be set on a RayCluster that was created by RayJob",
        {"spec.upgradeStrategy": {}, "metadata.labels": {"ray.io/originated-from-crd": "RayService"}},
    ),
    (
        "C69",
        {
            "status.conditions": [
                {"type": "RayClusterSuspending", "status": "True"},
                {"type": "RayClusterSuspended", "status": "True"},
            ]
        },
        "status.conditions",
        "should not be both true",
        {
            "status.conditions": [
                {"type": "RayClusterSuspending", "status": "True"},
                {"type": "RayClusterSuspended", "status": "False"},
            ]
        },
    ),
]
# Rules about what the operator has turned on: the same object, judged with the gates on and off.
GATES: list[tuple[str, Changes, str, str]] = [
    ("C23", ROCKS, f"{FT}.backend", "requires the GCSFaultToleranceEmbeddedStorage feature gate"),
    (
        "C31",
        {f"{GROUP}.suspend": True},
        "spec.workerGroupSpecs[1].suspend",
        "suspended only with the RayJobDeletionPolicy feature gate",
    ),
    ("C39", HISTORY, "spec.historyServerOptions", "RayClusterHistoryServer feature gate is not enabled"),
    ("C56", {POLICY: {}}, POLICY, "RayClusterNetworkPolicy feature gate"),
    ("C61", {"spec.tlsOptions": {"enabled": False}}, "spec.tlsOptions", "RayClusterMTLS feature gate"),
]


def denial(changes: Changes, context: Context = OPEN) -> Finding | None:
    return first_denial(ENFORCED, a_cluster(changes), None, context)


def claims(rows: list[Any]) -> list[Any]:
    """Each row as a case that claims the rule it proves."""
    return [
        pytest.param(*row, id=f"{row[0]}-{n}", marks=[pytest.mark.spec(f"admission:{id_}") for id_ in both(row[0])])
        for n, row in enumerate(rows)
    ]


def both(rule: str) -> list[str]:
    """The rule, and the oldest version of Ray that it asks for."""
    return [rule, *{"C15": ["MV01"], "C52": ["MV02"], "C53": ["MV03"]}.get(rule, [])]


def test_a_good_cluster_is_not_denied_with_any_gates() -> None:
    """Without this every case below could pass for a wrong reason."""
    assert denial({}) is None
    assert denial({}, SHUT) is None


@pytest.mark.parametrize(("rule", "refused", "path", "fragment", "passed"), claims(CASES))
def test_each_rule_refuses_its_case_and_passes_the_nearest_good_one(
    rule: str, refused: Changes, path: str, fragment: str, passed: Changes
) -> None:
    """It names the rule, the exact field, and the words that people search for."""
    found = [one for one in all_findings(ENFORCED, a_cluster(refused), None, OPEN) if one.rule == rule]

    assert [(one.path, fragment in one.message) for one in found] == [(path, True)]
    assert found[0].severity is Severity.DENY
    assert denial(passed) is None


@pytest.mark.parametrize(("rule", "changes", "path", "fragment"), claims(GATES))
def test_a_field_behind_a_gate_is_refused_while_the_gate_is_off(
    rule: str, changes: Changes, path: str, fragment: str
) -> None:
    """Even where it would do nothing: presence counts."""
    found = denial(changes, SHUT)

    assert found is not None
    assert (found.rule, found.path, fragment in found.message) == (rule, path, True)
    assert denial(changes, OPEN) is None


ENFORCED_IDS = {rule.id for rule in ENFORCED if rule.severity is Severity.DENY}


def test_every_denying_rule_has_a_case() -> None:
    """A new rule needs one here."""
    assert ENFORCED_IDS - {row[0] for row in CASES} - {row[0] for row in GATES} == {"C66"}


def test_all_rules_of_the_table_are_there_in_its_order() -> None:
    """C48 accepts, so it is no rule."""
    ids = [rule.id for rule in ENFORCED if rule.id.startswith("C")]

    assert ids == [f"C{number}" for number in range(1, 70) if number != 48]


@pytest.mark.spec("admission:C48")
def test_an_unknown_storage_backend_is_accepted() -> None:
    """The collector may know it."""
    assert denial(backend("tape")) is None


@pytest.mark.spec("admission:C65", "raycluster:E12")
def test_autoscaler_v1_only_warns_of_restart_policies() -> None:
    """One warning names all such groups, and the cluster is worked on."""
    changes: Changes = {
        **SCALED,
        "spec.autoscalerOptions": {"version": "v1"},
        "spec.workerGroupSpecs.0.template.spec.restartPolicy": "Always",
        "spec.workerGroupSpecs.1.template.spec.restartPolicy": "OnFailure",
    }

    found = list(all_findings(ENFORCED, a_cluster(changes), None, OPEN))

    assert [(one.rule, one.severity, one.reason) for one in found] == [("C65", Severity.WARN, "InvalidRayClusterSpec")]
    assert "restartPolicy for worker groups [first, second] should be Never or unset" in found[0].message
    assert denial(changes) is None
    assert list(all_findings(ENFORCED, a_cluster({**changes, "spec.autoscalerOptions": {}}), None, OPEN)) == []


@pytest.mark.spec("admission:C66", "admission:AC-18")
def test_tls_needs_cert_manager_once_it_is_on() -> None:
    """Options that turn nothing on need nothing."""
    without = Context(OPEN.gates, cert_manager=False)

    found = denial(TLS, without)

    assert found is not None
    assert (found.rule, "tlsOptions requires cert-manager" in found.message) == ("C66", True)
    assert denial({"spec.tlsOptions": {"enabled": False}}, without) is None


@pytest.mark.spec("admission:M11", "raycluster:E5")
def test_duplicate_group_names_are_refused_by_admission_only() -> None:
    """Clusters that have them run on."""
    twice = a_cluster({f"{GROUP}.groupName": "first"})

    found = first_denial(RULES, twice, None, OPEN)

    assert found is not None
    assert (found.rule, found.path) == ("M11", "spec.workerGroupSpecs[1]")
    assert "worker group names must be unique" in found.message
    assert first_denial(ENFORCED, twice, None, OPEN) is None
    assert first_denial(RULES, a_cluster({f"{GROUP}.groupName": "First"}), None, OPEN) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metadata.name": "A"}, "InvalidRayClusterMetadata"),
        ({f"{GROUP}.minReplicas": -1}, "InvalidRayClusterSpec"),
        ({"spec.upgradeStrategy": {"type": "x"}}, "InvalidRayClusterSpec"),
        (CASES[-1][1], "InvalidRayClusterStatus"),
    ],
)
@pytest.mark.spec("admission:AC-21")
def test_a_denial_carries_the_reason_of_its_event(changes: Changes, reason: str) -> None:
    """Dashboards filter by it."""
    found = denial(changes)

    assert found is not None
    assert found.reason == reason


@pytest.mark.parametrize(
    ("changes", "rule", "path"),
    [
        # one group whole before the next
        (
            {"spec.workerGroupSpecs.0.minReplicas": 9, f"{GROUP}.template": {"spec": {}}},
            "C9",
            "spec.workerGroupSpecs[0].minReplicas",
        ),
        # the head before the groups
        (
            {f"{HEAD}.rayStartParams": {"labels": ""}, "spec.workerGroupSpecs.0.minReplicas": -1},
            "C3",
            f"{HEAD}.rayStartParams[labels]",
        ),
        # a group's own rules in their order
        ({f"{GROUP}.minReplicas": -2, f"{GROUP}.maxReplicas": -1}, "C7", "spec.workerGroupSpecs[1].minReplicas"),
        # network: the names of all groups before the first entry
        (
            {
                POLICY: {"mode": "DenyAllEgress", "workerGroups": [{"groupName": "first", "ingressRules": RULE}]},
                f"{GROUP}.groupName": "UP",
            },
            "C59",
            "spec.workerGroupSpecs[1].groupName",
        ),
        # network: entry by entry
        (
            {
                POLICY: {
                    "mode": "DenyAllEgress",
                    "workerGroups": [{"groupName": "none"}, {"groupName": "first", "ingressRules": RULE}],
                }
            },
            "C60",
            f"{POLICY}.workerGroups[0].groupName",
        ),
        # TLS: the head's mounts before the workers' environment
        (
            {**TLS, GROUP_ENV: env("RAY_USE_TLS"), HEAD_MOUNTS: [{"name": "ray-tls"}]},
            "C63",
            "spec.headGroupSpec.template.spec.containers[0].volumeMounts[0]",
        ),
        # metadata before spec
        ({"metadata.name": "A", "spec": {}}, "M2", "metadata.name"),
    ],
)
@pytest.mark.spec("admission:AC-22")
def test_of_several_faults_the_one_that_the_reference_meets_first_is_reported(
    changes: Changes, rule: str, path: str
) -> None:
    """Users compare the events of both operators."""
    found = denial(changes)

    assert found is not None
    assert (found.rule, found.path) == (rule, path)


def test_all_faulty_labels_of_a_group_are_one_finding() -> None:
    """The reference joins them with a semicolon."""
    found = denial({f"{HEAD}.labels": {"a b": "ok", "ok": "a b"}})

    assert found is not None
    assert found.message.count("; ") == 1
    assert "'a b'" in found.message
    assert found.value == {"a b": "ok", "ok": "a b"}


V2_TRUE = env("RAY_enable_autoscaler_v2", value="True")


@pytest.mark.spec("admission:C32")
def test_the_variable_of_autoscaler_v2_is_no_mistake_where_the_autoscaler_is_on() -> None:
    """It is an older way to choose the version."""
    assert denial({**SCALED, HEAD_ENV: env("RAY_enable_autoscaler_v2", value="1")}) is None


# Edge cases of spec raycluster §23.1 and the rule that meets them; "" where the cluster is worked on.
EDGES: list[tuple[str, Changes, str]] = [
    ("E4", {f"{GROUP}.minReplicas": None}, "C6"),
    ("E4", {f"{GROUP}.minReplicas": None, f"{GROUP}.maxReplicas": None, **SCALED}, ""),
    ("E7", {f"{GROUP}.groupName": "UPPER"}, ""),
    ("E7", {f"{GROUP}.groupName": "UPPER", POLICY: {}}, "C59"),
    ("E8", {FT: {}, FT_ANNOTATION: "false"}, "C17"),
    ("E8", {HEAD_ENV: env("RAY_REDIS_ADDRESS")}, "C18"),
    ("E8", {HEAD_ENV: env("RAY_REDIS_ADDRESS"), FT_ANNOTATION: "TRUE"}, ""),
    ("E9", {f"{HEAD}.rayStartParams": {"redis-username": "u"}}, "C30"),
    ("E9", {HEAD_ENV: env("REDIS_USERNAME")}, "C30"),
    ("E10", {HEAD_ENV: V2_TRUE}, ""),
    ("E10", {HEAD_ENV: env("RAY_enable_autoscaler_v2", value="true")}, "C32"),
    ("E11", {**SCALED, f"{GROUP}.idleTimeoutSeconds": 60}, "C12"),
    ("E11", {**V2, f"{GROUP}.idleTimeoutSeconds": 60}, ""),
]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        pytest.param(*row[1:], id=f"{row[0]}-{n}", marks=pytest.mark.spec(f"raycluster:{row[0]}"))
        for n, row in enumerate(EDGES)
    ],
)
def test_edge_cases_are_judged_as_by_the_reference(changes: Changes, rule: str) -> None:
    """Some odd ones pass."""
    found = denial(changes)

    assert (found.rule if found else "") == rule


@pytest.mark.spec("raycluster:E13")
def test_options_that_turn_nothing_on_still_need_their_gate() -> None:
    """`tlsOptions: {enabled: false}`: presence matters."""
    found = denial({"spec.tlsOptions": {"enabled": False}}, SHUT)

    assert found is not None
    assert found.rule == "C61"


@pytest.mark.spec("raycluster:E19")
def test_what_looks_odd_and_works_is_accepted() -> None:
    """Empty options, and a resource parameter that says nothing."""
    assert denial({"spec.authOptions": {}}) is None
    assert denial({f"{HEAD}.resources": {"cpu": "1"}, f"{HEAD}.rayStartParams": {"num-cpus": ""}}) is None


def test_rules_change_nothing_in_the_object() -> None:
    """It comes from a cache that others read."""
    body = a_cluster({**V2, **HISTORY, **TLS, **ROCKS})
    before = deepcopy(body)

    list(all_findings(RULES, body, None, OPEN))

    assert body == before


@pytest.mark.parametrize("body", [{}, {"metadata": None, "spec": None}, {"spec": {"headGroupSpec": None}}])
def test_rules_stand_objects_that_lack_everything(body: dict[str, Any]) -> None:
    """An object without a spec is admitted by the schema."""
    assert {"M2", "C1"} <= {one.rule for one in all_findings(RULES, body, None, SHUT)}


def test_a_finding_reads_as_path_message_and_rule() -> None:
    """What lint prints."""
    found = denial({f"{GROUP}.minReplicas": 4})

    assert str(found) == (
        "spec.workerGroupSpecs[1].minReplicas: worker group second has minReplicas 4 greater than maxReplicas 3 [C9]"
    )
