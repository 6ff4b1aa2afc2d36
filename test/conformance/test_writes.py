"""Create and update: spec kube-api §7."""

from __future__ import annotations

import re

import pytest

from localcluster.testing.wire import Json, Wire

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def widget(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "test.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 2, **spec},
    }


async def made(cluster: Wire, body: Json, resource: str = "configmaps") -> Json:
    return (await cluster.post(cluster.path(resource), body)).ok(201)


@pytest.mark.spec("kube-api:CRT-1")
async def test_the_server_sets_identity_time_and_version_whatever_was_sent(cluster: Wire) -> None:
    """What a client sends there is overwritten."""
    body = config_map("c1", a="1")
    body["metadata"] |= {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "namespace": cluster.namespace}

    stored = await made(cluster, body)

    metadata = stored["metadata"]
    assert metadata["uid"] != "mine"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    assert re.fullmatch(r"20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["namespace"] == cluster.namespace
    assert (stored["kind"], stored["apiVersion"], stored["data"]) == ("ConfigMap", "v1", {"a": "1"})
    assert (await cluster.get(cluster.path("configmaps", "c1"))).ok() == stored


@pytest.mark.spec("kube-api:CRT-2", "kube-api:TOP-6")
async def test_a_new_object_may_not_carry_a_version(cluster: Wire) -> None:
    """500, odd as it is; empty and zero pass."""
    body = config_map("c1")
    body["metadata"]["resourceVersion"] = "5"

    answer = await cluster.post(cluster.path("configmaps"), body)

    assert answer.ok(500)["message"] == "resourceVersion should not be set on objects to be created"
    assert "reason" not in answer.json
    for version in ("", "0"):
        body["metadata"] |= {"name": f"c{version}x", "resourceVersion": version}
        assert (await cluster.post(cluster.path("configmaps"), body)).code == 201


@pytest.mark.spec("kube-api:CRT-3")
async def test_a_name_is_generated_from_a_base(cluster: Wire) -> None:
    """Five characters that spell no words; a long base is cut to 58."""
    short = await made(cluster, {"metadata": {"generateName": "base-"}})
    long = await made(cluster, {"metadata": {"generateName": "x" * 70}})
    both = await made(cluster, {"metadata": {"generateName": "base-", "name": "given"}})

    assert re.fullmatch(f"base-[{ALPHABET}]{{5}}", short["metadata"]["name"])
    assert short["metadata"]["generateName"] == "base-"
    assert re.fullmatch(f"x{{58}}[{ALPHABET}]{{5}}", long["metadata"]["name"])
    assert both["metadata"]["name"] == "given"


@pytest.mark.spec("kube-api:CRT-3")
async def test_an_object_needs_a_name_or_a_base(cluster: Wire) -> None:
    """422 on metadata.name."""
    answer = await cluster.post(cluster.path("configmaps"), {"data": {}})

    assert answer.code == 422
    assert answer.causes[0] == (
        "FieldValueRequired",
        "metadata.name",
        "Required value: name or generateName is required",
    )


@pytest.mark.spec("kube-api:CRT-4")
async def test_an_object_needs_a_namespace_that_is_there_and_its_own(cluster: Wire) -> None:
    """404 names the namespace; another namespace in the body is 400."""
    absent = await cluster.post(cluster.path("configmaps", namespace="nope"), config_map("c1"))
    body = config_map("c1")
    body["metadata"]["namespace"] = "default"
    other = await cluster.post(cluster.path("configmaps"), body)

    assert absent.ok(404)["message"] == 'namespaces "nope" not found'
    assert absent.json["details"] == {"name": "nope", "kind": "namespaces"}
    assert other.ok(400)["message"] == (
        "the namespace of the provided object does not match the namespace sent on the request"
    )


@pytest.mark.spec("kube-api:CRT-5")
async def test_a_built_in_body_may_leave_out_its_kind_but_not_name_another(cluster: Wire) -> None:
    """Which kind is meant follows from the path."""
    plain = await cluster.post(cluster.path("configmaps"), {"metadata": {"name": "c1"}})
    version = await cluster.post(cluster.path("configmaps"), {**config_map("c2"), "apiVersion": "v2"})
    kind = await cluster.post(cluster.path("configmaps"), {**config_map("c3"), "kind": "Zork"})

    assert plain.ok(201)["kind"] == "ConfigMap"
    assert version.ok(400)["message"].startswith(
        'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2"'
    )
    assert kind.ok(400)["message"].startswith(
        'Zork in version "v1" cannot be handled as a ConfigMap: no kind "Zork" is registered for version "v1"'
    )


@pytest.mark.spec("kube-api:CRT-6")
async def test_a_custom_body_must_name_its_kind_and_version(cluster: Wire, widgets: str) -> None:
    """Missing, wrong, and another version of the group."""
    nameless = {key: value for key, value in widget("w1").items() if key != "kind"}
    missing = await cluster.post(widgets, nameless)
    wrong = await cluster.post(widgets, {**widget("zz"), "kind": "Nope"})
    beta = cluster.path("widgets.test.example.com", version="v1beta1")
    version = await cluster.post(beta, widget("w1"))

    assert missing.ok(400)["message"].startswith(
        "the object provided is unrecognized (must be of type Widget): Object 'Kind' is missing in '"
    )
    assert wrong.ok(422)["message"] == (
        'Nope.test.example.com "zz" is invalid: kind: Invalid value: "Nope": must be Widget'
    )
    assert version.ok(400)["message"] == (
        "the API version in the data (test.example.com/v1) does not match the expected API version "
        "(test.example.com/v1beta1)"
    )


@pytest.mark.spec("kube-api:CRT-7")
async def test_a_field_of_the_wrong_type_is_a_bad_request(cluster: Wire, widgets: str) -> None:
    """Built-in kinds, and the metadata of custom ones, are typed."""
    built_in = await cluster.post(cluster.path("configmaps"), {**config_map("c1"), "data": 5})
    body = widget("w1")
    body["metadata"]["labels"] = {"a": 1}
    custom = await cluster.post(widgets, body)

    assert built_in.ok(400)["message"].startswith(
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct '
    )
    assert custom.ok(400)["message"].startswith(
        'Widget in version "v1" cannot be handled as a Widget: json: cannot unmarshal number into Go struct field '
    )


@pytest.mark.spec("kube-api:CRT-8")
async def test_the_data_of_a_config_map_is_limited_to_a_mebibyte(cluster: Wire) -> None:
    """422 without a field."""
    answer = await cluster.post(cluster.path("configmaps"), config_map("c1", a="x" * (1024 * 1024 + 1)))

    assert answer.code == 422
    assert answer.causes[0][0] == "FieldValueTooLong"
    assert "may not be more than 1048576 bytes" in answer.message


@pytest.mark.spec("kube-api:CRT-9")
async def test_a_dry_run_does_everything_but_the_write(cluster: Wire) -> None:
    """201 without a version; an existing name is refused all the same."""
    answer = await cluster.post(cluster.path("configmaps"), config_map("c1"), dryRun="All")
    absent = await cluster.get(cluster.path("configmaps", "c1"))
    await made(cluster, config_map("c2"))
    taken = await cluster.post(cluster.path("configmaps"), config_map("c2"), dryRun="All")
    unknown = await cluster.post(cluster.path("configmaps"), config_map("c3"), dryRun="Some")

    assert "resourceVersion" not in answer.ok(201)["metadata"]
    assert answer.json["metadata"]["uid"]
    assert absent.code == 404
    assert taken.code == 409
    assert unknown.ok(422)["message"].endswith('dryRun: Unsupported value: ["Some"]: supported values: "All"')


@pytest.mark.spec("kube-api:CRT-10")
async def test_a_field_manager_is_short_and_printable(cluster: Wire) -> None:
    """At most 128 bytes."""
    long = await cluster.post(cluster.path("configmaps"), config_map("c1"), fieldManager="x" * 129)
    short = await cluster.post(cluster.path("configmaps"), config_map("c1"), fieldManager="x" * 128)

    assert long.ok(422)["details"]["kind"] == "CreateOptions"
    assert long.message.startswith('CreateOptions.meta.k8s.io "" is invalid: fieldManager: ')
    assert short.code == 201


@pytest.mark.spec("kube-api:FV-1")
async def test_strict_validation_refuses_what_nobody_knows(cluster: Wire, widgets: str) -> None:
    """All unknown fields are named."""
    body = {**widget("w1", unk=1), "extra": True}

    strict = await cluster.post(widgets, body, fieldValidation="Strict")
    ignored = await cluster.post(widgets, body, fieldValidation="Ignore")
    bogus = await cluster.post(widgets, widget("w2"), fieldValidation="Bogus")

    assert strict.ok(400)["message"] == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: '
        'unknown field "extra", unknown field "spec.unk"'
    )
    assert ignored.code == 201
    assert ignored.warnings == ()
    assert "unk" not in ignored.json["spec"]
    assert bogus.ok(422)["message"].endswith(
        'fieldValidation: Unsupported value: "Bogus": supported values: "", "Ignore", "Strict", "Warn"'
    )


