"""Selectors: spec kube-api §5."""

from __future__ import annotations

import pytest

from localcluster.testing.wire import Json, Wire


async def labelled(cluster: Wire) -> None:
    """Three maps: a with k=1 and x=y, b with k=2, c with no label but `made`."""
    for name, labels in (("a", {"k": "1", "x": "y"}), ("b", {"k": "2"}), ("c", {})):
        body: Json = {"metadata": {"name": name, "labels": {"made": "here", **labels}}}
        (await cluster.post(cluster.path("configmaps"), body)).ok(201)


async def selected(cluster: Wire, selector: str) -> list[str]:
    page = (await cluster.get(cluster.path("configmaps"), labelSelector=f"made=here,{selector}".rstrip(","))).ok()
    return [item["metadata"]["name"] for item in page["items"]]


@pytest.mark.spec("kube-api:SEL-1")
@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("", ["a", "b", "c"]),
        ("k", ["a", "b"]),
        ("!k", ["c"]),
        ("k=1", ["a"]),
        ("k==1", ["a"]),
        ("k!=1", ["b", "c"]),
        ("k in (1,2)", ["a", "b"]),
        ("k notin (1)", ["b", "c"]),
        ("k>1", ["b"]),
        ("k<2", ["a"]),
        ("k,x=y", ["a"]),
    ],
)
async def test_labels_select(cluster: Wire, selector: str, found: list[str]) -> None:
    """A negative requirement also holds for objects without the label."""
    await labelled(cluster)

    assert await selected(cluster, selector) == found


@pytest.mark.spec("kube-api:SEL-2")
@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("g=x=y", "found '=', expected: ',' or 'end of string'"),
        ("g in x", "unable to parse requirement: found 'x' expected: '('"),
    ],
)
async def test_a_label_selector_that_cannot_be_read_is_a_bad_request(
    cluster: Wire, selector: str, message: str
) -> None:
    """The message says what was found and what was expected."""
    answer = await cluster.get(cluster.path("configmaps"), labelSelector=selector)

    assert (answer.ok(400)["reason"], answer.message) == ("BadRequest", message)


@pytest.mark.spec("kube-api:SEL-3")
@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("metadata.name=a", ["a"]),
        ("metadata.name==a", ["a"]),
        ("metadata.name!=a", ["b", "c"]),
        ("metadata.name!=a,metadata.name!=b", ["c"]),
    ],
)
async def test_fields_select(cluster: Wire, selector: str, found: list[str]) -> None:
    """By equality only."""
    await labelled(cluster)

    page = (await cluster.get(cluster.path("configmaps"), labelSelector="made=here", fieldSelector=selector)).ok()

    assert [item["metadata"]["name"] for item in page["items"]] == found


@pytest.mark.spec("kube-api:SEL-3", "kube-api:SEL-4")
@pytest.mark.parametrize(
    ("resource", "selector", "message"),
    [
        (
            "configmaps",
            "metadata.name in (p1)",
            "invalid selector: 'metadata.name in (p1)'; can't understand 'metadata.name in (p1)'",
        ),
        ("configmaps", "metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        (
            "configmaps",
            "data.a=1",
            '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ("pods", "zork=1", "field label not supported: zork"),
        ("events", "regarding.name=x", "field label not supported: regarding.name"),
        ("services", "x=1", "field label not supported: x"),
    ],
)
async def test_a_field_that_cannot_be_selected_by_is_a_bad_request(
    cluster: Wire, resource: str, selector: str, message: str
) -> None:
    """Kinds with fields of their own say it in fewer words."""
    answer = await cluster.get(cluster.path(resource), fieldSelector=selector)

    assert (answer.ok(400)["reason"], answer.message) == ("BadRequest", message)


@pytest.mark.spec("kube-api:SEL-5")
async def test_pods_are_selected_by_node_and_phase(cluster: Wire) -> None:
    """What a kubelet and a drain ask for."""
    for name, node in (("a", "n1"), ("b", "n2")):
        spec = {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}
        (await cluster.post(cluster.path("pods"), {"metadata": {"name": name}, "spec": spec})).ok(201)

    on_n1 = (await cluster.get(cluster.path("pods"), fieldSelector="spec.nodeName=n1,status.phase=Pending")).ok()
    running = (await cluster.get(cluster.path("pods"), fieldSelector="status.phase=Running")).ok()

    assert [item["metadata"]["name"] for item in on_n1["items"]] == ["a"]
    assert running["items"] == []


@pytest.mark.spec("kube-api:SEL-5", "kube-api:EVT-2")
async def test_events_are_selected_by_what_they_are_about(cluster: Wire) -> None:
    """As describe asks for them."""
    for name in ("x", "y"):
        about = {"kind": "Pod", "namespace": cluster.namespace, "name": name, "uid": f"uid-{name}"}
        event = {"metadata": {"name": f"{name}.1"}, "involvedObject": about, "reason": "Seen", "type": "Normal"}
        (await cluster.post(cluster.path("events"), event)).ok(201)

    selector = f"involvedObject.name=x,involvedObject.namespace={cluster.namespace},involvedObject.uid=uid-x"
    page = (await cluster.get(cluster.path("events"), fieldSelector=selector)).ok()
    other = await cluster.get(cluster.path("events.events.k8s.io"), fieldSelector="regarding.name=y")

    assert [item["metadata"]["name"] for item in page["items"]] == ["x.1"]
    assert [item["metadata"]["name"] for item in other.ok()["items"]] == ["y.1"]


@pytest.mark.spec("kube-api:SEL-6")
async def test_a_definition_names_the_fields_to_select_by(cluster: Wire, widgets: str) -> None:
    """Numbers compare as text; other fields are refused."""
    for name, size, mode in (("a", 3, "Auto"), ("b", 4, "Manual")):
        body = {"apiVersion": "test.example.com/v1", "kind": "Widget", "metadata": {"name": name}}
        (await cluster.post(widgets, {**body, "spec": {"size": size, "mode": mode}})).ok(201)

    by_size = (await cluster.get(widgets, fieldSelector="spec.size=3")).ok()
    by_mode = (await cluster.get(widgets, fieldSelector="spec.mode=Manual")).ok()
    refused = await cluster.get(widgets, fieldSelector="spec.title=x")

    assert [item["metadata"]["name"] for item in by_size["items"]] == ["a"]
    assert [item["metadata"]["name"] for item in by_mode["items"]] == ["b"]
    assert refused.ok(400)["message"] == "field label not supported: spec.title"
