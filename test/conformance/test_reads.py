"""Reads: spec kube-api §4."""

from __future__ import annotations

import base64
import json

import pytest

from localcluster.testing.wire import Json, Wire


async def make(cluster: Wire, *names: str) -> None:
    for name in names:
        (await cluster.post(cluster.path("configmaps"), {"metadata": {"name": name, "labels": {"made": "here"}}})).ok(
            201
        )


async def listed(cluster: Wire, **query: str) -> Json:
    """The list of what `make` made: a real cluster puts a map of its own into each namespace."""
    return (await cluster.get(cluster.path("configmaps"), labelSelector="made=here", **query)).ok()


def names(page: Json) -> list[str]:
    return [item["metadata"]["name"] for item in page["items"]]


async def make_widgets(cluster: Wire, path: str, *names: str) -> None:
    for name in names:
        body = {"apiVersion": "test.example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 1}}
        (await cluster.post(path, body)).ok(201)


@pytest.mark.spec("kube-api:GET-1")
async def test_an_object_is_read_at_any_past_version_as_it_is_now(cluster: Wire) -> None:
    """resourceVersion on a GET means not older than."""
    await make(cluster, "c1")
    now = (await cluster.get(cluster.path("configmaps", "c1"))).ok()

    for version in ("", "0", "1"):
        assert (await cluster.get(cluster.path("configmaps", "c1"), resourceVersion=version)).ok() == now


@pytest.mark.spec("kube-api:GET-1")
async def test_a_version_that_is_no_number_is_an_internal_error(cluster: Wire) -> None:
    """500, as odd as that is."""
    answer = await cluster.get(cluster.path("configmaps", "c1"), resourceVersion="abc")

    assert answer.ok(500)["message"] == (
        'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax'
    )
    assert "reason" not in answer.json


@pytest.mark.spec("kube-api:GET-1")
async def test_watch_means_nothing_on_the_path_of_an_object(cluster: Wire) -> None:
    """It is a plain GET."""
    await make(cluster, "c1")

    assert (await cluster.get(cluster.path("configmaps", "c1"), watch="true")).ok()["kind"] == "ConfigMap"


@pytest.mark.spec("kube-api:LIST-1")
async def test_items_of_built_in_lists_do_not_repeat_their_kind(cluster: Wire) -> None:
    """Items are ordered by name, bytewise."""
    await make(cluster, "b", "a", "a.b", "a-b", "c")

    page = await listed(cluster)

    assert (page["kind"], page["apiVersion"]) == ("ConfigMapList", "v1")
    assert names(page) == ["a", "a-b", "a.b", "b", "c"]
    assert all("kind" not in item and "apiVersion" not in item for item in page["items"])
    assert "continue" not in page["metadata"]


@pytest.mark.spec("kube-api:LIST-1")
async def test_items_of_custom_lists_name_their_kind(cluster: Wire, widgets: str) -> None:
    """And the list's metadata hold an empty `continue`."""
    await make_widgets(cluster, widgets, "w1")

    page = (await cluster.get(widgets)).ok()

    assert (page["kind"], page["items"][0]["kind"]) == ("WidgetList", "Widget")
    assert page["items"][0]["apiVersion"] == "test.example.com/v1"
    assert page["metadata"]["continue"] == ""


@pytest.mark.spec("kube-api:LIST-1")
async def test_an_absent_namespace_lists_empty(cluster: Wire) -> None:
    """GET in it misses the object, not the namespace."""
    page = (await cluster.get(cluster.path("configmaps", namespace="nope"))).ok()
    one = await cluster.get(cluster.path("configmaps", "c1", namespace="nope"))

    assert page["items"] == []
    assert one.ok(404)["message"] == 'configmaps "c1" not found'


@pytest.mark.spec("kube-api:LIST-2", "kube-api:LIST-3")
async def test_pages_show_the_snapshot_of_the_first(cluster: Wire, widgets: str) -> None:
    """What is created in between does not appear, and all pages carry one version."""
    await make_widgets(cluster, widgets, "p0", "p1", "p2", "p4")

    first = (await cluster.get(widgets, limit=2)).ok()
    await make_widgets(cluster, widgets, "p3")
    second = (await cluster.get(widgets, **{"limit": 2, "continue": first["metadata"]["continue"]})).ok()

    assert names(first) == ["p0", "p1"]
    assert first["metadata"]["remainingItemCount"] == 2
    assert names(second) == ["p2", "p4"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert second["metadata"]["continue"] == ""
    assert "remainingItemCount" not in second["metadata"]


@pytest.mark.spec("kube-api:LIST-2")
async def test_the_continue_token_is_base64_json(cluster: Wire) -> None:
    """Opaque, but tools decode it; without padding."""
    await make(cluster, "p0", "p1", "p2")

    page = await listed(cluster, limit="2")
    token = page["metadata"]["continue"]
    decoded = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))

    assert (decoded["v"], decoded["rv"]) == ("meta.k8s.io/v1", int(page["metadata"]["resourceVersion"]))
    assert decoded["start"].endswith("p1\0")
    assert "remainingItemCount" not in page["metadata"]


