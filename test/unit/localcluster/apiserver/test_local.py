"""`LocalApi`: what controllers and node get to see of the server."""

from __future__ import annotations

import pytest

from localcluster.api import Api, Refusal
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.subresources import selector_text

MAPS = "configmaps"


def test_it_is_an_api(api: LocalApi) -> None:
    """The type checker says so too."""
    narrow: Api = api

    assert narrow is api


async def test_listed_objects_say_what_they_are(api: LocalApi) -> None:
    """A controller that lists all resources must tell them apart."""
    await api.create(MAPS, "default", {"metadata": {"name": "a"}})

    (item,) = (await api.list(MAPS, "default")).items

    assert (item["kind"], item["apiVersion"]) == ("ConfigMap", "v1")


async def test_every_resource_is_served_once(api: LocalApi) -> None:
    """Also one that is served in several versions or groups under one name."""
    names = [one.name for one in await api.served()]

    assert len(names) == len(set(names))
    assert {"pods", "jobs.batch", "events", "events.events.k8s.io"} <= set(names)


async def test_what_is_not_served_is_refused(api: LocalApi) -> None:
    """404, as over HTTP."""
    with pytest.raises(Refusal) as refused:
        await api.list("zorks.example.com")

    assert refused.value.code == 404


async def test_what_is_returned_is_the_callers_own(api: LocalApi) -> None:
    """A change of it changes nothing else."""
    made = await api.create(MAPS, "default", {"metadata": {"name": "a"}, "data": {"x": "1"}})
    made["data"]["x"] = "changed"

    assert (await api.get(MAPS, "default", "a"))["data"] == {"x": "1"}


async def test_the_system_is_there_from_the_start(api: LocalApi) -> None:
    """Namespaces, the Service `kubernetes`, priority classes."""
    namespaces = [one["metadata"]["name"] for one in (await api.list("namespaces")).items]
    service = await api.get("services", "default", "kubernetes")

    assert namespaces == ["default", "kube-node-lease", "kube-public", "kube-system"]
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    assert (await api.get("priorityclasses.scheduling.k8s.io", "", "system-node-critical"))["value"] == 2_000_001_000


@pytest.mark.spec("kube-api:SUB-2", "kube-api:SUB-3")
async def test_small_parts_of_a_pod_have_paths_of_their_own(api: LocalApi) -> None:
    """Through which nothing else of it changes."""
    container = {"name": "a", "image": "i", "resources": {"requests": {"cpu": "1"}}}
    pod = await api.create("pods", "default", {"metadata": {"name": "p"}, "spec": {"containers": [container]}})
    debugging = {"spec": {"ephemeralContainers": [{"name": "dbg", "image": "x"}], "nodeName": "other"}}

    with_debug = await api.patch("pods", "default", "p", debugging, subresource="ephemeralcontainers")
    pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}}
    resized = await api.update("pods", "default", pod | {"metadata": {"name": "p"}}, subresource="resize")

    assert [one["name"] for one in with_debug["spec"]["ephemeralContainers"]] == ["dbg"]
    assert "nodeName" not in with_debug["spec"]
    assert resized["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "2"}}
    assert len(resized["spec"]["ephemeralContainers"]) == 1


@pytest.mark.spec("kube-api:SUB-2")
async def test_a_pod_as_a_whole_takes_no_ephemeral_container(api: LocalApi) -> None:
    """They have a path of their own."""
    container = {"name": "a", "image": "i"}
    await api.create("pods", "default", {"metadata": {"name": "p"}, "spec": {"containers": [container]}})
    debugging = {"spec": {"ephemeralContainers": [{"name": "dbg", "image": "x"}]}}

    with pytest.raises(Refusal) as refused:
        await api.patch("pods", "default", "p", debugging)

    assert refused.value.code == 422
    assert "ephemeralContainers" not in (await api.get("pods", "default", "p"))["spec"]


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (None, ""),
        ("a=b", "a=b"),
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}]}, "k in (x,y)"),
        ({"matchExpressions": [{"key": "k", "operator": "DoesNotExist"}]}, "!k"),
    ],
)
def test_a_label_selector_can_be_written_as_text(selector: object, text: str) -> None:
    """As a scale shows it, and a list takes it."""
    assert selector_text(selector) == text
