"""The public Python client, unchanged, against both servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.client.exceptions import ApiException

from localcluster.testing.wire import Wire


@pytest.fixture
async def api(cluster: Wire) -> AsyncIterator[client.ApiClient]:
    """A client made from the kubeconfig that users get."""
    configuration = client.Configuration()
    await config.load_kube_config(str(cluster.endpoint.kubeconfig), client_configuration=configuration)
    async with client.ApiClient(configuration) as made:
        yield made


async def test_it_creates_reads_patches_and_deletes(cluster: Wire, api: client.ApiClient) -> None:
    """Typed objects both ways."""
    core = client.CoreV1Api(api)
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c1"), data={"a": "1"})

    made = await core.create_namespaced_config_map(cluster.namespace, body)
    patched = await core.patch_namespaced_config_map(
        "c1", cluster.namespace, [{"op": "add", "path": "/data/b", "value": "2"}]
    )
    listed = await core.list_namespaced_config_map(cluster.namespace, field_selector="metadata.name=c1")
    deleted = await core.delete_namespaced_config_map("c1", cluster.namespace)

    assert made.metadata.uid == patched.metadata.uid
    assert patched.data == {"a": "1", "b": "2"}
    assert [item.metadata.name for item in listed.items] == ["c1"]
    assert deleted.status == "Success"
    with pytest.raises(ApiException) as absent:
        await core.read_namespaced_config_map("c1", cluster.namespace)
    assert (absent.value.status, absent.value.reason) == (404, "Not Found")


async def test_it_watches(cluster: Wire, api: client.ApiClient) -> None:
    """Events as they come."""
    core = client.CoreV1Api(api)
    seen = []

    async with asyncio.timeout(10), watch.Watch() as stream:
        listed = await core.list_namespaced_secret(cluster.namespace)
        events = stream.stream(
            core.list_namespaced_secret, cluster.namespace, resource_version=listed.metadata.resource_version
        )
        for name in ("a", "b"):
            secret = client.V1Secret(metadata=client.V1ObjectMeta(name=name), string_data={"k": name})
            await core.create_namespaced_secret(cluster.namespace, secret)
        async for event in events:
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 2:
                break

    assert seen == [("ADDED", "a"), ("ADDED", "b")]


async def test_it_handles_custom_objects(cluster: Wire, widgets: str, api: client.ApiClient) -> None:
    """With status and scale."""
    custom = client.CustomObjectsApi(api)
    place = ("test.example.com", "v1", cluster.namespace, "widgets")
    body = {"apiVersion": "test.example.com/v1", "kind": "Widget", "metadata": {"name": "w1"}, "spec": {"size": 2}}

    made = await custom.create_namespaced_custom_object(*place, body)
    status = await custom.patch_namespaced_custom_object_status(
        *place,
        "w1",
        {"status": {"phase": "Up"}},
        _content_type="application/merge-patch+json",  # type: ignore[call-arg]
    )
    scale = await custom.get_namespaced_custom_object_scale(*place, "w1")
    listed = await custom.list_namespaced_custom_object(*place)

    assert made["spec"]["mode"] == "Auto"
    assert status["status"]["phase"] == "Up"
    assert scale["spec"]["replicas"] == 1
    assert [item["metadata"]["name"] for item in listed["items"]] == ["w1"]