@pytest.mark.spec("kube-api:FV-1")
async def test_a_field_given_twice_counts_as_last_said(cluster: Wire, widgets: str) -> None:
    """With a warning, or refused when strict."""
    raw = b'{"apiVersion":"test.example.com/v1","kind":"Widget","metadata":{"name":"w1"},"spec":{"size":2,"size":3}}'

    strict = await cluster.request("POST", widgets, raw, query={"fieldValidation": "Strict"})
    warned = await cluster.request("POST", widgets, raw)

    assert strict.ok(400)["message"] == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: duplicate field "spec.size"'
    )
    assert warned.ok(201)["spec"]["size"] == 3
    assert warned.warnings == ('299 - "duplicate field \\"spec.size\\""',)


@pytest.mark.spec("kube-api:FV-1")
async def test_below_preserved_fields_nothing_is_unknown(cluster: Wire, widgets: str) -> None:
    """`spec.open` keeps what it is given."""
    answer = await cluster.post(widgets, widget("w1", open={"a": {"b": 1}}), fieldValidation="Strict")

    assert answer.ok(201)["spec"]["open"] == {"a": {"b": 1}}


@pytest.mark.spec("kube-api:UPD-1")
async def test_an_update_without_a_version_wins_for_built_in_kinds_only(cluster: Wire, widgets: str) -> None:
    """Custom resources must say what they read."""
    stored = await made(cluster, config_map("c1", a="1"))
    custom = (await cluster.post(widgets, widget("w1"))).ok(201)

    plain = await cluster.put(cluster.path("configmaps", "c1"), config_map("c1", a="2"))
    refused = await cluster.put(f"{widgets}/w1", widget("w1", size=3))
    custom["spec"]["size"] = 3
    accepted = await cluster.put(f"{widgets}/w1", custom)

    assert plain.ok()["data"] == {"a": "2"}
    assert plain.json["metadata"]["uid"] == stored["metadata"]["uid"]
    assert plain.json["metadata"]["creationTimestamp"] == stored["metadata"]["creationTimestamp"]
    assert refused.ok(422)["message"] == (
        'widgets.test.example.com "w1" is invalid: metadata.resourceVersion: Invalid value: 0: '
        "must be specified for an update"
    )
    assert refused.json["details"]["kind"] == "widgets"
    assert accepted.ok()["spec"]["size"] == 3


