"""kubectl, unchanged, against both servers: spec kube-api §20."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re

import pytest

from localcluster.testing.wire import Json, Wire


def widget(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "test.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 2, **spec},
    }


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "busybox:1"}]},
    }


async def apply(cluster: Wire, *items: Json) -> str:
    return (await cluster.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, items)))).ok()


@pytest.mark.spec("kube-api:TOP-5", "kube-api:OAPI-8")
async def test_apply_creates_and_then_changes_a_custom_object(cluster: Wire, widgets: str) -> None:
    """Created, configured, unchanged; what is no longer in the file goes from the object."""
    first = await apply(cluster, widget("w1", title="abc"))
    second = await apply(cluster, widget("w1", size=3))
    third = await apply(cluster, widget("w1", size=3))
    stored = (await cluster.get(f"{widgets}/w1")).ok()

    assert first == "widget.test.example.com/w1 created\n"
    assert second == "widget.test.example.com/w1 configured\n"
    assert third == "widget.test.example.com/w1 unchanged\n"
    assert stored["spec"]["size"] == 3
    assert "title" not in stored["spec"]


@pytest.mark.spec("kube-api:OAPI-8")
async def test_apply_reports_what_the_server_refuses(cluster: Wire, widgets: str) -> None:
    """kubectl asks for strict validation."""
    refused = await cluster.kubectl("apply", "-f", "-", stdin=json.dumps(widget("w1", unk=1)))

    assert refused.code == 1
    assert 'strict decoding error: unknown field "spec.unk"' in refused.err


async def test_create_makes_built_in_objects_from_files(cluster: Wire) -> None:
    """Several in one file; a second time it is refused."""
    manifest = "\n---\n".join(json.dumps(one) for one in (config_map("c1", a="1"), pod("p1")))

    first = await cluster.kubectl("create", "-f", "-", stdin=manifest)
    second = await cluster.kubectl("create", "-f", "-", stdin=json.dumps(config_map("c1")))

    assert first.ok() == "configmap/c1 created\npod/p1 created\n"
    assert second.code == 1
    assert (
        second.err == 'Error from server (AlreadyExists): error when creating "STDIN": configmaps "c1" already exists\n'
    )


async def test_apply_creates_built_in_objects(cluster: Wire) -> None:
    """The first time it is a plain POST."""
    assert await apply(cluster, config_map("c1", a="1")) == "configmap/c1 created\n"
    assert await apply(cluster, config_map("c1", a="1")) == "configmap/c1 unchanged\n"


async def test_get_prints_the_columns_of_the_server(cluster: Wire, widgets: str) -> None:
    """-o wide shows those of priority 1 too; an empty cell is <none>."""
    await apply(cluster, widget("w1", size=3, tags=["x"]))

    plain = (await cluster.kubectl("get", "widgets")).ok().splitlines()
    wide = (await cluster.kubectl("get", "wd", "w1", "-o", "wide")).ok().splitlines()

    assert plain[0].split() == ["NAME", "SIZE", "PHASE", "AGE"]
    assert re.fullmatch(r"w1 +3 +\d+s", plain[1])
    assert wide[0].split() == ["NAME", "SIZE", "PHASE", "TAGS", "AGE"]
    assert '["x"]' in wide[1]


async def test_get_prints_pods_and_services(cluster: Wire) -> None:
    """With their own columns."""
    await apply(cluster, pod("p1"))

    pods = (await cluster.kubectl("get", "pods")).ok().splitlines()
    absent = await cluster.kubectl("get", "pod", "nope")
    none = await cluster.kubectl("get", "services")

    assert pods[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert re.fullmatch(r"p1 +0/1 +Pending +0 +\d+s", pods[1])
    assert (absent.code, absent.err) == (1, 'Error from server (NotFound): pods "nope" not found\n')
    assert none.err == f"No resources found in {cluster.namespace} namespace.\n"


async def test_get_prints_objects_and_names(cluster: Wire, widgets: str) -> None:
    """As YAML, JSON, names, a path, sorted."""
    await apply(cluster, widget("b", size=1), widget("a", size=2))

    named = (await cluster.kubectl("get", "widgets", "-o", "name")).ok()
    yaml = (await cluster.kubectl("get", "widget", "a", "-o", "yaml")).ok()
    path = (await cluster.kubectl("get", "widgets", "-o", "jsonpath={.items[*].spec.size}")).ok()
    by_size = (await cluster.kubectl("get", "widgets", "--sort-by=.spec.size", "-o", "name")).ok()
    category = (await cluster.kubectl("get", "toys", "-o", "name")).ok()

    assert named == "widget.test.example.com/a\nwidget.test.example.com/b\n"
    assert "kind: Widget" in yaml
    assert path == "2 1"
    assert by_size == "widget.test.example.com/b\nwidget.test.example.com/a\n"
    assert category == named


@pytest.mark.spec("kube-api:WATCH-15")
async def test_get_watches(cluster: Wire, widgets: str) -> None:
    """A line for what is there, and one for every change."""
    await apply(cluster, widget("w1", size=3))
    process = await asyncio.create_subprocess_exec(
        str(cluster.endpoint.kubectl()),
        f"--kubeconfig={cluster.endpoint.kubeconfig}",
        f"--namespace={cluster.namespace}",
        "get", "widgets", "-w", "--no-headers",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            first = await process.stdout.readline()
            (await cluster.patch(f"{widgets}/w1", {"spec": {"size": 4}})).ok()
            second = await process.stdout.readline()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()

    assert first.split()[:2] == [b"w1", b"3"]
    assert second.split()[:2] == [b"w1", b"4"]


async def test_describe_shows_the_object_and_its_events(cluster: Wire, widgets: str) -> None:
    """Events are found by what they are about."""
    await apply(cluster, widget("w1", title="abc"))
    stored = (await cluster.get(f"{widgets}/w1")).ok()
    about = {"kind": "Widget", "apiVersion": "test.example.com/v1", "name": "w1", "namespace": cluster.namespace}
    event = {
        "metadata": {"name": "w1.1"},
        "involvedObject": {**about, "uid": stored["metadata"]["uid"]},
        "reason": "Turned",
        "message": "the widget was turned",
        "type": "Normal",
        "source": {"component": "turner"},
        "count": 1,
        "firstTimestamp": stored["metadata"]["creationTimestamp"],
        "lastTimestamp": stored["metadata"]["creationTimestamp"],
    }
    (await cluster.post(cluster.path("events"), event)).ok(201)

    described = (await cluster.kubectl("describe", "widget", "w1")).ok()

    assert re.search(r"^Kind: +Widget$", described, re.MULTILINE)
    assert re.search(r"^ +Title: +abc$", described, re.MULTILINE)
    assert re.search(r"Normal +Turned +\d+s +turner +the widget was turned", described)


async def test_describe_knows_pods_and_services(cluster: Wire) -> None:
    """It reads what belongs to them: events, endpoint slices."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s1"},
        "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]},
    }
    await apply(cluster, pod("p1"), service)

    described_pod = (await cluster.kubectl("describe", "pod", "p1")).ok()
    described_service = (await cluster.kubectl("describe", "service", "s1")).ok()

    assert re.search(r"^Status: +Pending$", described_pod, re.MULTILINE)
    assert re.search(r"^ +Image: +busybox:1$", described_pod, re.MULTILINE)
    assert re.search(r"^Selector: +a=b$", described_service, re.MULTILINE)
    assert re.search(r"^Port: +<unset> +80/TCP$", described_service, re.MULTILINE)


