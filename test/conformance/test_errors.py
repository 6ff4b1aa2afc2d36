"""Protocol and errors: spec kube-api §1."""

from __future__ import annotations

import gzip
import json

import pytest

from localcluster.testing.wire import Json, Wire


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.mark.spec("kube-api:ERR-1")
async def test_an_absent_object_is_named_by_its_plural(cluster: Wire) -> None:
    """Clients tell by details which object is missing."""
    answer = await cluster.get(cluster.path("configmaps", "nope"))

    assert answer.ok(404) == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "nope" not found',
        "reason": "NotFound",
        "details": {"name": "nope", "kind": "configmaps"},
        "code": 404,
    }


@pytest.mark.spec("kube-api:ERR-1")
async def test_an_absent_custom_object_is_named_with_its_group(cluster: Wire, widgets: str) -> None:
    """The group stands in the message and in details."""
    answer = await cluster.get(f"{widgets}/nope")

    assert answer.ok(404)["message"] == 'widgets.test.example.com "nope" not found'
    assert answer.json["details"] == {"name": "nope", "group": "test.example.com", "kind": "widgets"}


@pytest.mark.spec("kube-api:ERR-2")
@pytest.mark.parametrize("path", ["/api/v1/zorks", "/apis/batch/v1/zorks", "/apis/batch/v7/jobs", "/api/v2"])
async def test_an_unknown_resource_of_a_known_group_is_a_status(cluster: Wire, path: str) -> None:
    """The server's own groups answer in JSON, whatever the version."""
    answer = await cluster.get(path)

    assert answer.ok(404)["message"] == "the server could not find the requested resource"
    assert answer.json["details"] == {}