@pytest.mark.spec("kube-api:UPD-2")
async def test_an_update_with_another_uid_is_a_conflict(cluster: Wire) -> None:
    """The object of that name may be another one by now."""
    stored = await made(cluster, config_map("c1"))
    body = config_map("c1", a="1")
    body["metadata"]["uid"] = "another"

    answer = await cluster.put(cluster.path("configmaps", "c1"), body)

    assert answer.ok(409)["reason"] == "Conflict"
    uid = stored["metadata"]["uid"]
    assert f"Precondition failed: UID in precondition: another, UID in object meta: {uid}" in answer.message


@pytest.mark.spec("kube-api:UPD-3")
async def test_an_update_names_the_object_of_its_path(cluster: Wire) -> None:
    """Another name, none, or another namespace are refused."""
    await made(cluster, config_map("c1"))
    other = await cluster.put(cluster.path("configmaps", "other"), config_map("c1"))
    none = await cluster.put(cluster.path("configmaps", "c1"), {"data": {}})

    assert other.ok(400)["message"] == "the name of the object (c1) does not match the name on the URL (other)"
    assert none.ok(400)["message"] == (
        "the name of the object (c1 based on URL) was undeterminable: name must be provided"
    )


@pytest.mark.spec("kube-api:UPD-4", "kube-api:LEASE-1")
async def test_an_update_creates_leases_but_not_config_maps(cluster: Wire, widgets: str) -> None:
    """Kinds differ in what a PUT to an absent name does."""
    lease = await cluster.put(cluster.path("leases.coordination.k8s.io", "l1"), {"metadata": {"name": "l1"}})
    absent = await cluster.put(cluster.path("configmaps", "c1"), config_map("c1"))
    body = widget("w1")
    body["metadata"]["resourceVersion"] = "1"
    custom = await cluster.put(f"{widgets}/w1", body)

    assert lease.code == 201
    assert absent.ok(404)["message"] == 'configmaps "c1" not found'
    assert custom.code == 404


