"""Our CRDs on an API server: accepted, and answering for Ray's objects as the reference's do (spec raycluster §1)."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.crds.installed import custom_resource_definitions
from api.v1.common import ApiObject
from api.v1.defaults import as_stored
from api.v1.raycluster import RayCluster
from api.v1.raycronjob import RayCronJob
from api.v1.rayjob import RayJob
from api.v1.rayservice import RayService
from localcluster.testing.wire import Json, Wire

BASES = Path(__file__).parents[2] / "config" / "crd" / "bases"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
async def ray(cluster: Wire) -> Wire:
    """A client of a server that serves all four kinds."""
    for definition in custom_resource_definitions():
        await cluster.serve(definition)
    return cluster


def pod_template() -> Json:
    return {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.52.0"}]}}


def a_cluster(name: str = "c", **spec: Any) -> Json:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name},
        "spec": {
            "headGroupSpec": {"template": pod_template()},
            "workerGroupSpecs": [{"groupName": "g", "template": pod_template()}],
            **spec,
        },
    }


def a_job(name: str = "j", **spec: Any) -> Json:
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name}, "spec": spec}


def container_of(body: Json) -> Json:
    found: Json = body["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    return found


async def test_all_four_definitions_are_accepted_and_serve_their_versions(ray: Wire) -> None:
    """Structural, with the names accepted, and no word of warning."""
    for definition in custom_resource_definitions():
        stored = (await ray.get(f"{DEFINITIONS}/{definition['metadata']['name']}")).ok()
        again = await ray.request("PUT", f"{DEFINITIONS}/{definition['metadata']['name']}", stored)

        assert {one["type"]: one["status"] for one in stored["status"]["conditions"]}["NamesAccepted"] == "True"
        assert stored["status"]["storedVersions"] == ["v1"]
        assert "NonStructuralSchema" not in {one["type"] for one in stored["status"]["conditions"]}
        assert again.ok()["spec"] == stored["spec"]
        assert again.warnings == ()


async def test_the_plain_form_is_accepted_as_well(ray: Wire) -> None:
    """What config/ installs; it differs by its lack of descriptions alone."""
    for definition in custom_resource_definitions():
        path = f"{DEFINITIONS}/{definition['metadata']['name']}"
        names = definition["spec"]["names"]
        plain = yaml.load((BASES / f"ray.io_{names['plural']}.yaml").read_text(), Loader=yaml.CSafeLoader)
        version = (await ray.get(path)).ok()["metadata"]["resourceVersion"]
        plain["metadata"]["resourceVersion"] = version

        answer = await ray.put(path, plain, dryRun="All", fieldValidation="Strict")

        assert answer.ok()["spec"]["names"] == names
        assert answer.warnings == ()


@pytest.mark.spec("admission:S2", "admission:S18", "admission:S19")
async def test_numbers_as_quantities_and_names_as_ports_are_accepted_as_they_stand(ray: Wire) -> None:
    """`cpu: 1` and `port: http` stay a number and a word."""
    body = a_cluster()
    container_of(body).update(
        resources={"limits": {"cpu": 1, "memory": "2Gi"}},
        livenessProbe={"httpGet": {"port": "http", "path": "/"}},
        ports=[{"containerPort": 8265, "name": "http"}],
    )

    stored = (await ray.post(ray.path("rayclusters.ray.io"), body, fieldValidation="Strict")).ok(201)

    assert container_of(stored)["resources"]["limits"] == {"cpu": 1, "memory": "2Gi"}
    assert container_of(stored)["livenessProbe"]["httpGet"]["port"] == "http"
    assert container_of(stored)["ports"] == [{"containerPort": 8265, "name": "http", "protocol": "TCP"}]
    assert stored["spec"]["workerGroupSpecs"] == [
        {
            "groupName": "g",
            "template": pod_template(),
            "replicas": 0,
            "minReplicas": 0,
            "maxReplicas": 2147483647,
            "numOfHosts": 1,
            "priority": 0,
        }
    ]


async def test_a_null_creation_timestamp_in_a_pod_template_is_pruned(ray: Wire) -> None:
    """Generators of YAML write it everywhere."""
    body = a_cluster()
    body["spec"]["headGroupSpec"]["template"]["metadata"] = {"creationTimestamp": None, "labels": {"a": "b"}}

    answer = await ray.post(ray.path("rayclusters.ray.io"), body)

    assert answer.ok(201)["spec"]["headGroupSpec"]["template"]["metadata"] == {"labels": {"a": "b"}}


async def test_an_unknown_field_is_pruned_or_refused_as_the_client_asks(ray: Wire) -> None:
    """Strict is what kubectl asks for."""
    body = a_cluster(rayVersoin="2.52.0")

    strict = await ray.post(ray.path("rayclusters.ray.io"), body, fieldValidation="Strict")
    lenient = await ray.post(ray.path("rayclusters.ray.io"), body, fieldValidation="Ignore")

    assert strict.code == 400
    assert 'unknown field "spec.rayVersoin"' in strict.message
    assert "rayVersoin" not in lenient.ok(201)["spec"]


def a_group(**fields: Any) -> Json:
    return {"groupName": "g", "template": pod_template(), **fields}


def head(**fields: Any) -> Json:
    return {"headGroupSpec": {"template": pod_template(), **fields}}


INCREMENTAL = {"gatewayClassName": "g", "intervalSeconds": 1}
# The item of spec admission §2.6, the kind, a spec that the schema refuses, and a fragment of why.
REFUSED: list[tuple[str, str, Json, str]] = [
    ("S1", "RayCluster", {}, "spec.headGroupSpec: Required value"),
    ("S1", "RayCluster", {"headGroupSpec": {}}, "spec.headGroupSpec.template: Required value"),
    (
        "S1",
        "RayCluster",
        {**head(), "workerGroupSpecs": [{"template": {}}]},
        "spec.workerGroupSpecs[0].groupName: Required value",
    ),
    ("S2", "RayCluster", {**head(), "workerGroupSpecs": [a_group(replicas="1")]}, "must be of type integer"),
    ("S3", "RayCluster", {**head(), "authOptions": {"mode": ""}}, 'spec.authOptions.mode: Unsupported value: ""'),
    (
        "S4",
        "RayCluster",
        {**head(), "autoscalerOptions": {"upscalingMode": "Fast"}},
        'spec.autoscalerOptions.upscalingMode: Unsupported value: "Fast"',
    ),
    ("S5", "RayCluster", {**head(), "autoscalerOptions": {"version": 2}}, "must be of type string"),
    (
        "S6",
        "RayCluster",
        {**head(), "gcsFaultToleranceOptions": {"backend": ""}},
        'spec.gcsFaultToleranceOptions.backend: Unsupported value: ""',
    ),
    (
        "S7",
        "RayCluster",
        {**head(), "gcsFaultToleranceOptions": {"storage": {"deletionPolicy": "Delete"}}},
        "spec.gcsFaultToleranceOptions.storage.deletionPolicy: Unsupported value",
    ),
    ("S8", "RayCluster", head(ingressOptions={"pathType": "exact"}), "pathType: Unsupported value"),
    ("S9", "RayCluster", {**head(), "networkPolicy": {"mode": "Deny"}}, "spec.networkPolicy.mode: Unsupported value"),
    (
        "S10",
        "RayCluster",
        {**head(), "networkPolicy": {"workerGroups": [{"groupName": "a"}, {"groupName": "a"}]}},
        "spec.networkPolicy.workerGroups[1]: Duplicate value",
    ),
    ("S11", "RayCluster", {**head(), "upgradeStrategy": {"type": "NewCluster"}}, "Unsupported value"),
    ("S12", "RayCluster", {**head(), "managedBy": "me"}, "the managedBy field value must be either"),
    ("S12", "RayJob", {"rayClusterSpec": {**head(), "managedBy": ""}}, "the managedBy field value must be either"),
    ("S13", "RayJob", {"preRunningDeadlineSeconds": 0}, "spec.preRunningDeadlineSeconds: Invalid value: 0"),
    ("S14", "RayJob", {"deletionStrategy": {}}, "deletionStrategy requires either BOTH onSuccess and onFailure"),
    ("S14", "RayJob", {"deletionStrategy": {"deletionRules": []}}, "should have at least 1 items"),
    (
        "S14",
        "RayJob",
        {"deletionStrategy": {"deletionRules": [{"policy": "DeleteSelf", "condition": {}}]}},
        "the deletion condition requires either the JobStatus or the JobDeploymentStatus field.",
    ),
    ("S15", "RayService", {"serveConfigV2": ""}, "spec.rayClusterConfig: Required value"),
    (
        "S15",
        "RayService",
        {"rayClusterConfig": head(), "upgradeStrategy": {"clusterUpgradeOptions": INCREMENTAL}},
        "spec.upgradeStrategy.clusterUpgradeOptions.stepSizePercent: Required value",
    ),
    (
        "S15",
        "RayService",
        {"rayClusterConfig": head(), "rayClusterDeletionDelaySeconds": -1},
        "spec.rayClusterDeletionDelaySeconds: Invalid value: -1",
    ),
    ("S16", "RayCronJob", {"schedule": "* * * * *"}, "spec.jobTemplate: Required value"),
    ("S16", "RayCronJob", {"schedule": "* * * * *", "timeZone": "", "jobTemplate": {}}, "spec.timeZone"),
    (
        "S18",
        "RayCluster",
        {**head(), "gcsFaultToleranceOptions": {"storage": {"size": "1 Gi"}}},
        "spec.gcsFaultToleranceOptions.storage.size: Invalid value",
    ),
    ("S19", "RayCluster", {"headGroupSpec": {"template": {"spec": {}}}}, "template.spec.containers: Required value"),
]


@pytest.mark.parametrize(
    ("kind", "spec", "fragment"),
    [
        pytest.param(*row[1:], id=f"{row[0]}-{n}", marks=pytest.mark.spec(f"admission:{row[0]}"))
        for n, row in enumerate(REFUSED)
    ],
)
async def test_the_schema_refuses_what_the_references_refuses(ray: Wire, kind: str, spec: Json, fragment: str) -> None:
    """422, naming the field."""
    body = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}

    answer = await ray.post(ray.path(f"{kind.lower()}s.ray.io"), body)

    assert answer.code == 422
    assert fragment in answer.message


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        (
            RayCluster,
            {
                **head(rayStartParams=None),
                "workerGroupSpecs": [a_group(replicas=None), a_group(idleTimeoutSeconds=None)],
            },
        ),
        (RayCluster, {**head(), "networkPolicy": {}, "gcsFaultToleranceOptions": {"storage": {}}, "authOptions": {}}),
        (RayJob, {"rayClusterSpec": {**head(), "workerGroupSpecs": [a_group()]}, "backoffLimit": None}),
        (
            RayService,
            {
                "rayClusterConfig": head(),
                "upgradeStrategy": {"clusterUpgradeOptions": {**INCREMENTAL, "stepSizePercent": 1}},
            },
        ),
        (RayCronJob, {"schedule": "@daily", "jobTemplate": {"entrypoint": "x"}}),
    ],
)
async def test_as_stored_says_what_the_server_stores(ray: Wire, model: type[ApiObject], spec: Json) -> None:
    """Offline judgement sees the object that the operator would see."""
    kind = model.__name__
    body = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}

    stored = (await ray.post(ray.path(f"{kind.lower()}s.ray.io"), body, fieldValidation="Strict")).ok(201)

    assert stored["spec"] == as_stored(model, body)["spec"]


@pytest.mark.spec("raycluster:E17")
async def test_managed_by_and_backend_may_come_and_go_but_not_change(ray: Wire) -> None:
    """Transition rules see only what is there before and after."""
    path = ray.path("rayclusters.ray.io", "c")
    (await ray.post(ray.path("rayclusters.ray.io"), a_cluster())).ok(201)

    def spec(managed_by: str | None, backend: str | None) -> Json:
        return {"spec": {"managedBy": managed_by, "gcsFaultToleranceOptions": {"backend": backend}}}

    added = await ray.patch(path, spec("ray.io/kuberay-operator", "redis"))
    changed = await ray.patch(path, spec("kueue.x-k8s.io/multikueue", "rocksdb"))
    removed = await ray.patch(path, spec(None, None))
    other = await ray.patch(path, spec("kueue.x-k8s.io/multikueue", "rocksdb"))

    assert added.code == removed.code == other.code == 200
    assert changed.code == 422
    assert "the managedBy field is immutable" in changed.message
    assert "gcsFaultToleranceOptions.backend is immutable" in changed.message


@pytest.mark.spec("admission:S13", "admission:S14")
async def test_a_jobs_defaults_are_stored_and_its_status_is_apart(ray: Wire) -> None:
    """What is only a default of the operator's stays out of the object."""
    rules = [{"policy": "DeleteSelf", "condition": {"jobStatus": "FAILED"}}]
    body = {**a_job(deletionStrategy={"deletionRules": rules}), "status": {"jobId": "mine"}}

    made = (await ray.post(ray.path("rayjobs.ray.io"), body)).ok(201)
    written = (await ray.patch(ray.path("rayjobs.ray.io", "j/status"), {"status": {"jobId": "ours"}})).ok()

    assert made["spec"] == {
        "backoffLimit": 0,
        "deletionStrategy": {
            "deletionRules": [{"policy": "DeleteSelf", "condition": {"jobStatus": "FAILED", "ttlSeconds": 0}}]
        },
        "submissionMode": "K8sJobMode",
        "ttlSecondsAfterFinished": 0,
    }
    assert "status" not in made
    assert written["status"] == {"jobId": "ours", "succeeded": 0, "failed": 0}
    assert written["metadata"]["generation"] == made["metadata"]["generation"]


