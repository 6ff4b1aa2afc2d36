"""Negotiation and tables: spec kube-api §6."""

from __future__ import annotations

import re

import pytest
import yaml

from localcluster.testing.wire import Json, Wire

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
KUBECTL = f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def pod(name: str, *containers: str) -> Json:
    return {
        "metadata": {"name": name, "labels": {"a": "b"}},
        "spec": {"containers": [{"name": one, "image": "i"} for one in containers or ("c",)]},
    }


def widget(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "test.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 2, **spec},
    }


async def config_map(cluster: Wire, name: str = "c1", **data: str) -> str:
    (await cluster.post(cluster.path("configmaps"), {"metadata": {"name": name}, "data": data})).ok(201)
    return cluster.path("configmaps", name)


@pytest.mark.spec("kube-api:NEG-1")
@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/json", "text/plain, application/json", "application/json;stream=watch"]
)
async def test_json_is_given_to_whoever_accepts_it(cluster: Wire, accept: str) -> None:
    """Also to who says nothing."""
    path = await config_map(cluster)

    answer = await cluster.get(path, accept=accept)

    assert answer.ok()["kind"] == "ConfigMap"
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.spec("kube-api:NEG-1")
@pytest.mark.parametrize("accept", ["text/html", "application/xml", "application/*", "application/cbor"])
async def test_an_unknown_type_is_406_with_what_there_is(cluster: Wire, accept: str) -> None:
    """A wild card for the subtype is not understood."""
    path = await config_map(cluster)

    answer = await cluster.get(path, accept=accept)

    assert answer.ok(406)["message"] == (
        "406: Not Acceptable\n\nAvailable representations: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


@pytest.mark.spec("kube-api:NEG-1")
async def test_weights_decide_between_json_and_yaml(cluster: Wire) -> None:
    """The greater q wins."""
    path = await config_map(cluster, a="1")

    answer = await cluster.get(path, accept="application/json;q=0.1,application/yaml")

    assert answer.headers["Content-Type"] == "application/yaml"
    assert yaml.safe_load(answer.text)["data"] == {"a": "1"}


@pytest.mark.spec("kube-api:NEG-2")
@pytest.mark.parametrize("content_type", ["", "application/json; charset=utf-8", "application/yaml"])
async def test_bodies_are_json_or_yaml(cluster: Wire, content_type: str) -> None:
    """No Content-Type means JSON; YAML reads JSON too."""
    body = b'{"metadata": {"name": "c1"}, "data": {"a": "1"}}'
    if content_type == "application/yaml":
        body = b"metadata:\n  name: c1\ndata:\n  a: '1'\n"

    answer = await cluster.request("POST", cluster.path("configmaps"), body, content_type=content_type)

    assert answer.ok(201)["data"] == {"a": "1"}


@pytest.mark.spec("kube-api:NEG-3")
async def test_protobuf_is_not_for_custom_resources(cluster: Wire, widgets: str) -> None:
    """Who lists JSON too gets that."""
    (await cluster.post(widgets, widget("w1"))).ok(201)

    both = await cluster.get(f"{widgets}/w1", accept="application/vnd.kubernetes.protobuf,application/json")
    only = await cluster.get(f"{widgets}/w1", accept="application/vnd.kubernetes.protobuf")

    assert both.ok()["kind"] == "Widget"
    assert only.code == 406


@pytest.mark.spec("kube-api:NEG-4", "kube-api:TAB-3")
async def test_a_table_of_pods_has_a_row_each(cluster: Wire) -> None:
    """All cells of a pod are text; rows carry the object's metadata."""
    (await cluster.post(cluster.path("pods"), pod("p1", "a", "b"))).ok(201)

    answer = await cluster.get(cluster.path("pods"), accept=KUBECTL)
    table = answer.ok()

    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert answer.headers["Content-Type"] == "application/json"
    assert list(table["metadata"]) == ["resourceVersion"]
    [row] = table["rows"]
    age = row["cells"].pop(4)
    assert row["cells"] == ["p1", "0/2", "Pending", "0", "<none>", "<none>", "<none>", "<none>"]
    assert re.fullmatch(r"\d+s", age)
    assert (row["object"]["kind"], row["object"]["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert row["object"]["metadata"]["labels"] == {"a": "b"}
    assert "spec" not in row["object"]


@pytest.mark.spec("kube-api:NEG-4")
async def test_a_table_of_one_object_has_its_version(cluster: Wire) -> None:
    """And v1beta1 is served too."""
    path = await config_map(cluster, a="1")
    version = (await cluster.get(path)).ok()["metadata"]["resourceVersion"]

    table = (await cluster.get(path, accept="application/json;as=Table;v=v1beta1;g=meta.k8s.io")).ok()

    assert table["apiVersion"] == "meta.k8s.io/v1beta1"
    assert table["metadata"] == {"resourceVersion": version}
    assert table["rows"][0]["cells"][:2] == ["c1", 1]


@pytest.mark.spec("kube-api:NEG-4")
async def test_a_row_holds_as_much_of_the_object_as_asked_for(cluster: Wire) -> None:
    """Nothing, its metadata or the whole; errors stay Status objects."""
    path = await config_map(cluster, a="1")

    none = (await cluster.get(path, accept=TABLE, includeObject="None")).ok()
    whole = (await cluster.get(path, accept=TABLE, includeObject="Object")).ok()
    wrong = await cluster.get(path, accept=TABLE, includeObject="Zork")
    absent = await cluster.get(f"{path}x", accept=TABLE)

    assert none["rows"][0]["object"] is None
    assert whole["rows"][0]["object"]["data"] == {"a": "1"}
    assert whole["rows"][0]["object"]["kind"] == "ConfigMap"
    assert wrong.ok(400)["message"] == (
        'Unable to convert to Table as requested: includeObject: Invalid value: "Zork": '
        "must be 'Metadata', 'Object', 'None', or empty"
    )
    assert absent.ok(404)["kind"] == "Status"


@pytest.mark.spec("kube-api:NEG-4")
async def test_a_table_is_paged(cluster: Wire) -> None:
    """`continue` and what remains stand in the table's metadata."""
    for name in ("a", "b", "c"):
        await config_map(cluster, name)

    table = (await cluster.get(cluster.path("configmaps"), accept=TABLE, limit=2)).ok()

    assert len(table["rows"]) == 2
    assert table["metadata"]["continue"]
    assert table["metadata"]["remainingItemCount"] >= 1


@pytest.mark.spec("kube-api:NEG-5")
async def test_metadata_alone_is_given_for_objects_and_lists(cluster: Wire) -> None:
    """What garbage collectors and informers of metadata ask for."""
    path = await config_map(cluster, a="1")

    one = (await cluster.get(path, accept=PARTIAL)).ok()
    many = (await cluster.get(cluster.path("configmaps"), accept=PARTIAL_LIST)).ok()

    assert (one["kind"], one["apiVersion"], set(one)) == (
        "PartialObjectMetadata",
        "meta.k8s.io/v1",
        {"kind", "apiVersion", "metadata"},
    )
    assert one["metadata"]["name"] == "c1"
    assert many["kind"] == "PartialObjectMetadataList"
    assert {item["kind"] for item in many["items"]} == {"PartialObjectMetadata"}
    assert "c1" in [item["metadata"]["name"] for item in many["items"]]


@pytest.mark.spec("kube-api:NEG-5")
async def test_metadata_of_lists_and_objects_are_not_mixed_up(cluster: Wire, widgets: str) -> None:
    """Each has a name of its own; the message says which is which."""
    path = await config_map(cluster)
    (await cluster.post(widgets, widget("w1"))).ok(201)

    on_list = await cluster.get(cluster.path("configmaps"), accept=PARTIAL)
    on_object = await cluster.get(path, accept=PARTIAL_LIST)

    assert on_list.ok(406)["message"] == (
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    )
    assert on_object.ok(406)["message"] == (
        "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"
    )


@pytest.mark.spec("kube-api:NEG-5")
async def test_writes_answer_metadata_too(cluster: Wire) -> None:
    """With the same header."""
    body = {"metadata": {"name": "c1"}, "data": {"a": "1"}}

    made = await cluster.request("POST", cluster.path("configmaps"), body, accept=PARTIAL)

    assert made.ok(201)["kind"] == "PartialObjectMetadata"
    assert (await cluster.get(cluster.path("configmaps", "c1"))).ok()["data"] == {"a": "1"}


@pytest.mark.spec("kube-api:TAB-1")
async def test_a_custom_kind_brings_its_columns(cluster: Wire, widgets: str) -> None:
    """Name comes first; missing values are null, integers are numbers, dates are ages, wide columns are sent always."""
    (await cluster.post(widgets, widget("w1", size=3, tags=["x", "y"]))).ok(201)

    table = (await cluster.get(widgets, accept=TABLE)).ok()

    columns = {column["name"]: column for column in table["columnDefinitions"]}
    assert list(columns) == ["Name", "Size", "Phase", "Tags", "Age"]
    assert {key: columns["Name"][key] for key in ("type", "format", "priority")} == {
        "type": "string",
        "format": "name",
        "priority": 0,
    }
    assert columns["Size"] == {"name": "Size", "type": "integer", "format": "", "description": "how big", "priority": 0}
    assert columns["Phase"]["description"] == "Custom resource definition column (in JSONPath format): .status.phase"
    assert columns["Tags"]["priority"] == 1
    cells = table["rows"][0]["cells"]
    assert cells[:4] == ["w1", 3, None, '["x","y"]']
    assert re.fullmatch(r"\d+s", cells[4])


@pytest.mark.spec("kube-api:TAB-1")
async def test_a_custom_kind_without_columns_shows_its_age(cluster: Wire, gadgets: str) -> None:
    """Name and Age."""
    table = (await cluster.get(gadgets, accept=TABLE)).ok()

    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Age"]
    assert table["columnDefinitions"][1]["type"] == "date"


COLUMNS = {
    "pods": "Name Ready Status Restarts Age IP* Node* Nominated_Node* Readiness_Gates*",
    "services": "Name Type Cluster-IP External-IP Port(s) Age Selector*",
    "jobs.batch": "Name Status Completions Duration Age Containers* Images* Selector*",
    "configmaps": "Name Data Age",
    "secrets": "Name Type Data Age",
    "serviceaccounts": "Name Age",
    "events": "Last_Seen Type Reason Object Subobject* Source* Message First_Seen* Count* Name*",
    "persistentvolumeclaims": (
        "Name Status Volume Capacity Access_Modes StorageClass VolumeAttributesClass Age VolumeMode*"
    ),
    "endpoints": "Name Endpoints Age",
    "endpointslices.discovery.k8s.io": "Name AddressType Ports Endpoints Age",
    "leases.coordination.k8s.io": "Name Holder Age",
    "resourcequotas": "Name Request Limit Age",
    "rolebindings.rbac.authorization.k8s.io": "Name Role Age Users* Groups* ServiceAccounts*",
    "roles.rbac.authorization.k8s.io": "Name Created_At",
    "ingresses.networking.k8s.io": "Name Class Hosts Address Ports Age",
    "networkpolicies.networking.k8s.io": "Name Pod-Selector Age",
    "poddisruptionbudgets.policy": "Name Min_Available Max_Unavailable Allowed_Disruptions Age",
    "deployments.apps": "Name Ready Up-to-date Available Age Containers* Images* Selector*",
    "replicasets.apps": "Name Desired Current Ready Age Containers* Images* Selector*",
    "limitranges": "Name Created_At",
}
CLUSTER_COLUMNS = {
    "/api/v1/nodes": (
        "Name Status Roles Age Version Internal-IP* External-IP* OS-Image* Kernel-Version* Container-Runtime*"
    ),
    "/api/v1/namespaces": "Name Status Age",
    "/apis/scheduling.k8s.io/v1/priorityclasses": "Name Value Global-Default Age PreemptionPolicy",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations": "Name Webhooks Age",
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations": "Name Webhooks Age",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies": "Name Validations ParamKind Age",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings": "Name PolicyName ParamRef Age",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": "Name Created_At",
}


async def columns_of(cluster: Wire, path: str) -> str:
    table = (await cluster.get(path, accept=TABLE)).ok()
    return " ".join(
        column["name"].replace(" ", "_") + "*" * column["priority"] for column in table["columnDefinitions"]
    )


@pytest.mark.spec("kube-api:TAB-2")
async def test_built_in_kinds_have_their_columns(cluster: Wire) -> None:
    """Names, order and which are shown with -o wide only."""
    found = {resource: await columns_of(cluster, cluster.path(resource)) for resource in COLUMNS}

    assert found == COLUMNS


@pytest.mark.spec("kube-api:TAB-2")
async def test_kinds_without_namespace_have_their_columns(cluster: Wire) -> None:
    """Likewise."""
    assert {path: await columns_of(cluster, path) for path in CLUSTER_COLUMNS} == CLUSTER_COLUMNS


@pytest.mark.spec("kube-api:TAB-2")
async def test_cells_of_services_secrets_and_jobs(cluster: Wire) -> None:
    """A row of each, with the age left out."""
    service: Json = {
        "metadata": {"name": "s"},
        "spec": {"clusterIP": "None", "selector": {"a": "b"}, "ports": [{"port": 80}]},
    }
    secret: Json = {"metadata": {"name": "s"}, "stringData": {"a": "1", "b": "2"}}
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}}
    job: Json = {"metadata": {"name": "j"}, "spec": {"template": template, "suspend": True}}
    rows = {}
    for resource, body in (("services", service), ("secrets", secret), ("jobs.batch", job)):
        (await cluster.post(cluster.path(resource), body)).ok(201)
        table = (await cluster.get(cluster.path(resource, body["metadata"]["name"]), accept=TABLE)).ok()
        rows[resource] = table["rows"][0]["cells"]

    assert rows["services"][:5] + rows["services"][6:] == ["s", "ClusterIP", "None", "<none>", "80/TCP", "a=b"]
    assert rows["secrets"][:3] == ["s", "Opaque", 2]
    assert (rows["jobs.batch"][0], rows["jobs.batch"][2], rows["jobs.batch"][5:7]) == ("j", "0/1", ["c", "i:1"])


@pytest.mark.spec("kube-api:TAB-4")
async def test_a_watch_in_tables_defines_its_columns_once(cluster: Wire) -> None:
    """Each event is a table of one row; later ones have null instead of columns."""
    path = await config_map(cluster, a="1")
    query = {"fieldSelector": "metadata.name=c1", "resourceVersion": "0"}

    async with cluster.watch(cluster.path("configmaps"), accept=TABLE, **query) as events:
        first = await events.next()
        (await cluster.patch(path, {"data": {"b": "2"}})).ok()
        second = await events.next()

    assert (first[0], first[1]["kind"], second[0]) == ("ADDED", "Table", "MODIFIED")
    assert [column["name"] for column in first[1]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert second[1]["columnDefinitions"] is None
    assert [row["cells"][:2] for row in second[1]["rows"]] == [["c1", 2]]


@pytest.mark.spec("kube-api:NEG-5")
async def test_a_watch_of_metadata_carries_nothing_else(cluster: Wire) -> None:
    """PartialObjectMetadata, though it is a collection; the list form ends at once, empty."""
    await config_map(cluster, a="1")
    query = {"fieldSelector": "metadata.name=c1", "resourceVersion": "0"}

    async with cluster.watch(cluster.path("configmaps"), accept=PARTIAL, **query) as events:
        kind, item = await events.next()
    async with cluster.watch(cluster.path("configmaps"), accept=PARTIAL_LIST, **query) as events:
        nothing = await events.rest()

    assert (kind, item["kind"], "data" in item) == ("ADDED", "PartialObjectMetadata", False)
    assert nothing == []