@pytest.mark.spec("kube-api:UPD-5")
async def test_a_write_that_changes_nothing_keeps_the_version(cluster: Wire) -> None:
    """Nor is there an event: the next one a watch sees is of a real change."""
    stored = await made(cluster, config_map("c1", a="1"))
    path = cluster.path("configmaps", "c1")
    version = stored["metadata"]["resourceVersion"]

    async with cluster.watch(
        cluster.path("configmaps"), resourceVersion=version, fieldSelector="metadata.name=c1"
    ) as events:
        same = [
            await cluster.put(path, stored),
            await cluster.patch(path, {"data": {"a": "1"}}),
            await cluster.patch(path, [{"op": "replace", "path": "/data/a", "value": "1"}], "json"),
        ]
        changed = (await cluster.patch(path, {"data": {"a": "2"}})).ok()
        kind, item = await events.next()

    assert [answer.ok()["metadata"]["resourceVersion"] for answer in same] == [version] * 3
    assert (kind, item["metadata"]["resourceVersion"]) == ("MODIFIED", changed["metadata"]["resourceVersion"])


@pytest.mark.spec("kube-api:UPD-6")
async def test_an_immutable_config_map_stays_as_it_is(cluster: Wire) -> None:
    """Its data may not change any more."""
    await made(cluster, {**config_map("c1", a="1"), "immutable": True})

    answer = await cluster.patch(cluster.path("configmaps", "c1"), {"data": {"a": "2"}})

    assert answer.code == 422
    assert answer.causes[0] == (
        "FieldValueForbidden",
        "data",
        "Forbidden: field is immutable when `immutable` is set",
    )


@pytest.mark.spec("kube-api:UPD-6")
async def test_the_type_of_a_secret_may_not_change(cluster: Wire) -> None:
    """422 on type."""
    await made(cluster, {"metadata": {"name": "s1"}}, "secrets")

    answer = await cluster.patch(cluster.path("secrets", "s1"), {"type": "x/y"})

    assert answer.ok(422)["message"] == 'Secret "s1" is invalid: type: Invalid value: "x/y": field is immutable'


@pytest.mark.spec("kube-api:UPD-7")
@pytest.mark.parametrize(
    ("metadata", "field", "text"),
    [
        ({"name": "Upper"}, "metadata.name", "a lowercase RFC 1123 subdomain must consist of"),
        ({"name": "x" * 254}, "metadata.name", "must be no more than 253"),
        ({"name": "c1", "labels": {"a b": "c"}}, "metadata.labels", "name part must consist of"),
        ({"name": "c1", "labels": {"a": "b c"}}, "metadata.labels", "a valid label must be"),
        (
            {"name": "c1", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "", "uid": "u"}]},
            "metadata.ownerReferences.name",
            "must not be empty",
        ),
    ],
)
async def test_metadata_are_checked(cluster: Wire, metadata: Json, field: str, text: str) -> None:
    """Each rule names its field."""
    answer = await cluster.post(cluster.path("configmaps"), {"metadata": metadata})

    assert answer.code == 422
    assert answer.causes[0][1] == field
    assert text in answer.causes[0][2]


