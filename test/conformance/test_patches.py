"""JSON and merge patches: spec kube-api §9. Strategic merge and server-side apply come later."""

from __future__ import annotations

import json
from typing import Literal

import pytest

from localcluster.testing.wire import Json, Wire

REFUSED = "the server rejected our request due to an error in our request"


async def config_map(cluster: Wire, **data: str) -> Json:
    body = {"metadata": {"name": "c1"}, "data": data}
    return (await cluster.post(cluster.path("configmaps"), body)).ok(201)


def widget(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "test.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 2, **spec},
    }


@pytest.mark.spec("kube-api:PATCH-1")
async def test_strategic_patches_are_not_for_custom_resources(cluster: Wire, widgets: str) -> None:
    """kubectl falls back on this very answer."""
    (await cluster.post(widgets, widget("w1"))).ok(201)

    answer = await cluster.patch(f"{widgets}/w1", {}, "strategic")

    assert answer.ok(415)["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )


@pytest.mark.spec("kube-api:PATCH-2")
async def test_a_patch_needs_an_object_and_answers_it_whole(cluster: Wire) -> None:
    """404 for an absent one; the type was looked at before."""
    await config_map(cluster, a="1")

    answer = await cluster.patch(cluster.path("configmaps", "c1"), {"data": {"b": "2"}})
    absent = await cluster.patch(cluster.path("configmaps", "nope"), {"data": {"b": "2"}})

    assert answer.ok()["data"] == {"a": "1", "b": "2"}
    assert absent.ok(404)["message"] == 'configmaps "nope" not found'


@pytest.mark.spec("kube-api:PATCH-2")
async def test_force_is_for_apply_only(cluster: Wire) -> None:
    """422 of the options."""
    await config_map(cluster)

    answer = await cluster.patch(cluster.path("configmaps", "c1"), {}, force="true")

    assert answer.ok(422)["message"] == (
        'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch'
    )


@pytest.mark.spec("kube-api:PATCH-2")
async def test_a_dry_run_of_a_patch_shows_what_would_be(cluster: Wire) -> None:
    """Under the version that is."""
    made = await config_map(cluster, a="1")

    answer = (await cluster.patch(cluster.path("configmaps", "c1"), {"data": {"a": "2"}}, dryRun="All")).ok()

    assert answer["data"] == {"a": "2"}
    assert answer["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert (await cluster.get(cluster.path("configmaps", "c1"))).ok() == made


@pytest.mark.spec("kube-api:PATCH-3")
@pytest.mark.parametrize("kind", ["merge", "json"])
async def test_a_version_in_a_patch_is_a_precondition(cluster: Wire, kind: Literal["merge", "json"]) -> None:
    """A stale one conflicts, the current one passes."""
    made = await config_map(cluster, a="1")
    path = cluster.path("configmaps", "c1")
    (await cluster.patch(path, {"data": {"a": "2"}})).ok()

    def patch(version: str) -> object:
        if kind == "merge":
            return {"metadata": {"resourceVersion": version}, "data": {"a": "3"}}
        return [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "replace", "path": "/data/a", "value": "3"},
        ]

    stale = await cluster.patch(path, patch(made["metadata"]["resourceVersion"]), kind)
    now = (await cluster.get(path)).ok()["metadata"]["resourceVersion"]
    current = await cluster.patch(path, patch(now), kind)

    assert stale.ok(409)["reason"] == "Conflict"
    assert "the object has been modified" in stale.message
    assert current.ok()["data"] == {"a": "3"}


@pytest.mark.spec("kube-api:PATCH-3")
async def test_a_patch_with_another_uid_or_name_is_refused(cluster: Wire) -> None:
    """422 for the uid, 400 for the name."""
    await config_map(cluster)
    path = cluster.path("configmaps", "c1")

    uid = await cluster.patch(path, {"metadata": {"uid": "another"}})
    name = await cluster.patch(path, {"metadata": {"name": "zz"}})

    assert uid.ok(422)["message"].endswith('metadata.uid: Invalid value: "another": field is immutable')
    assert name.ok(400)["message"] == "the name of the object (zz) does not match the name on the URL (c1)"


@pytest.mark.spec("kube-api:PATCH-4")
@pytest.mark.parametrize(
    ("operations", "data"),
    [
        ([], {"a": "1", "b": "2"}),
        ([{"op": "test", "path": "/data/a", "value": "1"}], {"a": "1", "b": "2"}),
        ([{"op": "add", "path": "/data/c", "value": "3"}], {"a": "1", "b": "2", "c": "3"}),
        ([{"op": "remove", "path": "/data/a"}], {"b": "2"}),
        ([{"op": "replace", "path": "/data/a", "value": "9"}], {"a": "9", "b": "2"}),
        ([{"op": "replace", "path": "/data/new", "value": "9"}], {"a": "1", "b": "2", "new": "9"}),
        ([{"op": "copy", "from": "/data/a", "path": "/data/d"}], {"a": "1", "b": "2", "d": "1"}),
        ([{"op": "move", "from": "/data/a", "path": "/data/d"}], {"b": "2", "d": "1"}),
        ([{"op": "add", "path": "/data/x~1y", "value": "3"}], {"a": "1", "b": "2", "x/y": "3"}),
    ],
)
async def test_a_json_patch_is_applied_in_order(cluster: Wire, operations: list[Json], data: Json) -> None:
    """Replacing an absent member of a map adds it."""
    await config_map(cluster, a="1", b="2")

    answer = await cluster.patch(cluster.path("configmaps", "c1"), operations, "json")

    if "x/y" in data:  # the escape was understood: the key is refused as what it says
        assert answer.code == 422
        assert 'data[x/y]: Invalid value: "x/y"' in answer.message
    else:
        assert answer.ok()["data"] == data


@pytest.mark.spec("kube-api:PATCH-4", "kube-api:TOP-11")
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/a", "value": "other"},
        {"op": "test", "path": "/data/nope", "value": "1"},
        {"op": "remove", "path": "/data/nope"},
        {"op": "add", "path": "/nope/deep/er", "value": "1"},
        {"op": "zork", "path": "/data/a"},
        {"op": "replace", "path": "/metadata/finalizers/7", "value": "a.b/c"},
    ],
)
async def test_a_json_patch_that_does_not_apply_is_422_in_bare_words(cluster: Wire, operation: Json) -> None:
    """No cause is given; nothing of the patch is applied."""
    await config_map(cluster, a="1")
    operations = [{"op": "add", "path": "/data/first", "value": "1"}, operation]

    answer = await cluster.patch(cluster.path("configmaps", "c1"), operations, "json")

    assert answer.ok(422)["message"] == REFUSED
    assert (answer.json["reason"], answer.json["details"]) == ("Invalid", {})
    assert (await cluster.get(cluster.path("configmaps", "c1"))).ok()["data"] == {"a": "1"}


