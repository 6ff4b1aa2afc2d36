"""Discovery, OpenAPI and the other documents: spec kube-api §2, §3."""

from __future__ import annotations

import asyncio
import re

import pytest

from localcluster.testing.wire import Json, Reply, Wire

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
OLD_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
KUBECTL = f"{AGGREGATED},{OLD_AGGREGATED},application/json"


def resource(document: Json, group: str, version: str, plural: str) -> Json:
    [group_item] = [item for item in document["items"] if item["metadata"].get("name", "") == group]
    [version_item] = [item for item in group_item["versions"] if item["version"] == version]
    [found] = [item for item in version_item["resources"] if item["resource"] == plural]
    assert isinstance(found, dict)
    return found


@pytest.mark.spec("kube-api:DISC-1")
@pytest.mark.parametrize("path", ["/api", "/apis"])
async def test_one_document_describes_all_groups(cluster: Wire, path: str) -> None:
    """Its type is spelt exactly as asked for; its tag saves sending it again."""
    answer = await cluster.get(path, accept=KUBECTL)
    again = await cluster.request("GET", path, accept=AGGREGATED, headers={"If-None-Match": answer.headers["Etag"]})

    assert answer.headers["Content-Type"] == AGGREGATED
    assert (answer.headers["Cache-Control"], answer.headers["Vary"]) == ("public", "Accept")
    assert re.fullmatch(r'"[0-9A-F]{128}"', answer.headers["Etag"])
    assert (answer.json["kind"], answer.json["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    assert (again.code, again.body) == (304, b"")


@pytest.mark.spec("kube-api:DISC-2", "kube-api:DISC-5")
async def test_a_resource_is_described_with_its_subresources(cluster: Wire) -> None:
    """Group and version of a kind are left empty when they are the list's own."""
    document = (await cluster.get("/api", accept=AGGREGATED)).ok()

    assert document["items"][0]["metadata"] == {}
    config_maps = resource(document, "", "v1", "configmaps")
    assert config_maps == {
        "resource": "configmaps",
        "responseKind": {"group": "", "version": "", "kind": "ConfigMap"},
        "scope": "Namespaced",
        "singularResource": "configmap",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["cm"],
    }
    pods = resource(document, "", "v1", "pods")
    below = {one["subresource"]: one for one in pods["subresources"]}
    assert pods["categories"] == ["all"]
    assert below["eviction"]["responseKind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert below["status"]["verbs"] == ["get", "patch", "update"]
    assert below["log"]["verbs"] == ["get"]
    assert resource(document, "", "v1", "namespaces")["scope"] == "Cluster"


@pytest.mark.spec("kube-api:DISC-2", "kube-api:DISC-5")
async def test_a_custom_resource_is_described_in_full(cluster: Wire, widgets: str) -> None:
    """Group and version filled in, and the verbs in another order."""
    document = (await cluster.get("/apis", accept=AGGREGATED)).ok()
    found = resource(document, "test.example.com", "v1", "widgets")

    assert found["responseKind"] == {"group": "test.example.com", "version": "v1", "kind": "Widget"}
    assert found["verbs"] == ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
    assert (found["shortNames"], found["categories"]) == (["wd"], ["all", "toys"])
    below = {one["subresource"]: one for one in found["subresources"]}
    assert below["scale"]["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert below["status"]["responseKind"] == {"group": "test.example.com", "version": "v1", "kind": "Widget"}
    assert below["status"]["verbs"] == ["get", "patch", "update"]


@pytest.mark.spec("kube-api:DISC-3")
async def test_a_form_that_is_no_longer_served_falls_back_to_plain_json(cluster: Wire) -> None:
    """If the client takes that; else 406."""
    plain = await cluster.get("/api", accept=f"{OLD_AGGREGATED},application/json")
    refused = await cluster.get("/api", accept=OLD_AGGREGATED)

    assert (plain.headers["Content-Type"], plain.json["kind"]) == ("application/json", "APIVersions")
    assert refused.code == 406


@pytest.mark.spec("kube-api:DISC-4")
async def test_the_old_documents_are_there_for_old_clients(cluster: Wire, widgets: str) -> None:
    """Versions, groups, one group, and the resources of a version."""
    versions = (await cluster.get("/api")).ok()
    groups = (await cluster.get("/apis")).ok()
    group = (await cluster.get("/apis/batch")).ok()
    core = (await cluster.get("/api/v1")).ok()
    custom = (await cluster.get("/apis/test.example.com/v1")).ok()

    assert versions["versions"] == ["v1"]
    assert versions["serverAddressByClientCIDRs"][0]["clientCIDR"] == "0.0.0.0/0"
    batch = {"groupVersion": "batch/v1", "version": "v1"}
    assert {"name": "batch", "versions": [batch], "preferredVersion": batch} in groups["groups"]
    assert group == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "batch",
        "versions": [batch],
        "preferredVersion": batch,
    }
    assert "apiVersion" not in core
    assert core["groupVersion"] == "v1"
    described = {one["name"]: one for one in core["resources"]}
    assert described["pods/log"] == {
        "name": "pods/log",
        "singularName": "",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["get"],
    }
    scale = next(one for one in custom["resources"] if one["name"] == "widgets/scale")
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")


@pytest.mark.spec("kube-api:DISC-4")
async def test_the_stable_version_of_a_group_is_preferred(cluster: Wire, widgets: str) -> None:
    """v1 before v1beta1."""
    group = (await cluster.get("/apis/test.example.com")).ok()

    assert [one["version"] for one in group["versions"]] == ["v1", "v1beta1"]
    assert group["preferredVersion"]["version"] == "v1"


@pytest.mark.spec("kube-api:DISC-6", "kube-api:TOP-4")
async def test_version_and_health_answer(cluster: Wire) -> None:
    """gitVersion is a semantic version with a leading v; health is text."""
    version = (await cluster.get("/version")).ok()

    assert re.fullmatch(r"v\d+\.\d+\.\d+([-+].*)?", version["gitVersion"])
    for path in ("/healthz", "/livez", "/readyz"):
        answer = await cluster.get(path, accept="application/vnd.kubernetes.protobuf, */*")
        assert (answer.code, answer.text) == (200, "ok")


@pytest.mark.spec("kube-api:DISC-7")
async def test_the_root_lists_the_paths(cluster: Wire) -> None:
    """For people who look around."""
    paths = (await cluster.get("/")).ok()["paths"]

    assert {"/api", "/api/v1", "/apis", "/apis/batch", "/apis/batch/v1", "/version", "/healthz"} <= set(paths)


@pytest.mark.spec("kube-api:DISC-9")
async def test_there_are_no_metrics(cluster: Wire) -> None:
    """kubectl top says so by this answer."""
    answer = await cluster.get("/apis/metrics.k8s.io/v1beta1/pods")

    assert (answer.code, answer.text) == (404, "404 page not found\n")


@pytest.mark.spec("kube-api:OAPI-1", "kube-api:OAPI-2")
async def test_the_index_leads_to_a_document_per_group_version(cluster: Wire) -> None:
    """By its digest; without it the document comes as well."""
    index = (await cluster.get("/openapi/v3")).ok()
    document = await get_relative(cluster, index["paths"]["apis/batch/v1"]["serverRelativeURL"])
    plain = await cluster.get("/openapi/v3/apis/batch/v1")
    unknown = await cluster.get("/openapi/v3/apis/nope.example.com/v1")

    assert index["paths"]["api/v1"]["serverRelativeURL"].startswith("/openapi/v3/api/v1?hash=")
    assert document.ok()["openapi"].startswith("3.0")
    assert plain.json == document.json
    assert document.headers["Etag"]
    assert (unknown.code, unknown.body) == (404, b"")


async def get_relative(cluster: Wire, url: str) -> Reply:
    path, _, query = url.partition("?")
    return await cluster.get(path, **dict([query.split("=", 1)]))


@pytest.mark.spec("kube-api:OAPI-5", "kube-api:OAPI-4")
async def test_a_document_says_that_patches_take_field_validation(cluster: Wire, widgets: str) -> None:
    """For this kubectl reads it before it creates or applies anything."""
    for name, path, kind in (
        ("apis/test.example.com/v1", "/apis/test.example.com/v1/namespaces/{namespace}/widgets/{name}", "Widget"),
        ("apis/batch/v1", "/apis/batch/v1/namespaces/{namespace}/jobs/{name}", "Job"),
        ("api/v1", "/api/v1/nodes/{name}", "Node"),
    ):
        document = await published(cluster, name, path)
        patch = document["paths"][path]["patch"]

        assert "fieldValidation" in [one["name"] for one in patch["parameters"]]
        assert patch["x-kubernetes-group-version-kind"]["kind"] == kind


@pytest.mark.spec("kube-api:OAPI-5")
async def test_a_document_describes_the_fields_of_a_custom_kind(cluster: Wire, widgets: str) -> None:
    """As its definition does."""
    path = "/apis/test.example.com/v1/namespaces/{namespace}/widgets/{name}"
    document = await published(cluster, "apis/test.example.com/v1", path)

    [schema] = [
        one
        for one in document["components"]["schemas"].values()
        if {"group": "test.example.com", "version": "v1", "kind": "Widget"}
        in one.get("x-kubernetes-group-version-kind", ())
    ]
    assert schema["description"] == "Widget is a test object."
    assert schema["properties"]["spec"]["properties"]["size"]["type"] == "integer"


async def published(cluster: Wire, name: str, path: str) -> Json:
    """The document, as soon as it knows the path: a real server is 0.35 s late for a new kind (DISC-8)."""
    async with asyncio.timeout(10):
        while True:
            answer = await cluster.get(f"/openapi/v3/{name}")
            if answer.code == 200 and path in answer.json["paths"]:
                return answer.json
            await asyncio.sleep(0.05)


@pytest.mark.spec("kube-api:DISC-8")
async def test_a_new_kind_is_discovered(cluster: Wire) -> None:
    """By the time its path answers, discovery knows it, and no longer when it is gone."""
    group = f"{cluster.namespace}.example.com"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"sprockets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "sprockets", "kind": "Sprocket"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }
    await cluster.serve(definition)

    document = (await cluster.get("/apis", accept=AGGREGATED)).ok()
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/sprockets.{group}"
    (await cluster.delete(path)).ok()
    await cluster.gone(path)

    assert resource(document, group, "v1", "sprockets")["singularResource"] == "sprocket"
    await cluster.answers(f"/apis/{group}/v1/sprockets", 404)