@pytest.mark.spec("kube-api:ERR-3")
@pytest.mark.parametrize("path", ["/apis/nope.example.com/v1/zorks", "/apis/nope.example.com", "/zork"])
async def test_an_unknown_group_or_version_is_plain_text(cluster: Wire, path: str) -> None:
    """A client that expects a Status must cope with text."""
    answer = await cluster.get(path)

    assert (answer.code, answer.text) == (404, "404 page not found\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.spec("kube-api:ERR-3")
async def test_a_custom_resource_is_not_served_at_the_wrong_scope(cluster: Wire, widgets: str, gadgets: str) -> None:
    """A namespaced path of a cluster-scoped kind, and creating a namespaced one without a namespace."""
    namespaced = await cluster.get(f"/apis/test.example.com/v1/namespaces/{cluster.namespace}/gadgets")
    everywhere = await cluster.post("/apis/test.example.com/v1/widgets", {"kind": "Widget"})

    assert (namespaced.code, namespaced.text) == (404, "404 page not found\n")
    assert (everywhere.code, everywhere.text) == (404, "404 page not found\n")


@pytest.mark.spec("kube-api:ERR-4")
async def test_a_verb_that_is_not_served_is_405(cluster: Wire) -> None:
    """Which verbs a path has depends on its shape."""
    refused = [
        await cluster.put(cluster.path("pods"), {}),
        await cluster.patch(cluster.path("pods"), {}),
        await cluster.post("/api/v1/configmaps", config_map("a")),
        await cluster.delete("/api/v1/configmaps"),
        await cluster.delete("/api/v1/namespaces"),
    ]

    for answer in refused:
        assert answer.ok(405)["message"] == "the server does not allow this method on the requested resource"
        assert (answer.json["reason"], answer.json["details"]) == ("MethodNotAllowed", {})


@pytest.mark.spec("kube-api:PRO-7")
async def test_head_and_options_are_not_served(cluster: Wire) -> None:
    """On resources both are 405."""
    for method in ("HEAD", "OPTIONS"):
        assert (await cluster.request(method, cluster.path("configmaps"))).code == 405


@pytest.mark.spec("kube-api:ERR-5")
async def test_creating_an_existing_name_is_a_conflict_of_its_own_reason(cluster: Wire) -> None:
    """AlreadyExists, not Conflict: controllers count it as done."""
    (await cluster.post(cluster.path("configmaps"), config_map("c1"))).ok(201)

    answer = await cluster.post(cluster.path("configmaps"), config_map("c1"))

    assert answer.ok(409)["message"] == 'configmaps "c1" already exists'
    assert (answer.json["reason"], answer.json["details"]) == ("AlreadyExists", {"name": "c1", "kind": "configmaps"})


@pytest.mark.spec("kube-api:ERR-6")
async def test_a_stale_version_is_a_conflict(cluster: Wire) -> None:
    """Who read an older version must read again."""
    first = (await cluster.post(cluster.path("configmaps"), config_map("c1"))).ok(201)
    (await cluster.put(cluster.path("configmaps", "c1"), {**first, "data": {"a": "1"}})).ok()

    answer = await cluster.put(cluster.path("configmaps", "c1"), {**first, "data": {"a": "2"}})

    assert answer.ok(409)["message"] == (
        'Operation cannot be fulfilled on configmaps "c1": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert (answer.json["reason"], answer.json["details"]) == ("Conflict", {"name": "c1", "kind": "configmaps"})


@pytest.mark.spec("kube-api:ERR-7", "kube-api:ERR-18")
async def test_what_is_invalid_is_listed_cause_by_cause(cluster: Wire, widgets: str) -> None:
    """The message joins the causes; details hold the Kind, not the plural."""
    answer = await cluster.post(widgets, widget("x", size=0, title="UPPER"))

    texts = [f"{field}: {message}" for _, field, message in answer.causes]
    assert answer.code == 422
    assert answer.message == f'Widget.test.example.com "x" is invalid: [{", ".join(texts)}]'
    assert sorted(texts) == [
        "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
        "spec.title: Invalid value: \"UPPER\": spec.title in body should match '^[a-z]+$'",
    ]
    assert {key: answer.json["details"][key] for key in ("name", "group", "kind")} == {
        "name": "x",
        "group": "test.example.com",
        "kind": "Widget",
    }
    assert {reason for reason, _, _ in answer.causes} == {"FieldValueInvalid"}


def widget(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "test.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 2, **spec},
    }


@pytest.mark.spec("kube-api:ERR-9", "kube-api:CRT-7")
@pytest.mark.parametrize("body", [b'{"apiVersion":"v1",', b"", b"[]", b'"x"'])
async def test_a_body_that_is_no_object_is_a_bad_request_without_details(cluster: Wire, body: bytes) -> None:
    """The message says which kind was expected."""
    answer = await cluster.request("POST", cluster.path("configmaps"), body)

    assert answer.ok(400)["reason"] == "BadRequest"
    assert answer.message.startswith("the object provided is unrecognized (must be of type ConfigMap): ")
    assert "details" not in answer.json


@pytest.mark.spec("kube-api:CRT-7")
async def test_a_body_that_ends_too_early_is_called_so(cluster: Wire) -> None:
    """With the beginning of what was read."""
    answer = await cluster.request("POST", cluster.path("configmaps"), b'{"apiVersion":"v1",')

    assert answer.message == (
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
        'unexpected end of JSON input ({"apiVersion":"v1",)'
    )


@pytest.mark.spec("kube-api:ERR-10")
async def test_an_unknown_form_of_the_answer_is_406(cluster: Wire) -> None:
    """The message lists what there is."""
    answer = await cluster.get(cluster.path("pods"), accept="application/json;as=Zork;v=v1;g=meta.k8s.io")

    assert answer.ok(406)["message"] == (
        "only the following media types are accepted: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )
    assert answer.json["reason"] == "NotAcceptable"


@pytest.mark.spec("kube-api:ERR-11", "kube-api:NEG-2")
async def test_a_form_as_body_is_415(cluster: Wire) -> None:
    """A body is JSON, YAML or protobuf."""
    answer = await cluster.request(
        "POST", cluster.path("configmaps"), b"a=b", content_type="application/x-www-form-urlencoded"
    )

    assert answer.ok(415)["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )
    assert answer.json["reason"] == "UnsupportedMediaType"


@pytest.mark.spec("kube-api:ERR-12", "kube-api:PATCH-1")
@pytest.mark.parametrize("content_type", ["application/json", ""])
async def test_a_patch_of_no_known_type_is_415(cluster: Wire, content_type: str) -> None:
    """Also when the object does not exist: the type is looked at first (PATCH-2)."""
    answer = await cluster.request("PATCH", cluster.path("configmaps", "nope"), b"{}", content_type=content_type)

    assert answer.ok(415)["message"].startswith("415: Unsupported Media Type")
    assert answer.json["details"] == {}


@pytest.mark.spec("kube-api:ERR-13")
async def test_a_body_over_three_mebibytes_is_413(cluster: Wire) -> None:
    """One byte more than the limit is too much."""
    answer = await cluster.post(cluster.path("configmaps"), config_map("big", a="x" * 3 * 1024 * 1024))

    assert answer.ok(413)["message"] == "Request entity too large: limit is 3145728"
    assert answer.json["reason"] == "RequestEntityTooLarge"


@pytest.mark.spec("kube-api:ERR-15", "kube-api:TOP-9")
async def test_a_version_of_the_future_times_out(cluster: Wire) -> None:
    """After three seconds; the client is told when to come again."""
    now = int((await cluster.get(cluster.path("configmaps"))).ok()["metadata"]["resourceVersion"])

    answer = await cluster.get(cluster.path("configmaps"), resourceVersion=now + 1_000_000)

    assert answer.ok(504)["reason"] == "Timeout"
    assert answer.message.startswith(f"Timeout: Too large resource version: {now + 1_000_000}, current: ")
    assert answer.json["details"] == {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }


@pytest.mark.spec("kube-api:PRO-3")
async def test_answers_are_one_line_unless_somebody_wants_to_read_them(cluster: Wire) -> None:
    """Pretty for ?pretty=true and for curl; built-in kinds name their kind first, custom ones sort their keys."""
    (await cluster.post(cluster.path("configmaps"), config_map("c1", a="1"))).ok(201)
    path = cluster.path("configmaps", "c1")

    compact = await cluster.get(path)
    pretty = await cluster.get(path, pretty="true")
    curl = await cluster.request("GET", path, headers={"User-Agent": "curl/8.0"})

    assert compact.body.startswith(b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{')
    assert compact.body.endswith(b"}\n")
    assert compact.body.count(b"\n") == 1
    assert pretty.body.startswith(b'{\n  "kind": "ConfigMap",\n  "apiVersion": "v1",\n')
    assert pretty.body.endswith(b"\n}")
    assert curl.body == pretty.body


@pytest.mark.spec("kube-api:PRO-3")
async def test_custom_resources_are_written_with_sorted_keys(cluster: Wire, widgets: str) -> None:
    """apiVersion comes first."""
    made = await cluster.post(widgets, widget("w1"))

    assert made.code == 201
    assert made.body.startswith(b'{"apiVersion":"test.example.com/v1","kind":"Widget","metadata":{')


@pytest.mark.spec("kube-api:PRO-4")
async def test_only_big_answers_are_compressed(cluster: Wire) -> None:
    """And only for who asks for it."""
    (await cluster.post(cluster.path("configmaps"), config_map("big", a="x" * 200_000))).ok(201)
    ask = {"Accept-Encoding": "gzip"}

    # The client's library unpacks by itself; what was sent is told by the header.
    big = await cluster.request("GET", cluster.path("configmaps", "big"), headers=ask)
    small = await cluster.request("GET", cluster.path("configmaps", "kube-root-ca.crt-nope"), headers=ask)
    plain = await cluster.request("GET", cluster.path("configmaps", "big"), headers={"Accept-Encoding": "identity"})

    assert (big.headers["Content-Encoding"], big.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert big.json == plain.json
    assert "Content-Encoding" not in small.headers
    assert "Content-Encoding" not in plain.headers
    assert gzip.compress(plain.body)  # it could have been


@pytest.mark.spec("kube-api:PRO-5", "kube-api:FV-1")
async def test_a_warning_is_a_header_with_quotes_escaped(cluster: Wire, widgets: str) -> None:
    """One header line per warning."""
    answer = await cluster.post(widgets, {**widget("w1", unk=1), "extra": True})

    assert answer.code == 201
    assert answer.warnings == (
        '299 - "unknown field \\"extra\\""',
        '299 - "unknown field \\"spec.unk\\""',
    )


@pytest.mark.spec("kube-api:PRO-6")
async def test_parameters_of_wrong_syntax_are_refused_and_unknown_ones_ignored(cluster: Wire) -> None:
    """A limit must be a number; nobody knows zork."""
    wrong = await cluster.get(cluster.path("configmaps"), limit="x")
    unknown = await cluster.get(cluster.path("configmaps"), zork="1")

    assert wrong.ok(400)["message"] == 'strconv.ParseInt: parsing "x": invalid syntax'
    assert unknown.code == 200


@pytest.mark.spec("kube-api:PRO-6")
async def test_any_word_but_false_and_zero_asks_for_a_watch(cluster: Wire) -> None:
    """?watch=zork watches, ?watch=false and ?watch=0 list."""
    for word, watches in (("zork", True), ("false", False), ("0", False)):
        answer = await cluster.get(
            cluster.path("configmaps"), watch=word, timeoutSeconds=1, fieldSelector="metadata.name=nope"
        )
        assert (b'"items"' not in answer.body) == watches


@pytest.mark.spec("kube-api:PRO-2")
async def test_an_answer_says_its_type_and_that_it_is_not_to_be_cached(cluster: Wire) -> None:
    """What clients may look at."""
    answer = await cluster.get(cluster.path("configmaps"))

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-cache, private"
    assert json.loads(answer.body)["kind"] == "ConfigMapList"