@pytest.mark.spec("kube-api:UPD-7")
async def test_an_object_has_one_controller(cluster: Wire) -> None:
    """Two are refused, named both."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "controller": True}
    owners = [{**owner, "name": "a", "uid": "a"}, {**owner, "name": "b", "uid": "b"}]

    answer = await cluster.post(cluster.path("configmaps"), {"metadata": {"name": "c1", "ownerReferences": owners}})

    assert answer.code == 422
    assert (
        'Only one reference can have Controller set to true. Found "true" in references for ConfigMap/a'
        in answer.message
    )


@pytest.mark.spec("kube-api:UPD-7")
async def test_a_finalizer_without_a_domain_is_for_custom_resources(cluster: Wire, widgets: str) -> None:
    """Accepted there, with a warning; built-in kinds refuse it."""
    warning = (
        '299 - "metadata.finalizers: \\"nodomain\\": prefer a domain-qualified finalizer name '
        'to avoid accidental conflicts with other finalizer writers"'
    )
    custom, built_in = widget("w1"), config_map("c1")
    custom["metadata"]["finalizers"] = built_in["metadata"]["finalizers"] = ["nodomain"]

    accepted = await cluster.post(widgets, custom)
    refused = await cluster.post(cluster.path("configmaps"), built_in)
    (await cluster.patch(f"{widgets}/w1", {"metadata": {"finalizers": None}})).ok()

    assert accepted.ok(201)["metadata"]["finalizers"] == ["nodomain"]
    assert accepted.warnings == (warning,)
    assert refused.ok(422)["message"] == (
        'ConfigMap "c1" is invalid: metadata.finalizers[0]: Invalid value: "nodomain": '
        "name is neither a standard finalizer name nor is it fully qualified"
    )


@pytest.mark.spec("kube-api:UPD-8")
async def test_a_secret_folds_its_text_into_data(cluster: Wire) -> None:
    """stringData is write-only; the type defaults to Opaque; data must be base64."""
    stored = await made(cluster, {"metadata": {"name": "s1"}, "stringData": {"a": "1"}}, "secrets")
    bad = await cluster.post(cluster.path("secrets"), {"metadata": {"name": "s2"}, "data": {"a": "!"}})

    assert (stored["data"], stored["type"]) == ({"a": "MQ=="}, "Opaque")
    assert "stringData" not in stored
    assert bad.code == 400
    assert "illegal base64 data at input byte 0" in bad.message


@pytest.mark.spec("kube-api:UPD-8")
async def test_a_namespace_is_labelled_with_its_name(cluster: Wire) -> None:
    """And starts Active."""
    namespace = (await cluster.get(f"/api/v1/namespaces/{cluster.namespace}")).ok()

    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": cluster.namespace}
    assert namespace["spec"] == {"finalizers": ["kubernetes"]}
    assert namespace["status"] == {"phase": "Active"}


@pytest.mark.spec("kube-api:LEASE-1", "kube-api:TOP-10")
async def test_times_of_a_lease_have_six_digits(cluster: Wire) -> None:
    """Whole seconds are refused."""
    body = {"metadata": {"name": "l1"}, "spec": {"renewTime": "2026-01-01T00:00:00Z"}}
    refused = await cluster.post(cluster.path("leases.coordination.k8s.io"), body)
    body["spec"] = {"renewTime": "2026-01-01T00:00:00.000000Z"}
    accepted = await cluster.post(cluster.path("leases.coordination.k8s.io"), body)

    assert refused.code == 400
    assert 'parsing time "2026-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00"' in refused.message.replace(
        '\\"', '"'
    )
    assert accepted.ok(201)["spec"]["renewTime"] == "2026-01-01T00:00:00.000000Z"


@pytest.mark.spec("kube-api:FV-1", "kube-api:NEG-2")
async def test_a_key_given_twice_in_yaml_is_told_by_its_line(cluster: Wire, widgets: str) -> None:
    """In other words than in JSON."""
    text = b"apiVersion: test.example.com/v1\nkind: Widget\nmetadata: {name: w1}\nspec:\n  size: 2\n  size: 3\n"

    strict = await cluster.request(
        "POST", widgets, text, content_type="application/yaml", query={"fieldValidation": "Strict"}
    )
    warned = await cluster.request("POST", widgets, text, content_type="application/yaml")

    assert strict.ok(400)["message"] == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: '
        'yaml: unmarshal errors:\n  line 6: key "size" already set in map'
    )
    assert warned.ok(201)["spec"]["size"] == 3
    assert warned.warnings == ('299 - "line 6: key \\"size\\" already set in map"',)