@pytest.mark.spec("kube-api:DEL-11")
async def test_delete_waits_until_the_object_is_gone(cluster: Wire, widgets: str) -> None:
    """By name, by label, all; what is not there is an error."""
    for name in ("a", "b", "c"):
        body = widget(name)
        body["metadata"]["labels"] = {"first": "yes" if name == "a" else "no"}
        await apply(cluster, body)

    by_label = (await cluster.kubectl("delete", "widgets", "-l", "first=yes")).ok()
    by_name = (await cluster.kubectl("delete", "widget", "b", "--cascade=foreground")).ok()
    tried = (await cluster.kubectl("delete", "widget", "c", "--dry-run=server")).ok()
    all_left = (await cluster.kubectl("delete", "widgets", "--all", "--wait=false")).ok()
    absent = await cluster.kubectl("delete", "widget", "b")

    # What follows the name differs between kubectl's versions.
    assert by_label.startswith('widget.test.example.com "a" deleted')
    assert by_name.startswith('widget.test.example.com "b" deleted')
    assert tried.startswith('widget.test.example.com "c" deleted')
    assert all_left.startswith('widget.test.example.com "c" deleted'), "a dry run deletes nothing"
    assert absent.err == 'Error from server (NotFound): widgets.test.example.com "b" not found\n'


