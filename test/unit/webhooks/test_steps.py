"""What the webhooks of our kinds do with a request: judge it, fill it in, or leave it alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from api.meta import Json
from api.v1.admission_defaults import defaulted
from api.v1.rules.model import Context
from api.v1.rules.settings import AdmissionSettings
from api.v1.rules.typed import child
from localcluster.apiserver.patch import json_patch
from webhooks.kinds import DOORS, Door
from webhooks.server import hooks
from webhooks.steps import Defaulting, FindCluster, no_cluster

GATES = {"RayClusterStatusConditions": True}


def with_start_params(kind: str, new: Mapping[str, Any], old: Any, context: Context) -> Mapping[str, Any]:
    """Defaulting as far as these tests need it: D02 for the head of a RayCluster."""
    head = child(new, "spec", "headGroupSpec")
    if kind != "RayCluster" or not head or "rayStartParams" in head:
        return new
    return {**new, "spec": {**new["spec"], "headGroupSpec": {**head, "rayStartParams": {}}}}


class Asked:
    def __init__(self, defaulting: Defaulting = with_start_params, **admission: Any) -> None:
        self.registry = CollectorRegistry()
        context = Context(GATES, admission=AdmissionSettings(**admission))
        self.hooks = hooks(context, defaulting, self.registry)

    def validate(self, request: Json) -> Json:
        return self.hooks["/validate-ray-io-v1-raycluster"](request)

    def mutate(self, request: Json) -> Json:
        return self.hooks["/mutate-ray-io-v1-raycluster"](request)


def a_cluster(name: str = "demo", **changes: Any) -> Json:
    resources = {"cpu": "1", "memory": "4Gi"}
    container = {"name": "ray", "image": "rayproject/ray:2.52.0-py311-cpu"}
    pod = {"spec": {"containers": [container | {"resources": {"limits": resources, "requests": resources}}]}}
    spec: Json = {"rayVersion": "2.52.0", "headGroupSpec": {"rayStartParams": {}, "template": pod}}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": name} | changes, "spec": spec}


def a_request(new: Json | None, old: Json | None = None, **changes: Any) -> Json:
    request: Json = {
        "uid": "u",
        "kind": {"group": "ray.io", "version": "v1", "kind": "RayCluster"},
        "name": "demo",
        "operation": "CREATE" if old is None else "UPDATE",
        "userInfo": {"username": "jane"},
        "object": new,
        "oldObject": old,
    }
    return request | changes


# Words that rules look for
NAMES = (
    *(
        "headGroupSpec",
        "workerGroupSpecs",
        "template",
        "spec",
        "containers",
        "rayVersion",
        "replicas",
        "rayStartParams",
    ),
    *("rayClusterSpec", "rayClusterConfig", "jobTemplate", "clusterSelector", "autoscalerOptions", "groupName"),
)
BAD = a_cluster(name="9demo.")


@pytest.mark.spec("runtime:WH-1")
def test_each_kind_has_two_paths_and_those_of_the_reference_are_kept() -> None:
    assert set(Asked().hooks) == {
        f"/{verb}-ray-io-v1-{kind}"
        for verb in ("validate", "mutate")
        for kind in ("raycluster", "rayjob", "rayservice", "raycronjob")
    }
    assert [door.validating_name for door in DOORS] == [
        "vraycluster.kb.io",
        "vrayjob.kb.io",
        "vrayservice.kb.io",
        "vraycronjob.kb.io",
    ]
    assert DOORS[0].mutating_name == "mraydefault-raycluster.ray.io"


@pytest.mark.spec("runtime:WH-3")
def test_a_bad_name_is_refused_with_its_field_and_counted() -> None:
    it = Asked()

    response = it.validate(a_request(BAD))

    assert response["allowed"] is False
    assert response["status"]["code"] == 422
    assert {cause["field"] for cause in response["status"]["details"]["causes"]} == {"metadata.name"}
    found = [sample for family in it.registry.collect() for sample in family.samples if sample.value == 1]
    assert {"kuberay_admission_findings_total"} <= {sample.name for sample in found}
    assert found[0].labels["kind"] == "RayCluster"


def test_a_good_object_is_let_in_without_a_word() -> None:
    assert Asked().validate(a_request(a_cluster())) == {"allowed": True}


@pytest.mark.spec("runtime:WH-7")
@pytest.mark.parametrize(
    "request_",
    [
        a_request(None, BAD, operation="DELETE"),
        a_request(BAD, operation="CONNECT"),
        a_request(BAD, subResource="status"),
        a_request(BAD, BAD),  # the name was bad before
        a_request(a_cluster(name="9demo.", deletionTimestamp="2026-01-01T00:00:00Z"), BAD),
    ],
    ids=["delete", "connect", "subresource", "untouched", "in deletion"],
)
def test_what_is_not_ours_to_judge_or_was_bad_before_is_let_through(request_: Json) -> None:
    assert Asked().validate(request_)["allowed"] is True


@pytest.mark.spec("admission:P8")
def test_who_is_trusted_is_not_asked() -> None:
    us = "system:serviceaccount:ray-system:kuberay-operator"

    assert Asked(trusted_users=(us,)).validate(a_request(BAD, userInfo={"username": us})) == {"allowed": True}


@pytest.mark.parametrize("kind", [{"group": "ray.io", "kind": "RayJob"}, {"group": "apps", "kind": "RayCluster"}, {}])
def test_another_kind_on_this_path_is_a_configuration_that_is_not_ours(kind: Json) -> None:
    for answer in (Asked().validate, Asked().mutate):
        response = answer(a_request(a_cluster(), kind=kind))

        assert response["status"]["code"] == 400
        assert "this path is for RayCluster.ray.io" in response["status"]["message"]


@pytest.mark.spec("runtime:WH-4", "runtime:WH-5")
def test_defaults_are_filled_in_by_a_patch_and_a_second_time_there_is_none() -> None:
    raw = a_cluster()
    del raw["spec"]["headGroupSpec"]["rayStartParams"]

    response = Asked().mutate(a_request(raw))

    patched = json_patch(raw, json.loads(base64.b64decode(response["patch"])))
    assert patched == a_cluster()
    assert Asked().mutate(a_request(patched)) == {"allowed": True}


@pytest.mark.spec("runtime:WH-5")
def test_nothing_is_filled_in_on_deletion_or_in_an_object_that_goes() -> None:
    going = a_cluster(deletionTimestamp="2026-01-01T00:00:00Z")
    del going["spec"]["headGroupSpec"]["rayStartParams"]

    assert Asked().mutate(a_request(going, going)) == {"allowed": True}
    assert Asked().mutate(a_request(None, going, operation="DELETE")) == {"allowed": True}


@pytest.mark.spec("runtime:WH-6")
def test_a_dry_run_is_answered_like_any_other_request() -> None:
    raw = a_cluster()
    del raw["spec"]["headGroupSpec"]["rayStartParams"]

    for request in (a_request(raw), a_request(BAD)):
        for answer in (Asked().mutate, Asked().validate):
            assert answer(request | {"dryRun": True}) == answer(request | {"dryRun": False})


def test_an_object_that_does_not_name_its_kind_is_judged_by_the_path() -> None:
    bare = a_cluster()
    del bare["kind"]
    del bare["spec"]["headGroupSpec"]["rayStartParams"]

    response = Asked().mutate(a_request(bare))

    patch = json.loads(base64.b64decode(response["patch"]))
    assert [one["path"] for one in patch] == ["/spec/headGroupSpec/rayStartParams"]


@pytest.mark.spec("admission:P9")
def test_a_job_s_submitter_is_held_against_the_cluster_that_it_selects_where_that_is_cached() -> None:
    submitter = {"spec": {"containers": [{"name": "submit", "image": "rayproject/ray:2.40.0-py311-cpu"}]}}
    spec = {"clusterSelector": {"ray.io/cluster": "there"}, "entrypoint": "true", "submitterPodTemplate": submitter}
    job = {"kind": "RayJob", "metadata": {"name": "job"}, "spec": spec}
    request = a_request(job, namespace="ns", kind={"group": "ray.io", "version": "v1", "kind": "RayJob"})

    def asked_with(find: FindCluster) -> str:
        hook = hooks(Context(GATES), with_start_params, CollectorRegistry(), find)["/validate-ray-io-v1-rayjob"]
        return " ".join(hook(request).get("warnings", ()))

    assert "[RV11]" in asked_with(lambda namespace, name: a_cluster() if (namespace, name) == ("ns", "there") else None)
    assert "[RV11]" not in asked_with(no_cluster)


@pytest.mark.spec("runtime:WH-5", "admission:P11")
@pytest.mark.parametrize("kind", [door.resource.kind for door in DOORS])
def test_the_operator_s_own_defaults_are_a_patch_that_a_second_call_does_not_repeat(kind: str) -> None:
    """The API server calls again when another webhook changed the object."""
    (door,) = [one for one in DOORS if one.resource.kind == kind]
    cluster = a_cluster()["spec"]
    del cluster["rayVersion"], cluster["headGroupSpec"]["rayStartParams"]
    job = {"entrypoint": "true", "rayClusterSpec": cluster}
    specs = {
        "RayCluster": cluster,
        "RayJob": job,
        "RayService": {"rayClusterConfig": cluster},
        "RayCronJob": {"schedule": "@daily", "jobTemplate": job},
    }
    raw = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "demo"}, "spec": specs[kind]}
    hook = hooks(Context(GATES), defaulted, CollectorRegistry())[door.mutating_path]
    group = {"group": "ray.io", "version": "v1", "kind": kind}

    response = hook(a_request(raw, kind=group))

    patched = json_patch(raw, json.loads(base64.b64decode(response["patch"])))
    assert '"rayVersion": "2.52.0"' in json.dumps(patched)
    assert '"rayStartParams": {}' in json.dumps(patched)
    assert hook(a_request(patched, kind=group)) == {"allowed": True}
    assert hook(a_request(patched, patched, kind=group)) == {"allowed": True}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.spec("runtime:WH-15")
@settings(derandomize=True, database=None, deadline=None, max_examples=100)
@given(st.sampled_from(DOORS), st.sampled_from(["CREATE", "UPDATE", "DELETE"]), JSON, JSON)
def test_no_json_makes_a_hook_fail(door: Door, operation: str, spec: Any, old: Any) -> None:
    """The mutating ones see objects that no schema has."""
    found = Asked(defaulted).hooks
    kind = {"group": "ray.io", "kind": door.resource.kind}
    objects = [{"kind": door.resource.kind, "metadata": {"name": "a"}, "spec": spec}, spec]

    for path in (door.validating_path, door.mutating_path):
        for object_ in objects:
            response = found[path]({"operation": operation, "kind": kind, "object": object_, "oldObject": old})
            assert response["allowed"] in (True, False)