@pytest.mark.spec("kube-api:LIST-4")
async def test_a_continued_list_takes_no_other_version(cluster: Wire) -> None:
    """The token says which version it is."""
    await make(cluster, "p0", "p1")
    token = (await listed(cluster, limit="1"))["metadata"]["continue"]

    versioned = await cluster.get(cluster.path("configmaps"), **{"continue": token, "resourceVersion": 1})
    matched = await cluster.get(cluster.path("configmaps"), **{"continue": token, "resourceVersionMatch": "Exact"})
    bad = await cluster.get(cluster.path("configmaps"), **{"continue": "abc"})

    assert versioned.ok(400)["message"] == "specifying resource version is not allowed when using continue"
    assert matched.ok(422)["message"] == (
        'ListOptions.meta.k8s.io "" is invalid: ['
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided, "
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided]"
    )
    assert bad.ok(400)["message"].startswith("invalid continue token: continue key is not valid: ")


@pytest.mark.spec("kube-api:LIST-5")
async def test_version_zero_ignores_the_limit(cluster: Wire) -> None:
    """Any version will do, and so will all objects. A negative limit is none."""
    await make(cluster, "p0", "p1", "p2")

    assert len((await listed(cluster, resourceVersion="0", limit="2"))["items"]) == 3
    assert len((await listed(cluster, limit="-1"))["items"]) == 3


@pytest.mark.spec("kube-api:LIST-6")
async def test_a_version_with_a_limit_is_exact_and_without_one_a_lower_bound(cluster: Wire) -> None:
    """A consistent page of the past, or anything as new as that."""
    await make(cluster, "p0")
    then = (await listed(cluster))["metadata"]["resourceVersion"]
    await make(cluster, "p1")

    exact = await listed(cluster, resourceVersion=then, limit="5")
    matched = await listed(cluster, resourceVersion=then, resourceVersionMatch="Exact")
    newer = await listed(cluster, resourceVersion=then)
    newer_too = await listed(cluster, resourceVersion=then, resourceVersionMatch="NotOlderThan")

    for page in (exact, matched):
        assert (names(page), page["metadata"]["resourceVersion"]) == (["p0"], then)
    for page in (newer, newer_too):
        assert names(page) == ["p0", "p1"]
        assert int(page["metadata"]["resourceVersion"]) > int(then)


@pytest.mark.spec("kube-api:LIST-7", "kube-api:ERR-8")
@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            {"resourceVersionMatch": "Exact"},
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            {"resourceVersion": "1", "resourceVersionMatch": "Zork"},
            'resourceVersionMatch: Unsupported value: "Zork": supported values: "Exact", "NotOlderThan", ""',
        ),
        (
            {"resourceVersion": "0", "resourceVersionMatch": "Exact"},
            'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        (
            {"sendInitialEvents": "true"},
            "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
        ),
    ],
)
async def test_contradicting_list_options_are_invalid(cluster: Wire, query: dict[str, str], message: str) -> None:
    """422 of the options, not of an object."""
    answer = await cluster.get(cluster.path("configmaps"), **query)

    assert answer.ok(422)["message"] == f'ListOptions.meta.k8s.io "" is invalid: {message}'
    assert {key: answer.json["details"][key] for key in ("group", "kind")} == {
        "group": "meta.k8s.io",
        "kind": "ListOptions",
    }


@pytest.mark.spec("kube-api:LIST-7")
async def test_a_list_at_a_malformed_version_is_a_bad_request(cluster: Wire) -> None:
    """400 here, 500 on GET and watch."""
    answer = await cluster.get(cluster.path("configmaps"), resourceVersion="abc")

    assert answer.ok(400)["message"] == (
        'invalid resource version: resourceVersion: Invalid value: "abc": '
        'strconv.ParseUint: parsing "abc": invalid syntax'
    )


@pytest.mark.spec("kube-api:LIST-8", "kube-api:ERR-16", "kube-api:TOP-8")
async def test_an_expired_page_says_how_to_go_on_inconsistently(cluster: Wire, widgets: str) -> None:
    """410 as a Status; its metadata hold a token that continues from the newest snapshot."""
    await make_widgets(cluster, widgets, "p0", "p1", "p3")
    token = (await cluster.get(widgets, limit=2)).ok()["metadata"]["continue"]
    await make_widgets(cluster, widgets, "p2")
    cluster.endpoint.forget_history()

    expired = await cluster.get(widgets, **{"limit": 2, "continue": token})
    rest = await cluster.get(widgets, **{"limit": 2, "continue": expired.json["metadata"]["continue"]})

    assert expired.ok(410)["reason"] == "Expired"
    assert expired.message.startswith("The provided continue parameter is too old to display a consistent list result.")
    assert names(rest.ok()) == ["p2", "p3"]


@pytest.mark.spec("kube-api:LIST-8")
async def test_a_list_at_an_expired_version_is_410(cluster: Wire) -> None:
    """There is no way to show what was forgotten."""
    await make(cluster, "p0")
    then = (await listed(cluster))["metadata"]["resourceVersion"]
    await make(cluster, "p1")
    cluster.endpoint.forget_history()

    answer = await cluster.get(cluster.path("configmaps"), resourceVersion=then, resourceVersionMatch="Exact")

    assert answer.ok(410)["message"] == "The resourceVersion for the provided list is too old."
    assert answer.json["reason"] == "Expired"