@pytest.mark.spec("kube-api:DEL-11")
async def test_delete_leaves_dependents_where_they_are_to_be_orphans(cluster: Wire, widgets: str) -> None:
    """What the body of the request says."""
    owner = (await cluster.post(widgets, widget("owner"))).ok(201)
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": "owner",
        "uid": owner["metadata"]["uid"],
    }
    child = widget("child")
    child["metadata"]["ownerReferences"] = [reference]
    (await cluster.post(widgets, child)).ok(201)

    (await cluster.kubectl("delete", "widget", "owner", "--cascade=orphan")).ok()

    assert not (await cluster.get(f"{widgets}/child")).ok()["metadata"].get("ownerReferences")


@pytest.mark.spec("kube-api:DEL-11")
async def test_a_pod_is_deleted_by_force(cluster: Wire) -> None:
    """Grace 0."""
    body = pod("p1")
    body["spec"]["nodeName"] = "n1"
    await apply(cluster, body)

    deleted = await cluster.kubectl("delete", "pod", "p1", "--grace-period=0", "--force")

    assert 'pod "p1" force deleted' in deleted.ok()
    assert (await cluster.get(cluster.path("pods", "p1"))).code == 404


async def test_wait_waits_for_a_condition(cluster: Wire, widgets: str) -> None:
    """For a condition, a field, a deletion; and gives up in time."""
    await apply(cluster, widget("w1"))
    ready = {"status": {"phase": "Up", "conditions": [{"type": "Ready", "status": "True"}]}}

    async with asyncio.TaskGroup() as waiting:
        condition = waiting.create_task(cluster.kubectl("wait", "widget/w1", "--for=condition=Ready", "--timeout=20s"))
        field = waiting.create_task(
            cluster.kubectl("wait", "widget/w1", "--for=jsonpath={.status.phase}=Up", "--timeout=20s")
        )
        (await cluster.patch(f"{widgets}/w1/status", ready)).ok()
    late = await cluster.kubectl("wait", "widget/w1", "--for=condition=Never", "--timeout=1s")
    async with asyncio.TaskGroup() as waiting:
        gone = waiting.create_task(cluster.kubectl("wait", "widget/w1", "--for=delete", "--timeout=20s"))
        (await cluster.delete(f"{widgets}/w1")).ok()

    for done in (condition, field):
        assert done.result().ok() == "widget.test.example.com/w1 condition met\n"
    assert late.code == 1
    assert "timed out waiting for the condition on widgets/w1" in late.err
    assert gone.result().code == 0


async def test_patch_merges(cluster: Wire, widgets: str) -> None:
    """Merge and JSON patches; the default, a strategic one, is refused for custom kinds."""
    await apply(cluster, widget("w1"))

    merged = await cluster.kubectl("patch", "widget", "w1", "--type=merge", "-p", '{"spec":{"size":5}}')
    again = await cluster.kubectl("patch", "widget", "w1", "--type=merge", "-p", '{"spec":{"size":5}}')
    by_json = await cluster.kubectl(
        "patch", "widget", "w1", "--type=json", "-p", '[{"op":"replace","path":"/spec/size","value":6}]'
    )
    status = await cluster.kubectl(
        "patch", "widget", "w1", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Up"}}'
    )
    strategic = await cluster.kubectl("patch", "widget", "w1", "-p", '{"spec":{"size":7}}')

    assert merged.ok() == "widget.test.example.com/w1 patched\n"
    assert again.ok() == "widget.test.example.com/w1 patched (no change)\n"
    assert by_json.ok() == "widget.test.example.com/w1 patched\n"
    assert status.ok() == "widget.test.example.com/w1 patched\n"
    assert strategic.code == 1
    stored = (await cluster.get(f"{widgets}/w1")).ok()
    assert (stored["spec"]["size"], stored["status"]["phase"]) == (6, "Up")


