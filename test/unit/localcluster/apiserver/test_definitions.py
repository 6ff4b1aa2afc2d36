"""Custom resources: from a definition to objects with rules, and back to nothing."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from localcluster.api import Json, Refusal
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.requests import Options, Request
from localcluster.apiserver.server import ApiServer
from localcluster.apiserver.store import Store

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
WIDGETS = "widgets.example.com"
RAY = Path(__file__).parents[4] / "api" / "crds"


def a_version(name: str = "v1", *, storage: bool = True, spec: Json | None = None, **more: Any) -> Json:
    properties = {"spec": {"type": "object", "properties": spec or {"size": {"type": "integer", "default": 1}}}}
    status = {"type": "object", "properties": {"phase": {"type": "string"}, "seen": {"type": "integer", "default": 0}}}
    schema = {"type": "object", "properties": {**properties, "status": status}}
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}, **more}


def a_definition(*versions: Json, kind: str = "Widget", plural: str = "widgets", **more: Any) -> Json:
    names = {"plural": plural, "kind": kind, **more}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": list(versions or (a_version(),))}
    return {"metadata": {"name": f"{plural}.example.com"}, "spec": spec}


def a_widget(name: str = "w", version: str = "v1", metadata: Json | None = None, **fields: Any) -> Json:
    head = {"apiVersion": f"example.com/{version}", "kind": "Widget", "metadata": {"name": name, **(metadata or {})}}
    return {**head, **fields}


async def refused(doing: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await doing
    return caught.value


def conditions(definition: Json) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in definition["status"]["conditions"]}


async def redefine(api: LocalApi, definition: Json) -> Json:
    """Another spec for a definition that is there."""
    stored = await api.get(CRDS, "", definition["metadata"]["name"])
    return await api.update(CRDS, "", {**stored, "spec": definition["spec"]})


@pytest.mark.spec("kube-api:CRD-1")
async def test_a_definition_is_completed_established_and_served(api: LocalApi, server: ApiServer) -> None:
    """With a second version of the object, so that watchers see it happen."""
    made = await api.create(CRDS, "", a_definition())
    stored = await api.get(CRDS, "", WIDGETS)

    assert (made["status"]["conditions"], made["status"]["storedVersions"]) == (None, ["v1"])
    assert made["spec"]["names"] == {
        "plural": "widgets",
        "kind": "Widget",
        "singular": "widget",
        "listKind": "WidgetList",
    }
    assert conditions(stored) == {
        "NamesAccepted": ("True", "NoConflicts"),
        "Established": ("True", "InitialNamesAccepted"),
    }
    assert server.registry.named(WIDGETS) is not None


@pytest.mark.spec("kube-api:CRD-2")
async def test_a_definition_whose_kind_is_taken_waits_until_it_is_free(api: LocalApi, server: ApiServer) -> None:
    """It is stored and not served."""
    await api.create(CRDS, "", a_definition())
    await api.create(CRDS, "", a_definition(plural="others", singular="other", listKind="OtherList"))

    waiting = await api.get(CRDS, "", "others.example.com")
    served = server.registry.named("others.example.com")
    await api.delete(CRDS, "", WIDGETS)

    assert (conditions(waiting)["NamesAccepted"], served) == (("False", "KindConflict"), None)
    assert conditions(waiting)["Established"] == ("False", "NotAccepted")
    assert server.registry.named("others.example.com") is not None


@pytest.mark.spec("kube-api:CRD-3")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda one: one["metadata"].update(name="wrong.example.com"), "metadata.name"),
        (lambda one: one["spec"]["versions"][0].update(storage=False), "spec.versions"),
        (lambda one: one["spec"]["versions"][0].pop("schema"), "spec.versions[0].schema.openAPIV3Schema"),
        (
            lambda one: one["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].update(x={}),
            "spec.validation.openAPIV3Schema.properties[x].type",
        ),
        (
            lambda one: one["spec"]["versions"][0]["schema"]["openAPIV3Schema"].update(
                {"x-kubernetes-validations": [{"rule": "self.nope == 1"}]}
            ),
            "spec.validation.openAPIV3Schema.x-kubernetes-validations[0].rule",
        ),
        (
            lambda one: (one["metadata"].update(name="widgets.x.k8s.io"), one["spec"].update(group="x.k8s.io")),
            "metadata.annotations[api-approved.kubernetes.io]",
        ),
    ],
)
async def test_a_broken_definition_is_refused(api: LocalApi, change: Any, field: str) -> None:
    """With the place."""
    definition = a_definition()
    change(definition)

    refusal = await refused(api.create(CRDS, "", definition))

    assert (refusal.code, refusal.details["causes"][0]["field"]) == (422, field)


@pytest.mark.spec("kube-api:CRD-4")
async def test_scope_and_names_of_an_established_definition_stay(api: LocalApi) -> None:
    """And a put needs a version."""
    await api.create(CRDS, "", a_definition())
    other = a_definition()
    other["spec"]["scope"] = "Cluster"

    immutable = await refused(redefine(api, other))
    versionless = await refused(api.update(CRDS, "", a_definition()))

    assert immutable.message.endswith('spec.scope: Invalid value: "Cluster": field is immutable')
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in versionless.message


@pytest.mark.spec("kube-api:CRD-5")
async def test_stored_objects_show_a_changed_schema_when_read(api: LocalApi) -> None:
    """New defaults, no dropped fields; in lists and watches as well."""
    await api.create(CRDS, "", a_definition(a_version(spec={"a": {"type": "string"}, "b": {"type": "integer"}})))
    await api.create(WIDGETS, "default", a_widget(spec={"a": "x", "b": 1}))

    await redefine(api, a_definition(a_version(spec={"a": {"type": "string"}, "c": {"type": "integer", "default": 5}})))
    seen = await api.get(WIDGETS, "default", "w")
    listed = await api.list(WIDGETS, "default")

    assert seen["spec"] == {"a": "x", "c": 5}
    assert listed.items == [seen]


@pytest.mark.spec("kube-api:CRD-5")
async def test_what_was_wrong_before_is_forgiven_until_it_changes(api: LocalApi) -> None:
    """So that a tightened schema does not lock objects."""
    await api.create(CRDS, "", a_definition(a_version(spec={"a": {"type": "string"}})))
    await api.create(WIDGETS, "default", a_widget(spec={"a": "x"}))
    await redefine(api, a_definition(a_version(spec={"a": {"type": "string", "maxLength": 0}})))

    await api.patch(WIDGETS, "default", "w", {"metadata": {"labels": {"q": "1"}}})
    refusal = await refused(api.patch(WIDGETS, "default", "w", {"spec": {"a": "yy"}}))

    assert refusal.message == 'Widget.example.com "w" is invalid: spec.a: Too long: may not be more than 0 bytes'


@pytest.mark.spec("kube-api:CRD-6", "kube-api:CRD-7")
async def test_an_object_can_be_read_in_each_served_version(api: LocalApi, server: ApiServer) -> None:
    """Only its apiVersion differs; a deprecated one warns with each answer."""
    await api.create(CRDS, "", a_definition(a_version(), a_version("v1beta1", storage=False, deprecated=True)))
    await api.create(WIDGETS, "default", a_widget(spec={"size": 3}))
    beta = server.registry.find("example.com", "v1beta1", "widgets")
    assert beta is not None

    answer = await server.get(Request(beta, "default", "w"))

    stable = await api.get(WIDGETS, "default", "w")
    assert answer.object == {**stable, "apiVersion": "example.com/v1beta1"}
    assert answer.warnings == ("example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget",)


@pytest.mark.spec("kube-api:CRD-6")
async def test_a_version_in_which_objects_may_be_stored_cannot_be_dropped(api: LocalApi) -> None:
    """Storing in another one is remembered."""
    await api.create(CRDS, "", a_definition())
    both = await redefine(api, a_definition(a_version(storage=False), a_version("v2")))

    refusal = await refused(redefine(api, a_definition(a_version("v2"))))

    assert both["status"]["storedVersions"] == ["v1", "v2"]
    assert [cause["field"] for cause in refusal.details["causes"]] == ["status.storedVersions[0]"]


async def test_objects_stored_before_a_new_storage_version_are_read_in_it(api: LocalApi) -> None:
    """Whatever version they were written in."""
    await api.create(CRDS, "", a_definition())
    await api.create(WIDGETS, "default", a_widget(spec={"size": 3}))

    await redefine(api, a_definition({**a_version(storage=False), "served": False}, a_version("v2")))

    seen = await api.get(WIDGETS, "default", "w")
    assert (seen["apiVersion"], seen["spec"]) == ("example.com/v2", {"size": 3})


@pytest.mark.spec("kube-api:CRD-8")
async def test_a_definition_goes_after_all_of_its_objects(api: LocalApi, server: ApiServer) -> None:
    """One with a finalizer holds it; nothing new is created meanwhile."""
    await api.create(CRDS, "", a_definition())
    await api.create(WIDGETS, "default", a_widget("held", metadata={"finalizers": ["a.b/c"]}))
    await api.create(WIDGETS, "default", a_widget("free"))

    await api.delete(CRDS, "", WIDGETS)
    left = [one["metadata"]["name"] for one in (await api.list(WIDGETS)).items]
    late = await refused(api.create(WIDGETS, "default", a_widget("late")))
    going = await api.get(CRDS, "", WIDGETS)
    await api.patch(WIDGETS, "default", "held", {"metadata": {"finalizers": None}})

    assert (left, late.code) == (["held"], 403)
    assert conditions(going)["Terminating"] == ("True", "InstanceDeletionInProgress")
    assert (await refused(api.get(CRDS, "", WIDGETS))).code == 404
    assert server.registry.named(WIDGETS) is None


@pytest.mark.spec("kube-api:CRT-6")
@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"kind": ""}, 400, "the object provided is unrecognized (must be of type Widget): Object 'Kind' is missing"),
        ({"kind": "Nope"}, 422, 'Nope.example.com "w" is invalid: kind: Invalid value: "Nope": must be Widget'),
        (
            {"apiVersion": "example.com/v9"},
            400,
            "the API version in the data (example.com/v9) does not match the expected API version (example.com/v1)",
        ),
    ],
)
async def test_a_custom_object_must_say_what_it_is(api: LocalApi, change: Json, code: int, message: str) -> None:
    """Unlike a built-in one."""
    await api.create(CRDS, "", a_definition())

    refusal = await refused(api.create(WIDGETS, "default", {**a_widget(), **change}))

    assert (refusal.code, refusal.message[: len(message)]) == (code, message)


@pytest.mark.spec("kube-api:STAT-1", "kube-api:META-1")
async def test_spec_and_status_of_a_custom_object_are_written_apart(api: LocalApi) -> None:
    """Only the spec counts; a status has its defaults as soon as it is there."""
    await api.create(CRDS, "", a_definition(a_version(subresources={"status": {}})))
    made = await api.create(WIDGETS, "default", a_widget(spec={"size": 1}, status={"phase": "ignored"}))
    both = {"metadata": {"labels": {"x": "1"}}, "spec": {"size": 9}, "status": {"phase": "Run"}}

    main = await api.patch(WIDGETS, "default", "w", both)
    status = await api.patch(WIDGETS, "default", "w", {**both, "spec": {"size": 5}}, subresource="status")

    assert ("status" in made, "status" in main) == (False, False)
    assert (main["metadata"]["generation"], main["spec"]) == (2, {"size": 9})
    assert (status["metadata"]["generation"], status["spec"]) == (2, {"size": 9})
    assert status["status"] == {"phase": "Run", "seen": 0}


@pytest.mark.spec("kube-api:META-1")
async def test_without_a_status_path_the_status_counts_as_well(api: LocalApi) -> None:
    """It is a field like any."""
    await api.create(CRDS, "", a_definition())
    await api.create(WIDGETS, "default", a_widget(status={"phase": "a"}))

    changed = await api.patch(WIDGETS, "default", "w", {"status": {"phase": "b"}})

    assert (changed["status"]["phase"], changed["metadata"]["generation"]) == ("b", 2)
    assert (await refused(api.patch(WIDGETS, "default", "w", {}, subresource="status"))).code == 404


@pytest.mark.spec("kube-api:PATCH-5")
async def test_a_null_on_a_defaulted_field_gives_the_default_back(api: LocalApi) -> None:
    """A merge patch removes, the schema fills in."""
    await api.create(CRDS, "", a_definition())
    await api.create(WIDGETS, "default", a_widget(spec={"size": 7}))

    patched = await api.patch(WIDGETS, "default", "w", {"spec": {"size": None}})

    assert patched["spec"] == {"size": 1}


@pytest.mark.spec("kube-api:SEL-6")
async def test_declared_fields_can_be_selected_by(api: LocalApi) -> None:
    """Numbers compare as text; other fields are refused."""
    await api.create(CRDS, "", a_definition(a_version(selectableFields=[{"jsonPath": ".spec.size"}])))
    for name, size in (("a", 1), ("b", 2)):
        await api.create(WIDGETS, "default", a_widget(name, spec={"size": size}))

    found = await api.list(WIDGETS, "default", fields="spec.size=2")
    refusal = await refused(api.list(WIDGETS, "default", fields="spec.title=x"))

    assert [one["metadata"]["name"] for one in found.items] == ["b"]
    assert refusal.message == "field label not supported: spec.title"


SCALE = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.seen", "labelSelectorPath": ".status.phase"}


@pytest.mark.spec("kube-api:SCALE-1")
async def test_a_custom_object_is_scaled_through_its_scale(api: LocalApi, server: ApiServer) -> None:
    """Which shows replicas and selector, and counts as a change of the spec."""
    await api.create(CRDS, "", a_definition(a_version(subresources={"status": {}, "scale": SCALE})))
    await api.create(WIDGETS, "default", a_widget(spec={"size": 1}))
    await api.patch(WIDGETS, "default", "w", {"status": {"seen": 1, "phase": "a=b"}}, subresource="status")

    scale = await api.patch(WIDGETS, "default", "w", {"spec": {"replicas": 6}}, subresource="scale")
    negative = await refused(api.patch(WIDGETS, "default", "w", {"spec": {"replicas": -1}}, subresource="scale"))
    widget = await api.get(WIDGETS, "default", "w")

    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 6},
        {"replicas": 1, "selector": "a=b"},
    )
    assert (widget["spec"]["size"], widget["metadata"]["generation"]) == (6, 2)
    assert negative.message.endswith(".spec.size: Invalid value: -1: should be a non-negative integer")


@pytest.mark.spec("kube-api:VAL-1")
@pytest.mark.parametrize("rules", [[], [{"rule": "self.size > 0", "message": "m"}]])
async def test_that_rules_were_not_checked_is_told_only_where_there_are_rules(api: LocalApi, rules: list[Json]) -> None:
    """After a structural error."""
    version = a_version()
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] = rules
    await api.create(CRDS, "", a_definition(version))

    refusal = await refused(api.create(WIDGETS, "default", a_widget(spec={"size": "x"})))

    fields = [cause["field"] for cause in refusal.details["causes"]]
    assert fields == (["spec.size", "<nil>"] if rules else ["spec.size"])


@pytest.mark.spec("kube-api:VAL-9")
async def test_replicas_that_fit_no_scale_are_refused_in_the_object_too(api: LocalApi) -> None:
    """Named with a leading dot."""
    await api.create(CRDS, "", a_definition(a_version(subresources={"scale": SCALE})))

    refusal = await refused(api.create(WIDGETS, "default", a_widget(spec={"size": 3_000_000_000})))

    assert [cause["field"] for cause in refusal.details["causes"]] == [".spec.size"]


@pytest.mark.spec("kube-api:WATCH-5")
async def test_watchers_of_another_version_see_objects_in_theirs(api: LocalApi, server: ApiServer) -> None:
    """Each in the version it asked for."""
    await api.create(CRDS, "", a_definition(a_version(), a_version("v2", storage=False)))
    resource = server.registry.find("example.com", "v2", "widgets")
    assert resource is not None
    watch = await server.watch(Request(resource, options=Options(resource_version=str(server.version))))
    await api.create(WIDGETS, "default", a_widget())

    (event,) = await watch.batch()
    watch.close()

    assert event.object["apiVersion"] == "example.com/v2"


async def test_a_server_on_a_store_that_has_definitions_serves_them(api: LocalApi, store: Store, clock: Any) -> None:
    """A store may outlive its server."""
    await api.create(CRDS, "", a_definition())
    await api.create(WIDGETS, "default", a_widget())

    later = LocalApi(ApiServer(now=clock.now, chance=random.Random(2), store=store))

    assert (await later.get(WIDGETS, "default", "w"))["metadata"]["name"] == "w"


@pytest.mark.parametrize("name", ["rayclusters", "rayjobs", "rayservices", "raycronjobs"])
async def test_the_definitions_of_ray_are_served(api: LocalApi, server: ApiServer, name: str) -> None:
    """As they are shipped."""
    definition = json.loads((RAY / f"{name}.ray.io.json").read_text())
    before = copy.deepcopy(definition)

    await api.create(CRDS, "", definition)

    assert server.registry.named(f"{name}.ray.io") is not None
    assert definition == before
