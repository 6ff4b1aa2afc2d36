"""CustomResourceDefinitions: spec kube-api §13."""

from __future__ import annotations

from copy import deepcopy

import pytest

from localcluster.testing.wire import Json, Wire

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Kind:
    """A kind of the test's own, in a group that no other test has."""

    def __init__(self, cluster: Wire, **properties: Json) -> None:
        self.cluster = cluster
        self.group = f"{cluster.namespace}.example.com"
        self.path = f"{DEFINITIONS}/things.{self.group}"
        self.things = cluster.path(f"things.{self.group}")
        self.definition: Json = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"things.{self.group}"},
            "spec": {
                "group": self.group,
                "scope": "Namespaced",
                "names": {"plural": "things", "kind": "Thing"},
                "versions": [self.version("v1", properties)],
            },
        }

    @staticmethod
    def version(name: str, properties: Json, *, storage: bool = True, served: bool = True) -> Json:
        spec = {"type": "object", "properties": properties}
        schema = {"type": "object", "properties": {"spec": spec}}
        return {"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": schema}}

    def thing(self, name: str, **spec: object) -> Json:
        return {"apiVersion": f"{self.group}/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec}

    async def serve(self) -> Kind:
        await self.cluster.serve(self.definition)
        return self

    async def change(self, *versions: Json) -> Json:
        """Other versions from now on; returns when they act."""
        return (await self.cluster.patch(self.path, {"spec": {"versions": list(versions)}})).ok()

    async def post(self, name: str, **spec: object) -> Json:
        return (await self.cluster.post(self.things, self.thing(name, **spec))).ok(201)


TEXT: Json = {"type": "string"}


@pytest.mark.spec("kube-api:CRD-1")
async def test_a_definition_is_completed_and_established(cluster: Wire) -> None:
    """Names and conversion are filled in; conditions say that it is served."""
    kind = Kind(cluster, a=TEXT)

    made = (await cluster.post(DEFINITIONS, kind.definition)).ok(201)
    await kind.serve()
    served = (await cluster.get(kind.path)).ok()

    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert {key: made["spec"]["names"][key] for key in ("singular", "listKind")} == {
        "singular": "thing",
        "listKind": "ThingList",
    }
    conditions = {one["type"]: (one["status"], one["reason"], one["message"]) for one in served["status"]["conditions"]}
    assert conditions["NamesAccepted"] == ("True", "NoConflicts", "no conflicts found")
    assert conditions["Established"] == ("True", "InitialNamesAccepted", "the initial names have been accepted")
    assert served["status"]["acceptedNames"]["kind"] == "Thing"
    assert served["status"]["storedVersions"] == ["v1"]


@pytest.mark.spec("kube-api:CRD-2")
async def test_names_that_are_taken_are_not_served(cluster: Wire) -> None:
    """The definition is stored all the same, and says why."""
    await Kind(cluster, a=TEXT).serve()
    other = deepcopy(Kind(cluster, a=TEXT).definition)
    group = other["spec"]["group"]
    other["metadata"]["name"] = f"others.{group}"
    other["spec"]["names"] = {"plural": "others", "kind": "Thing", "listKind": "OtherList"}

    (await cluster.post(DEFINITIONS, other)).ok(201)
    refused = await cluster.until(f"{DEFINITIONS}/others.{group}", lambda item: bool(item["status"].get("conditions")))

    conditions = {
        one["type"]: (one["status"], one["reason"], one["message"]) for one in refused["status"]["conditions"]
    }
    assert conditions["NamesAccepted"][:2] == ("False", "KindConflict")
    assert '"Thing" is already in use' in conditions["NamesAccepted"][2]
    assert conditions["Established"] == ("False", "NotAccepted", "not all names are accepted")


def _another_name(definition: Json) -> None:
    definition["metadata"]["name"] = "zork.example.com"


def _without_type(definition: Json) -> None:
    properties = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    properties["x"] = {"description": "no type"}


def _without_storage(definition: Json) -> None:
    definition["spec"]["versions"][0]["storage"] = False


def _without_schema(definition: Json) -> None:
    del definition["spec"]["versions"][0]["schema"]


def _with_bad_rule(definition: Json) -> None:
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = [{"rule": "self.nope > 5"}]


@pytest.mark.spec("kube-api:CRD-3")
@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_another_name, 'must be spec.names.plural+"."+spec.group'),
        (
            _without_type,
            "properties[spec].properties[x].type: Required value: must not be empty for specified object fields",
        ),
        (_without_storage, "must have exactly one version marked as storage version"),
        (_without_schema, "openAPIV3Schema: Required value"),
        (_with_bad_rule, "x-kubernetes-validations[0].rule: Invalid value"),
    ],
    ids=["name", "type", "storage", "schema", "rule"],
)
async def test_a_definition_that_makes_no_sense_is_invalid(cluster: Wire, spoil, text: str) -> None:  # type: ignore[no-untyped-def]
    """422, with the place."""
    definition = Kind(cluster, a=TEXT).definition
    spoil(definition)

    answer = await cluster.post(DEFINITIONS, definition)

    assert answer.code == 422
    assert text in answer.message


@pytest.mark.spec("kube-api:CRD-3")
async def test_a_rule_that_does_not_compile_says_where(cluster: Wire) -> None:
    """In the words of the compiler."""
    definition = Kind(cluster, a=TEXT).definition
    _with_bad_rule(definition)

    answer = await cluster.post(DEFINITIONS, definition)

    assert "compilation failed" in answer.message
    assert "undefined field 'nope'" in answer.message