@pytest.mark.spec("kube-api:PATCH-4", "kube-api:PATCH-5")
@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("json", b"{}", "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        ("json", b"[", "unexpected end of JSON input"),
        ("merge", b"", "unexpected end of JSON input"),
        ("merge", b"{", "unexpected end of JSON input"),
        ("merge", b"[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ],
)
async def test_a_patch_that_cannot_be_read_is_a_bad_request(
    cluster: Wire, kind: str, body: bytes, message: str
) -> None:
    """In the words of the decoder."""
    await config_map(cluster)

    answer = await cluster.patch(cluster.path("configmaps", "c1"), body, "json" if kind == "json" else "merge")

    assert answer.ok(400)["message"] == f"error decoding patch: {message}"


@pytest.mark.spec("kube-api:PATCH-5")
async def test_a_merge_patch_deletes_by_null_and_replaces_lists(cluster: Wire, widgets: str) -> None:
    """An empty one changes nothing; null on a defaulted field of a custom resource gives the default back."""
    path = f"{widgets}/w1"
    body = widget("w1", mode="Manual", title="abc", plain=["a", "b"], labels={"a": "1"})
    made = (await cluster.post(widgets, body)).ok(201)

    same = (await cluster.patch(path, {})).ok()
    changed = (
        await cluster.patch(path, {"spec": {"mode": None, "title": None, "plain": ["c"], "labels": {"b": "2"}}})
    ).ok()

    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert changed["spec"]["mode"] == "Auto"
    assert "title" not in changed["spec"]
    assert (changed["spec"]["plain"], changed["spec"]["labels"]) == (["c"], {"a": "1", "b": "2"})


@pytest.mark.spec("kube-api:PATCH-6")
async def test_a_result_that_does_not_decode_is_422_with_an_empty_subject(cluster: Wire, widgets: str) -> None:
    """The whole patched object is shown; an unknown field alone is a warning."""
    (await cluster.post(widgets, widget("w1"))).ok(201)

    wrong = await cluster.patch(f"{widgets}/w1", {"metadata": {"labels": {"a": 1}}})
    strict = await cluster.patch(f"{widgets}/w1", {"spec": {"unk": 1}}, fieldValidation="Strict")
    warned = await cluster.patch(f"{widgets}/w1", {"spec": {"unk": 1}})

    for answer in (wrong, strict):
        assert answer.code == 422
        assert answer.message.startswith(' "" is invalid: patch: Invalid value: "{')
        assert [(reason, field) for reason, field, _ in answer.causes] == [("FieldValueInvalid", "patch")]
    assert strict.message.endswith('strict decoding error: unknown field "spec.unk"')
    assert warned.warnings == ('299 - "unknown field \\"spec.unk\\""',)
    assert "unk" not in warned.ok()["spec"]


@pytest.mark.spec("kube-api:PATCH-5")
async def test_a_merge_patch_body_is_not_touched_by_encoding(cluster: Wire) -> None:
    """Text is text: no escape, no number is changed on the way."""
    await config_map(cluster)
    text = 'é "quoted" \\ back\n\tü 1.0 ☃'

    (await cluster.patch(cluster.path("configmaps", "c1"), {"data": {"a": text}})).ok()

    assert json.loads((await cluster.get(cluster.path("configmaps", "c1"))).body)["data"]["a"] == text
