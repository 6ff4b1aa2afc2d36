"""Models read what the schema accepts, refuse what it refuses, and lose nothing on the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from api.crd import CoreSchemas, schema
from api.v1.common import ApiModel, ApiObject, Malformed, camel
from api.v1.definitions import DEFINITIONS
from api.v1.raycluster import HeadInfo, RayCluster, RayClusterSpec, RayClusterStatus, WorkerGroupSpec
from api.v1.rayjob import JobDeploymentStatus, RayJob, RayJobInfo, RayJobStatus
from api.v1.rayservice import RayService, RayServiceStatuses

CORE = CoreSchemas(
    json.loads((Path(__file__).parents[4] / "hack" / "core_schema.json").read_text())["schemas"],
)
TEXT = st.text("abcXYZ-0.", max_size=6)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
MOST_OPTIONAL = 3  # fields of one object, or examples of whole pod templates would never end


def instances(node: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a structural schema accepts, with unknown fields among them."""
    values = _instances(node)
    return st.none() | values if node.get("nullable") else values


def _instances(node: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in node:
        return st.sampled_from(node["enum"])
    match node.get("type"):
        case "string":
            return st.text("abc", min_size=node.get("minLength", 0), max_size=5)
        case "integer":
            return st.integers(node.get("minimum", -3), 2**31 - 1)
        case "number":
            return st.integers(-3, 3) | st.floats(-3, 3)
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(instances(node["items"]), min_size=node.get("minItems", 0), max_size=2)
        case "object" if "properties" in node:
            return objects(node)
        case "object":
            return st.dictionaries(
                TEXT,
                instances(node["additionalProperties"]) if "additionalProperties" in node else ANYTHING,
                max_size=2,
            )
    return st.integers(-3, 3) | st.sampled_from(["500m", "2Gi"])


@st.composite
def objects(draw: st.DrawFn, node: dict[str, Any]) -> dict[str, Any]:
    properties = node["properties"]
    optional = sorted(set(properties) - set(node.get("required", ())))
    chosen = draw(st.lists(st.sampled_from(optional), unique=True, max_size=MOST_OPTIONAL)) if optional else []
    unknown = draw(st.dictionaries(st.sampled_from(["ray_version", "newIn2030"]), ANYTHING, max_size=1))
    known = {name: draw(instances(properties[name])) for name in (*node.get("required", ()), *chosen)}
    return {**known, **{key: value for key, value in unknown.items() if value is not None}}


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: one.resource.kind)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(data=st.data())
def test_what_the_schema_accepts_survives_reading_and_writing(definition: Any, data: st.DataObject) -> None:
    """Unknown fields, too: a newer version's object passes through unharmed."""
    body = data.draw(instances(schema(definition.model, CORE)))

    assert definition.model.from_json(body).to_json() == body


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: one.resource.kind)
def test_an_object_without_spec_and_status_can_be_read(definition: Any) -> None:
    """The schema requires neither."""
    empty = definition.model.from_json({"metadata": {"name": "x"}})

    assert empty.spec is None
    assert empty.name == "x"
    assert empty.to_json() == {"metadata": {"name": "x"}}


def group(**fields: Any) -> dict[str, Any]:
    return {"groupName": "g", "template": {}, **fields}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"replicas": "3"}, "replicas"),
        ({"replicas": True}, "replicas"),
        ({"replicas": 1.5}, "replicas"),
        ({"suspend": "true"}, "suspend"),
        ({"suspend": 1}, "suspend"),
        ({"groupName": 7}, "groupName"),
        ({"labels": {"a": 1}}, "labels.a"),
        ({"template": []}, "template"),
        ({"scaleStrategy": {"workersToDelete": "a"}}, "scaleStrategy.workersToDelete"),
    ],
)
def test_reading_is_as_strict_as_json(fields: dict[str, Any], reason: str) -> None:
    """The error names the field as the wire does."""
    body = {"spec": {"headGroupSpec": {"template": {}}, "workerGroupSpecs": [group(), group(**fields)]}}

    with pytest.raises(Malformed) as refused:
        RayCluster.from_json(body)

    assert refused.value.path == f"spec.workerGroupSpecs[1].{reason}"


def test_a_number_without_a_fraction_is_an_integer() -> None:
    """JSON knows one kind of number."""
    read = WorkerGroupSpec.from_json(group(replicas=3.0))

    assert read.replicas == 3
    assert type(read.replicas) is int


def test_a_null_is_an_absence() -> None:
    """As in the API server, a default takes its place."""
    read = WorkerGroupSpec.from_json(group(replicas=None, rayStartParams=None, idleTimeoutSeconds=None))

    assert (read.replicas, read.ray_start_params, read.idle_timeout_seconds) == (0, {}, None)


def test_the_one_nullable_field_keeps_its_null() -> None:
    """lastUpdateTime of the RayCluster status."""
    body = {"lastUpdateTime": None}

    assert RayClusterStatus.from_json(body).to_json() == body


