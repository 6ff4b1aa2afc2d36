"""Answers of the webhooks: their shapes, how much is told, and what steps after one another make of an object."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.meta import Json
from api.v1.rules.judging import Verdict
from api.v1.rules.model import Finding, Severity
from localcluster.apiserver.patch import json_patch
from webhooks.review import Outcome, Request, Step, answered, outcome_of, refused


def a_request(**changes: Any) -> Json:
    request: Json = {
        "uid": "u",
        "kind": {"group": "ray.io", "version": "v1", "kind": "RayCluster"},
        "requestKind": {"group": "ray.io", "version": "v1alpha1", "kind": "RayCluster"},
        "name": "demo",
        "namespace": "ns",
        "operation": "CREATE",
        "userInfo": {"username": "jane"},
        "object": {"kind": "RayCluster", "metadata": {"name": "demo"}, "spec": {"n": 1}},
        "oldObject": None,
        "dryRun": False,
    }
    return request | changes


def a_finding(rule: str = "RV02", path: str = "spec.rayVersion", **more: Any) -> Finding:
    known: Json = {"severity": Severity.DENY, "message": "does not match the image"} | more
    return Finding(rule, path=path, **known)


def saying(*outcomes: Outcome) -> list[Step]:
    return [lambda _request, one=outcome: one for outcome in outcomes]  # type: ignore[misc]


def about(verdict: Verdict, **changes: Any) -> Json:
    return answered([lambda request: outcome_of(request, verdict)], a_request(**changes))


def applied(response: Json, to: Any) -> Any:
    return json_patch(to, json.loads(base64.b64decode(response["patch"])))


@pytest.mark.spec("runtime:WH-3", "admission:P2")
def test_field_errors_are_a_422_with_a_cause_for_each_and_the_message_names_them_all() -> None:
    """The API server hands reason, details and code on; kubectl shows the causes, one a line."""
    verdict = Verdict(
        [
            a_finding(value="2.9.0", hint="set it to 2.52.0"),
            a_finding("RP01", "spec.workerGroupSpecs[0].maxReplicas", value=1, message="is below minReplicas"),
        ]
    )

    response = about(verdict)

    version = 'Invalid value: "2.9.0": does not match the image [RV02]; set it to 2.52.0'
    replicas = "Invalid value: 1: is below minReplicas [RP01]"
    assert response == {
        "allowed": False,
        "auditAnnotations": {"rules": "RV02 RP01"},
        "status": {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "code": 422,
            "reason": "Invalid",
            "message": 'RayCluster.ray.io "demo" is invalid: '
            f"[spec.rayVersion: {version}, spec.workerGroupSpecs[0].maxReplicas: {replicas}]",
            "details": {
                "name": "demo",
                "group": "ray.io",
                "kind": "RayCluster",
                "causes": [
                    {"reason": "FieldValueInvalid", "message": version, "field": "spec.rayVersion"},
                    {
                        "reason": "FieldValueInvalid",
                        "message": replicas,
                        "field": "spec.workerGroupSpecs[0].maxReplicas",
                    },
                ],
            },
        },
    }


def test_one_fault_is_told_without_brackets_and_an_object_without_a_name_by_its_beginning() -> None:
    unnamed = {"metadata": {"generateName": "train-"}}

    response = about(Verdict([a_finding()]), name="", object=unnamed)

    assert response["status"]["message"] == (
        'RayCluster.ray.io "train-" is invalid: spec.rayVersion: does not match the image [RV02]'
    )


@pytest.mark.spec("runtime:WH-3")
def test_a_refusal_without_a_field_is_a_403() -> None:
    status = about(Verdict([a_finding(path="")]))["status"]

    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert status["message"] == "does not match the image [RV02]"


def test_a_refusal_of_very_much_is_bounded() -> None:
    """Causes and message: an answer has to fit into what the API server takes."""
    many = [a_finding(path=f"spec.a[{number}]", value="x" * 10_000) for number in range(1000)]

    status = about(Verdict(many))["status"]

    assert len(status["details"]["causes"]) == 100
    assert all(len(cause["message"]) < 200 for cause in status["details"]["causes"])
    assert len(status["message"]) <= 8192
    assert status["message"].endswith("...")


@pytest.mark.spec("admission:P5", "runtime:WH-3")
@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(st.lists(st.text(max_size=400), max_size=14))
def test_warnings_are_few_short_and_printable(texts: list[str]) -> None:
    told = answered(saying(Outcome(warnings=texts)), a_request()).get("warnings", [])

    assert len(told) <= 11
    assert all(len(line) <= 256 and line.isascii() and line.isprintable() for line in told)
    assert sum(map(len, told)) <= 4096


@pytest.mark.spec("admission:P5")
def test_more_than_ten_warnings_are_counted() -> None:
    told = answered(saying(Outcome(warnings=[f"w{n}" for n in range(13)] + ["w1"])), a_request())["warnings"]

    assert told[:2] == ["w0", "w1"]
    assert told[10:] == ["...and 3 more"]


def test_a_warning_has_its_hint_where_there_is_room_for_it() -> None:
    short = a_finding(severity=Severity.WARN, hint="set it")
    long = a_finding(severity=Severity.WARN, path="spec.x", hint="y" * 250)

    told = about(Verdict(warnings=[short, long]))["warnings"]

    assert told == [
        "spec.rayVersion: does not match the image [RV02]; set it",
        "spec.x: does not match the image [RV02]",
    ]


@pytest.mark.spec("admission:P4")
def test_what_an_annotation_silenced_is_a_warning() -> None:
    told = about(Verdict(skipped=["GPU05", "RV02"]))["warnings"]

    assert told == ["not held to GPU05, RV02: metadata.annotations[ray.io/admission-skip] says so"]


@pytest.mark.spec("runtime:WH-4")
def test_a_change_is_a_patch_in_base64_and_no_change_is_none() -> None:
    changed = {"kind": "RayCluster", "metadata": {"name": "demo"}, "spec": {"n": 1, "params": {}}}
    raw = a_request()["object"]

    response = answered(saying(Outcome(object=changed)), a_request())

    assert response["patchType"] == "JSONPatch"
    assert applied(response, raw) == changed
    assert answered(saying(Outcome(object=dict(raw))), a_request()) == {"allowed": True}
    assert answered(saying(Outcome()), a_request()) == {"allowed": True}


@pytest.mark.spec("runtime:WH-4")
def test_a_field_that_our_side_drops_is_not_taken_away() -> None:
    """Else an older operator would delete what a newer client wrote."""
    response = answered(saying(Outcome(object={"spec": {"n": 2}})), a_request())

    assert applied(response, a_request()["object"]) == {
        "kind": "RayCluster",
        "metadata": {"name": "demo"},
        "spec": {"n": 2},
    }


@pytest.mark.spec("runtime:WH-8")
def test_steps_see_what_those_before_them_made_and_their_changes_are_one_patch() -> None:
    def add(field: str) -> Step:
        def step(request: Request) -> Outcome:
            assert request.object is not None
            spec = dict(request.object["spec"])
            return Outcome(object={**request.object, "spec": spec | {field: len(spec)}}, warnings=[f"added {field}"])

        return step

    response = answered([add("a"), add("b")], a_request())

    assert applied(response, a_request()["object"])["spec"] == {"n": 1, "a": 1, "b": 2}
    assert response["warnings"] == ["added a", "added b"]


@pytest.mark.spec("runtime:WH-8")
def test_the_first_refusal_ends_it_and_earlier_warnings_are_told() -> None:
    def never(_request: Request) -> Outcome:
        raise AssertionError("asked after a refusal")

    first, second = Outcome(warnings=["w"]), Outcome(refused(403, "Forbidden", "no"), warnings=["v"])
    response = answered([*saying(first, second), never], a_request())

    assert response["allowed"] is False
    assert response["warnings"] == ["w", "v"]
    assert response["status"]["message"] == "no"


@pytest.mark.spec("runtime:WH-7")
def test_what_is_asked_is_read_from_any_json() -> None:
    request = Request.read(a_request(oldObject={"spec": {}}, operation="UPDATE", subResource="status", dryRun=True))

    assert (request.group, request.kind, request.requested_version) == ("ray.io", "RayCluster", "v1alpha1")
    assert (request.namespace, request.name, request.user) == ("ns", "demo", "jane")
    assert request.old_object == {"spec": {}}
    assert request.dry_run
    assert not request.writes  # a subresource
    assert Request.read(a_request()).writes
    for hostile in ({}, {"kind": 3, "object": [], "userInfo": "x", "oldObject": 1, "dryRun": "yes"}):
        assert Request.read(hostile) == Request()