async def test_label_annotate_and_scale(cluster: Wire, widgets: str) -> None:
    """Merge patches, the last one on /scale."""
    await apply(cluster, widget("w1"))

    labelled = (await cluster.kubectl("label", "widget", "w1", "a=b")).ok()
    annotated = (await cluster.kubectl("annotate", "widget", "w1", "c=d")).ok()
    scaled = (await cluster.kubectl("scale", "widget", "w1", "--replicas=4")).ok()
    removed = (await cluster.kubectl("label", "widget", "w1", "a-")).ok()

    assert labelled == "widget.test.example.com/w1 labeled\n"
    assert annotated == "widget.test.example.com/w1 annotated\n"
    assert scaled == "widget.test.example.com/w1 scaled\n"
    assert removed == "widget.test.example.com/w1 unlabeled\n"
    stored = (await cluster.get(f"{widgets}/w1")).ok()
    assert "labels" not in stored["metadata"]
    assert (stored["metadata"]["annotations"]["c"], stored["spec"]["replicas"]) == ("d", 4)


@pytest.mark.spec("kube-api:OAPI-4", "kube-api:OAPI-5")
async def test_explain_reads_the_schema(cluster: Wire, widgets: str) -> None:
    """Kind, description, fields and their types."""
    await apply(cluster, widget("w1"))  # by then a real server has published the schema
    async with asyncio.timeout(10):
        while (explained := await cluster.kubectl("explain", "widget.spec")).code != 0:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.1)
    field = (await cluster.kubectl("explain", "widget.spec.mode")).ok()

    assert re.search(r"^GROUP: +test.example.com$", explained.out, re.MULTILINE)
    assert re.search(r"^KIND: +Widget$", explained.out, re.MULTILINE)
    assert re.search(r"^FIELD: spec <Object>$", explained.out, re.MULTILINE)
    assert re.search(r"^  size\t<integer> -required-$", explained.out, re.MULTILINE)
    assert re.search(r"^FIELD: mode <string>$", field, re.MULTILINE)


@pytest.mark.spec("kube-api:LOG-2")
async def test_logs_of_a_pod_say_what_is_wrong(cluster: Wire) -> None:
    """An absent pod, an unknown container; a pod that no node has shows nothing."""
    await apply(cluster, pod("p1"))

    absent = await cluster.kubectl("logs", "nope")
    unknown = await cluster.kubectl("logs", "p1", "-c", "zz")
    nothing = await cluster.kubectl("logs", "p1")

    assert absent.err == 'error: error from server (NotFound): pods "nope" not found in namespace "NS"\n'.replace(
        "NS", cluster.namespace
    )
    assert unknown.code == 1
    assert "container zz is not valid for pod p1" in unknown.err
    assert (nothing.code, nothing.out) == (0, "")


async def test_version_and_api_resources(cluster: Wire, widgets: str) -> None:
    """What kubectl asks about the server itself."""
    await apply(cluster, widget("w1"))

    version = (await cluster.kubectl("version")).ok()
    resources = (await cluster.kubectl("api-resources", "--api-group=test.example.com", "--no-headers")).ok()
    versions = (await cluster.kubectl("api-versions")).ok().splitlines()

    assert "Server Version: v1." in version
    assert re.search(r"^widgets +wd +test.example.com/v1 +true +Widget$", resources, re.MULTILINE)
    assert {"v1", "batch/v1", "test.example.com/v1", "test.example.com/v1beta1"} <= set(versions)


@pytest.mark.spec("kube-api:DEL-12")
async def test_replace_by_force_makes_another_object_of_that_name(cluster: Wire, widgets: str) -> None:
    """Deleted, waited for, created; a plain replace keeps the object."""
    await apply(cluster, widget("w1", size=3))
    first = (await cluster.get(f"{widgets}/w1")).ok()["metadata"]["uid"]

    plain = await cluster.kubectl("replace", "-f", "-", stdin=json.dumps(widget("w1", size=4)))
    second = (await cluster.get(f"{widgets}/w1")).ok()["metadata"]["uid"]
    forced = await cluster.kubectl("replace", "--force", "-f", "-", stdin=json.dumps(widget("w1", size=5)))
    third = (await cluster.get(f"{widgets}/w1")).ok()

    assert plain.ok() == "widget.test.example.com/w1 replaced\n"
    assert forced.ok().endswith("widget.test.example.com/w1 replaced\n")
    assert second == first
    assert third["metadata"]["uid"] != first
    assert third["spec"]["size"] == 5