@pytest.mark.spec("admission:S20")
async def test_v1alpha1_is_served_with_a_warning_and_asks_for_more(ray: Wire) -> None:
    """What was written there is read as v1."""
    body = deepcopy(a_cluster())
    body["apiVersion"] = "ray.io/v1alpha1"
    del body["spec"]["workerGroupSpecs"]
    collection = ray.path("rayclusters.ray.io", version="v1alpha1")

    refused = await ray.post(collection, body)
    body["spec"]["headGroupSpec"]["rayStartParams"] = {}
    made = await ray.post(collection, body)
    read = await ray.get(ray.path("rayclusters.ray.io", "c"))

    assert refused.code == 422
    assert "spec.headGroupSpec.rayStartParams: Required value" in refused.message
    assert made.ok(201)["apiVersion"] == "ray.io/v1alpha1"
    assert any("ray.io/v1alpha1 RayCluster is deprecated; use ray.io/v1 RayCluster." in one for one in made.warnings)
    assert read.ok()["apiVersion"] == "ray.io/v1"


@pytest.mark.spec("admission:S17")
async def test_a_condition_must_be_complete(ray: Wire) -> None:
    """The standard schema of conditions."""
    (await ray.post(ray.path("rayclusters.ray.io"), a_cluster())).ok(201)
    condition = {"type": "X", "status": "True", "reason": "Fine", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    path = ray.path("rayclusters.ray.io", "c/status")

    incomplete = await ray.patch(path, {"status": {"conditions": [condition]}})
    odd = await ray.patch(path, {"status": {"conditions": [{**condition, "message": "", "status": "Maybe"}]}})
    complete = await ray.patch(path, {"status": {"conditions": [{**condition, "message": ""}]}})

    assert incomplete.code == odd.code == 422
    assert "status.conditions[0].message: Required value" in incomplete.message
    assert 'status.conditions[0].status: Unsupported value: "Maybe"' in odd.message
    assert complete.ok()["status"]["conditions"] == [{**condition, "message": ""}]


@pytest.mark.spec("admission:S17")
@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"reason": None}, "reason: Required value"),
        ({"reason": ""}, "reason: Invalid value"),
        ({"reason": "not one word"}, "reason: Invalid value"),
        ({"reason": "R" * 1025}, "reason: Too long"),
        ({"message": "m" * 32769}, "message: Too long"),
        ({"lastTransitionTime": None}, "lastTransitionTime: Required value"),
        ({"type": "T" * 317}, "type: Too long"),
        ({"observedGeneration": -1}, "observedGeneration: Invalid value"),
    ],
)
async def test_each_field_of_a_condition_has_its_bounds(ray: Wire, change: Json, where: str) -> None:
    """As in every kind of Kubernetes' own."""
    (await ray.post(ray.path("rayclusters.ray.io"), a_cluster())).ok(201)
    good = {
        "type": "X",
        "status": "True",
        "reason": "Fine",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    whole: Json = good | change
    condition = {name: value for name, value in whole.items() if value is not None}

    answer = await ray.patch(ray.path("rayclusters.ray.io", "c/status"), {"status": {"conditions": [condition]}})

    assert answer.code == 422
    assert f"status.conditions[0].{where}" in answer.message


async def test_explain_says_what_a_field_means(ray: Wire) -> None:
    """Our own words, from the models."""
    said = (await ray.kubectl("explain", "rayjob.spec.preRunningDeadlineSeconds")).ok()

    assert "Longest time the job may take to reach Running, in seconds" in " ".join(said.split())


async def test_get_prints_the_references_columns(ray: Wire) -> None:
    """In their order; wide ones only when asked."""
    (await ray.post(ray.path("rayclusters.ray.io"), a_cluster())).ok(201)

    plain = (await ray.kubectl("get", "rayclusters")).ok().splitlines()[0]
    wide = (await ray.kubectl("get", "rayclusters", "-o", "wide")).ok().splitlines()[0]

    assert plain.split("  ")[0] == "NAME"
    assert [one.strip() for one in plain.split("  ") if one.strip()] == [
        *("NAME", "DESIRED WORKERS", "AVAILABLE WORKERS", "CPUS", "MEMORY", "GPUS", "STATUS", "AGE"),
    ]
    assert "TPUS" in wide
    assert "HEAD SERVICE IP" in wide