@pytest.mark.spec("kube-api:CRD-3")
async def test_protected_groups_need_an_approval(cluster: Wire) -> None:
    """An annotation that names it."""
    definition = Kind(cluster, a=TEXT).definition
    group = f"{cluster.namespace}.k8s.io"
    definition["spec"]["group"] = group
    definition["metadata"]["name"] = f"things.{group}"

    answer = await cluster.post(DEFINITIONS, definition)

    assert answer.code == 422
    assert "api-approved.kubernetes.io" in answer.message


@pytest.mark.spec("kube-api:CRD-4")
async def test_scope_and_kind_stay_once_established(cluster: Wire) -> None:
    """And the generation counts changes of the spec."""
    kind = await Kind(cluster, a=TEXT).serve()

    scope = await cluster.patch(kind.path, {"spec": {"scope": "Cluster"}})
    unversioned = await cluster.put(kind.path, kind.definition)
    changed = await kind.change(kind.version("v1", {"a": TEXT, "b": TEXT}))

    assert scope.code == 422
    assert 'spec.scope: Invalid value: "Cluster": field is immutable' in scope.message
    assert unversioned.code == 422
    assert changed["metadata"]["generation"] == 2


async def acts(kind: Kind, name: str, wanted: Json) -> Json:
    """Writes until the changed definition acts: a real server takes some 20 ms (CRD-4), and no event tells."""
    for number in range(200):
        made = await kind.post(f"{name}{number}", a="x", b="y")
        if made["spec"] == wanted:
            return made
    raise AssertionError(f"the definition never acted: {made['spec']} instead of {wanted}")


@pytest.mark.spec("kube-api:CRD-4", "kube-api:CRD-5")
async def test_another_schema_acts_on_what_is_stored(cluster: Wire) -> None:
    """Fields it no longer has disappear on read, new defaults show."""
    kind = await Kind(cluster, a=TEXT, b=TEXT).serve()
    await kind.post("old", a="x", b="y")

    await kind.change(kind.version("v1", {"a": TEXT, "c": {"type": "string", "default": "new"}}))
    await acts(kind, "probe", {"a": "x", "c": "new"})
    read = (await cluster.get(f"{kind.things}/old")).ok()

    assert read["spec"] == {"a": "x", "c": "new"}


@pytest.mark.spec("kube-api:CRD-5")
async def test_an_offence_that_was_there_before_may_stay(cluster: Wire) -> None:
    """Validation ratchets: unchanged it passes, changed it must be right."""
    kind = await Kind(cluster, a=TEXT, b=TEXT).serve()
    await kind.post("old", a="long", b="y")

    await kind.change(
        kind.version(
            "v1",
            {
                "a": {"type": "string", "maxLength": 2, "default": "d"},
                "b": TEXT,
                "c": {"type": "string", "default": "new"},
            },
        )
    )
    await acts(kind, "probe", {"a": "x", "b": "y", "c": "new"})
    kept = await cluster.patch(f"{kind.things}/old", {"spec": {"b": "z"}})
    changed = await cluster.patch(f"{kind.things}/old", {"spec": {"a": "longer"}})

    assert kept.ok()["spec"]["a"] == "long"
    assert changed.code == 422
    assert "spec.a: Too long: may not be more than 2 bytes" in changed.message


@pytest.mark.spec("kube-api:CRD-6")
async def test_versions_share_their_objects(cluster: Wire) -> None:
    """With strategy None only apiVersion differs; a new storage version is remembered."""
    kind = await Kind(cluster, a=TEXT).serve()
    await kind.post("t", a="x")

    v1, v2 = kind.version("v1", {"a": TEXT}, storage=False), kind.version("v2", {"a": TEXT})
    await kind.change(v1, v2)
    await cluster.answers(f"/apis/{kind.group}/v2/things")
    other = (await cluster.get(cluster.path(f"things.{kind.group}", "t", version="v2"))).ok()
    definition = await cluster.until(kind.path, lambda item: len(item["status"]["storedVersions"]) == 2)
    removed = await cluster.patch(kind.path, {"spec": {"versions": [v2]}})

    assert (other["apiVersion"], other["spec"]) == (f"{kind.group}/v2", {"a": "x"})
    assert definition["status"]["storedVersions"] == ["v1", "v2"]
    assert removed.code == 422
    assert "must remain in spec.versions until a storage migration" in removed.message


@pytest.mark.spec("kube-api:CRD-7")
async def test_a_deprecated_version_warns(cluster: Wire, widgets: str) -> None:
    """With every answer."""
    answer = await cluster.get(cluster.path("widgets.test.example.com", version="v1beta1"))

    assert answer.code == 200
    assert answer.warnings == ('299 - "test.example.com/v1beta1 Widget is deprecated; use test.example.com/v1 Widget"',)


@pytest.mark.spec("kube-api:CRD-8")
async def test_a_definition_takes_its_objects_along(cluster: Wire) -> None:
    """Those with a finalizer hold it, and nothing new is accepted meanwhile."""
    kind = await Kind(cluster, a=TEXT).serve()
    held = kind.thing("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    (await cluster.post(kind.things, held)).ok(201)
    await kind.post("free")

    answer = (await cluster.delete(kind.path)).ok()
    terminating = await cluster.until(
        kind.path,
        lambda item: "InstanceDeletionInProgress" in [one["reason"] for one in item["status"]["conditions"]],
    )
    late = await cluster.post(kind.things, kind.thing("late"))
    await cluster.gone(f"{kind.things}/free")
    (await cluster.patch(f"{kind.things}/held", {"metadata": {"finalizers": None}})).ok()
    await cluster.gone(kind.path)

    assert answer["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    condition = next(one for one in terminating["status"]["conditions"] if one["type"] == "Terminating")
    assert condition["status"] == "True"
    assert late.code in (403, 405)
    await cluster.answers(kind.things, 404)