@pytest.mark.spec("kube-api:PRO-1")
async def test_get_raw_follows_a_path(cluster: Wire) -> None:
    """Over the connection that the kubeconfig describes, with its credentials."""
    raw = (await cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{cluster.namespace}")).ok()

    assert json.loads(raw)["metadata"]["name"] == cluster.namespace


async def test_apply_takes_a_list_of_objects_with_validation(cluster: Wire) -> None:
    """For `kind: List` kubectl reads OpenAPI v2 and checks by it what that describes."""
    manifest = {"apiVersion": "v1", "kind": "List", "items": [config_map("l1", a="1"), config_map("l2", b="2")]}

    first = await cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    second = await cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    assert first.ok() == "configmap/l1 created\nconfigmap/l2 created\n"
    assert second.ok() == "configmap/l1 unchanged\nconfigmap/l2 unchanged\n"


CREATED: dict[str, tuple[str, list[str], Json]] = {
    "configmap": ("configmaps", ["configmap", "x", "--from-literal=a=1"], {"data": {"a": "1"}}),
    "secret": ("secrets", ["secret", "generic", "x", "--from-literal=a=1"], {"data": {"a": "MQ=="}, "type": "Opaque"}),
    "serviceaccount": ("serviceaccounts", ["serviceaccount", "x"], {}),
    "role": (
        "roles.rbac.authorization.k8s.io",
        ["role", "x", "--verb=get", "--resource=pods"],
        {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    ),
    "quota": ("resourcequotas", ["quota", "x", "--hard=cpu=1,pods=2"], {"spec": {"hard": {"cpu": "1", "pods": "2"}}}),
    "poddisruptionbudget": (
        "poddisruptionbudgets.policy",
        ["poddisruptionbudget", "x", "--selector=a=b", "--min-available=50%"],
        {"spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}}},
    ),
}


@pytest.mark.spec("kube-api:NEG-3")
@pytest.mark.parametrize("kind", CREATED)
async def test_what_kubectl_makes_itself_arrives_in_protobuf(cluster: Wire, kind: str) -> None:
    """Newer kubectl sends such bodies and does not fall back; what is stored is what was asked for."""
    resource, arguments, expected = CREATED[kind]

    made = await cluster.kubectl("create", *arguments)

    assert made.ok().endswith("/x created\n")
    stored = (await cluster.get(cluster.path(resource, "x"))).ok()
    assert {key: stored[key] for key in expected} == expected


async def test_kubectl_makes_a_job_a_deployment_and_a_service(cluster: Wire) -> None:
    """Whole templates in protobuf, with what the server adds."""
    (await cluster.kubectl("create", "job", "j", "--image=i:1", "--", "sleep", "1")).ok()
    (await cluster.kubectl("create", "deployment", "d", "--image=i:1", "--replicas=0")).ok()
    (await cluster.kubectl("create", "service", "clusterip", "s", "--tcp=80:8080")).ok()

    job = (await cluster.get(cluster.path("jobs.batch", "j"))).ok()
    deployment = (await cluster.get(cluster.path("deployments.apps", "d"))).ok()
    service = (await cluster.get(cluster.path("services", "s"))).ok()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["command"]) == ("i:1", ["sleep", "1"])
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert deployment["spec"]["replicas"] == 0
    assert service["spec"]["ports"] == [{"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080}]


@pytest.mark.spec("kube-api:AUTH-6")
async def test_kubectl_makes_namespaces_and_tokens(cluster: Wire) -> None:
    """The one over all namespaces, the other below an account."""
    name = f"{cluster.namespace}-made"
    (await cluster.kubectl("create", "namespace", name)).ok()
    (await cluster.delete(f"/api/v1/namespaces/{name}")).ok()

    token = (await cluster.kubectl("create", "token", "default", "--duration=20m")).ok()

    assert token.strip().count(".") == 2