@pytest.mark.parametrize("missing", ["groupName", "template"])
def test_what_the_schema_requires_must_be_there(missing: str) -> None:
    """Bounds are required as well, but have defaults."""
    with pytest.raises(Malformed, match=missing):
        WorkerGroupSpec.from_json({key: value for key, value in group().items() if key != missing})


def test_absent_fields_have_the_schemas_defaults() -> None:
    """Spec raycluster §1.4."""
    read = WorkerGroupSpec.from_json(group())

    assert (read.replicas, read.min_replicas, read.max_replicas) == (0, 0, 2147483647)
    assert (read.num_of_hosts, read.priority, read.suspend) == (1, 0, None)


def test_models_cannot_be_changed() -> None:
    """They are shared between passes."""
    with pytest.raises(ValidationError):
        HeadInfo().pod_ip = "10.0.0.1"


def test_python_names_are_no_wire_names() -> None:
    """`ray_version` in YAML is an unknown field, not a second spelling."""
    read = RayClusterSpec.from_json({"headGroupSpec": {"template": {}}, "ray_version": "2.52.0"})

    assert read.ray_version == ""
    assert read.to_json() == {"headGroupSpec": {"template": {}}, "ray_version": "2.52.0"}


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("dashboard_url", "dashboardURL"),
        ("desired_cpu", "desiredCPU"),
        ("enable_k8s_token_auth", "enableK8sTokenAuth"),
        ("entrypoint_num_cpus", "entrypointNumCpus"),
        ("pod_ip", "podIP"),
        ("runtime_env_yaml", "runtimeEnvYAML"),
        ("serve_config_v2", "serveConfigV2"),
        ("state", "state"),
    ],
)
def test_names_are_spelled_as_on_the_wire(name: str, wire: str) -> None:
    """Initialisms are the exceptions."""
    assert camel(name) == wire


def test_a_new_status_is_written_with_quantities_and_an_empty_head_only() -> None:
    """Zeros and empty things stay off the wire (spec raycluster §1.7)."""
    assert RayClusterStatus().to_wire() == {
        "desiredCPU": "0",
        "desiredMemory": "0",
        "desiredGPU": "0",
        "desiredTPU": "0",
        "head": {},
    }


def test_a_status_is_written_without_what_is_empty_in_it() -> None:
    """Nested statuses follow the same rule."""
    cluster = RayClusterStatus(state="ready", ready_worker_replicas=2, head=HeadInfo(pod_ip="10.0.0.1"), endpoints={})
    job = RayJobStatus(
        job_deployment_status=JobDeploymentStatus.RUNNING,
        ray_cluster_status=cluster,
        ray_job_info=RayJobInfo(start_time="2026-01-01T00:00:00Z"),
    )

    assert job.to_wire() == {
        "jobDeploymentStatus": "Running",
        "rayClusterStatus": {
            "desiredCPU": "0",
            "desiredMemory": "0",
            "desiredGPU": "0",
            "desiredTPU": "0",
            "head": {"podIP": "10.0.0.1"},
            "readyWorkerReplicas": 2,
            "state": "ready",
        },
        "rayJobInfo": {"startTime": "2026-01-01T00:00:00Z"},
    }


def test_a_written_status_keeps_what_a_newer_version_added() -> None:
    """Unknown fields travel on."""
    assert RayClusterStatus.from_json({"newIn2030": {"a": 0}}).to_wire()["newIn2030"] == {"a": 0}


def test_both_clusters_of_a_service_are_always_written() -> None:
    """Spec rayservice §3: presence of the objects means nothing."""
    written = RayServiceStatuses().to_wire()

    assert set(written) == {"activeServiceStatus", "pendingServiceStatus"}
    assert written["activeServiceStatus"] == {"rayClusterStatus": RayClusterStatus().to_wire()}


def fields_without_description(model: type[ApiModel]) -> list[str]:
    return [name for name, info in model.model_fields.items() if not info.description and name != "metadata"]


@pytest.mark.parametrize("model", [RayCluster, RayJob, RayService, *ApiModel.__subclasses__()])
def test_each_field_says_what_it_means(model: type[ApiModel]) -> None:
    """`kubectl explain` has nothing else to show."""
    assert fields_without_description(model) == []


def test_metadata_is_read_through_properties() -> None:
    """And may be missing."""
    named = RayJob.from_json(
        {
            "metadata": {
                "name": "a",
                "namespace": "b",
                "uid": "c",
                "generation": 4,
                "labels": None,
                "annotations": {"x": "y"},
            }
        }
    )
    bare: ApiObject = RayJob()

    assert (named.name, named.namespace, named.uid, named.generation) == ("a", "b", "c", 4)
    assert (named.labels, named.annotations) == ({}, {"x": "y"})
    assert (bare.name, bare.namespace, bare.uid, bare.generation) == ("", "", "", 0)
